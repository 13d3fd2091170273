-- Which upstreams failed in the last 24 hours, how, and how often?
-- Usage: sqlite3 -readonly -box gateway.db < failed-upstreams.sql
SELECT coalesce(upstream, '(none was tried)') AS upstream, outcome, status,
       count(*) AS failures, max(reason) AS a_reason,
       strftime('%Y-%m-%d %H:%M:%f', max(ts) / 1000.0, 'unixepoch') AS last
  FROM audit_event
 WHERE outcome IN ('upstream_error', 'upstream_cut', 'timeout') AND outcome <> 'completed'
   AND ts >= unixepoch('now', '-1 day') * 1000
 GROUP BY upstream, outcome, status
 ORDER BY failures DESC;
