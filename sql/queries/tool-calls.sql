-- Which tools were called in the last seven days, how did that end, how long did it take?
-- Usage: sqlite3 -readonly -box gateway.db < tool-calls.sql
SELECT tool, status, count(*) AS calls, count(DISTINCT agent) AS agents,
       count(DISTINCT key_id) AS keys, max(duration_ms) AS slowest_ms, max(time) AS last
  FROM tool_invocations
 WHERE ts >= unixepoch('now', '-7 days') * 1000
 GROUP BY tool, status
 ORDER BY tool, calls DESC;
