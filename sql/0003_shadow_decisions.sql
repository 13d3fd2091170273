-- SPDX-License-Identifier: MIT
-- Decisions that entries of `mode: shadow` would have changed. Their detail begins with
-- {"would_deny" or {"would_allow"; the index looks at no more than that, so that a detail of any
-- other form can never make an append fail, and a row without one costs nothing.
CREATE INDEX audit_event_shadow ON audit_event (ts)
    WHERE detail IS NOT NULL AND substr(detail, 1, 8) = '{"would_';

CREATE VIEW shadow_decisions AS
SELECT seq, strftime('%Y-%m-%d %H:%M:%f', ts / 1000.0, 'unixepoch') AS time,
       kind, request_id, key_id, agent, namespace, decision, source,
       CASE substr(detail, 3, 10) WHEN 'would_deny' THEN 'would_deny' ELSE 'would_allow' END
           AS would,
       coalesce(detail -> 'would_deny', detail -> 'would_allow') ->> 'rule' AS shadow_list,
       coalesce(detail -> 'would_deny', detail -> 'would_allow') ->> 'pattern' AS shadow_pattern,
       coalesce(detail -> 'would_deny', detail -> 'would_allow') ->> 'place' AS shadow_place,
       generation, route, request_uid, ts
  FROM audit_event
 WHERE detail IS NOT NULL AND substr(detail, 1, 8) = '{"would_' AND kind <> 'preview';
