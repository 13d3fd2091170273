/* SPDX-License-Identifier: MIT */
/* The policy of a moment, present or past, put together from what the database keeps:
 * configurations by generation, and overrides and run-time keys with their beginnings and ends.
 * For explanations and reviews, not for the request path. One thread.
 */
#ifndef AGW_POLICY_HISTORY_H
#define AGW_POLICY_HISTORY_H

#include "policy/state.h"

struct history;

/* A moment. Of the overrides with a number of uses those count that were made before `seq` of
 * the audit trail, 0 = before `at`. */
struct moment {
    int64_t at;         /* UTC ms of store_now() */
    int64_t generation; /* 0 = the one that the origin ran then */
    int64_t seq;
    const json_t *used_up; /* ids of overrides that are known to have been spent, or NULL */
};

/* `origin` as in store/configurations.h; `db` is used until history_close(), NULL: there is none,
 * so no overrides and no run-time keys, and no policy but what is proposed. The `derive` and
 * `drop` of `hooks` are called for each configuration that is read; the others are not. */
int history_open(struct db *db, const char *origin, const struct policy_hooks *hooks,
                 struct history **history, struct err *e);
void history_close(struct history **history);

/* Takes `config` (one reference) for the origin's in every moment: what is proposed instead of
 * what was. */
int history_propose(struct history *history, struct config *config, struct err *e);

/* The policy of the moment; it holds until the next call. AGW_ENOTFOUND when the origin ran no
 * configuration then, or there is none of that generation. */
int history_at(struct history *history, const struct moment *moment,
               const struct policy **policy, struct err *e);

/* Only the overrides of a moment, until the next call. Without a number of uses left, one is
 * still among them; see decide_agent(). */
int history_active(struct history *history, const struct moment *moment,
                   const struct override_list **list, struct err *e);

/* Every override that ever was, newest first; lives as long as the history. */
const struct override_list *history_overrides(const struct history *history);
/* Every run-time key that ever was, by id and then by age; lives as long as the history. */
const struct key_list *history_keys(const struct history *history);

#endif
