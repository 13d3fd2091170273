/* SPDX-License-Identifier: MIT */
/* Commits the queued audit rows in groups. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "policy/audit_queue.h"
#include "store/metrics.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/permit.h"

enum {
    GROUP_MAX = 2048,          /* rows in one transaction */
    GROUP_ENOUGH = 256,        /* no lingering for more */
    FEW_WAITERS = 2,           /* up to so many in a group is no load */
    NOTE_ROWS = 5000,          /* how far the note of what is open may lag behind */
    RETRY_MIN_US = 50000, RETRY_MAX_US = 1000000,
    LOG_PAUSE_US = 1000000,
};

/* One group under way. */
struct audit_group {
    struct db *db;
    struct audit_node *nodes[GROUP_MAX];
    struct audit_row rows[GROUP_MAX];
    size_t count;
    int64_t first_seq;
    int64_t noted;             /* audit.noted once it is committed */
};

/* When the queue (not empty) is to be committed. A row somebody waits for is committed at
 * once, unless the last group showed that many wait: then as many are gathered again, for
 * `linger` at most. Other rows can wait for company. */
static int64_t due_us(const struct audit *a)
{
    int64_t linger_us = a->options.linger_ms * 1000;

    if (a->urgent == 0 && a->retry_us != 0)
        return a->retry_us;
    if (a->count >= GROUP_ENOUGH)
        return 0;
    if (a->urgent == 0)
        return a->first->queued_us + linger_us;
    if (a->last_urgent <= FEW_WAITERS || a->urgent >= a->last_urgent)
        return 0;
    return a->urgent_since_us + linger_us;
}

static void wait_until(struct audit *a, int64_t now, int64_t until)
{
    struct timespec at;
    int64_t ns;

    clock_gettime(CLOCK_MONOTONIC, &at);
    ns = at.tv_nsec + (until - now) * 1000;
    at.tv_sec += ns / 1000000000;
    at.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&a->work, &a->lock, &at);
}

/* Under the lock. Takes the next group off the queue; false when all is done. */
static bool take_group(struct audit *a, struct audit_group *g)
{
    int urgent = 0;

    for (;;) {
        int64_t now = clock_mono_us(), due;

        if (a->count == 0 && a->stopping)
            return false;
        if (a->count == 0) {
            pthread_cond_wait(&a->work, &a->lock);
            continue;
        }
        due = due_us(a);
        if (a->stopping || now >= due)
            break;
        wait_until(a, now, due);
    }
    for (g->count = 0; g->count < GROUP_MAX && a->first != NULL; g->count++) {
        struct audit_node *node = a->first;

        g->nodes[g->count] = node;
        g->rows[g->count] = node->row;
        urgent += node->urgent;
        a->first = node->next;
    }
    if (a->first == NULL)
        a->last = &a->first;
    a->count -= (int)g->count;
    a->urgent -= urgent;
    a->urgent_since_us = clock_mono_us();
    a->last_urgent = urgent;
    metrics_audit_queue(a->count);
    pthread_cond_broadcast(&a->room);
    return true;
}

static void mark_ending(struct audit_group *g, bool ending)
{
    for (size_t i = 0; i < g->count; i++)
        if (g->nodes[i]->role == AUDIT_ENDS)
            g->nodes[i]->ticket->is_ending = ending;
}

/* The lowest seq whose request is open once this group is committed, 0 = none. */
static int64_t oldest_open(const struct audit *a, const struct audit_group *g)
{
    for (const struct audit_ticket *t = a->oldest; t != NULL; t = t->newer)
        if (!t->is_ending)
            return t->seq;
    for (size_t i = 0; i < g->count; i++)
        if (g->nodes[i]->role == AUDIT_OPENS && !g->nodes[i]->ticket->is_ending)
            return g->first_seq + (int64_t)i;
    return 0;
}

/* The note says where a later start begins to look, so it may be too low: then that start
 * looks at some more rows, and we are spared a write with each commit. It may not be 0 while
 * a request is open. */
static bool must_note(const struct audit *a, int64_t oldest)
{
    return a->noted < 0 || (oldest != 0 && (a->noted == 0 || oldest - a->noted > NOTE_ROWS));
}

static void link_open(struct audit *a, struct audit_ticket *t, int64_t seq)
{
    t->seq = seq;
    t->is_open = true;
    t->older = a->newest;
    t->newer = NULL;
    if (a->newest != NULL)
        a->newest->newer = t;
    else
        a->oldest = t;
    a->newest = t;
    atomic_fetch_add(&t->users, 1);
}

static void unlink_open(struct audit *a, struct audit_ticket *t)
{
    if (!t->is_open)
        return;
    if (t->older != NULL)
        t->older->newer = t->newer;
    else
        a->oldest = t->newer;
    if (t->newer != NULL)
        t->newer->older = t->older;
    else
        a->newest = t->older;
    t->is_open = false;
    audit_ticket_drop(t);
}

static void settle(struct audit_node *node, enum audit_node_state state)
{
    if (atomic_exchange(&node->state, state) == NODE_SLEEPING)
        permit_wake(node->sleeper);
}

/* Called with the commit: its rows' tickets are not the group's any more afterwards. */
static void group_committed(void *arg)
{
    struct audit *a = arg;
    struct audit_group *g = a->group;

    atomic_store(&a->healthy, true);
    a->noted = g->noted;
    for (size_t i = 0; i < g->count; i++) {
        struct audit_node *node = g->nodes[i];

        if (node->role == AUDIT_OPENS && !node->ticket->is_ending)
            link_open(a, node->ticket, g->first_seq + (int64_t)i);
        if (node->role == AUDIT_ENDS)
            unlink_open(a, node->ticket);
        settle(node, NODE_COMMITTED);
        audit_ticket_drop(node->ticket);
    }
    a->retry_us = 0;
    a->retry_pause_us = 0;
}

/* Rows and the note of what is open are one transaction: whatever instant this process dies
 * at, every open request can be found. */
static int write_group(struct audit *a, struct audit_group *g, struct err *e)
{
    int status;

    if (g->db == NULL && (g->db = store_acquire(a->store, e)) == NULL)
        return AGW_ESTORE;
    status = store_write_begin(a->store, g->db, e);
    if (status != 0)
        return status;
    status = audit_rows_append(a->store, g->db, g->rows, g->count, &g->first_seq, e);
    g->noted = oldest_open(a, g);
    if (status == 0 && !must_note(a, g->noted))
        g->noted = a->noted;
    else if (status == 0)
        status = audit_rows_note_open(a->store, g->db, a->process, g->noted, e);
    if (status == 0)
        return store_write_commit_then(a->store, g->db, group_committed, a, e);
    store_write_rollback(a->store, g->db);
    return status;
}

/* Once a second at most; the next line says how many were left out. */
static void log_failure(struct audit *a, const struct audit_group *g, const struct err *e)
{
    int64_t now = clock_mono_us();
    struct log_line line;

    a->not_logged += (int64_t)g->count;
    if (now < a->log_after_us)
        return;
    log_begin(&line, LOG_ERROR, "audit.failed");
    log_str(&line, "message", e->message);
    log_int(&line, "rows", a->not_logged);
    log_end(&line);
    a->log_after_us = now + LOG_PAUSE_US;
    a->not_logged = 0;
}

/* A full queue keeps no ends of requests that are not on record and so were refused: memory
 * must last however long the trail is broken. */
static bool is_surplus(const struct audit *a, struct audit_node *node)
{
    return a->count >= a->options.queue_max &&
           atomic_load(&node->ticket->first.state) == NODE_FAILED;
}

/* Of others somebody waits and learns that they are not on record. */
static bool is_kept(const struct audit_node *node)
{
    return node->role == AUDIT_ENDS || !node->urgent;
}

/* Puts what nobody waits for back in front, in order: it is written with the next group. What is
 * let go instead leaves the group: its memory is gone. */
static void put_back(struct audit *a, struct audit_group *g)
{
    for (size_t i = g->count; i-- > 0;) {
        struct audit_node *node = g->nodes[i];

        if (!is_kept(node))
            continue;
        if (is_surplus(a, node)) {
            g->nodes[i] = NULL;
            settle(node, NODE_FAILED);
            audit_ticket_drop(node->ticket);
            continue;
        }
        node->urgent = false; /* tried again by the clock, not at once */
        if (a->first == NULL)
            a->last = &node->next;
        node->next = a->first;
        a->first = node;
        a->count++;
    }
}

static void group_failed(struct audit *a, struct audit_group *g, const struct err *e)
{
    log_failure(a, g, e);
    a->retry_pause_us = a->retry_pause_us == 0 ? RETRY_MIN_US
                        : a->retry_pause_us * 2 > RETRY_MAX_US ? RETRY_MAX_US
                                                               : a->retry_pause_us * 2;
    a->retry_us = clock_mono_us() + a->retry_pause_us;
    pthread_mutex_lock(&a->lock);
    put_back(a, g);
    pthread_mutex_unlock(&a->lock);
    for (size_t i = 0; i < g->count; i++)
        if (g->nodes[i] != NULL && !is_kept(g->nodes[i])) { /* its last use */
            settle(g->nodes[i], NODE_FAILED);
            audit_ticket_drop(g->nodes[i]->ticket);
        }
}

/* Ends that could not be written before the process must go; the next start closes their
 * requests as unfinished. */
static void drop_rest(struct audit *a)
{
    int64_t rows = 0;

    pthread_mutex_lock(&a->lock);
    while (a->first != NULL) {
        struct audit_node *node = a->first;

        a->first = node->next;
        settle(node, NODE_FAILED);
        audit_ticket_drop(node->ticket);
        rows++;
    }
    a->last = &a->first;
    a->count = 0;
    pthread_mutex_unlock(&a->lock);
    while (a->oldest != NULL)
        unlink_open(a, a->oldest);
    if (rows > 0)
        log_message(LOG_ERROR, "audit.failed", "stopped with %lld rows unwritten",
                    (long long)rows);
}

static void commit_group(struct audit *a, struct audit_group *g)
{
    struct err e;

    mark_ending(g, true);
    if (write_group(a, g, &e) == 0)
        return;
    store_trouble_note(a->store);
    atomic_store(&a->healthy, false);
    mark_ending(g, false);
    group_failed(a, g, &e);
}

static bool must_give_up(struct audit *a)
{
    int64_t now = clock_mono_us();
    bool stopping, over;

    pthread_mutex_lock(&a->lock);
    stopping = a->stopping;
    over = stopping && now >= a->give_up_us;
    pthread_mutex_unlock(&a->lock);
    if (stopping && !over) /* the group failed just now */
        usleep(RETRY_MIN_US);
    return over;
}

int audit_writer_prepare(struct audit *audit)
{
    audit->group = calloc(1, sizeof *audit->group);
    return audit->group == NULL ? -1 : 0;
}

void *audit_writer_run(void *arg)
{
    struct audit *a = arg;

    for (;;) {
        bool more;

        pthread_mutex_lock(&a->lock);
        more = take_group(a, a->group);
        pthread_mutex_unlock(&a->lock);
        if (!more)
            break;
        commit_group(a, a->group);
        if (a->retry_us != 0 && must_give_up(a))
            break;
    }
    store_release(a->store, a->group->db);
    drop_rest(a);
    return NULL;
}
