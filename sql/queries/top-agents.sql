-- Which agents were called most in the last 7 days, and how did it go?
-- Usage: sqlite3 -readonly -box gateway.db < top-agents.sql
SELECT agent, sum(requests) AS requests, count(DISTINCT key_id) AS keys,
       round(100.0 * sum(completed) / sum(requests), 1) AS completed_percent,
       sum(denied) AS denied, sum(prompt_tokens + completion_tokens) AS tokens,
       sum(duration_ms) / sum(requests) AS mean_ms
  FROM usage_day
 WHERE day > unixepoch('now') / 86400 - 7 AND agent <> ''
 GROUP BY agent
 ORDER BY requests DESC
 LIMIT 20;
