/* SPDX-License-Identifier: MIT */
/* Makes, rotates and revokes run-time keys, each change with the row that proves it. */
#include <stdio.h>
#include <string.h>

#include "store/keys_row.h"
#include "util/clock.h"

enum { PLACE_MAX = 160 };

/* What a change works with. */
struct change {
    struct store *store;
    struct db *db;
    const char *id, *by;
    struct audit_row row;       /* filled in by record() */
    char place[PLACE_MAX];
    struct key_list found;      /* the one key, or nothing */
    bool is_file, is_proven;    /* of it */
    bool has_ended;             /* revoked, removed or expired */
    struct buf terms;
    int64_t now;
};

static int out_of_memory(struct err *e)
{
    return err_set(e, AGW_ENOMEM, "changing a key");
}

/* The row of `id`, whatever it is; c->found stays empty when there is none. */
static int find(struct change *c, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        c->db, "SELECT " KEYS_ROW_COLUMNS KEYS_ROW_PROOF ", k.origin = 'file',"
               " k.revoked_at IS NOT NULL OR k.removed_at IS NOT NULL"
               " OR (k.origin <> 'file' AND coalesce(k.expires_at <= ?2, 0))" KEYS_ROW_FROM
               " WHERE k.id = ?1", e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    c->found.arena = arena_new(KEYS_ROW_TERMS_MAX);
    c->found.items = c->found.arena == NULL
                         ? NULL : arena_alloc(c->found.arena, sizeof *c->found.items);
    if (c->found.items == NULL)
        return out_of_memory(e);
    db_bind_text(statement, 1, c->id);
    sqlite3_bind_int64(statement, 2, c->now);
    status = db_step(c->db, statement, e);
    if (status == 1) {
        c->is_file = sqlite3_column_int(statement, KEYS_ROW_MORE) != 0;
        c->has_ended = sqlite3_column_int(statement, KEYS_ROW_MORE + 1) != 0;
        c->found.count = 1;
        status = keys_row_read(statement, c->found.arena, c->found.items, e);
        if (status == 0)
            c->is_proven = keys_row_is_proven(statement, c->found.items, &c->terms);
    }
    sqlite3_reset(statement);
    return status;
}

/* A key made at run time that has not been revoked. */
static int find_own(struct change *c, struct err *e)
{
    char when[CLOCK_TEXT_SIZE];
    int status = find(c, e);

    if (status != 0)
        return status;
    if (c->found.count == 0)
        return err_set_public(e, AGW_ENOTFOUND, NULL, "There is no key '%.100s'.", c->id);
    if (c->is_file)
        return err_set_public(e, AGW_ECONFLICT, NULL,
                              "The key '%.100s' stands in the configuration: change it in "
                              "security.yaml and reload.", c->id);
    if (c->found.items->revoked_at != 0)
        return err_set_public(e, AGW_ECONFLICT, NULL, "The key '%.100s' was revoked at %s.",
                              c->id, clock_format(c->found.items->revoked_at, when));
    return 0;
}

/* Appends the row of what was done: its detail is c->terms. */
static int record(struct change *c, const char *kind, struct err *e)
{
    if (c->terms.failed)
        return out_of_memory(e);
    snprintf(c->place, sizeof c->place, "key:%s", c->id);
    c->row.kind = kind;
    c->row.place = c->place;
    c->row.detail = buf_text(&c->terms);
    return audit_rows_append(c->store, c->db, &c->row, 1, NULL, e);
}

static int bump(struct change *c, struct err *e)
{
    sqlite3_stmt *statement =
        db_statement(c->db, "UPDATE meta SET value = value + 1 WHERE name = 'keys'", e);
    int status = statement == NULL ? AGW_ESTORE : db_step(c->db, statement, e);

    return status == 0 ? store_revision_bump(c->store, c->db, e) : status;
}

/* Runs one change in its transaction. The result of `work` decides; `done` gets the key. */
static int run(struct store *store, struct change *c, int (*work)(struct change *, void *,
               struct err *), void *arg, struct key_list *done, struct err *e)
{
    int status = AGW_ESTORE;

    if (done != NULL)
        memset(done, 0, sizeof *done);
    c->store = store;
    buf_init(&c->terms, KEYS_ROW_TERMS_MAX);
    c->db = store_acquire(store, e);
    if (c->db != NULL)
        status = store_write_begin(store, c->db, e);
    if (status == 0) {
        c->now = store_now(store);
        status = work(c, arg, e);
        if (status == 0)
            status = bump(c, e);
        status = store_write_end(store, c->db, status, e);
    }
    if (c->db != NULL)
        store_release(store, c->db);
    buf_free(&c->terms);
    if (status == 0 && done != NULL)
        *done = c->found;
    else
        key_list_clear(&c->found);
    return status;
}

/* -- create -------------------------------------------------------------------------------- */

/* A grant that was bound to an ended key must not pass to the next of that name. */
static int refuse_inheritance(struct change *c, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        c->db, "SELECT id FROM override WHERE key_id = ? AND revoked_at IS NULL"
               " AND expired_at IS NULL AND used_up_at IS NULL AND expires_at > ? LIMIT 1", e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    db_bind_text(statement, 1, c->id);
    sqlite3_bind_int64(statement, 2, c->now);
    status = db_step(c->db, statement, e);
    if (status == 1)
        status = err_set_public(e, AGW_ECONFLICT, "id",
                                "The override %.40s was given to an earlier key '%.100s'; "
                                "revoke it first.",
                                (const char *)sqlite3_column_text(statement, 0), c->id);
    sqlite3_reset(statement);
    return status;
}

int keys_make_room(struct db *db, const char *id, int64_t now, struct err *e)
{
    return db_mark(db, "UPDATE api_key SET former_id = id, id = id || '#' || created_at || '-' ||"
                       " (SELECT value FROM meta WHERE name = 'keys'),"
                       " removed_at = CASE WHEN revoked_at IS NULL"
                       " THEN coalesce(removed_at, ?1) END WHERE id = ?2", now, id, e);
}

static int check_free(struct change *c, struct err *e)
{
    int status = find(c, e);

    if (status != 0)
        return status;
    if (c->found.count == 1 && !c->has_ended)
        return err_set_public(e, AGW_ECONFLICT, "id",
                              c->is_file
                                  ? "The id '%.100s' is taken by a key of security.yaml."
                                  : "There is already a key '%.100s'; rotate it, or revoke it "
                                    "first.", c->id);
    status = refuse_inheritance(c, e);
    return status == 0 && c->found.count == 1 ? keys_make_room(c->db, c->id, c->now, e)
                                              : status;
}

static int insert(struct change *c, const struct key_row *row, struct err *e)
{
    char hash[SHA_HEX_SIZE];
    sqlite3_stmt *statement = db_statement(
        c->db, "INSERT INTO api_key (id, origin, description, roles, hash, was_plaintext,"
               " allow_agents, deny_agents, rate_limit_per_minute, generation, created_at,"
               " created_by, expires_at, budget_requests_per_day, budget_tokens_per_day,"
               " allow_tools, deny_tools)"
               " VALUES (?, 'database', ?, ?, ?, 0, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?)",
        e);

    if (statement == NULL)
        return AGW_ESTORE;
    sha_hex(row->hash, sizeof row->hash, hash);
    db_bind_text(statement, 1, row->id);
    db_bind_text(statement, 2, row->description);
    db_bind_text(statement, 3, row->roles);
    db_bind_text(statement, 4, hash);
    db_bind_text(statement, 5, row->allow_agents);
    db_bind_text(statement, 6, row->deny_agents);
    db_bind_number(statement, 7, row->rate_per_minute);
    sqlite3_bind_int64(statement, 8, c->now);
    db_bind_text(statement, 9, c->by);
    db_bind_time(statement, 10, row->expires_at);
    db_bind_number(statement, 11, row->requests_per_day);
    db_bind_number(statement, 12, row->tokens_per_day);
    db_bind_text(statement, 13, row->allow_tools);
    db_bind_text(statement, 14, row->deny_tools);
    return db_step(c->db, statement, e);
}

/* What was written is read again: its terms, and what the caller is told, are the table's. */
static int create(struct change *c, void *arg, struct err *e)
{
    const struct key_row *row = arg;
    int status = check_free(c, e);

    if (status == 0)
        status = insert(c, row, e);
    key_list_clear(&c->found);
    if (status == 0)
        status = find(c, e);
    if (status != 0)
        return status;
    keys_row_terms(c->found.items, &c->terms);
    c->row.reason = row->description;
    return record(c, "key.created", e);
}

int keys_create(struct store *store, const struct key_row *row, const char *by,
                const struct audit_row *audit, struct key_list *done, struct err *e)
{
    struct change c = {.id = row->id, .by = by, .row = *audit};

    return run(store, &c, create, (void *)row, done, e);
}

/* -- rotate -------------------------------------------------------------------------------- */

struct rotation {
    const unsigned char *hash;
    int64_t overlap_ms;
};

static int store_rotation(struct change *c, const struct key_record *key, struct err *e)
{
    char hash[SHA_HEX_SIZE], previous[SHA_HEX_SIZE];
    sqlite3_stmt *statement = db_statement(
        c->db, "UPDATE api_key SET hash = ?, previous_hash = ?, previous_until = ?,"
               " rotated_at = ?, rotated_by = ? WHERE id = ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sha_hex(key->row.hash, SHA_SIZE, hash);
    sha_hex(key->previous_hash, SHA_SIZE, previous);
    db_bind_text(statement, 1, hash);
    db_bind_text(statement, 2, key->previous_until == 0 ? NULL : previous);
    db_bind_time(statement, 3, key->previous_until);
    sqlite3_bind_int64(statement, 4, key->rotated_at);
    db_bind_text(statement, 5, key->rotated_by);
    db_bind_text(statement, 6, c->id);
    return db_step(c->db, statement, e);
}

/* A row that the trail does not prove must not get its proof here. */
static int rotate(struct change *c, void *arg, struct err *e)
{
    const struct rotation *r = arg;
    struct key_record *key;
    int status = find_own(c, e);

    if (status != 0)
        return status;
    key = c->found.items;
    if (c->has_ended)
        return err_set_public(e, AGW_ECONFLICT, NULL,
                              "The key '%.100s' has expired; create another.", c->id);
    if (!c->is_proven)
        return c->terms.failed
                   ? out_of_memory(e)
                   : err_set_public(e, AGW_ECONFLICT, NULL,
                                    "The key '%.100s' is not as the audit trail has it, so it "
                                    "is not in force; revoke it.", c->id);
    memset(key->previous_hash, 0, SHA_SIZE);
    if (r->overlap_ms > 0)
        memcpy(key->previous_hash, key->row.hash, SHA_SIZE);
    key->previous_until = r->overlap_ms > 0 ? c->now + r->overlap_ms : 0;
    memcpy(key->row.hash, r->hash, SHA_SIZE);
    key->rotated_at = c->now;
    key->rotated_by = c->by == NULL ? NULL : arena_strdup(c->found.arena, c->by);
    status = store_rotation(c, key, e);
    if (status != 0)
        return status;
    keys_row_terms(key, &c->terms);
    return record(c, "key.rotated", e);
}

int keys_rotate(struct store *store, const char *id, const unsigned char hash[SHA_SIZE],
                int64_t overlap_ms, const char *by, const struct audit_row *audit,
                struct key_list *done, struct err *e)
{
    struct change c = {.id = id, .by = by, .row = *audit};
    struct rotation r = {.hash = hash, .overlap_ms = overlap_ms};

    return run(store, &c, rotate, &r, done, e);
}

/* -- revoke -------------------------------------------------------------------------------- */

static int store_revocation(struct change *c, struct err *e)
{
    sqlite3_stmt *statement = db_statement(
        c->db, "UPDATE api_key SET revoked_at = ?, revoked_by = ? WHERE id = ?", e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, c->now);
    db_bind_text(statement, 2, c->by);
    db_bind_text(statement, 3, c->id);
    return db_step(c->db, statement, e);
}

static int revoke(struct change *c, void *arg, struct err *e)
{
    int status = find_own(c, e);

    (void)arg;
    if (status != 0)
        return status;
    c->found.items->revoked_at = c->now;
    c->found.items->revoked_by = c->by == NULL ? NULL : arena_strdup(c->found.arena, c->by);
    status = store_revocation(c, e);
    if (status != 0)
        return status;
    keys_row_terms(c->found.items, &c->terms); /* of what was taken away */
    return record(c, "key.revoked", e);
}

int keys_revoke(struct store *store, const char *id, const char *by,
                const struct audit_row *audit, struct key_list *done, struct err *e)
{
    struct change c = {.id = id, .by = by, .row = *audit};

    return run(store, &c, revoke, NULL, done, e);
}

/* -- retire -------------------------------------------------------------------------------- */

#define LONG_EXPIRED                                                                           \
    " WHERE origin = 'database' AND revoked_at IS NULL AND removed_at IS NULL"                 \
    " AND expires_at <= ?1"

static int any_long_expired(struct db *db, int64_t before, struct err *e)
{
    sqlite3_stmt *statement = db_statement(db, "SELECT 1 FROM api_key" LONG_EXPIRED " LIMIT 1",
                                           e);
    int status;

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, before);
    status = db_step(db, statement, e);
    sqlite3_reset(statement);
    return status;
}

static int mark_long_expired(struct db *db, int64_t before, int64_t now, struct err *e)
{
    sqlite3_stmt *statement =
        db_statement(db, "UPDATE api_key SET removed_at = ?2" LONG_EXPIRED, e);

    if (statement == NULL)
        return AGW_ESTORE;
    sqlite3_bind_int64(statement, 1, before);
    sqlite3_bind_int64(statement, 2, now);
    return db_step(db, statement, e);
}

int keys_retire(struct store *store, struct err *e)
{
    int64_t now = store_now(store), before = now - KEYS_REMEMBERED_DAYS * 86400000LL;
    struct db *db = store_acquire(store, e);
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = any_long_expired(db, before, e);
    if (status == 1) {
        status = store_write_begin(store, db, e);
        if (status == 0)
            status = store_write_end(store, db, mark_long_expired(db, before, now, e), e);
    }
    store_release(store, db);
    return status;
}

/* -- proofs -------------------------------------------------------------------------------- */

static int carry(struct change *c, const struct key_record *key, struct err *e)
{
    c->id = key->row.id;
    keys_row_terms(key, &c->terms);
    return record(c, "key.carried", e);
}

/* Read first, written then: a statement that reads the trail must not see it grow. */
int keys_carry_proofs(struct store *store, struct db *db, int64_t before_seq,
                      const struct audit_row *audit, int64_t *count, struct err *e)
{
    struct change c = {.store = store, .db = db, .row = *audit};
    struct key_list keys;
    int64_t since = store_now(store) - KEYS_REMEMBERED_DAYS * 86400000LL;
    int status = keys_live(db, since, &keys, e);

    *count = 0;
    if (status != 0)
        return status;
    buf_init(&c.terms, KEYS_ROW_TERMS_MAX);
    for (size_t i = 0; i < keys.count && status == 0; i++) {
        if (keys.items[i].proof_seq >= before_seq)
            continue;
        status = carry(&c, &keys.items[i], e);
        *count += status == 0;
    }
    buf_free(&c.terms);
    key_list_clear(&keys);
    return status;
}
