/* SPDX-License-Identifier: MIT */
/* The columns of an audit row and the form in which they are hashed: one table for writing,
 * closing and verifying.
 */
#ifndef AGW_STORE_AUDIT_CHAIN_H
#define AGW_STORE_AUDIT_CHAIN_H

#include <openssl/evp.h>
#include <stddef.h>

#include "store/audit_rows.h"
#include "util/buf.h"
#include "util/sha.h"

/* Column and member of struct audit_row, in the table's order between seq and prev_hash. */
#define AUDIT_COLUMNS(NUMBER, TEXT)                                                            \
    NUMBER(ts, ts)                                                                             \
    TEXT(kind, kind)                                                                           \
    TEXT(request_id, request_id)                                                               \
    TEXT(request_uid, request_uid)                                                             \
    TEXT(process, process)                                                                     \
    TEXT(route, route)                                                                         \
    TEXT(key_id, key_id)                                                                       \
    TEXT(agent, agent)                                                                         \
    TEXT(namespace, ns)                                                                        \
    TEXT(decision, decision)                                                                   \
    TEXT(source, source)                                                                       \
    TEXT(pattern, pattern)                                                                     \
    TEXT(place, place)                                                                         \
    TEXT(override_id, override_id)                                                             \
    NUMBER(generation, generation)                                                             \
    TEXT(outcome, outcome)                                                                     \
    NUMBER(status, status)                                                                     \
    NUMBER(streaming, streaming)                                                               \
    NUMBER(prompt_tokens, prompt_tokens)                                                       \
    NUMBER(completion_tokens, completion_tokens)                                               \
    NUMBER(duration_ms, duration_ms)                                                           \
    TEXT(upstream, upstream)                                                                   \
    TEXT(model, model)                                                                         \
    TEXT(reason, reason)                                                                       \
    TEXT(detail, detail)

/* ", ts, kind, ... , detail": follows "seq", precedes ", prev_hash, hash". */
#define AUDIT_COLUMN_NAME_(column, member) ", " #column
#define AUDIT_COLUMN_LIST AUDIT_COLUMNS(AUDIT_COLUMN_NAME_, AUDIT_COLUMN_NAME_)

enum {
#define AUDIT_COLUMN_COUNT_(column, member) +1 /* NOLINT(bugprone-macro-parentheses): a term */
    AUDIT_COLUMN_COUNT = 0 AUDIT_COLUMNS(AUDIT_COLUMN_COUNT_, AUDIT_COLUMN_COUNT_)
};

/* The predecessor of the first row. */
#define AUDIT_CHAIN_START "0000000000000000000000000000000000000000000000000000000000000000"

/* Hashes rows one after the other with one context. */
struct audit_chain {
    EVP_MD_CTX *context;
    EVP_MD *digest;
    struct buf canonical;
};

int audit_chain_init(struct audit_chain *chain, struct err *e);
void audit_chain_free(struct audit_chain *chain);

/* Begins the canonical row with `seq`; then the columns in order; then the end. */
void audit_chain_begin(struct audit_chain *chain, int64_t seq);
void audit_chain_text(struct audit_chain *chain, const char *text, size_t length);
void audit_chain_number(struct audit_chain *chain, int64_t number);
void audit_chain_null(struct audit_chain *chain);
/* Appends `prev_hash` as the last column; `hash` = SHA-256(prev_hash || canonical row). */
int audit_chain_end(struct audit_chain *chain, const char *prev_hash, char hash[SHA_HEX_SIZE],
                    struct err *e);

#endif
