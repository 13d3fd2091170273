/* SPDX-License-Identifier: MIT */
/* Makes keys of the rows of keys. */
#include "policy/key_set.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

enum { PAST_MAX = 1 << 30 };
static const int64_t remembered_ms = KEYS_REMEMBERED_DAYS * 86400000LL;

/* Roles as a shell user reads them. */
static const char *const roles_texts[] = {
    [ROLE_CLIENT] = "client",
    [ROLE_AUDITOR] = "auditor",
    [ROLE_CLIENT | ROLE_AUDITOR] = "client,auditor",
    [ROLE_ADMIN] = "admin",
    [ROLE_CLIENT | ROLE_ADMIN] = "client,admin",
    [ROLE_AUDITOR | ROLE_ADMIN] = "auditor,admin",
    [ROLE_CLIENT | ROLE_AUDITOR | ROLE_ADMIN] = "client,auditor,admin",
};

const char *key_set_roles_text(unsigned roles)
{
    return roles_texts[roles];
}

static unsigned role_of(const char *name, size_t length)
{
    static const struct {
        const char *name;
        unsigned role;
    } roles[] = {{"client", ROLE_CLIENT}, {"auditor", ROLE_AUDITOR}, {"admin", ROLE_ADMIN}};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strlen(roles[i].name) == length && strncmp(roles[i].name, name, length) == 0)
            return roles[i].role;
    return 0;
}

unsigned key_set_role(const char *name)
{
    return role_of(name, strlen(name));
}

/* The mask of "client,admin", 0 when there is an unknown word. */
static unsigned roles_of(const char *text)
{
    unsigned roles = 0, role = 1;

    while (text != NULL && *text != '\0' && role != 0) {
        size_t length = strcspn(text, ",");

        role = role_of(text, length);
        roles |= role;
        text += length + (text[length] == ',');
    }
    return role == 0 ? 0 : roles;
}

static int fill_patterns(const json_t *array, struct arena *arena,
                         const struct config_place *place, struct config_patterns *list,
                         struct err *e)
{
    size_t count = json_array_size(array);

    list->present = true;
    list->patterns = arena_alloc(arena, (count + 1) * sizeof *list->patterns);
    list->places = arena_alloc(arena, (count + 1) * sizeof *list->places);
    if (list->patterns == NULL || list->places == NULL)
        return err_set(e, AGW_ENOMEM, "keys");
    for (size_t i = 0; i < count; i++) {
        const char *pattern = json_string_value(json_array_get(array, i));

        if (pattern == NULL)
            return err_set(e, AGW_ESTORE, "a list holds what is no pattern");
        list->patterns[i] = arena_strdup(arena, pattern);
        list->places[i] = *place;
        if (list->patterns[i] == NULL)
            return err_set(e, AGW_ENOMEM, "keys");
        list->count++;
    }
    return 0;
}

static int read_patterns(const char *text, struct arena *arena,
                         const struct config_place *place, struct config_patterns *list,
                         struct err *e)
{
    json_t *array;
    int status;

    memset(list, 0, sizeof *list);
    if (text == NULL)
        return 0;
    array = json_loads(text, JSON_REJECT_DUPLICATES, NULL); /* lacks no memory: json_memory.h */
    status = json_is_array(array) ? fill_patterns(array, arena, place, list, e)
                                  : err_set(e, AGW_ESTORE, "a list of agents is none");
    json_decref(array);
    return status;
}

int key_set_fill(const struct key_row *row, struct arena *arena, struct config_key *key,
                 struct err *e)
{
    int status;

    *key = (struct config_key){.id = row->id, .description = row->description,
                               .roles = roles_of(row->roles),
                               .rate_per_minute = row->rate_per_minute,
                               .budget = {row->requests_per_day, row->tokens_per_day},
                               .expires_at = row->expires_at};
    memcpy(key->hash, row->hash, SHA_SIZE);
    if (key->id == NULL || key->roles == 0)
        return err_set(e, AGW_ESTORE, "a key without id or roles");
    key->place.file = arena_printf(arena, "key:%s", key->id);
    if (key->place.file == NULL)
        return err_set(e, AGW_ENOMEM, "keys");
    status = read_patterns(row->allow_agents, arena, &key->place, &key->allow_agents, e);
    if (status == 0)
        status = read_patterns(row->deny_agents, arena, &key->place, &key->deny_agents, e);
    if (status == 0)
        status = read_patterns(row->allow_tools, arena, &key->place, &key->allow_tools, e);
    if (status == 0)
        status = read_patterns(row->deny_tools, arena, &key->place, &key->deny_tools, e);
    return status;
}

/* A row that says what no key may say cannot have been written by us: it is left out. */
static int fill_all(struct key_set *set, struct err *e)
{
    struct key_record *records = set->list.items;

    set->keys = calloc(set->list.count + 1, sizeof *set->keys);
    set->last_used = calloc(set->list.count + 1, sizeof *set->last_used);
    if (set->keys == NULL || set->last_used == NULL)
        return err_set(e, AGW_ENOMEM, "keys");
    for (size_t i = 0; i < set->list.count; i++) {
        int status = key_set_fill(&records[i].row, set->list.arena, &set->keys[set->count], e);

        if (status == AGW_ENOMEM)
            return status;
        if (status != 0) {
            log_message(LOG_ERROR, "api_key.unrecorded", "%s: %s", records[i].row.id,
                        e->message);
            continue;
        }
        records[set->count++] = records[i];
    }
    set->records = records;
    return 0;
}

/* Both are sorted by id. */
static void take_uses(struct key_set *set, struct key_set *from)
{
    for (size_t i = 0, j = 0; i < set->count && j < from->count;) {
        int order = strcmp(set->keys[i].id, from->keys[j].id);

        if (order == 0 && set->records[i].created_at == from->records[j].created_at)
            atomic_store(&set->last_used[i], atomic_exchange(&from->last_used[j], 0));
        i += order <= 0;
        j += order >= 0;
    }
}

/* The revision is read first: what changes while we read is read again next time. */
int key_set_read(struct db *db, int64_t now, struct key_set *running, struct key_set **set,
                 struct err *e)
{
    struct key_set *fresh;
    int64_t revision;
    int status = keys_revision(db, &revision, e);

    *set = NULL;
    if (status != 0)
        return status;
    if (running != NULL && running->revision == revision) {
        *set = key_set_acquire(running);
        return 0;
    }
    fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return err_set(e, AGW_ENOMEM, "keys");
    atomic_init(&fresh->users, 1);
    fresh->revision = revision;
    status = keys_live(db, now - remembered_ms, &fresh->list, e);
    if (status == 0)
        status = fill_all(fresh, e);
    if (status != 0) {
        key_set_release(&fresh);
        return status;
    }
    if (running != NULL)
        take_uses(fresh, running);
    *set = fresh;
    return 0;
}

static void narrow(int64_t change, int64_t at, int64_t *from, int64_t *until)
{
    if (change == 0)
        return;
    if (change <= at && change > *from)
        *from = change;
    if (change > at && change < *until)
        *until = change;
}

static bool lived(const struct key_record *key, int64_t at)
{
    return key->created_at <= at && (key->revoked_at == 0 || at < key->revoked_at) &&
           (key->removed_at == 0 || at < key->removed_at);
}

int key_set_as_of(const struct key_list *ever, int64_t at, struct key_set **set, int64_t *from,
                  int64_t *until, struct err *e)
{
    struct key_set *past = calloc(1, sizeof *past);
    int status;

    *set = NULL;
    *from = INT64_MIN;
    *until = INT64_MAX;
    if (past == NULL)
        return err_set(e, AGW_ENOMEM, "keys");
    atomic_init(&past->users, 1);
    past->list.arena = arena_new(PAST_MAX);
    if (past->list.arena != NULL)
        past->list.items =
            arena_alloc(past->list.arena, (ever->count + 1) * sizeof *past->list.items);
    for (size_t i = 0; past->list.items != NULL && i < ever->count; i++) {
        const struct key_record *key = &ever->items[i];

        narrow(key->created_at, at, from, until);
        narrow(key->revoked_at, at, from, until);
        narrow(key->removed_at, at, from, until);
        if (lived(key, at))
            past->list.items[past->list.count++] = *key;
    }
    status = past->list.items == NULL ? err_set(e, AGW_ENOMEM, "keys") : fill_all(past, e);
    if (status != 0)
        key_set_release(&past);
    *set = past;
    return status;
}

struct key_set *key_set_acquire(struct key_set *set)
{
    atomic_fetch_add(&set->users, 1);
    return set;
}

void key_set_release(struct key_set **set)
{
    struct key_set *s = *set;

    *set = NULL;
    if (s == NULL || atomic_fetch_sub(&s->users, 1) > 1)
        return;
    key_list_clear(&s->list);
    free(s->keys);
    free(s->last_used);
    free(s);
}

bool key_set_has(const struct key_set *set, const struct config_key *key)
{
    /* below it, the difference is larger than any set */
    return (uintptr_t)key - (uintptr_t)set->keys < set->count * sizeof *set->keys;
}
