-- SPDX-License-Identifier: MIT
-- Temporary grants may name a ticket and hold for a number of uses.
ALTER TABLE override ADD COLUMN ticket TEXT;
ALTER TABLE override ADD COLUMN max_uses INTEGER;   -- NULL = any number
ALTER TABLE override ADD COLUMN used_up_at INTEGER; -- when the last use was found to be taken

DROP VIEW override_history;
DROP VIEW active_overrides;

CREATE VIEW active_overrides AS
SELECT id, pattern, key_id, reason, created_by,
       strftime('%Y-%m-%d %H:%M:%f', created_at / 1000.0, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%f', expires_at / 1000.0, 'unixepoch') AS expires,
       (expires_at - now) / 1000 AS seconds_left,
       ticket, max_uses, max_uses - uses AS uses_left
  FROM (SELECT o.*, CASE WHEN max_uses IS NOT NULL THEN
               (SELECT count(*) FROM audit_event AS e
                 WHERE e.override_id = o.id AND e.override_id IS NOT NULL
                   AND e.source = 'override' AND e.kind = 'decision') END AS uses
          FROM override AS o),
       (SELECT max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), value) AS now
          FROM meta WHERE name = 'time')
 WHERE revoked_at IS NULL AND expired_at IS NULL AND expires_at > now
   AND used_up_at IS NULL AND (max_uses IS NULL OR uses < max_uses);

CREATE VIEW override_history AS
SELECT id, pattern, key_id, reason, created_by,
       strftime('%Y-%m-%d %H:%M:%f', created_at / 1000.0, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%f', expires_at / 1000.0, 'unixepoch') AS expires,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked'
            WHEN used_up_at IS NOT NULL THEN 'used_up'
            WHEN expired_at IS NOT NULL OR expires_at <= now THEN 'expired'
            WHEN max_uses IS NOT NULL AND uses >= max_uses THEN 'used_up'
            ELSE 'active' END AS state,
       strftime('%Y-%m-%d %H:%M:%f', revoked_at / 1000.0, 'unixepoch') AS revoked,
       revoked_by, uses, ticket, max_uses,
       strftime('%Y-%m-%d %H:%M:%f', used_up_at / 1000.0, 'unixepoch') AS used_up
  FROM (SELECT o.*, (SELECT count(*) FROM audit_event AS e
                      WHERE e.override_id = o.id AND e.override_id IS NOT NULL
                        AND e.source = 'override' AND e.kind = 'decision') AS uses
          FROM override AS o),
       (SELECT max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), value) AS now
          FROM meta WHERE name = 'time');
