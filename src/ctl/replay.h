/* SPDX-License-Identifier: MIT */
/* Sums the decisions on record by key, agent and rule, and asks a proposed policy about each
 * sum instead of about each request.
 */
#ifndef AGW_CTL_REPLAY_H
#define AGW_CTL_REPLAY_H

#include "policy/history.h"
#include "store/audit_decisions.h"

/* What the proposed policy says. */
struct replay_verdict {
    int status;         /* of the answer, 0 or AGW_E* */
    const char *source, *pattern, *rule; /* source NULL: refused before the decision */
};

/* Requests of one key to one agent that were decided by the same rule, of one life of the key,
 * while the same overrides bore on them: a proposal says the same of all of them. While an override with
 * a number of uses bears on them, each is a sum of its own: nobody knows beforehand which of
 * them finds it spent. */
struct replay_sum {
    const char *decision, *source, *pattern, *place; /* as recorded; the last three may be NULL */
    size_t life;        /* between two changes of the key */
    uint64_t grants;    /* which overrides bore on them, as a hash */
    int64_t count, first, last;
    int64_t seq;        /* of one that stands alone, else 0 */
    const char *detail; /* its, or NULL */
    const struct replay_pair *pair;
    struct replay_verdict verdict; /* set by replay_flips() */
    struct replay_sum *next;
};

struct replay_pair {
    const char *key_id, *agent, *ns;
    size_t change_count;
    int64_t *changes;   /* moments at which the key's life begins and ends, sorted */
    size_t slot;        /* of replay_next() */
    struct replay_sum *sums, *alone;
};

struct replay; /* one thread */

/* `history` has the proposed configuration already (history_propose()). */
struct replay *replay_new(struct history *history);
void replay_free(struct replay **replay);

/* Takes in a row: what audit_decisions_each() calls. 0 or AGW_ENOMEM. */
int replay_add(void *replay, const struct audit_decision *row);

/* False when so many requests would have stood alone that some were summed all the same. */
bool replay_is_exact(const struct replay *replay);
int64_t replay_requests(const struct replay *replay);
size_t replay_pairs(const struct replay *replay);

/* Each sum in turn, those of a pair together; NULL begins and ends. */
struct replay_sum *replay_next(const struct replay *replay, const struct replay_sum *sum);
size_t replay_sums(const struct replay *replay);
struct history *replay_history(const struct replay *replay);

/* A copy that lives as long as the replay, NULL of NULL; *failed when memory is out. */
const char *replay_copy(struct replay *replay, const char *text, bool *failed);
/* Either may be NULL. */
bool replay_same_text(const char *a, const char *b);

/* A decision that would flip; all texts are the replay's. `sum` is one of those that are summed
 * up in count, first and last. */
struct replay_flip {
    const struct replay_sum *sum;
    int64_t count, first, last;
};

struct replay_flips {
    size_t count;
    struct replay_flip *items; /* most requests first */
};

/* replay_flips.c: asks the proposed policy. */
int replay_flips(struct replay *replay, struct replay_flips *flips, struct err *e);
void replay_flips_free(struct replay_flips *flips);

#endif
