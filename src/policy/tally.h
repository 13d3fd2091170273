/* SPDX-License-Identifier: MIT */
/* Counts that all processes of the host share and that the audit trail can bring back:
 * requests and tokens of a key in a day, uses of a grant.
 *
 * A count lies in one atomic of the shared file, so taking one costs no database and a death
 * at any instruction leaves it right. The first taker of a period begins with what the trail
 * says of it; so does everybody after a reboot, or when the file was lost while nothing ran.
 * What a killed process had taken stays taken, also if its row never came to the trail. Any
 * thread.
 */
#ifndef AGW_POLICY_TALLY_H
#define AGW_POLICY_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

enum tally_kind { TALLY_REQUESTS, TALLY_TOKENS, TALLY_USES };

/* Which count: of a key's requests or tokens in the day `period`, or of the uses of a grant,
 * whose one period is the day it expires on. A later period begins anew. */
struct tally_name {
    enum tally_kind kind;
    const char *id;
    int64_t period; /* day since 1970, UTC */
};

enum { TALLY_LATER = 1 };

struct tally; /* one a process */

int tally_open(struct store *store, struct tally **tally, struct err *e);
void tally_close(struct tally **tally);

/* Counts one more if fewer than `limit` are counted; *taken says whether. TALLY_LATER when a
 * later period has begun: read the clock again. AGW_ESTORE when the trail cannot be asked. */
int tally_take(struct tally *tally, const struct tally_name *name, int64_t limit, bool *taken,
               struct err *e);

/* Takes one back that came to nothing. */
void tally_give_back(struct tally *tally, const struct tally_name *name);

/* Adds `by`, asking the trail first where nothing is counted yet. Of a period that is over
 * nothing is counted any more. */
int tally_add(struct tally *tally, const struct tally_name *name, int64_t by, struct err *e);

/* Adds only where something is counted already: for keys without a limit, so that one that
 * gets its limit back in the same day has not gained anything. Costs nothing where no key
 * ever had one. */
void tally_note(struct tally *tally, const struct tally_name *name, int64_t by);

/* The count, having asked the trail where nothing is counted yet; TALLY_LATER as above. */
int tally_read(struct tally *tally, const struct tally_name *name, int64_t *count,
               struct err *e);

/* The count as far as it is known without asking, -1 = not at all. */
int64_t tally_peek(const struct tally *tally, const struct tally_name *name);

#endif
