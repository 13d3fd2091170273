/* SPDX-License-Identifier: MIT */
/* Makes a database as large as years of use would, through the gateway's own code: the rows
 * are chained, indexed and summed as those of real requests.
 *
 * grow DATABASE REQUESTS KEYS AGENTS: adds two rows (decision and end) for each request,
 * spread over KEYS keys, AGENTS agents and the 365 days before now.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/audit_rows.h"
#include "util/clock.h"
#include "util/log.h"

enum { GROUP = 2000 };

static const int64_t year_ms = 365 * 86400000LL;

struct names {
    char uid[48], id[48], key[32], agent[48];
};

static void name(struct names *n, long number, long keys, long agents)
{
    snprintf(n->uid, sizeof n->uid, "%012lxgrowgrow%08lx", number, number);
    snprintf(n->id, sizeof n->id, "req_%024lx", number * 2654435761);
    snprintf(n->key, sizeof n->key, "key-%ld", number * 7919 % keys);
    snprintf(n->agent, sizeof n->agent, "bench/agent-%ld", number * 104729 % agents);
}

static void fill(struct audit_row row[2], const struct names *n, int64_t ts)
{
    row[0] = (struct audit_row){
        .ts = ts, .kind = "decision", .request_id = n->id, .request_uid = n->uid,
        .process = "bench:1:1", .route = "POST /v1/chat/completions", .key_id = n->key,
        .agent = n->agent, .ns = "bench", .decision = "allow", .source = "api_key",
        .pattern = "bench/*", .place = "security.yaml:9", .generation = 1, .status = -1,
        .streaming = 0, .prompt_tokens = -1, .completion_tokens = -1, .duration_ms = -1,
        .model = "bench"};
    row[1] = (struct audit_row){
        .ts = ts, .kind = "end", .request_id = n->id, .request_uid = n->uid,
        .process = "bench:1:1", .route = "POST /v1/chat/completions", .key_id = n->key,
        .agent = n->agent, .ns = "bench", .generation = 1, .outcome = "completed",
        .status = 200, .streaming = 0, .prompt_tokens = 9, .completion_tokens = 40,
        .duration_ms = 700, .upstream = "mock", .model = "bench"};
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

int main(int argc, char **argv)
{
    static struct audit_row rows[2 * GROUP];
    static struct names names[GROUP];
    struct store_options options = {.gate_wait_ms = 5000, .synchronous_full = false};
    struct store *store = NULL;
    struct err e = {0};
    int64_t now = clock_wall_ms();
    long requests, keys, agents;
    int status;

    if (argc != 5) {
        fputs("usage: grow DATABASE REQUESTS KEYS AGENTS\n", stderr);
        return 2;
    }
    options.path = argv[1];
    requests = strtol(argv[2], NULL, 10);
    keys = strtol(argv[3], NULL, 10);
    agents = strtol(argv[4], NULL, 10);
    log_set_level(LOG_WARN);
    status = store_open(&options, &store, &e);
    for (long done = 0; done < requests && status == 0;) {
        size_t n = 0;

        for (; n < GROUP && done < requests; n++, done++) {
            name(&names[n], done, keys, agents);
            fill(&rows[2 * n], &names[n], now - year_ms + year_ms / requests * done);
        }
        status = append(store, rows, 2 * n, &e);
    }
    if (status != 0)
        fprintf(stderr, "grow: %s\n", e.message);
    store_close(&store);
    return status == 0 ? 0 : 1;
}
