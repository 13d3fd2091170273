-- Which keys expire soon, never expire, are unused for 90 days or stand in plain text?
-- Usage: sqlite3 -readonly -box gateway.db < keys-needing-care.sql
SELECT id, health, roles, hashed, created, expires, last_used, description
  FROM key_health
 WHERE health NOT IN ('ok', 'removed', 'revoked')
 ORDER BY CASE health WHEN 'expired' THEN 1 WHEN 'expiring' THEN 2 WHEN 'plaintext' THEN 3
                      WHEN 'unused' THEN 4 ELSE 5 END, id;
