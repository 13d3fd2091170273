-- Why was a key denied an agent? The newest refusals with the rule that decided.
-- Narrow it down: add e.g.  AND key_id = 'dev' AND agent = 'labs/planner'  after WHERE ts ...
-- Usage: sqlite3 -readonly -box gateway.db < why-denied.sql
SELECT time, coalesce(key_id, '(no key)') AS key_id, agent, outcome, status, source,
       CASE WHEN pattern IS NULL THEN 'no rule allows it' ELSE pattern END AS rule,
       place, generation, reason, request_id
  FROM denials
 WHERE ts >= unixepoch('now', '-30 days') * 1000
 ORDER BY ts DESC, seq DESC
 LIMIT 50;
