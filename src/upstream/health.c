/* SPDX-License-Identifier: MIT */
/* Watches over the upstreams: learns from calls, asks the silent ones. */
#include "upstream/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/metrics.h"
#include "upstream/set.h"
#include "util/clock.h"
#include "util/log.h"

enum {
    CHECK_STACK = 256 * 1024,
    CHECK_ANSWER_MAX = 4 << 20 /* a list of models can be long */
};

static void log_state(const struct upstream_entry *entry, const char *state,
                      const char *reason)
{
    struct log_line line;

    log_begin(&line, strcmp(state, "up") == 0 ? LOG_INFO : LOG_WARN, "upstream.health");
    log_str(&line, "upstream", entry->name);
    log_str(&line, "state", state);
    log_str(&line, "reason", reason);
    log_end(&line);
}

/* What to tell after a change, NULL = nothing new. Called with the lock held. */
static const char *news(struct upstream_entry *entry, enum entry_state before)
{
    bool open = entry->breaker.tripped;

    if (open != entry->logged_open) {
        entry->logged_open = open;
        if (open)
            return "open";
        return entry->state == ENTRY_DOWN ? "down" : "up";
    }
    if (entry->state == before)
        return NULL;
    return entry->state == ENTRY_DOWN ? "down" : "up";
}

static void note_outcome(struct upstream_entry *entry, const char *error)
{
    entry->checked_at = clock_wall_ms();
    snprintf(entry->last_error, sizeof entry->last_error, "%s", error);
}

enum breaker_verdict health_enter(struct upstream_entry *entry)
{
    enum breaker_verdict verdict;

    pthread_mutex_lock(&entry->lock);
    verdict = breaker_enter(&entry->breaker, clock_mono_ms());
    pthread_mutex_unlock(&entry->lock);
    return verdict;
}

void health_leave(struct upstream_entry *entry, enum breaker_verdict entered,
                  enum health_verdict verdict, const char *reason, int64_t hold_ms)
{
    int64_t now = clock_mono_ms();
    enum entry_state before;
    const char *state;

    pthread_mutex_lock(&entry->lock);
    before = entry->state;
    if (verdict == HEALTH_SUCCESS) {
        breaker_success(&entry->breaker);
        entry->state = ENTRY_UP;
        note_outcome(entry, "");
    } else if (verdict == HEALTH_FAILURE) {
        breaker_failure(&entry->breaker, now);
        note_outcome(entry, reason);
    } else {
        breaker_abandon(&entry->breaker, entered);
    }
    if (hold_ms > 0)
        breaker_hold(&entry->breaker, now, hold_ms);
    state = news(entry, before);
    pthread_mutex_unlock(&entry->lock);
    if (state != NULL)
        log_state(entry, state, verdict == HEALTH_SUCCESS ? "a call succeeded" : reason);
    if (verdict != HEALTH_NOTHING)
        metrics_set(METRIC_UPSTREAM_UP, verdict == HEALTH_SUCCESS, entry->name);
}

int64_t health_wait_ms(struct upstream_entry *entry)
{
    int64_t wait;

    pthread_mutex_lock(&entry->lock);
    wait = breaker_wait_ms(&entry->breaker, clock_mono_ms());
    pthread_mutex_unlock(&entry->lock);
    return wait;
}

/* A check decides between up and down; the breaker belongs to the calls, but a good check
 * lets it be probed at once. */
static void judge(struct upstream_entry *entry, bool well, const char *reason)
{
    enum entry_state before;
    const char *state;

    pthread_mutex_lock(&entry->lock);
    before = entry->state;
    entry->state = well ? ENTRY_UP : ENTRY_DOWN;
    if (well && before == ENTRY_DOWN)
        breaker_success(&entry->breaker);
    note_outcome(entry, well ? "" : reason);
    state = news(entry, before);
    pthread_mutex_unlock(&entry->lock);
    if (state != NULL)
        log_state(entry, state, well ? "the health check succeeded" : reason);
    metrics_set(METRIC_UPSTREAM_UP, well, entry->name);
}

static void check(struct upstream_entry *entry)
{
    char url[2048], reason[200] = "";
    struct http_call call = {.method = "GET", .url = url, .watch_fd = -1};
    struct http_result result;
    struct err e;
    bool well;
    int status;

    err_reset(&e);
    snprintf(url, sizeof url, "%.*s%s%s", (int)strcspn(entry->base_url, "?"), entry->base_url,
             entry->health_path[0] == '/' ? "" : "/", entry->health_path);
    call.headers = (const char *const *)entry->headers;
    call.connect_ms = call.total_ms = entry->health_timeout_ms;
    call.max_response = CHECK_ANSWER_MAX;
    status = http_client_call(entry->pool, &call, &result, &e);
    /* 429: busy, which is not down. */
    well = status == 0 && ((result.status >= 200 && result.status < 300) || result.status == 429);
    if (status == AGW_ETIMEOUT)
        snprintf(reason, sizeof reason, "the health check timed out");
    else if (status != 0)
        snprintf(reason, sizeof reason, "the health check failed: %.150s", e.message);
    else if (!well)
        snprintf(reason, sizeof reason, "the health check got status %d", result.status);
    judge(entry, well, reason);
}

struct check_job {
    struct upstreams *upstreams;
    struct upstream_entry *entry;
};

static void finish_job(struct check_job *job)
{
    struct upstreams *upstreams = job->upstreams;

    pthread_mutex_lock(&job->entry->lock);
    job->entry->checking = false;
    pthread_mutex_unlock(&job->entry->lock);
    entry_release(&job->entry);
    free(job);
    pthread_mutex_lock(&upstreams->lock);
    if (--upstreams->checks == 0)
        pthread_cond_broadcast(&upstreams->idle);
    pthread_mutex_unlock(&upstreams->lock);
}

static void *run_job(void *arg)
{
    struct check_job *job = arg;

    check(job->entry);
    finish_job(job);
    return NULL;
}

static void start_job(struct upstreams *upstreams, struct upstream_entry *entry)
{
    struct check_job *job = malloc(sizeof *job);
    pthread_attr_t attributes;
    pthread_t thread;

    if (job == NULL) /* it stays due */
        return;
    *job = (struct check_job){upstreams, entry_acquire(entry)};
    pthread_mutex_lock(&entry->lock);
    entry->checking = true;
    pthread_mutex_unlock(&entry->lock);
    pthread_mutex_lock(&upstreams->lock);
    upstreams->checks++;
    pthread_mutex_unlock(&upstreams->lock);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, CHECK_STACK);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, run_job, job) != 0)
        finish_job(job);
    pthread_attr_destroy(&attributes);
}

/* Every process checks for itself; +-10 % keeps them from doing it all at once. */
static int64_t jittered(int64_t interval_ms)
{
    int64_t spread = interval_ms < INT32_MAX ? interval_ms / 5 : INT32_MAX / 5;

    return interval_ms - spread / 2 + arc4random_uniform((uint32_t)spread + 1);
}

static bool claim_if_due(struct upstream_entry *entry, int64_t now)
{
    bool due;

    if (entry->health_path == NULL || entry->provider == PROVIDER_ECHO ||
        entry->health_interval_ms <= 0)
        return false;
    pthread_mutex_lock(&entry->lock);
    due = !entry->checking && now >= entry->next_check_ms;
    if (due)
        entry->next_check_ms = now + jittered(entry->health_interval_ms);
    pthread_mutex_unlock(&entry->lock);
    return due;
}

void upstreams_check_health(struct upstreams *upstreams)
{
    int64_t now = clock_mono_ms();
    size_t count = 0;
    struct upstream_entry **entries = set_entries(upstreams, &count);

    for (size_t i = 0; entries != NULL && i < count; i++)
        if (claim_if_due(entries[i], now))
            start_job(upstreams, entries[i]);
    set_release(entries, count);
}
