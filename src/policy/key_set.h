/* SPDX-License-Identifier: MIT */
/* The keys made at run time as the rest of the program sees keys: immutable, shared by
 * reference count, read anew only when one of them changed. Any thread.
 */
#ifndef AGW_POLICY_KEY_SET_H
#define AGW_POLICY_KEY_SET_H

#include "config/config.h"
#include "store/keys.h"

struct key_set {
    _Atomic int users;
    int64_t revision;              /* keys_revision() before they were read */
    size_t count;
    struct config_key *keys;       /* sorted by id; place.file is "key:ID", its line is 0 */
    const struct key_record *records; /* of the same indexes */
    struct key_list list;          /* owns all texts */
    _Atomic int64_t *last_used;    /* ms of the latest use that is not written yet, 0 = none */
};

/* ROLE_... of "client", "auditor" or "admin", 0 for any other word; and the other way round,
 * "client,admin", for a mask of at least one role. */
unsigned key_set_role(const char *name);
const char *key_set_roles_text(unsigned roles);

/* Fills `key` from a row; texts and arrays are the arena's or the row's. AGW_ESTORE when the
 * row says what no key may say; AGW_ENOMEM. */
int key_set_fill(const struct key_row *row, struct arena *arena, struct config_key *key,
                 struct err *e);

/* `running` again (one more user) when nothing changed since, else a new set that takes over
 * the uses `running` still holds. `running` may be NULL. *set has one user. */
int key_set_read(struct db *db, int64_t now, struct key_set *running, struct key_set **set,
                 struct err *e);
/* The keys of a moment, out of every key there ever was (which must outlive the set). The set
 * is the same from *from until *until (exclusive). */
int key_set_as_of(const struct key_list *ever, int64_t at, struct key_set **set, int64_t *from,
                  int64_t *until, struct err *e);
struct key_set *key_set_acquire(struct key_set *set);
void key_set_release(struct key_set **set);

/* Whether `key` is one of the set. */
bool key_set_has(const struct key_set *set, const struct config_key *key);

#endif
