/* SPDX-License-Identifier: MIT */
/* What audit.c (the doors) and audit_writer.c (the thread) share; for these two only. */
#ifndef AGW_POLICY_AUDIT_QUEUE_H
#define AGW_POLICY_AUDIT_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "policy/audit.h"

enum { AUDIT_UID_SIZE = 32 };

enum audit_node_state { NODE_PENDING, NODE_SLEEPING, NODE_COMMITTED, NODE_FAILED };

enum audit_row_role {
    AUDIT_OPENS, /* a decision whose request runs: somebody waits, an end row will come */
    AUDIT_CLOSES, /* a request in one row: somebody waits, or it is never given up */
    AUDIT_ENDS,  /* an end row: it is never given up */
};

/* A row on its way. Lies in its ticket, so that queueing an end needs no memory. */
struct audit_node {
    struct audit_node *next;
    struct audit_ticket *ticket;
    enum audit_row_role role;
    bool urgent;            /* somebody may wait for it */
    bool late;              /* who waited has given up; that thread's alone */
    _Atomic uint32_t state;
    struct permit_sleeper *sleeper; /* while NODE_SLEEPING */
    struct audit_row row;
    char *texts; /* what the row's own texts point into */
    int64_t queued_us;
};

/* Shared by its owner and by each of its rows in the queue: who leaves last frees it, so a
 * waiter that gave up leaves nothing dangling. */
struct audit_ticket {
    struct audit *audit;
    _Atomic int users;
    char uid[AUDIT_UID_SIZE];
    char outcome[24];       /* of the end row, when memory for its texts is out */
    struct audit_node first, end;
    /* the writer's alone */
    int64_t seq;
    bool is_open, is_ending;
    struct audit_ticket *older, *newer; /* open requests by seq */
};

struct audit {
    struct store *store;
    struct audit_options options;
    char *head_file;
    const char *process;
    char uid_prefix[9];
    _Atomic uint32_t uid_count;
    atomic_bool healthy;
    pthread_t thread;
    pthread_mutex_t lock;  /* guards the queue */
    pthread_cond_t work, room;
    struct audit_node *first, **last;
    int count;             /* nodes in the queue */
    int urgent;            /* urgent ones among them */
    int64_t urgent_since_us;
    int last_urgent;       /* in the group before: how many may be expected */
    bool stopping;
    int64_t give_up_us;    /* when stopping */
    /* the writer's alone */
    struct audit_group *group;
    struct audit_ticket *oldest, *newest;
    int64_t noted;         /* as last written: no open seq is below it; 0 = none, -1 = never */
    int64_t retry_us;      /* not before it, while only ends that failed are left */
    int64_t retry_pause_us;
    int64_t log_after_us;
    int64_t not_logged;
};

/* Memory for the groups; -1 when it is out. */
int audit_writer_prepare(struct audit *audit);
/* The thread. */
void *audit_writer_run(void *audit);
void audit_ticket_drop(struct audit_ticket *ticket);

#endif
