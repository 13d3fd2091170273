-- SPDX-License-Identifier: MIT
-- Keys made at run time (origin 'database') beside the mirror of security.yaml: rotation with
-- an overlap, who made, rotated and revoked them.

-- A replaced secret stays valid until previous_until. Roles, lists, rate and expiry of such a
-- key never change; rows stay for ever, so that any moment of the past can be told.
ALTER TABLE api_key ADD COLUMN previous_hash TEXT;
ALTER TABLE api_key ADD COLUMN previous_until INTEGER;
ALTER TABLE api_key ADD COLUMN budget_requests_per_day INTEGER; -- NULL = inherits
ALTER TABLE api_key ADD COLUMN budget_tokens_per_day INTEGER;
ALTER TABLE api_key ADD COLUMN created_by TEXT;
ALTER TABLE api_key ADD COLUMN rotated_at INTEGER;
ALTER TABLE api_key ADD COLUMN rotated_by TEXT;
ALTER TABLE api_key ADD COLUMN revoked_at INTEGER;
ALTER TABLE api_key ADD COLUMN revoked_by TEXT;
-- The id of a key that has ended may be taken again. Its row then gets the id 'ID#created_at',
-- and this is what it was called.
ALTER TABLE api_key ADD COLUMN former_id TEXT;

CREATE INDEX api_key_live ON api_key (expires_at)
    WHERE origin = 'database' AND revoked_at IS NULL AND removed_at IS NULL;

-- The proof of a key is the newest of its rows in the trail; `place` is 'key:' and its id.
CREATE INDEX audit_event_key_change ON audit_event (place, seq)
    WHERE kind >= 'key.' AND kind < 'key/';

-- Counts the changes of run-time keys: without one they need not be read again.
INSERT INTO meta VALUES ('keys', 1);

-- The one place that says how a key does; `id` is that of the row.
CREATE VIEW key_state AS
SELECT id,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
            WHEN removed_at IS NOT NULL THEN 'removed'
            WHEN expires_at <= now THEN 'expired'
            WHEN expires_at <= now + 7 * 86400000 THEN 'expiring'
            WHEN was_plaintext THEN 'plaintext'
            WHEN coalesce(last_used_at, created_at) < now - 90 * 86400000
                 THEN 'unused'
            WHEN expires_at IS NULL THEN 'no expiry'
            ELSE 'ok' END AS health,
       CASE WHEN previous_until > now THEN previous_until END AS overlap_until
  FROM api_key,
       (SELECT max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), value) AS now
          FROM meta WHERE name = 'time');

DROP VIEW key_health;
CREATE VIEW key_health AS
SELECT coalesce(k.former_id, k.id) AS id, description, origin, roles, health,
       NOT was_plaintext AS hashed,
       strftime('%Y-%m-%d %H:%M:%S', created_at / 1000, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%S', expires_at / 1000, 'unixepoch') AS expires,
       strftime('%Y-%m-%d %H:%M:%S', last_used_at / 1000, 'unixepoch') AS last_used,
       strftime('%Y-%m-%d %H:%M:%S', removed_at / 1000, 'unixepoch') AS removed,
       allow_agents, deny_agents, rate_limit_per_minute, generation, created_by,
       strftime('%Y-%m-%d %H:%M:%S', rotated_at / 1000, 'unixepoch') AS rotated, rotated_by,
       strftime('%Y-%m-%d %H:%M:%S', overlap_until / 1000, 'unixepoch') AS overlap_until,
       strftime('%Y-%m-%d %H:%M:%S', revoked_at / 1000, 'unixepoch') AS revoked, revoked_by,
       budget_requests_per_day, budget_tokens_per_day
  FROM api_key AS k JOIN key_state AS s ON s.id = k.id;
