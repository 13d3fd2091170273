/* SPDX-License-Identifier: MIT */
/* Proves the trail for the nightly audit, and holds it against the metrics. */
#include <string.h>
#include <time.h>

#include "ctl/nightly_report.h"

enum { SETTLE_MS = 500 };

/* Rows with an outcome, behind the row `after`. */
struct counting {
    const struct nightly *n;
    int64_t after;
    int64_t rows[NIGHTLY_OUTCOME_COUNT];
};

static void count_row(void *arg, int64_t seq, const char *outcome)
{
    struct counting *c = arg;
    int index = nightly_outcome(outcome);

    if (seq > c->after && index >= 0)
        c->rows[index]++;
}

static void pass_progress(void *arg, int64_t done, int64_t of)
{
    const struct nightly_order *order = ((struct counting *)arg)->n->order;

    if (order->progress != NULL)
        order->progress(order->arg, done, of);
}

static int walk(struct nightly *n, struct counting *c, const struct audit_head *known,
                bool from_known, struct audit_verdict *verdict, struct err *e)
{
    const struct audit_check check = {.known = known->seq == 0 ? NULL : known,
                                      .from_known = from_known, .progress = pass_progress,
                                      .ended = count_row, .arg = c};

    return audit_verify(n->db, &check, verdict, e);
}

static void judge_verdict(struct nightly *n, const struct audit_verdict *v)
{
    if (v->known == AUDIT_KNOWN_MISSING || v->known == AUDIT_KNOWN_CHANGED)
        nightly_find(n, NIGHTLY_CRITICAL, "audit.head", NULL,
                     "The head that was verified last time is %s: row %lld: %s.",
                     audit_known_name(v->known), (long long)v->bad_seq, v->problem);
    else if (v->broken)
        nightly_find(n, NIGHTLY_CRITICAL, "audit.chain", NULL, "Row %lld does not hold: %s.",
                     (long long)v->bad_seq, v->problem);
    else if (v->known == AUDIT_KNOWN_PRUNED)
        nightly_find(n, NIGHTLY_WARNING, "audit.head", NULL,
                     "The head that was verified last time was removed with old rows: what is"
                     " between that and the rows that are left was never verified.");
}

static void settle(void)
{
    const struct timespec pause = {.tv_nsec = SETTLE_MS * 1000000L};

    nanosleep(&pause, NULL);
}

/* The metrics before and after the trail's end is read: a request is counted and its row is
 * committed within moments of each other, but neither is always first. */
static int read_end(struct nightly *n, struct counting *c, struct audit_verdict *v,
                    struct err *e)
{
    struct nightly_state *next = &n->result->next;
    struct audit_verdict end;
    int status;

    nightly_count(next->low);
    settle();
    c->after = v->head.seq > c->after ? v->head.seq : c->after;
    status = walk(n, c, &v->head, true, &end, e);
    if (status != 0)
        return status;
    settle();
    nightly_count(next->high);
    next->counted = true;
    end.checked += v->checked - (v->head.seq == 0 ? 0 : 1); /* that row was read twice */
    end.first_seq = v->checked == 0 ? end.first_seq : v->first_seq;
    end.known = end.broken ? end.known : v->known;
    *v = end;
    return 0;
}

static json_t *outcome_json(int64_t rows, int64_t least, int64_t most)
{
    return json_pack("{s:I, s:I, s:I}", "rows", (json_int_t)rows, "metrics_least",
                     (json_int_t)least, "metrics_most", (json_int_t)most);
}

/* Since the last audit, by outcome. */
static json_t *compare(struct nightly *n, const struct counting *c)
{
    const struct nightly_state *last = n->order->last, *next = &n->result->next;
    json_t *outcomes = json_object();

    for (int i = 0; i < NIGHTLY_OUTCOME_COUNT; i++) {
        int64_t least = next->low[i] - last->high[i], most = next->high[i] - last->low[i];

        json_object_set_new(outcomes, nightly_outcomes[i],
                            outcome_json(c->rows[i], least < 0 ? 0 : least, most));
        if (c->rows[i] < least || c->rows[i] > most)
            nightly_find(n, NIGHTLY_WARNING, "audit.outcomes", nightly_outcomes[i],
                         "Since the last audit the trail has %lld requests that ended so, but the"
                         " metrics counted %lld.", (long long)c->rows[i],
                         (long long)(c->rows[i] < least ? least : most));
    }
    return outcomes;
}

static bool was_reset(const struct nightly_state *last, const struct nightly_state *next)
{
    for (int i = 0; i < NIGHTLY_OUTCOME_COUNT; i++)
        if (next->high[i] < last->low[i])
            return true;
    return false;
}

static const char *why_not_compared(const struct nightly *n, bool known)
{
    const struct nightly_state *last = n->order->last;

    if (!n->order->counters)
        return "the metrics cannot be read: it needs write access to the database's folder";
    if (last == NULL || !last->counted)
        return "this is the first audit: the next one compares with it";
    if (!known)
        return "the last audit's head is not in the trail";
    return was_reset(last, &n->result->next) ? "the metrics began anew since the last audit"
                                             : NULL;
}

int nightly_trail(struct nightly *n, struct err *e)
{
    const struct nightly_state *last = n->order->last;
    const struct audit_head none = {.seq = 0}, *known = last == NULL ? &none : &last->head;
    struct counting c = {.n = n, .after = known->seq};
    struct audit_verdict v;
    const char *why;
    int status = walk(n, &c, known, !n->order->full, &v, e);

    if (status == 0 && n->order->counters && !v.broken)
        status = read_end(n, &c, &v, e);
    if (status != 0)
        return status;
    judge_verdict(n, &v);
    n->result->proved = !v.broken && v.head.seq > 0;
    n->result->next.head = v.head;
    why = why_not_compared(n, v.known == AUDIT_KNOWN_PRESENT);
    nightly_say(n, "audit", audit_verdict_json(&v));
    nightly_say(n, "requests", json_pack("{s:b, s:s?, s:o}", "compared", why == NULL && !v.broken,
                                         "not_compared", why, "outcomes",
                                         why == NULL && !v.broken ? compare(n, &c)
                                                                  : json_object()));
    return 0;
}
