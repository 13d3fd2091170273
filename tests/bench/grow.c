/* SPDX-License-Identifier: MIT */
/* Makes a database as large as years of use would, through the gateway's own code: the rows
 * are chained, indexed and summed as those of real requests.
 *
 * grow DATABASE REQUESTS KEYS AGENTS: spreads requests over KEYS keys, AGENTS agents and the
 * 365 days before now. Of a hundred, 96 leave two rows (decision and end) and are completed, one
 * of them by an override; two end in failures; two are denied and leave one row. An override is
 * made for each ten thousand.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/audit_rows.h"
#include "store/keys.h"
#include "store/overrides.h"
#include "util/clock.h"
#include "util/log.h"

enum { GROUP = 2000, OVERRIDE_EVERY = 10000 };

static const int64_t day_ms = 86400000, year_ms = 365 * day_ms, hour_ms = 3600000;

struct names {
    char uid[48], id[48], key[32], agent[48], override[OVERRIDE_ID_SIZE];
};

/* Ids begin with the time, as the gateway's do. */
static void name(struct names *n, long number, long keys, long agents)
{
    snprintf(n->uid, sizeof n->uid, "%012lxgrowgrow%08lx", number, number);
    snprintf(n->id, sizeof n->id, "req_%012lx%012lx", number, number * 2654435761 & 0xffffffffff);
    snprintf(n->key, sizeof n->key, "key-%ld", number * 7919 % keys);
    snprintf(n->agent, sizeof n->agent, "bench/agent-%ld", number * 104729 % agents);
    snprintf(n->override, sizeof n->override, "ovr_%016lx", number / OVERRIDE_EVERY);
}

static struct audit_row plain(const struct names *n, int64_t ts)
{
    return (struct audit_row){
        .ts = ts, .request_id = n->id, .request_uid = n->uid, .process = "bench:1:1",
        .route = "POST /v1/chat/completions", .key_id = n->key, .agent = n->agent,
        .ns = "bench", .generation = 1, .status = -1, .streaming = 0, .prompt_tokens = -1,
        .completion_tokens = -1, .duration_ms = -1, .model = "bench"};
}

static size_t refuse(struct audit_row *row, const struct names *n, int64_t ts)
{
    *row = plain(n, ts);
    row->kind = "refusal";
    row->decision = "deny";
    row->source = "deny";
    row->outcome = "denied";
    row->status = 403;
    row->duration_ms = 0;
    row->reason = "agent_not_allowed";
    return 1;
}

/* -> rows that were filled: one or two */
static size_t fill(struct audit_row row[2], const struct names *n, long number, int64_t ts)
{
    if (number % 100 >= 98)
        return refuse(row, n, ts);
    row[0] = plain(n, ts);
    row[0].kind = "decision";
    row[0].decision = "allow";
    row[0].source = number % 100 == 0 ? "override" : "api_key";
    row[0].override_id = number % 100 == 0 ? n->override : NULL;
    row[0].pattern = "bench/*";
    row[0].place = number % 100 == 0 ? NULL : "security.yaml:9";
    row[1] = plain(n, ts + 700);
    row[1].kind = "end";
    row[1].outcome = number % 100 == 1 ? "upstream_error" : number % 100 == 2 ? "timeout"
                                                                               : "completed";
    row[1].status = number % 100 == 1 ? 502 : number % 100 == 2 ? 504 : 200;
    row[1].prompt_tokens = 9;
    row[1].completion_tokens = 40;
    row[1].duration_ms = 500 + number * 31 % 1000;
    row[1].upstream = "mock";
    return 2;
}

/* One that lasts an hour. */
static int grant(struct store *store, const struct names *n, int64_t ts, struct err *e)
{
    char pattern[] = "bench/*", by[] = "admin";
    struct override o = {.pattern = pattern, .created_by = by, .created_at = ts,
                         .expires_at = ts + hour_ms};
    struct audit_row row = plain(n, ts);

    snprintf(o.id, sizeof o.id, "%s", n->override);
    row.request_id = row.request_uid = NULL;
    return overrides_create(store, &o, &row, e);
}

static int expire(struct store *store, struct err *e)
{
    const struct names nobody = {.uid = ""};
    struct audit_row row = plain(&nobody, clock_wall_ms());
    struct override_list expired;
    int status = overrides_expire(store, &row, &expired, e);

    override_list_clear(&expired);
    return status;
}

static int append(struct store *store, const struct audit_row *rows, size_t count,
                  struct err *e)
{
    struct db *db = store_acquire(store, e);
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = store_write_begin(store, db, e);
    if (status == 0) {
        status = audit_rows_append(store, db, rows, count, NULL, e);
        if (status == 0)
            status = store_write_commit(store, db, e);
        else
            store_write_rollback(store, db);
    }
    store_release(store, db);
    return status;
}

/* The keys as rows; each was used in its time. */
static int mirror_keys(struct store *store, long count, struct err *e)
{
    struct key_row *rows = calloc((size_t)count, sizeof *rows);
    char(*ids)[32] = calloc((size_t)count, sizeof *ids);
    const struct key_rows keys = {.rows = rows, .count = (size_t)count};
    struct db *db = store_acquire(store, e);
    int status = rows == NULL || ids == NULL || db == NULL
                     ? err_set(e, AGW_ENOMEM, "making keys")
                     : store_write_begin(store, db, e);

    if (status == 0) {
        for (long i = 0; i < count; i++) {
            snprintf(ids[i], sizeof ids[i], "key-%ld", i);
            rows[i] = (struct key_row){.id = ids[i], .roles = "client", .rate_per_minute = -1,
                                       .requests_per_day = -1, .tokens_per_day = -1,
                                       .expires_at = clock_wall_ms() + (i % 400 - 5) * day_ms};
            sha_256(ids[i], sizeof ids[i], rows[i].hash);
        }
        status = keys_sync_file(store, db, &keys, 1, e);
        if (status == 0)
            status = store_write_commit(store, db, e);
        else
            store_write_rollback(store, db);
    }
    store_release(store, db);
    free(ids);
    free(rows);
    return status;
}

static int grow(struct store *store, long requests, long keys, long agents, struct err *e)
{
    static struct audit_row rows[2 * GROUP];
    static struct names names[GROUP];
    int64_t begin = clock_wall_ms() - year_ms;
    int status = mirror_keys(store, keys, e);

    for (long done = 0; done < requests && status == 0;) {
        size_t n = 0;

        for (int i = 0; i < GROUP && done < requests; i++, done++) {
            name(&names[i], done, keys, agents);
            n += fill(&rows[n], &names[i], done, begin + year_ms / requests * done);
        }
        if ((done - GROUP) % OVERRIDE_EVERY == 0)
            status = grant(store, &names[0], rows[0].ts, e);
        if (status == 0)
            status = append(store, rows, n, e);
    }
    return status == 0 ? expire(store, e) : status;
}

int main(int argc, char **argv)
{
    struct store_options options = {.gate_wait_ms = 5000, .synchronous_full = false};
    struct store *store = NULL;
    struct err e = {0};
    int status;

    if (argc != 5) {
        fputs("usage: grow DATABASE REQUESTS KEYS AGENTS\n", stderr);
        return 2;
    }
    options.path = argv[1];
    log_set_level(LOG_WARN);
    status = store_open(&options, &store, &e);
    if (status == 0)
        status = grow(store, strtol(argv[2], NULL, 10), strtol(argv[3], NULL, 10),
                      strtol(argv[4], NULL, 10), &e);
    if (status != 0)
        fprintf(stderr, "grow: %s\n", e.message);
    store_close(&store);
    return status == 0 ? 0 : 1;
}
