/* SPDX-License-Identifier: MIT */
/* Holds what the process knows of one upstream. */
#include "upstream/entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/buf.h"
#include "util/secret.h"

enum {
    IDLE_HANDLES = 64,
    DEFINITION_MAX = 1 << 20,
    SECRET_MIN = 6 /* shorter header values ("1", "true") are no secrets, but in many texts */
};

/* Length first, so that no two definitions read the same. */
static void add_text(struct buf *b, const char *text)
{
    if (text == NULL)
        buf_puts(b, "-;");
    else
        buf_printf(b, "%zu:%s;", strlen(text), text);
}

int entry_digest(const struct config_upstream *u, unsigned char digest[SHA_SIZE])
{
    struct buf b;
    int status = -1;

    buf_init_secret(&b, DEFINITION_MAX);
    add_text(&b, u->name);
    add_text(&b, u->base_url);
    add_text(&b, u->api_version);
    add_text(&b, u->api_key);
    add_text(&b, u->health_path);
    buf_printf(&b, "%d;%d;%d;%d;", (int)u->provider, u->priority, u->weight,
               u->models.present);
    for (size_t i = 0; i < u->models.count; i++)
        add_text(&b, u->models.patterns[i]);
    buf_printf(&b, ";%lld;%lld;%lld;%lld;%lld;%lld;%lld;%lld;%lld;%d;%d;",
               (long long)u->health_timeout_ms, (long long)u->health_interval_ms,
               (long long)u->connect_ms, (long long)u->first_byte_ms, (long long)u->idle_ms,
               (long long)u->total_ms, (long long)u->retry_backoff_ms,
               (long long)u->breaker_open_ms, (long long)u->max_response_bytes,
               u->retry_attempts, u->breaker_failures);
    for (size_t i = 0; i < u->header_count; i++) {
        add_text(&b, u->headers[i].name);
        add_text(&b, u->headers[i].value);
    }
    if (!b.failed) {
        sha_256(b.data, b.length, digest);
        status = 0;
    }
    buf_free(&b);
    return status;
}

static bool has_header(const struct config_upstream *u, const char *name)
{
    for (size_t i = 0; i < u->header_count; i++)
        if (strcasecmp(u->headers[i].name, name) == 0)
            return true;
    return false;
}

static int add_header(struct upstream_entry *entry, const char *name, const char *prefix,
                      const char *value)
{
    char *line;

    if (asprintf(&line, "%s: %s%s", name, prefix, value) < 0)
        return -1;
    entry->headers[entry->header_count++] = line;
    return 0;
}

/* A configured header replaces the gateway's own of that name. */
static int copy_headers(struct upstream_entry *entry, const struct config_upstream *u)
{
    bool azure = u->provider == PROVIDER_AZURE;
    const char *credential = azure ? "api-key" : "Authorization";

    /* the credential, the content type and the NULL at the end */
    entry->headers = calloc(u->header_count + 3, sizeof *entry->headers);
    if (entry->headers == NULL)
        return -1;
    if (u->api_key != NULL && u->api_key[0] != '\0' && !has_header(u, credential) &&
        add_header(entry, credential, azure ? "" : "Bearer ", u->api_key) != 0)
        return -1;
    if (!has_header(u, "Content-Type") &&
        add_header(entry, "Content-Type", "", "application/json") != 0)
        return -1;
    for (size_t i = 0; i < u->header_count; i++)
        if (add_header(entry, u->headers[i].name, "", u->headers[i].value) != 0)
            return -1;
    return 0;
}

#pragma GCC diagnostic push
/* False: the entry that is filled was zeroed, so nothing is overwritten; and entry_new() frees
 * what a failure left. gcc 12 follows neither through the arrays. */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
static int copy_text(char **to, const char *text)
{
    *to = text == NULL ? NULL : strdup(text);
    return text != NULL && *to == NULL ? -1 : 0;
}

static int copy_texts(struct upstream_entry *entry, const struct config_upstream *u)
{
    if (copy_text(&entry->name, u->name) != 0 || copy_text(&entry->base_url, u->base_url) != 0 ||
        copy_text(&entry->api_version, u->api_version) != 0 ||
        copy_text(&entry->api_key, u->api_key) != 0 ||
        copy_text(&entry->health_path, u->health_path) != 0)
        return -1;
    entry->any_model = !u->models.present;
    entry->models = calloc(u->models.count + 1, sizeof *entry->models);
    if (entry->models == NULL)
        return -1;
    for (; entry->model_count < u->models.count; entry->model_count++)
        if (copy_text(&entry->models[entry->model_count],
                      u->models.patterns[entry->model_count]) != 0)
            return -1;
    return copy_headers(entry, u);
}
#pragma GCC diagnostic pop

struct upstream_entry *entry_new(const struct config_upstream *u)
{
    struct upstream_entry *entry = calloc(1, sizeof *entry);

    if (entry == NULL)
        return NULL;
    atomic_init(&entry->users, 1);
    pthread_mutex_init(&entry->lock, NULL);
    entry->provider = u->provider;
    entry->priority = u->priority;
    entry->weight = u->weight < 1 ? 1 : u->weight;
    entry->connect_ms = u->connect_ms;
    entry->first_byte_ms = u->first_byte_ms;
    entry->idle_ms = u->idle_ms;
    entry->total_ms = u->total_ms;
    entry->health_timeout_ms = u->health_timeout_ms;
    entry->health_interval_ms = u->health_interval_ms;
    entry->retry_attempts = u->retry_attempts;
    entry->retry_backoff_ms = u->retry_backoff_ms;
    entry->max_response_bytes = u->max_response_bytes;
    entry->breaker.threshold = u->breaker_failures;
    entry->breaker.open_ms = u->breaker_open_ms;
    entry->pool = http_pool_new(IDLE_HANDLES);
    if (entry->pool == NULL || entry_digest(u, entry->definition) != 0 ||
        copy_texts(entry, u) != 0)
        entry_release(&entry);
    return entry;
}

struct upstream_entry *entry_acquire(struct upstream_entry *entry)
{
    atomic_fetch_add(&entry->users, 1);
    return entry;
}

void entry_release(struct upstream_entry **slot)
{
    struct upstream_entry *entry = *slot;

    *slot = NULL;
    if (entry == NULL || atomic_fetch_sub(&entry->users, 1) > 1)
        return;
    http_pool_free(&entry->pool);
    for (size_t i = 0; i < entry->header_count; i++)
        secret_free(&entry->headers[i]);
    for (size_t i = 0; i < entry->model_count; i++)
        free(entry->models[i]);
    secret_free(&entry->api_key);
    free(entry->headers);
    free(entry->models);
    free(entry->health_path);
    free(entry->api_version);
    free(entry->base_url);
    free(entry->name);
    pthread_mutex_destroy(&entry->lock);
    free(entry);
}

bool entry_serves(const struct upstream_entry *entry, const char *model)
{
    return config_serves(entry->provider, entry->any_model,
                         (const char *const *)entry->models, entry->model_count, model);
}

bool entry_leaks(const struct upstream_entry *entry, const char *text)
{
    if (entry->api_key != NULL && entry->api_key[0] != '\0' &&
        strstr(text, entry->api_key) != NULL)
        return true;
    for (size_t i = 0; i < entry->header_count; i++) {
        const char *value = strstr(entry->headers[i], ": ") + 2;

        if (strncmp(entry->headers[i], "Content-Type", 12) != 0 &&
            strlen(value) >= SECRET_MIN && strstr(text, value) != NULL)
            return true;
    }
    return false;
}
