/* SPDX-License-Identifier: MIT */
/* The rows of the audit trail and their hash chain. Grouping and waiting is the business of
 * policy/audit.c, proving it that of store/audit_verify.h.
 *
 * hash = SHA-256(prev_hash || canonical row). The canonical row is every column from `seq`
 * to `prev_hash` in table order, each as a netstring "<decimal length>:<bytes>,", numbers
 * in decimal, NULL as "-,". The first row's prev_hash is 64 zeros.
 */
#ifndef AGW_STORE_AUDIT_ROWS_H
#define AGW_STORE_AUDIT_ROWS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"
#include "util/sha.h"

/* One row to be. NULL texts become NULL, as do numbers that are -1. */
struct audit_row {
    int64_t ts;                 /* UTC ms */
    const char *kind;           /* "decision" "access" "preview" "refusal" "end"
                                   "override.created" "config.reloaded" ... */
    const char *request_id;     /* x-request-id, chosen by clients: not unique */
    const char *request_uid;    /* ours: unique; ties an `end` to the request's first row, and
                                   NULL in rows that are no request's */
    const char *process;        /* who wrote it: "host:pid:starttime" */
    const char *route;          /* "POST /v1/chat/completions" */
    const char *key_id, *agent, *ns;
    const char *decision;       /* "allow" "deny" */
    const char *source;         /* "override" "namespace_default" "api_key" "deny" ... */
    const char *pattern, *place;/* the rule and where it is written */
    const char *override_id;
    int64_t generation;
    const char *outcome;        /* one of the contract's; NULL while the request runs */
    int64_t status;             /* HTTP status, -1 = none */
    int64_t streaming;          /* 0, 1 or -1 */
    int64_t prompt_tokens, completion_tokens, duration_ms;
    const char *upstream, *model;
    const char *reason;         /* an override's reason, an error's short text */
    const char *detail;         /* JSON with what has no column of its own, or NULL */
};

/* A row that says nothing but when and of what kind: every other text NULL, every number -1. */
struct audit_row audit_row_new(int64_t ts, const char *kind);

/* Appends in the running write transaction of `db`; seqs are handed out in order, the
 * first to *first_seq (may be NULL). */
int audit_rows_append(struct store *store, struct db *db, const struct audit_row *rows,
                      size_t count, int64_t *first_seq, struct err *e);

/* Notes in the running transaction a seq below which no request of `process` is open, 0 =
 * none is: from there a later start looks for unfinished requests. */
int audit_rows_note_open(struct store *store, struct db *db, const char *process,
                         int64_t oldest_open_seq, struct err *e);

/* Closes, with outcome `internal` and detail {"unfinished":true}, each request of a dead
 * process that has no end row, and forgets the process. `ended` is called for each (for the
 * metrics), inside the transaction. *count = how many. Own transaction. */
int audit_rows_close_unfinished(struct store *store,
                                void (*ended)(void *arg, const struct audit_row *end),
                                void *arg, int *count, struct err *e);

/* Requests without an end: those that run, and those whose process is dead, which the next
 * start closes. */
int audit_rows_count_open(struct db *db, int64_t *running, int64_t *cut_off, struct err *e);

struct audit_head {
    int64_t seq; /* 0 = no rows yet */
    char hash[SHA_HEX_SIZE];
};

int audit_rows_head(struct db *db, struct audit_head *head, struct err *e);

struct audit_query {
    int64_t since, until;       /* UTC ms, 0 = open; until is exclusive */
    const char *key_id, *agent, *kind, *decision, *outcome, *request_id; /* NULL = any */
    int64_t before_seq;         /* only rows listed after this one, 0 = from the newest */
    int limit;                  /* 1..1000 */
};

/* Newest first (by ts, then seq), as an array of objects with all columns (ts as text); new reference. */
int audit_rows_query(struct db *db, const struct audit_query *query, json_t **rows,
                     struct err *e);

#endif
