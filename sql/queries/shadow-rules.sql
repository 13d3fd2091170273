-- What would the rules on trial (mode: shadow) have changed, whom would they hit?
-- Usage: sqlite3 -readonly -box gateway.db < shadow-rules.sql
SELECT shadow_place AS rule, shadow_list AS list, shadow_pattern AS pattern, would,
       count(*) AS requests, count(DISTINCT key_id) AS keys,
       count(DISTINCT agent) AS agents, min(time) AS first, max(time) AS last
  FROM shadow_decisions
 WHERE ts >= unixepoch('now', '-30 days') * 1000
 GROUP BY 1, 2, 3, 4
 ORDER BY requests DESC, rule
 LIMIT 100;
