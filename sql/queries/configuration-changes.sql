-- Which configuration ran from when on, and what else changed the policy?
-- Usage: sqlite3 -readonly -box gateway.db < configuration-changes.sql
SELECT strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS time,
       'configuration' AS change, origin AS what, generation, NULL AS by_key, NULL AS reason
  FROM configuration_change
UNION ALL
SELECT strftime('%Y-%m-%d %H:%M:%f', ts / 1000.0, 'unixepoch'), kind,
       coalesce(override_id || ' ' || pattern, place, ''), generation, key_id, reason
  FROM audit_event
 WHERE kind <> 'decision' AND kind <> 'access' AND kind <> 'end'
   AND (kind GLOB 'config.*' OR kind GLOB 'override.*' OR kind GLOB 'key.*')
 ORDER BY time DESC
 LIMIT 200;
