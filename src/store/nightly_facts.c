/* SPDX-License-Identifier: MIT */
/* Asks the database what the nightly audit wants to know. */
#include "store/nightly_facts.h"

#include "store/db.h"

/* ?1 is the beginning of the time that is looked at, ?2 now, for those who ask. */
static const char *const questions[] = {
    [FACT_KEYS] =
        "SELECT id, origin, roles, was_plaintext, allow_agents, created_at AS since,"
        " expires_at AS expires, last_used_at AS used FROM api_key WHERE removed_at IS NULL"
        " AND revoked_at IS NULL ORDER BY id",
    [FACT_DENIALS] =
        "SELECT coalesce(agent, '') AS agent, count(*) AS denials,"
        " count(DISTINCT key_id) AS keys FROM denials WHERE ts >= ?1 AND ts <= ?2"
        " GROUP BY +agent ORDER BY denials DESC, agent LIMIT 100",
    [FACT_OVERRIDES] =
        "SELECT o.id, o.pattern, o.key_id, o.reason, o.created_by, o.created_at AS created,"
        " o.expires_at AS expires, o.revoked_at IS NULL AND o.expired_at IS NULL"
        " AND o.expires_at > ?2 AS active,"
        " (SELECT count(*) FROM audit_event AS e WHERE e.override_id = o.id"
        " AND e.override_id IS NOT NULL AND e.source = 'override' AND e.kind = 'decision')"
        " AS uses FROM override AS o WHERE o.expires_at >= ?1 ORDER BY o.created_at, o.id",
    [FACT_RUNNING] =
        "SELECT d.request_id, d.key_id, d.agent, d.ts AS began FROM audit_event AS d"
        " WHERE d.seq >= (SELECT min(oldest_open_seq) FROM process WHERE oldest_open_seq > 0)"
        " AND d.ts >= ?1 - 30 * 86400000 AND d.ts <= ?2"
        " AND d.kind IN ('decision', 'access', 'preview') AND d.outcome IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM audit_event AS e WHERE e.kind = 'end'"
        " AND e.request_uid = d.request_uid) ORDER BY d.seq LIMIT 1000",
    [FACT_CUT_OFF] =
        "SELECT request_id, agent FROM audit_event WHERE outcome = 'internal'"
        " AND outcome <> 'completed' AND ts >= ?1 AND ts <= ?2"
        " AND detail LIKE '%\"unfinished\":true%' ORDER BY ts LIMIT 1000",
};

json_t *nightly_facts(struct db *db, enum nightly_fact fact, int64_t since, int64_t now,
                      struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, questions[fact], e);
    json_t *rows;

    if (statement == NULL)
        return NULL;
    sqlite3_bind_int64(statement, 1, since);
    sqlite3_bind_int64(statement, 2, now);
    (void)db_rows_json(db, statement, &rows, e);
    return rows;
}
