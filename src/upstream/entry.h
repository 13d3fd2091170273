/* SPDX-License-Identifier: MIT */
/* One upstream of the process: its definition (immutable), its warm connections and what is
 * known of its state. Shared by reference counting; any thread.
 */
#ifndef AGW_UPSTREAM_ENTRY_H
#define AGW_UPSTREAM_ENTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "net/http_client.h"
#include "upstream/breaker.h"
#include "util/sha.h"

enum entry_state { ENTRY_UNKNOWN, ENTRY_UP, ENTRY_DOWN };

struct upstream_entry {
    atomic_int users;
    unsigned char definition[SHA_SIZE]; /* equal = nothing changed */

    char *name, *base_url, *api_version, *api_key, *health_path; /* api_key is a secret */
    enum config_provider provider;
    int priority, weight;
    bool any_model;
    size_t model_count;
    char **models;
    int64_t connect_ms, first_byte_ms, idle_ms, total_ms;
    int64_t health_timeout_ms, health_interval_ms;
    int retry_attempts;
    int64_t retry_backoff_ms;
    int64_t max_response_bytes;
    size_t header_count;
    char **headers; /* "Name: value" with the credential, NULL-terminated; secrets */
    struct http_pool *pool;

    pthread_mutex_t lock; /* guards the rest */
    struct breaker breaker;
    enum entry_state state;
    bool logged_open;      /* the last upstream.health event said "open" */
    bool checking;
    int64_t next_check_ms; /* monotonic */
    int64_t checked_at;    /* UTC ms of the last check or call, 0 = never */
    char last_error[256];  /* "" = the last one was well */
};

/* NULL when memory is out. One user. */
struct upstream_entry *entry_new(const struct config_upstream *definition);
struct upstream_entry *entry_acquire(struct upstream_entry *entry);
void entry_release(struct upstream_entry **entry);

/* What entry_new() would put into `definition`; -1 when memory is out. */
int entry_digest(const struct config_upstream *definition, unsigned char digest[SHA_SIZE]);

/* By its `models`. Without that list: everything, but an echo upstream only echo models, so
 * that it never steps in for a real provider that failed. */
bool entry_serves(const struct upstream_entry *entry, const char *model);

/* Whether `text` contains the key or a configured header's value. */
bool entry_leaks(const struct upstream_entry *entry, const char *text);

#endif
