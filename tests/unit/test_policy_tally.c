/* SPDX-License-Identifier: MIT */
/* Counts begin with what the trail says and are exact: in threads and processes, across their
 * deaths, days, reboots, and with every slot taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"
#include "policy/tally.h"
#include "store/usage.h"
#include "store_fixture.h"
#include "util/permit.h"
#include "util/sha.h"

enum { SLOTS = 1 << 17, REGION_SIZE = 64 + 16 * SLOTS, COUNT_BITS = 44 };

static int64_t today(const struct fixture *f)
{
    return store_now(f->store) / USAGE_DAY_MS;
}

static struct tally *open_tally(struct store *store)
{
    struct tally *tally;
    struct err e;

    if (tally_open(store, &tally, &e) != 0)
        fail_msg("%s", e.message);
    return tally;
}

static bool take(struct tally *tally, struct tally_name name, int64_t limit)
{
    bool taken;
    struct err e;

    if (tally_take(tally, &name, limit, &taken, &e) != 0)
        fail_msg("%s", e.message);
    return taken;
}

static int take_all(struct tally *tally, struct tally_name name, int64_t limit)
{
    int taken = 0;

    while (take(tally, name, limit))
        taken++;
    return taken;
}

static int64_t count_of(struct tally *tally, struct tally_name name)
{
    int64_t count;
    struct err e;

    if (tally_read(tally, &name, &count, &e) != 0)
        fail_msg("%s", e.message);
    return count;
}

static void append(struct fixture *f, const char *kind, const char *key_id, int64_t day,
                   const char *override_id)
{
    struct audit_row row = fixture_row(kind, key_id, "mock/ok");

    row.ts = day * USAGE_DAY_MS + 1000;
    row.decision = "allow";
    row.source = override_id == NULL ? "api_key" : "override";
    row.override_id = override_id;
    if (strcmp(kind, "end") == 0) {
        row.outcome = "completed";
        row.prompt_tokens = 7;
        row.completion_tokens = 3;
    } else if (strcmp(kind, "refusal") == 0) {
        row.outcome = "rate_limited";
    }
    fixture_append(f->store, &row, 1);
}

/* Only what ran, of that key, in that day. */
static void begins_with_what_the_trail_says(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);

    for (int i = 0; i < 3; i++) {
        append(f, "decision", "k", day, NULL);
        append(f, "end", "k", day, NULL);
    }
    append(f, "decision", "k", day, "ovr_1");
    append(f, "decision", "k", day - 1, "ovr_1");
    append(f, "refusal", "k", day, "ovr_1");
    append(f, "preview", "k", day, "ovr_1");
    append(f, "access", "k", day, NULL);
    append(f, "end", "k", day - 1, NULL);
    append(f, "decision", "other", day, NULL);
    append(f, "decision", "k", day + 1, NULL);
    assert_int_equal(take_all(tally, (struct tally_name){TALLY_REQUESTS, "k", day}, 10), 6);
    assert_int_equal(count_of(tally, (struct tally_name){TALLY_TOKENS, "k", day}), 30);
    assert_int_equal(take_all(tally, (struct tally_name){TALLY_USES, "ovr_1", day + 3}, 5), 3);
    assert_int_equal(count_of(tally, (struct tally_name){TALLY_REQUESTS, "nobody", day}), 0);
    tally_close(&tally);
}

static void a_later_period_begins_anew_and_the_earlier_is_over(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);
    struct tally_name name = {TALLY_REQUESTS, "k", day}, next = {TALLY_REQUESTS, "k", day + 1};
    bool taken;
    int64_t count;
    struct err e;

    assert_int_equal(take_all(tally, name, 3), 3);
    assert_int_equal(take_all(tally, next, 2), 2);
    assert_int_equal(tally_take(tally, &name, 100, &taken, &e), TALLY_LATER);
    assert_false(taken);
    assert_int_equal(tally_read(tally, &name, &count, &e), TALLY_LATER);
    assert_int_equal(tally_add(tally, &name, 5, &e), 0); /* of yesterday: not counted */
    tally_note(tally, &name, 5);
    tally_give_back(tally, &name);
    assert_int_equal(count_of(tally, next), 2);
    tally_close(&tally);
}

static void adding_noting_giving_back(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);
    struct tally_name name = {TALLY_TOKENS, "k", day}, other = {TALLY_TOKENS, "o", day};
    struct err e;

    append(f, "end", "k", day, NULL);
    append(f, "end", "o", day, NULL);
    assert_int_equal(tally_peek(tally, &name), -1);
    tally_note(tally, &name, 5); /* nothing is counted yet */
    assert_int_equal(tally_peek(tally, &name), -1);
    assert_int_equal(tally_add(tally, &name, 5, &e), 0);
    assert_int_equal(tally_peek(tally, &name), 15);
    tally_note(tally, &name, 5);
    assert_int_equal(tally_peek(tally, &name), 20);
    tally_give_back(tally, &name);
    assert_int_equal(tally_peek(tally, &name), 19);
    tally_note(tally, &other, 5);
    assert_int_equal(tally_peek(tally, &other), -1);
    assert_int_equal(count_of(tally, other), 10);
    tally_note(tally, &other, -11); /* never below nothing */
    assert_int_equal(count_of(tally, other), 0);
    tally_note(tally, &(struct tally_name){TALLY_TOKENS, "o", day + 1}, 5); /* not yet */
    assert_int_equal(tally_peek(tally, &(struct tally_name){TALLY_TOKENS, "o", day + 1}), -1);
    assert_int_equal(tally_peek(tally, &(struct tally_name){TALLY_TOKENS, "o", day - 1}), 0);
    tally_note(tally, &other, INT64_MAX);
    tally_note(tally, &other, INT64_MAX); /* nor past what the word holds */
    assert_int_equal(count_of(tally, other), (INT64_C(1) << COUNT_BITS) - 1);
    assert_false(take(tally, other, INT64_MAX));
    assert_int_equal(count_of(tally, other), (INT64_C(1) << COUNT_BITS) - 1);
    tally_close(&tally);
}

/* Kinds and ids are told apart however they are spelled. */
static void names_do_not_mix(void **state)
{
    static const char *const ids[] = {"a", "b", "", "a:b", "0:a", "1:a", "A"};
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);

    for (int kind = TALLY_REQUESTS; kind <= TALLY_USES; kind++)
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
            assert_int_equal(
                take_all(tally, (struct tally_name){(enum tally_kind)kind, ids[i], day}, 2), 2);
    tally_close(&tally);
}

/* The file lost while nothing runs: the trail brings the count back, as far as it knows. */
static void a_lost_file_costs_only_what_the_trail_does_not_know(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);
    struct tally_name name = {TALLY_REQUESTS, "k", day};
    char path[160];

    assert_int_equal(take_all(tally, name, 4), 4);
    append(f, "decision", "k", day, NULL);
    append(f, "decision", "k", day, NULL);
    append(f, "decision", "k", day, NULL);
    assert_false(take(tally, name, 4));
    tally_close(&tally);
    store_close(&f->store);
    f->store = fixture_open(f);
    tally = open_tally(f->store);
    assert_false(take(tally, name, 4)); /* a restart changes nothing */
    tally_close(&tally);
    store_close(&f->store);
    snprintf(path, sizeof path, "%s.shared", f->database);
    assert_int_equal(unlink(path), 0);
    f->store = fixture_open(f);
    tally = open_tally(f->store);
    assert_int_equal(take_all(tally, name, 4), 1);
    tally_close(&tally);
}

/* As words: the boot id's hash, and from the 9th on owner and count of each slot. */
static _Atomic uint64_t *region_of(const struct fixture *f)
{
    void *region;
    struct err e;

    if (shm_region(store_shm(f->store), "tally-1", REGION_SIZE, &region, &e) != 0)
        fail_msg("%s", e.message);
    return region;
}

/* After a power cut the file may hold what was there minutes before. */
static void after_a_reboot_the_trail_is_asked(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);
    struct tally_name name = {TALLY_REQUESTS, "k", day};

    assert_true(take(tally, name, 9));
    for (int i = 0; i < 5; i++)
        append(f, "decision", "k", day, NULL);
    tally_close(&tally);
    atomic_fetch_xor(&region_of(f)[0], 2); /* the boot id's hash */
    tally = open_tally(f->store);
    assert_int_equal(count_of(tally, name), 5);
    tally_close(&tally);
}

/* Slots of days that are over are used again; while none is, nobody counts wrongly. */
static void a_full_table(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);
    struct tally_name name = {TALLY_REQUESTS, "k", day};
    _Atomic uint64_t *slots = region_of(f) + 8;
    struct err e;
    bool taken;

    for (size_t i = 0; i < SLOTS; i++) {
        slots[2 * i] = UINT64_C(1) << 63 | i;
        slots[2 * i + 1] = (uint64_t)day << COUNT_BITS | 1;
    }
    assert_int_equal(tally_take(tally, &name, 1, &taken, &e), AGW_ESTORE);
    assert_non_null(strstr(e.message, "no room"));
    for (size_t i = 0; i < SLOTS; i += 10)
        slots[2 * i + 1] = (uint64_t)(day - 1) << COUNT_BITS | 1;
    assert_int_equal(take_all(tally, name, 7), 7);
    for (int i = 0; i < 200; i++) { /* and no other name got two slots */
        char id[16];

        snprintf(id, sizeof id, "k%d", i);
        assert_int_equal(take_all(tally, (struct tally_name){TALLY_REQUESTS, id, day}, 3), 3);
    }
    assert_false(take(tally, name, 7));
    tally_close(&tally);
}

static void ten_thousand_keys(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    int64_t day = today(f);
    char id[16];

    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 10000; i++) {
            snprintf(id, sizeof id, "key-%d", i);
            assert_int_equal(take(tally, (struct tally_name){TALLY_REQUESTS, id, day}, 2),
                             round < 2);
        }
    tally_close(&tally);
}

/* ---- many at once ---- */

enum { PROCESSES = 4, THREADS = 4, LIMIT = 157, DAYS = 6, KNOWN = 7 };

struct taker {
    struct tally *tally;
    int64_t first_day;
    int passed[DAYS];
};

/* Several days pass while everybody takes; yesterday's are over for those who come late. */
static void *take_through_days(void *arg)
{
    struct taker *taker = arg;

    for (int d = 0; d < DAYS; d++)
        for (int i = 0; i < 4 * LIMIT; i++) {
            struct tally_name name = {TALLY_REQUESTS, "k", taker->first_day + d};
            bool taken;
            struct err e;
            int status = tally_take(taker->tally, &name, LIMIT, &taken, &e);

            if (status < 0)
                _exit(255);
            taker->passed[d] += taken;
        }
    return NULL;
}

struct crowd {
    struct fixture *fixture;
    int64_t first_day;
    _Atomic int *passed; /* shared, by day */
};

static void join_crowd(void *arg)
{
    struct crowd *crowd = arg;
    struct store *store = fixture_open(crowd->fixture);
    struct tally *tally = open_tally(store);
    struct taker takers[THREADS];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){.tally = tally, .first_day = crowd->first_day};
        pthread_create(&threads[i], NULL, take_through_days, &takers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (int d = 0; d < DAYS; d++)
            crowd->passed[d] += takers[i].passed[d];
    }
    tally_close(&tally);
    store_close(&store);
}

static void many_processes_take_exactly_the_limit_of_each_day(void **state)
{
    struct fixture *f = *state;
    struct crowd crowd = {.fixture = f, .first_day = today(f)};
    void *shared;
    struct err e;
    int pids[PROCESSES];

    assert_int_equal(shm_region(store_shm(f->store), "test", 4096, &shared, &e), 0);
    crowd.passed = shared;
    for (int i = 0; i < KNOWN; i++)
        append(f, "decision", "k", crowd.first_day, NULL);
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = fixture_fork(join_crowd, &crowd);
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(fixture_wait(pids[i]), 0);
    /* A day may have ended before it was used up; the last one was not. */
    for (int d = 0; d < DAYS; d++)
        assert_true(crowd.passed[d] <= (d == 0 ? LIMIT - KNOWN : LIMIT));
    assert_int_equal(crowd.passed[DAYS - 1], LIMIT);
}

static void take_until_killed(void *arg)
{
    struct crowd *crowd = arg;
    struct store *store = fixture_open(crowd->fixture);
    struct tally *tally = open_tally(store);
    struct tally_name name = {TALLY_REQUESTS, "k", crowd->first_day};

    for (;;) {
        if (take(tally, name, 100000))
            atomic_fetch_add(crowd->passed, 1);
        else
            usleep(1000);
    }
}

/* Whatever instant a process dies at: what it took is taken, and no more is ever taken. */
static void a_killed_process_gives_nothing_back(void **state)
{
    struct fixture *f = *state;
    struct crowd crowd = {.fixture = f, .first_day = today(f)};
    struct tally *tally = open_tally(f->store);
    struct tally_name name = {TALLY_REQUESTS, "k", crowd.first_day};
    int deaths = 0, rest;
    void *shared;
    struct err e;

    assert_int_equal(shm_region(store_shm(f->store), "test", 4096, &shared, &e), 0);
    crowd.passed = shared;
    while (deaths < 40 && *crowd.passed < 90000) {
        int pids[2];

        for (int i = 0; i < 2; i++)
            pids[i] = fixture_fork(take_until_killed, &crowd);
        usleep(3000 + 500 * (deaths % 16));
        for (int i = 0; i < 2; i++, deaths++) {
            kill(pids[i], SIGKILL);
            assert_int_equal(fixture_wait(pids[i]), 128 + SIGKILL);
        }
    }
    rest = take_all(tally, name, 100000);
    /* Between taking and telling at most one each is lost with its process. */
    assert_true(*crowd.passed + rest <= 100000);
    assert_true(*crowd.passed + rest >= 100000 - deaths);
    tally_close(&tally);
}

/* ---- who waits for the gate finds that others were quicker ---- */

struct holder {
    struct fixture *fixture;
    struct store *store;
    struct db *db;
};

/* Holds the gate as another process does. */
static struct holder hold_gate(struct fixture *f)
{
    struct holder h = {.fixture = f, .store = fixture_open(f)};
    struct err e;

    h.db = store_acquire(h.store, &e);
    assert_non_null(h.db);
    assert_int_equal(store_write_begin(h.store, h.db, &e), 0);
    return h;
}

static void release_gate(struct holder *h)
{
    store_write_rollback(h->store, h->db);
    store_release(h->store, h->db);
    store_close(&h->store);
}

struct waiter {
    struct fixture *fixture;
    struct tally *tally;
    struct tally_name name;
    int taken;
};

static void *take_one(void *arg)
{
    struct waiter *w = arg;

    w->taken = take(w->tally, w->name, 6);
    return NULL;
}

static void *open_one(void *arg)
{
    struct waiter *w = arg;

    w->tally = open_tally(w->fixture->store);
    return NULL;
}

/* Another process begins the count while two threads of this one wait to. */
static void a_count_that_was_begun_meanwhile_counts(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    struct waiter waiters[2];
    pthread_t threads[2];
    struct holder holder = hold_gate(f);
    _Atomic uint64_t *slots = region_of(f) + 8;
    uint64_t owner;
    unsigned char digest[SHA_SIZE];

    for (int i = 0; i < 2; i++) {
        waiters[i] = (struct waiter){f, tally, {TALLY_REQUESTS, "k", today(f)}, 0};
        pthread_create(&threads[i], NULL, take_one, &waiters[i]);
    }
    usleep(100000);
    sha_256("0:k", 3, digest);
    memcpy(&owner, digest, sizeof owner);
    owner |= UINT64_C(1) << 63;
    slots[2 * (owner % SLOTS) + 1] = (uint64_t)today(f) << COUNT_BITS | 5;
    slots[2 * (owner % SLOTS)] = owner;
    release_gate(&holder);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(waiters[0].taken + waiters[1].taken, 1);
    tally_close(&tally);
}

/* Two processes are the first of a boot: what the quicker one counts is not wiped out. */
static void a_boot_begins_once(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store);
    struct tally_name name = {TALLY_REQUESTS, "k", today(f)};
    struct waiter waiter = {.fixture = f};
    struct holder holder = hold_gate(f);
    pthread_t thread;

    atomic_fetch_xor(&region_of(f)[0], 2);
    pthread_create(&thread, NULL, open_one, &waiter);
    usleep(100000);
    atomic_fetch_xor(&region_of(f)[0], 2);
    release_gate(&holder);
    pthread_join(thread, NULL);
    assert_true(take(tally, name, 2));
    assert_int_equal(count_of(waiter.tally, name), 1);
    tally_close(&waiter.tally);
    tally_close(&tally);
}

/* The gate cannot be had in time: nothing is granted, and nothing is lost. */
static void a_gate_that_does_not_open_grants_nothing(void **state)
{
    struct fixture *f = *state;
    struct tally *tally = open_tally(f->store), *other;
    struct tally_name name = {TALLY_TOKENS, "k", today(f)};
    struct holder holder;
    bool taken;
    struct err e;

    tally_close(&tally);
    store_close(&f->store);
    f->options.gate_wait_ms = 50;
    f->store = fixture_open(f);
    tally = open_tally(f->store);
    holder = hold_gate(f);
    assert_int_equal(tally_take(tally, &name, 1, &taken, &e), AGW_ESTORE);
    assert_int_equal(tally_add(tally, &name, 1, &e), AGW_ESTORE);
    atomic_fetch_xor(&region_of(f)[0], 2);
    assert_int_equal(tally_open(f->store, &other, &e), AGW_ESTORE);
    assert_null(other);
    atomic_fetch_xor(&region_of(f)[0], 2);
    release_gate(&holder);
    assert_int_equal(take_all(tally, name, 2), 2);
    tally_close(&tally);
}

/* ---- permits ---- */

enum { ASKING = 3 };

static void *ask_with_a_permit(void *arg)
{
    static atomic_int names;
    struct tally *tally = arg;
    char id[16];

    snprintf(id, sizeof id, "k%d", atomic_fetch_add(&names, 1));
    permit_take();
    count_of(tally, (struct tally_name){TALLY_REQUESTS, id, 1 << 15});
    permit_drop();
    return NULL;
}

/* One permit; whoever asks the trail waits for the gate. */
static void ask_behind_the_gate(void *arg)
{
    struct fixture *f = arg;
    struct store *store = fixture_open(f);
    struct tally *tally = open_tally(store);
    pthread_t threads[ASKING];
    struct holder holder;

    alarm(30);
    permit_init(1);
    holder = hold_gate(f);
    for (int i = 0; i < ASKING; i++)
        pthread_create(&threads[i], NULL, ask_with_a_permit, tally);
    usleep(200000);
    release_gate(&holder);
    for (int i = 0; i < ASKING; i++)
        pthread_join(threads[i], NULL);
    tally_close(&tally);
    store_close(&store);
}

/* Who waits for another thread's answer keeps no permit: that thread needs one to go on. */
static void asking_holds_up_nobody_for_ever(void **state)
{
    assert_int_equal(fixture_wait(fixture_fork(ask_behind_the_gate, *state)), 0);
}

/* ---- bad days ---- */

enum { HELD_MAX = 1024 };

struct trial {
    struct fixture *f;
    struct db *held[HELD_MAX];
    int held_count;
    struct tally *tally;
    int status, opened;
    bool taken;
    char id[16]; /* another one for each run */
    int runs;
    _Atomic uint64_t *region;
};

/* Keeps the idle connections, so that each run must open one. */
static void hold_connections(struct trial *t, int more)
{
    struct err e;

    while (more-- > 0) {
        assert_true(t->held_count < HELD_MAX);
        t->held[t->held_count++] = store_acquire(t->f->store, &e);
    }
}

static void release_connections(struct trial *t)
{
    while (t->held_count > 0)
        store_release(t->f->store, t->held[--t->held_count]);
}

static void try_to_open(void *arg)
{
    struct trial *t = arg;
    struct err e;

    atomic_fetch_xor(&t->region[0], 2); /* a first start after a reboot has more to do */
    t->opened = tally_open(t->f->store, &t->tally, &e);
}

static void check_open(void *arg)
{
    struct trial *t = arg;

    assert_int_equal(t->opened == 0, t->tally != NULL);
    tally_close(&t->tally);
    hold_connections(t, 1);
}

static void T32_opening_may_fail(void **state)
{
    static struct trial t;

    t = (struct trial){.f = *state};
    t.tally = open_tally(t.f->store);
    tally_close(&t.tally);
    hold_connections(&t, 4);
    t.region = region_of(t.f);
    assert_true(inject_each(INJECT_MEMORY | INJECT_SYSTEM | INJECT_SQLITE, try_to_open,
                            check_open, &t) > 9);
    try_to_open(&t);
    assert_int_equal(t.opened, 0);
    tally_close(&t.tally);
    release_connections(&t);
}

static void try_to_take(void *arg)
{
    struct trial *t = arg;
    struct tally_name name = {TALLY_REQUESTS, t->id, today(t->f)};
    struct err e;

    t->status = tally_take(t->tally, &name, 1, &t->taken, &e);
}

static void check_take(void *arg)
{
    struct trial *t = arg;

    assert_true(t->status == 0 || t->status == AGW_ESTORE || t->status == AGW_ENOMEM);
    assert_true(t->status == 0 || !t->taken);
    /* not taken twice, and not lost */
    assert_int_equal(take(t->tally, (struct tally_name){TALLY_REQUESTS, t->id, today(t->f)}, 1),
                     !t->taken);
    snprintf(t->id, sizeof t->id, "run-%d", t->runs++);
    hold_connections(t, 1);
}

/* When the trail cannot be asked nothing is taken, and nothing twice. */
static void T32_asking_the_trail_may_fail(void **state)
{
    static struct trial t;

    t = (struct trial){.f = *state};
    t.tally = open_tally(t.f->store);
    hold_connections(&t, 4);
    assert_true(inject_each(INJECT_SQLITE | INJECT_MEMORY, try_to_take, check_take, &t) > 9);
    assert_true(t.taken); /* the last run needed no failure */
    release_connections(&t);
    tally_close(&t.tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(begins_with_what_the_trail_says),
        TEST(a_later_period_begins_anew_and_the_earlier_is_over),
        TEST(adding_noting_giving_back),
        TEST(names_do_not_mix),
        TEST(a_lost_file_costs_only_what_the_trail_does_not_know),
        TEST(after_a_reboot_the_trail_is_asked),
        TEST(a_full_table),
        TEST(ten_thousand_keys),
        TEST(many_processes_take_exactly_the_limit_of_each_day),
        TEST(a_killed_process_gives_nothing_back),
        TEST(a_count_that_was_begun_meanwhile_counts),
        TEST(a_boot_begins_once),
        TEST(a_gate_that_does_not_open_grants_nothing),
        TEST(asking_holds_up_nobody_for_ever),
        TEST(T32_opening_may_fail),
        TEST(T32_asking_the_trail_may_fail),
    };

    return cmocka_run_group_tests_name("policy/tally", tests, NULL, NULL);
}
