-- How many tokens did each key use on each of the last 31 days?
-- Usage: sqlite3 -readonly -box gateway.db < tokens-per-key-and-day.sql
SELECT day, key_id, requests, prompt_tokens, completion_tokens, total_tokens
  FROM usage_by_key_day
 WHERE day_number > unixepoch('now') / 86400 - 31
 ORDER BY day DESC, total_tokens DESC;
