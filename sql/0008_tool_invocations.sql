-- SPDX-License-Identifier: MIT
-- Calls of tools. A row of kind 'tool' is on disk before the tool runs, one of kind 'tool.end'
-- says how that ended; a call that was refused has the first only, and that says so. What they
-- say is in `detail`: they are no decisions about agents and have no outcome of a request.
CREATE INDEX audit_event_tool_end ON audit_event (request_uid) WHERE kind = 'tool.end';

CREATE VIEW tool_invocations AS
SELECT t.seq, strftime('%Y-%m-%d %H:%M:%f', t.ts / 1000.0, 'unixepoch') AS time,
       t.request_id, t.key_id, t.agent,
       t.detail ->> 'tool' AS tool, t.detail ->> 'provider' AS provider,
       t.detail ->> 'caller' AS caller, t.detail ->> 'call_id' AS call_id,
       t.detail ->> 'decision' AS decision, t.detail ->> 'list' AS list,
       t.detail ->> 'pattern' AS pattern, t.detail ->> 'rule' AS rule,
       coalesce(e.detail ->> 'status', t.detail ->> 'status', 'unfinished') AS status,
       e.duration_ms, t.generation, e.seq AS end_seq, t.request_uid, t.ts
  FROM audit_event AS t
  LEFT JOIN audit_event AS e
    ON e.kind = 'tool.end' AND e.request_uid = t.request_uid
   AND e.detail ->> 'call' = t.detail ->> 'call'
 WHERE t.kind = 'tool' AND t.kind <> 'decision' AND t.kind <> 'access' AND t.kind <> 'end';
