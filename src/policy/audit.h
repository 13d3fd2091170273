/* SPDX-License-Identifier: MIT */
/* Audit before answer: rows are queued at once and committed in groups by one writer thread
 * a process, while the request's upstream call is under way; who is about to send the first
 * byte waits for its row.
 *
 * Call order for a request that runs: audit_record() -> audit_wait() before the first byte
 * -> audit_finish() exactly once. For one that ends without running (a refusal, a listing):
 * audit_close() (one row that carries decision and outcome), audit_wait(), then the answer,
 * audit_release(). Refusals wait too: no decision is answered before it is on record. Only
 * the waiter thread's overload answers do not wait. Any thread.
 */
#ifndef AGW_POLICY_AUDIT_H
#define AGW_POLICY_AUDIT_H

#include "store/audit_rows.h"
#include "store/store.h"

struct audit;
struct audit_ticket;

struct audit_options {
    int queue_max;       /* rows waiting at most; one more is AGW_EAUDIT */
    int64_t linger_ms;   /* under load, how long a group collects; a lone row commits at once */
    int64_t wait_ms;     /* audit_wait() gives up after it */
    const char *head_file; /* the head (seq, hash) is written here too at checkpoints; NULL */
};

/* Starts the writer thread; signals are blocked in it. */
int audit_start(struct store *store, const struct audit_options *options,
                struct audit **audit, struct err *e);
/* Commits everything that is queued (waiting at most wait_ms), ends the thread. */
void audit_stop(struct audit **audit);

/* False after a commit failed until one succeeds again. Meanwhile, and for 2 s after a commit
 * failed in any process, audit_record() waits for its commit itself, so that nothing runs
 * unrecorded. */
bool audit_healthy(const struct audit *audit);

/* "host:pid:starttime" of this process, static. */
const char *audit_process(void);

/* Queues a copy of `row` (ts, request_uid, process are filled in). AGW_EAUDIT when the queue
 * is full or the trail is broken; then there is no ticket, unless the row was waited for and
 * is only late: it may still be committed, so the request must be finished as any other. */
int audit_record(struct audit *audit, const struct audit_row *row,
                 struct audit_ticket **ticket, struct err *e);

/* A tool that a request calls has rows of its own, which audit_record() and audit_finish() make
 * when the row's kind is "tool" and its request_uid the request's: the second one is of kind
 * "tool.end", and both have no outcome. */

/* What ties further rows to the request of this one. Lives as long as the ticket. */
const char *audit_uid(const struct audit_ticket *ticket);

/* Waits until the row is committed (gives the run permit back meanwhile). AGW_EAUDIT when it
 * failed or took too long. May be called again; who has given up once does not wait again. */
int audit_wait(struct audit_ticket *ticket, struct err *e);

/* Queues the end row: `row` says outcome, status, tokens, duration ...; identity columns are
 * taken from the recorded row. Frees the ticket. A full queue makes it wait, never drop. */
void audit_finish(struct audit *audit, struct audit_ticket **ticket,
                  const struct audit_row *row);

/* The same, and waits for the commit: before a stream's [DONE], which must never be seen
 * without its end on record. The ticket is gone in any case; after AGW_EAUDIT the end is
 * still written as soon as that is possible. */
int audit_finish_wait(struct audit *audit, struct audit_ticket **ticket,
                      const struct audit_row *row, struct err *e);

/* A request that ends without running: one row that carries decision and outcome. `ticket` NULL:
 * nobody waits, so the row does not make a commit of its own while others may still come (for
 * linger_ms at most), and like an end it is kept until it can be written. */
int audit_close(struct audit *audit, const struct audit_row *row,
                struct audit_ticket **ticket, struct err *e);
void audit_release(struct audit_ticket **ticket);

#endif
