-- SPDX-License-Identifier: MIT
-- The first schema. Times are UTC milliseconds; the views show them readably. The views and
-- their columns are an interface for people with a sqlite3 shell (doc/AUDIT.md): later
-- migrations may add columns at their end, never rename or drop one.

-- Small facts about the database itself: 'revision' of policy data, 'time' = the highest
-- time any process has seen (expired things stay expired when the clock steps back).
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta VALUES ('revision', 1), ('time', 0);

-- The audit trail. Rows are only ever added, in one hash chain across all processes;
-- `seq` has no gaps and is handed out under the writer gate.
CREATE TABLE audit_event (
    seq               INTEGER PRIMARY KEY,
    ts                INTEGER NOT NULL,
    kind              TEXT NOT NULL,
    request_id        TEXT,
    request_uid       TEXT,
    process           TEXT,
    route             TEXT,
    key_id            TEXT,
    agent             TEXT,
    namespace         TEXT,
    decision          TEXT,
    source            TEXT,
    pattern           TEXT,
    place             TEXT,
    override_id       TEXT,
    generation        INTEGER,
    outcome           TEXT,
    status            INTEGER,
    streaming         INTEGER,
    prompt_tokens     INTEGER,
    completion_tokens INTEGER,
    duration_ms       INTEGER,
    upstream          TEXT,
    model             TEXT,
    reason            TEXT,
    detail            TEXT,
    prev_hash         TEXT NOT NULL,
    hash              TEXT NOT NULL
) STRICT;

-- Each index answers a view or a query file; partial ones keep the usual row cheap.
CREATE INDEX audit_event_ts ON audit_event (ts);
CREATE INDEX audit_event_key ON audit_event (key_id, ts);
CREATE INDEX audit_event_agent ON audit_event (agent, ts);
CREATE INDEX audit_event_request ON audit_event (request_id);
CREATE INDEX audit_event_end ON audit_event (request_uid) WHERE kind = 'end';
CREATE INDEX audit_event_denied ON audit_event (ts)
    WHERE decision = 'deny' OR outcome = 'denied';
CREATE INDEX audit_event_failed ON audit_event (outcome, ts) WHERE outcome <> 'completed';
CREATE INDEX audit_event_override ON audit_event (override_id, ts)
    WHERE override_id IS NOT NULL;
CREATE INDEX audit_event_kind ON audit_event (kind, ts)
    WHERE kind NOT IN ('decision', 'access', 'end');

-- Against accidents; whoever owns the file can drop them, and then the chain tells.
CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'audit_event is append-only');
END;
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
BEGIN
    SELECT RAISE(ABORT, 'audit_event is append-only');
END;

-- Sums of the ended requests, kept with every append: counting ten million rows anew for
-- each question would take seconds.
CREATE TABLE usage_day (
    day               INTEGER NOT NULL, -- days since 1970-01-01 UTC
    key_id            TEXT NOT NULL,    -- '' = no key
    agent             TEXT NOT NULL,    -- '' = no agent
    requests          INTEGER NOT NULL,
    completed         INTEGER NOT NULL,
    denied            INTEGER NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    duration_ms       INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, agent)
) STRICT, WITHOUT ROWID;

-- Processes that write the trail, and the lowest row of theirs whose request is still open.
CREATE TABLE process (
    process         TEXT PRIMARY KEY,   -- host:pid:starttime
    boot            TEXT NOT NULL,      -- the kernel's boot id: start times count from boot
    oldest_open_seq INTEGER NOT NULL,   -- 0 = none
    noted_at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
    id                    TEXT PRIMARY KEY,
    origin                TEXT NOT NULL,    -- 'file'
    description           TEXT,
    roles                 TEXT NOT NULL,    -- 'client,admin'
    hash                  TEXT NOT NULL,    -- SHA-256 of the secret, hex
    was_plaintext         INTEGER NOT NULL,
    allow_agents          TEXT,             -- JSON array, NULL = inherits
    deny_agents           TEXT,
    rate_limit_per_minute INTEGER,          -- NULL = inherits
    generation            INTEGER NOT NULL, -- of the configuration that last changed it
    created_at            INTEGER NOT NULL,
    expires_at            INTEGER,
    last_used_at          INTEGER,
    removed_at            INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE override (
    id         TEXT PRIMARY KEY,
    pattern    TEXT NOT NULL,
    key_id     TEXT,                        -- NULL = every key
    reason     TEXT,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by TEXT,
    expired_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX override_active ON override (expires_at)
    WHERE revoked_at IS NULL AND expired_at IS NULL;
CREATE INDEX override_created ON override (created_at);

-- Accepted configurations by content; which one a set of files (by its gateway.yaml) runs;
-- and when that changed.
CREATE TABLE configuration (
    generation INTEGER PRIMARY KEY,
    hash       TEXT NOT NULL UNIQUE,
    sources    TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE configuration_current (
    origin      TEXT PRIMARY KEY,
    generation  INTEGER NOT NULL REFERENCES configuration (generation),
    accepted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE configuration_change (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    origin     TEXT NOT NULL,
    generation INTEGER NOT NULL
) STRICT;

CREATE TABLE recent_error (
    id         INTEGER PRIMARY KEY,
    ts         INTEGER NOT NULL,
    component  TEXT NOT NULL,
    kind       TEXT NOT NULL,
    severity   TEXT NOT NULL,
    subject    TEXT,
    message    TEXT NOT NULL,
    request_id TEXT
) STRICT;

-- Views. `ts` is kept beside `time`: filter by it, it is what the indexes know.
CREATE VIEW decisions AS
SELECT seq, strftime('%Y-%m-%d %H:%M:%f', ts / 1000.0, 'unixepoch') AS time,
       kind, request_id, key_id, agent, namespace, decision, source, pattern, place,
       override_id, generation, outcome, status, reason, route, request_uid, ts
  FROM audit_event
 WHERE decision IS NOT NULL;

CREATE VIEW denials AS
SELECT seq, strftime('%Y-%m-%d %H:%M:%f', ts / 1000.0, 'unixepoch') AS time,
       kind, request_id, key_id, agent, namespace, source, pattern, place, generation,
       outcome, status, reason, route, request_uid, ts
  FROM audit_event
 WHERE (decision = 'deny' OR outcome = 'denied') AND kind <> 'preview';

CREATE VIEW requests AS
SELECT d.seq, strftime('%Y-%m-%d %H:%M:%f', d.ts / 1000.0, 'unixepoch') AS time,
       d.kind, d.request_id, d.route, d.key_id, d.agent, d.decision, d.source, d.override_id,
       coalesce(e.outcome, d.outcome, 'unfinished') AS outcome,
       coalesce(e.status, d.status) AS status,
       coalesce(e.streaming, d.streaming) AS streaming,
       coalesce(e.upstream, d.upstream) AS upstream,
       coalesce(e.model, d.model) AS model,
       coalesce(e.prompt_tokens, d.prompt_tokens) AS prompt_tokens,
       coalesce(e.completion_tokens, d.completion_tokens) AS completion_tokens,
       coalesce(e.duration_ms, d.duration_ms) AS duration_ms,
       coalesce(e.reason, d.reason) AS reason,
       d.generation, d.process, e.seq AS end_seq, d.request_uid, d.ts
  FROM audit_event AS d
  LEFT JOIN audit_event AS e ON e.kind = 'end' AND e.request_uid = d.request_uid
 WHERE d.kind IN ('decision', 'access', 'preview', 'refusal');

CREATE VIEW active_overrides AS
SELECT id, pattern, key_id, reason, created_by,
       strftime('%Y-%m-%d %H:%M:%f', created_at / 1000.0, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%f', expires_at / 1000.0, 'unixepoch') AS expires,
       (expires_at - now) / 1000 AS seconds_left
  FROM override,
       (SELECT max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), value) AS now
          FROM meta WHERE name = 'time')
 WHERE revoked_at IS NULL AND expired_at IS NULL AND expires_at > now;

CREATE VIEW override_history AS
SELECT o.id, o.pattern, o.key_id, o.reason, o.created_by,
       strftime('%Y-%m-%d %H:%M:%f', o.created_at / 1000.0, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%f', o.expires_at / 1000.0, 'unixepoch') AS expires,
       CASE WHEN o.revoked_at IS NOT NULL THEN 'revoked'
            WHEN o.expired_at IS NOT NULL OR a.id IS NULL THEN 'expired'
            ELSE 'active' END AS state,
       strftime('%Y-%m-%d %H:%M:%f', o.revoked_at / 1000.0, 'unixepoch') AS revoked,
       o.revoked_by,
       (SELECT count(*) FROM audit_event AS e
         WHERE e.override_id = o.id AND e.override_id IS NOT NULL AND e.source = 'override'
           AND e.kind = 'decision') AS uses
  FROM override AS o LEFT JOIN active_overrides AS a ON a.id = o.id;

CREATE VIEW key_health AS
SELECT id, description, origin, roles,
       CASE WHEN removed_at IS NOT NULL THEN 'removed'
            WHEN expires_at <= now THEN 'expired'
            WHEN expires_at <= now + 7 * 86400000 THEN 'expiring'
            WHEN was_plaintext THEN 'plaintext'
            WHEN coalesce(last_used_at, created_at) < now - 90 * 86400000
                 THEN 'unused'
            WHEN expires_at IS NULL THEN 'no expiry'
            ELSE 'ok' END AS health,
       NOT was_plaintext AS hashed,
       strftime('%Y-%m-%d %H:%M:%S', created_at / 1000, 'unixepoch') AS created,
       strftime('%Y-%m-%d %H:%M:%S', expires_at / 1000, 'unixepoch') AS expires,
       strftime('%Y-%m-%d %H:%M:%S', last_used_at / 1000, 'unixepoch') AS last_used,
       strftime('%Y-%m-%d %H:%M:%S', removed_at / 1000, 'unixepoch') AS removed,
       allow_agents, deny_agents, rate_limit_per_minute, generation
  FROM api_key,
       (SELECT max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), value) AS now
          FROM meta WHERE name = 'time');

CREATE VIEW usage_by_key_day AS
SELECT date(day * 86400, 'unixepoch') AS day, key_id,
       sum(requests) AS requests, sum(completed) AS completed, sum(denied) AS denied,
       sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens,
       sum(prompt_tokens + completion_tokens) AS total_tokens,
       sum(duration_ms) AS duration_ms
  FROM usage_day
 GROUP BY usage_day.day, key_id;
