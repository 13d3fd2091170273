/* SPDX-License-Identifier: MIT */
/* Takes audit rows in at once and lets those wait who must not answer before the commit. */
#include "policy/audit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/audit_queue.h"
#include "store/audit_chain.h"
#include "store/audit_head.h"
#include "store/metrics.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/permit.h"
#include "util/proc.h"
#include "util/secret.h"

enum { TEXT_MAX = 4096, DETAIL_MAX = 65536, CAUTION_MS = 2000 };

const char *audit_process(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char name[320];
    static pid_t named; /* fork() copies the name but not the process */
    char host[256] = "localhost";

    pthread_mutex_lock(&lock);
    if (named != getpid()) {
        named = getpid();
        gethostname(host, sizeof host - 1);
        snprintf(name, sizeof name, "%s:%d:%llu", host, (int)named,
                 (unsigned long long)proc_start_time(named));
    }
    pthread_mutex_unlock(&lock);
    return name;
}

/* The chain cannot show that its newest rows were cut off; an exported head can. */
static void export_head(void *arg, struct db *db)
{
    const struct audit *audit = arg;
    struct audit_head head;
    struct log_line line;
    struct err problem;

    if (audit_rows_head(db, &head, NULL) != 0)
        return;
    log_begin(&line, LOG_INFO, "audit.head");
    log_int(&line, "seq", head.seq);
    log_str(&line, "hash", head.hash);
    log_end(&line);
    if (audit->head_file != NULL &&
        audit_head_write(audit->head_file, &head, clock_wall_ms(), NULL, &problem) != 0)
        log_message(LOG_ERROR, "audit.head", "%s", problem.message);
}

static int start_thread(struct audit *audit, struct err *e)
{
    sigset_t all, before;
    int result;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    result = pthread_create(&audit->thread, NULL, audit_writer_run, audit);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0)
        return err_set(e, AGW_EAUDIT, "cannot start the audit thread: %s", strerror(result));
    return 0;
}

static void free_audit(struct audit *audit)
{
    pthread_cond_destroy(&audit->work);
    pthread_cond_destroy(&audit->room);
    pthread_mutex_destroy(&audit->lock);
    free(audit->head_file);
    free(audit->group);
    free(audit);
}

static void init_locks(struct audit *audit)
{

    pthread_mutex_init(&audit->lock, NULL);
    clock_condition_init(&audit->work);
    clock_condition_init(&audit->room);
}

int audit_start(struct store *store, const struct audit_options *options,
                struct audit **out, struct err *e)
{
    struct audit *audit = calloc(1, sizeof *audit);
    int status = 0;

    *out = NULL;
    if (audit == NULL)
        return err_set(e, AGW_ENOMEM, "starting the audit trail");
    audit->store = store;
    audit->options = *options;
    audit->process = audit_process();
    audit->last = &audit->first;
    audit->noted = -1;
    atomic_store(&audit->healthy, true);
    init_locks(audit);
    if (options->head_file != NULL && (audit->head_file = strdup(options->head_file)) == NULL)
        status = err_set(e, AGW_ENOMEM, "starting the audit trail");
    if (status == 0 && audit_writer_prepare(audit) != 0)
        status = err_set(e, AGW_ENOMEM, "starting the audit trail");
    if (status == 0 && secret_random_hex(audit->uid_prefix, 4) != 0)
        status = err_set(e, AGW_EAUDIT, "no randomness for request ids");
    if (status == 0)
        status = start_thread(audit, e);
    if (status != 0) {
        free_audit(audit);
        return status;
    }
    store_on_checkpoint(store, export_head, audit);
    *out = audit;
    return 0;
}

void audit_stop(struct audit **audit)
{
    if (*audit == NULL)
        return;
    pthread_mutex_lock(&(*audit)->lock);
    (*audit)->stopping = true;
    (*audit)->give_up_us = clock_mono_us() + (*audit)->options.wait_ms * 1000;
    pthread_cond_signal(&(*audit)->work);
    pthread_mutex_unlock(&(*audit)->lock);
    pthread_join((*audit)->thread, NULL);
    store_on_checkpoint((*audit)->store, NULL, NULL);
    free_audit(*audit);
    *audit = NULL;
}

bool audit_healthy(const struct audit *audit)
{
    return atomic_load(&audit->healthy);
}

/* Bytes of a text that are kept; cut before, not inside, a UTF-8 sequence. */
static size_t kept_length(const char *text, size_t max)
{
    size_t length = strnlen(text, max + 1);

    if (length <= max)
        return length;
    length = max;
    while (length > max - 4 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--;
    return length;
}

static const char *copy_text(char **free_bytes, const char *text, size_t max)
{
    char *copy = *free_bytes;
    size_t length;

    if (text == NULL)
        return NULL;
    length = kept_length(text, max);
    memcpy(copy, text, length);
    copy[length] = '\0';
    *free_bytes += length + 1;
    return copy;
}

static size_t text_max(const char *column)
{
    return strcmp(column, "detail") == 0 ? DETAIL_MAX : TEXT_MAX;
}

/* node->row = *row with texts of its own; -1 when memory is out (then without texts). */
static int copy_row(struct audit_node *node, const struct audit_row *row)
{
    size_t size = 1;
    char *bytes;

    node->row = *row;
#define SKIP(column, member)
#define ADD_SIZE(column, member)                                                               \
    if (row->member != NULL)                                                                   \
        size += kept_length(row->member, text_max(#column)) + 1;
#define COPY(column, member)                                                                   \
    node->row.member = copy_text(&bytes, row->member, text_max(#column));
#define FORGET(column, member) node->row.member = NULL;
    AUDIT_COLUMNS(SKIP, ADD_SIZE)
    node->texts = bytes = malloc(size);
    if (bytes == NULL) {
        AUDIT_COLUMNS(SKIP, FORGET)
        return -1;
    }
    AUDIT_COLUMNS(SKIP, COPY)
#undef SKIP
#undef ADD_SIZE
#undef COPY
#undef FORGET
    return 0;
}

void audit_ticket_drop(struct audit_ticket *ticket)
{
    if (atomic_fetch_sub(&ticket->users, 1) != 1)
        return;
    free(ticket->first.texts);
    free(ticket->end.texts);
    free(ticket);
}

/* Ids begin with the time: their index grows at its end, which is cheap. */
static void make_uid(struct audit *audit, char uid[AUDIT_UID_SIZE])
{
    snprintf(uid, AUDIT_UID_SIZE, "%012llx%s%08x",
             (unsigned long long)clock_wall_ms() & 0xffffffffffff, audit->uid_prefix,
             (unsigned)atomic_fetch_add(&audit->uid_count, 1));
}

static struct audit_ticket *new_ticket(struct audit *audit, const struct audit_row *row,
                                       enum audit_row_role role, bool urgent)
{
    struct audit_ticket *ticket = calloc(1, sizeof *ticket);

    if (ticket == NULL || copy_row(&ticket->first, row) != 0) {
        free(ticket);
        return NULL;
    }
    ticket->audit = audit;
    atomic_store(&ticket->users, 1);
    make_uid(audit, ticket->uid);
    ticket->first.ticket = ticket->end.ticket = ticket;
    ticket->first.role = role;
    ticket->first.urgent = urgent;
    ticket->end.role = AUDIT_ENDS;
    if (ticket->first.row.ts <= 0)
        ticket->first.row.ts = clock_wall_ms();
    if (ticket->first.row.request_uid == NULL)
        ticket->first.row.request_uid = ticket->uid;
    if (ticket->first.row.kind == NULL)
        ticket->first.row.kind = role == AUDIT_OPENS ? "decision" : "refusal";
    ticket->first.row.process = audit->process;
    if (role == AUDIT_OPENS)
        ticket->first.row.outcome = NULL;
    return ticket;
}

/* Under the lock. Whether the writer is to be woken: what it waits for may have changed. The
 * caller does it after the lock, for which the writer would only have to wait again. */
static bool enqueue(struct audit *audit, struct audit_node *node)
{
    bool was_empty = audit->count == 0;

    node->next = NULL;
    node->queued_us = clock_mono_us();
    *audit->last = node;
    audit->last = &node->next;
    audit->count++;
    if (node->urgent && audit->urgent++ == 0)
        audit->urgent_since_us = node->queued_us;
    metrics_audit_queue(audit->count);
    return was_empty ||
           (node->urgent && (audit->urgent == 1 || audit->urgent >= audit->last_urgent));
}

static int put_first(struct audit *audit, const struct audit_row *row, enum audit_row_role role,
                     bool urgent, struct audit_ticket **out, struct err *e)
{
    struct audit_ticket *ticket = new_ticket(audit, row, role, urgent);
    int most = audit->options.queue_max;
    bool full, wake = false;

    if (ticket == NULL)
        return err_set(e, AGW_ENOMEM, "recording a request");
    atomic_fetch_add(&ticket->users, 1);
    pthread_mutex_lock(&audit->lock);
    full = audit->count >= most || audit->stopping;
    if (!full)
        wake = enqueue(audit, &ticket->first);
    pthread_mutex_unlock(&audit->lock);
    if (wake)
        pthread_cond_signal(&audit->work);
    if (full) {
        audit_ticket_drop(ticket);
        audit_ticket_drop(ticket);
        return err_set(e, AGW_EAUDIT, "%d audit rows wait already", most);
    }
    *out = ticket;
    return 0;
}

/* Whether a request may run while its row is still on its way. A nearly full disk takes one
 * row and refuses the next, and what one process met the others will meet. */
static bool is_trusted(const struct audit *audit)
{
    int64_t age = store_trouble_age(audit->store);

    return audit_healthy(audit) && (age < 0 || age >= CAUTION_MS);
}

int audit_record(struct audit *audit, const struct audit_row *row,
                 struct audit_ticket **ticket, struct err *e)
{
    bool trusted = is_trusted(audit);
    int status;

    *ticket = NULL;
    status = put_first(audit, row, AUDIT_OPENS, true, ticket, e);
    if (status != 0 || trusted)
        return status;
    status = audit_wait(*ticket, e);
    /* a row that is only late will be there, and then it wants its end */
    if (status != 0 && atomic_load(&(*ticket)->first.state) == NODE_FAILED)
        audit_release(ticket);
    return status;
}

int audit_close(struct audit *audit, const struct audit_row *row,
                struct audit_ticket **ticket, struct err *e)
{
    struct audit_ticket *mine = NULL;
    int status = put_first(audit, row, AUDIT_CLOSES, ticket != NULL, &mine, e);

    if (ticket != NULL)
        *ticket = mine;
    else
        audit_release(&mine);
    return status;
}

const char *audit_uid(const struct audit_ticket *ticket)
{
    return ticket->first.row.request_uid;
}

void audit_release(struct audit_ticket **ticket)
{
    if (*ticket != NULL)
        audit_ticket_drop(*ticket);
    *ticket = NULL;
}

/* Sleeps until the state is settled or the time is over. */
static uint32_t sleep_on(struct audit_node *node, int64_t until_us)
{
    uint32_t state = NODE_PENDING;

    node->sleeper = permit_sleeper();
    if (!atomic_compare_exchange_strong(&node->state, &state, NODE_SLEEPING))
        return state;
    if (!permit_sleep(until_us)) {
        state = NODE_SLEEPING;
        if (atomic_compare_exchange_strong(&node->state, &state, NODE_PENDING)) {
            permit_wait_end();
            return NODE_PENDING;
        }
        permit_sleep(INT64_MAX); /* settled just now: the waking is on its way */
    }
    return atomic_load(&node->state);
}

static int wait_for(struct audit_node *node, struct err *e)
{
    int64_t wait_ms = node->ticket->audit->options.wait_ms;
    uint32_t state = atomic_load(&node->state);

    if (!node->late && state == NODE_PENDING) {
        state = sleep_on(node, clock_mono_us() + wait_ms * 1000);
        node->late = state == NODE_PENDING;
    }
    if (state == NODE_COMMITTED)
        return 0;
    if (state == NODE_FAILED)
        return err_set(e, AGW_EAUDIT, "the audit row could not be committed");
    return err_set(e, AGW_EAUDIT, "the audit row was not committed within %lld ms",
                   (long long)wait_ms);
}

int audit_wait(struct audit_ticket *ticket, struct err *e)
{
    return wait_for(&ticket->first, e);
}

/* The end row says who it is about in the recorded row's words. */
static void fill_end(struct audit_ticket *ticket, const struct audit_row *row)
{
    const struct audit_row *first = &ticket->first.row;
    struct audit_row *end = &ticket->end.row;
    struct audit_row own = *row;

    own.kind = own.request_id = own.request_uid = own.process = own.route = NULL;
    own.key_id = own.agent = own.ns = NULL;
    if (copy_row(&ticket->end, &own) != 0) {
        snprintf(ticket->outcome, sizeof ticket->outcome, "%s",
                 row->outcome == NULL ? "internal" : row->outcome);
        end->outcome = ticket->outcome;
    }
    /* Only requests have an outcome: what they are summed by. */
    if (strcmp(first->kind, "tool") == 0) {
        end->outcome = NULL;
        end->kind = "tool.end";
    } else {
        if (end->outcome == NULL)
            end->outcome = "internal";
        end->kind = "end";
    }
    end->ts = row->ts > 0 ? row->ts : clock_wall_ms();
    end->request_id = first->request_id;
    end->request_uid = first->request_uid;
    end->process = first->process;
    end->route = first->route;
    end->key_id = first->key_id;
    end->agent = first->agent;
    end->ns = first->ns;
    end->generation = first->generation;
    if (end->streaming == -1)
        end->streaming = first->streaming;
}

/* Under the lock; false when there is none within `wait_ms`. If it had to wait, the run
 * permit is given back and is to be taken again after the lock. */
static bool wait_for_room(struct audit *audit, int64_t wait_ms)
{
    struct timespec until;

    if (audit->count < audit->options.queue_max)
        return true;
    permit_wait_begin();
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000 + 1;
    while (audit->count >= audit->options.queue_max)
        if (pthread_cond_timedwait(&audit->room, &audit->lock, &until) == ETIMEDOUT)
            return false;
    return true;
}

/* Waiting slows the producers down; the row lies in its ticket already, so when waiting was
 * in vain it goes in all the same. */
static void put_end(struct audit *audit, struct audit_ticket *ticket,
                    const struct audit_row *row)
{
    bool room, wake;

    fill_end(ticket, row);
    pthread_mutex_lock(&audit->lock);
    room = wait_for_room(audit, audit->options.wait_ms);
    wake = enqueue(audit, &ticket->end);
    pthread_mutex_unlock(&audit->lock);
    permit_wait_end();
    if (wake)
        pthread_cond_signal(&audit->work);
    if (!room)
        log_message(LOG_ERROR, "audit.failed", "the queue is full: an end row was put on top");
}

void audit_finish(struct audit *audit, struct audit_ticket **ticket,
                  const struct audit_row *row)
{
    if (*ticket == NULL)
        return;
    put_end(audit, *ticket, row);
    *ticket = NULL; /* the queue's now */
}

int audit_finish_wait(struct audit *audit, struct audit_ticket **ticket,
                      const struct audit_row *row, struct err *e)
{
    struct audit_ticket *mine = *ticket;
    int status;

    if (mine == NULL)
        return 0;
    *ticket = NULL;
    atomic_fetch_add(&mine->users, 1);
    mine->end.urgent = true;
    put_end(audit, mine, row);
    status = wait_for(&mine->end, e);
    audit_ticket_drop(mine);
    return status;
}
