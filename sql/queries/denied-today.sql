-- Who was denied today, at what, how often, and by which rule?
-- Usage: sqlite3 -readonly -box gateway.db < denied-today.sql
SELECT coalesce(key_id, '(no key)') AS key_id, agent, source, pattern, place,
       count(*) AS denials, min(time) AS first, max(time) AS last
  FROM denials
 WHERE ts >= unixepoch('now', 'start of day') * 1000
 GROUP BY key_id, agent, source, pattern, place
 ORDER BY denials DESC, last DESC;
