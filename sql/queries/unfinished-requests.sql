-- Which requests are running, or were cut off by the death of their process?
-- Usage: sqlite3 -readonly -box gateway.db < unfinished-requests.sql
SELECT time, outcome, key_id, agent, route, request_id, process
  FROM requests
 WHERE seq >= (SELECT min(oldest_open_seq) FROM process WHERE oldest_open_seq > 0)
   AND outcome = 'unfinished'
UNION ALL
SELECT strftime('%Y-%m-%d %H:%M:%f', ts / 1000.0, 'unixepoch'), 'cut off', key_id, agent,
       route, request_id, process
  FROM audit_event
 WHERE outcome = 'internal' AND outcome <> 'completed'
   AND ts >= unixepoch('now', '-1 day') * 1000 AND detail LIKE '%"unfinished":true%'
 ORDER BY time DESC;
