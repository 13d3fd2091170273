/* SPDX-License-Identifier: MIT */
/* Carries the upstreams from one configuration to the next, and shows them. */
#include "upstream/upstreams.h"

#include <stdlib.h>
#include <string.h>

#include "upstream/set.h"
#include "util/buf.h"
#include "util/clock.h"

static const char *const provider_names[] = {
    [PROVIDER_OPENAI] = "openai",
    [PROVIDER_OPENAI_COMPATIBLE] = "openai-compatible",
    [PROVIDER_AZURE] = "azure",
    [PROVIDER_ECHO] = "builtin-echo",
};

struct upstreams *upstreams_new(void)
{
    struct upstreams *upstreams = calloc(1, sizeof *upstreams);

    if (upstreams == NULL)
        return NULL;
    pthread_mutex_init(&upstreams->lock, NULL);
    pthread_cond_init(&upstreams->idle, NULL);
    return upstreams;
}

void upstreams_free(struct upstreams **slot)
{
    struct upstreams *upstreams = *slot;

    if (upstreams == NULL)
        return;
    pthread_mutex_lock(&upstreams->lock);
    while (upstreams->checks > 0)
        pthread_cond_wait(&upstreams->idle, &upstreams->lock);
    pthread_mutex_unlock(&upstreams->lock);
    set_release(upstreams->entries, upstreams->count);
    pthread_cond_destroy(&upstreams->idle);
    pthread_mutex_destroy(&upstreams->lock);
    free(upstreams);
    *slot = NULL;
}

struct upstream_entry **set_entries(struct upstreams *upstreams, size_t *count)
{
    struct upstream_entry **copy;

    pthread_mutex_lock(&upstreams->lock);
    *count = upstreams->count;
    copy = calloc(upstreams->count + 1, sizeof(struct upstream_entry *));
    for (size_t i = 0; copy != NULL && i < upstreams->count; i++)
        copy[i] = entry_acquire(upstreams->entries[i]);
    pthread_mutex_unlock(&upstreams->lock);
    return copy;
}

void set_release(struct upstream_entry **entries, size_t count)
{
    for (size_t i = 0; entries != NULL && i < count; i++)
        entry_release(&entries[i]);
    free(entries);
}

/* The old entry if nothing about it changed (its breaker, health and warm connections stay),
 * else a new one. */
static struct upstream_entry *keep_or_make(struct upstream_entry **old, size_t count,
                                           const struct config_upstream *definition)
{
    unsigned char digest[SHA_SIZE];

    if (entry_digest(definition, digest) != 0)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (memcmp(old[i]->definition, digest, sizeof digest) == 0)
            return entry_acquire(old[i]);
    return entry_new(definition);
}

int upstreams_update(struct upstreams *upstreams, const struct config *config, struct err *e)
{
    size_t old_count = 0, made = 0;
    struct upstream_entry **old = set_entries(upstreams, &old_count);
    struct upstream_entry **fresh = calloc(config->upstream_count + 1, sizeof *fresh);
    struct upstream_entry **gone;
    size_t gone_count;
    int status = 0;

    for (; old != NULL && fresh != NULL && made < config->upstream_count; made++) {
        fresh[made] = keep_or_make(old, old_count, &config->upstreams[made]);
        if (fresh[made] == NULL)
            break;
    }
    if (old == NULL || fresh == NULL || made < config->upstream_count) {
        status = err_set(e, AGW_ENOMEM, "taking over the upstreams");
        gone = fresh;
        gone_count = made;
    } else {
        pthread_mutex_lock(&upstreams->lock);
        gone = upstreams->entries;
        gone_count = upstreams->count;
        upstreams->entries = fresh;
        upstreams->count = made;
        pthread_mutex_unlock(&upstreams->lock);
    }
    set_release(gone, gone_count);
    set_release(old, old_count);
    return status;
}

/* base_url as it may be shown: without user:password@ and without a query. */
static json_t *public_url(const char *url)
{
    const char *scheme = url == NULL ? NULL : strstr(url, "://");
    const char *host, *at, *slash;
    json_t *shown;
    struct buf b;

    if (scheme == NULL)
        return url == NULL ? json_null() : json_string("");
    host = scheme + 3;
    slash = host + strcspn(host, "/?#");
    at = memrchr(host, '@', (size_t)(slash - host));
    buf_init(&b, 4096);
    buf_append(&b, url, (size_t)(host - url));
    if (at != NULL)
        host = at + 1;
    buf_append(&b, host, strcspn(host, "?#"));
    shown = json_string(buf_text(&b));
    buf_free(&b);
    return shown;
}

static json_t *models_json(const struct upstream_entry *entry)
{
    json_t *models = json_array();

    if (entry->any_model)
        json_array_append_new(models, json_string("*"));
    for (size_t i = 0; i < entry->model_count; i++)
        json_array_append_new(models, json_string(entry->models[i]));
    return models;
}

static const char *state_name(const struct upstream_entry *entry, int64_t now)
{
    static const char *const names[] = {
        [ENTRY_UNKNOWN] = "unknown", [ENTRY_UP] = "up", [ENTRY_DOWN] = "down"};

    if (entry->provider == PROVIDER_ECHO)
        return "up";
    return breaker_is_open(&entry->breaker, now) ? "open" : names[entry->state];
}

static json_t *entry_json(struct upstream_entry *entry)
{
    int64_t now = clock_mono_ms();
    char text[CLOCK_TEXT_SIZE];
    json_t *object;

    pthread_mutex_lock(&entry->lock);
    object = json_pack("{s:s, s:s, s:o, s:i, s:i, s:o, s:s, s:s?, s:s?}", "name", entry->name,
                       "provider", provider_names[entry->provider], "base_url",
                       public_url(entry->base_url), "priority", entry->priority, "weight",
                       entry->weight, "models", models_json(entry), "state",
                       state_name(entry, now), "last_error",
                       entry->last_error[0] != '\0' ? entry->last_error : NULL, "checked_at",
                       entry->checked_at != 0 ? clock_format(entry->checked_at, text) : NULL);
    pthread_mutex_unlock(&entry->lock);
    return object;
}

json_t *upstreams_json(struct upstreams *upstreams)
{
    size_t count = 0;
    struct upstream_entry **entries = set_entries(upstreams, &count);
    json_t *list = entries == NULL ? NULL : json_array();

    for (size_t i = 0; list != NULL && i < count; i++)
        if (json_array_append_new(list, entry_json(entries[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    set_release(entries, count);
    return list;
}

bool upstreams_any_usable(struct upstreams *upstreams)
{
    int64_t now = clock_mono_ms();
    bool usable = false;

    pthread_mutex_lock(&upstreams->lock);
    for (size_t i = 0; i < upstreams->count && !usable; i++) {
        struct upstream_entry *entry = upstreams->entries[i];

        pthread_mutex_lock(&entry->lock);
        usable = entry->state != ENTRY_DOWN && !breaker_is_open(&entry->breaker, now);
        pthread_mutex_unlock(&entry->lock);
    }
    pthread_mutex_unlock(&upstreams->lock);
    return usable;
}
