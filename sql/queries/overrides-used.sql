-- Which overrides were used in the last 31 days, by whom, for what, and who had granted them?
-- Usage: sqlite3 -readonly -box gateway.db < overrides-used.sql
SELECT o.id, o.pattern, o.reason, o.ticket, o.created_by, o.state, o.max_uses,
       e.key_id AS used_by, e.agent, count(*) AS uses, min(e.time) AS first, max(e.time) AS last
  FROM override_history AS o
  CROSS JOIN decisions AS e ON e.override_id = o.id AND e.override_id IS NOT NULL
 WHERE e.source = 'override' AND e.kind = 'decision'
   AND e.ts >= unixepoch('now', '-31 days') * 1000
 GROUP BY o.id, e.key_id, e.agent
 ORDER BY last DESC;
