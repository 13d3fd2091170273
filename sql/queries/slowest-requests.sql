-- Which requests of the last 24 hours took longest?
-- Usage: sqlite3 -readonly -box gateway.db < slowest-requests.sql
SELECT time, duration_ms, outcome, key_id, agent, upstream, model, streaming,
       completion_tokens, request_id
  FROM requests
 WHERE ts >= unixepoch('now', '-1 day') * 1000 AND duration_ms IS NOT NULL
 ORDER BY duration_ms DESC
 LIMIT 20;
