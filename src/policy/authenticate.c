/* SPDX-License-Identifier: MIT */
/* Finds out who is asking. */
#include "policy/authenticate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/log.h"
#include "util/secret.h"
#include "util/sha.h"

enum { SECRET_MAX = 512 };

struct slot {
    const unsigned char *hash; /* NULL = free */
    const struct config_key *key;
    int64_t until;             /* of a secret that was replaced; 0 = the key's own */
};

struct key_index {
    size_t count;
    const struct config_key **by_id; /* sorted */
    size_t mask; /* slots - 1, a power of two at least twice the secrets */
    struct slot slots[];
};

/* The hash is already uniform: its first bytes choose the slot. */
static size_t slot_of(const struct key_index *index, const unsigned char *hash)
{
    size_t start;

    memcpy(&start, hash, sizeof start);
    return start & index->mask;
}

/* How far the probe runs depends on SHA-256 of the guess, which tells a guesser nothing
 * about any key. */
static const struct slot *find(const struct key_index *index, const unsigned char *hash)
{
    size_t at = slot_of(index, hash);

    while (index->slots[at].hash != NULL &&
           !secret_equal(index->slots[at].hash, hash, SHA_SIZE))
        at = (at + 1) & index->mask;
    return &index->slots[at];
}

/* The first to come keeps the secret. */
static void add_secret(struct key_index *index, const unsigned char *hash,
                       const struct config_key *key, int64_t until)
{
    struct slot *slot = (struct slot *)find(index, hash);

    if (slot->hash == NULL)
        *slot = (struct slot){.hash = hash, .key = key, .until = until};
}

static int compare_ids(const void *a, const void *b)
{
    const struct config_key *x = *(const struct config_key *const *)a;
    const struct config_key *y = *(const struct config_key *const *)b;

    return strcmp(x->id, y->id);
}

const struct config_key *authenticate_find_id(const struct key_index *index, const char *id)
{
    struct config_key wanted = {.id = id};
    const struct config_key *pointer = &wanted, **found;

    found = bsearch(&pointer, index->by_id, index->count, sizeof *index->by_id, compare_ids);
    return found == NULL ? NULL : *found;
}

size_t authenticate_count(const struct key_index *index)
{
    return index->count;
}

const struct config_key *authenticate_key(const struct key_index *index, size_t number)
{
    return index->by_id[number];
}

static void add_file(struct key_index *index, const struct config_security *security)
{
    for (size_t i = 0; i < security->key_count; i++) {
        index->by_id[index->count++] = &security->keys[i];
        add_secret(index, security->keys[i].hash, &security->keys[i], 0);
    }
    qsort(index->by_id, index->count, sizeof *index->by_id, compare_ids);
}

/* Ids of the file are known by now, and looked up among these alone. */
static void add_set(struct key_index *index, const struct key_set *set)
{
    size_t of_file = index->count;

    for (size_t i = 0; i < set->count; i++) {
        const struct config_key *key = &set->keys[i], *pointer = key;

        if (bsearch(&pointer, index->by_id, of_file, sizeof *index->by_id, compare_ids)) {
            log_message(LOG_ERROR, "api_key.unrecorded", "%s is a key of the file too", key->id);
            continue;
        }
        index->by_id[index->count++] = key;
        add_secret(index, key->hash, key, 0);
        if (set->records[i].previous_until != 0)
            add_secret(index, set->records[i].previous_hash, key,
                       set->records[i].previous_until);
    }
    qsort(index->by_id, index->count, sizeof *index->by_id, compare_ids);
}

struct key_index *authenticate_index_new(const struct config_security *security,
                                         const struct key_set *set)
{
    size_t keys = security->key_count, secrets = keys, slots = 16;
    struct key_index *index;

    if (set != NULL) {
        keys += set->count;
        secrets += 2 * set->count;
    }
    while (slots < 2 * secrets)
        slots *= 2;
    index = calloc(1, sizeof *index + slots * sizeof index->slots[0]);
    if (index == NULL)
        return NULL;
    index->mask = slots - 1;
    index->by_id = calloc(keys + 1, sizeof *index->by_id);
    if (index->by_id == NULL) {
        authenticate_index_free(&index);
        return NULL;
    }
    add_file(index, security);
    if (set != NULL)
        add_set(index, set);
    return index;
}

void authenticate_index_free(struct key_index **index)
{
    if (*index != NULL)
        free((*index)->by_id);
    free(*index);
    *index = NULL;
}

/* A secret is printable ASCII without blanks and commas: a comma is how web servers join two
 * headers of one name into one. */
static bool is_one_token(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || *c == ',')
            return false;
    return text[0] != '\0';
}

static int bearer(const char *authorization, const char **secret, struct err *e)
{
    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return err_set_public(e, AGW_EINVALID, "Authorization",
                              "The Authorization header must be 'Bearer KEY'.");
    authorization += 7;
    while (*authorization == ' ')
        authorization++;
    *secret = authorization;
    return 0;
}

int authenticate(const struct key_index *index, const char *authorization,
                 const char *x_api_key, int64_t now, const struct config_key **key,
                 struct err *e)
{
    unsigned char hash[SHA_SIZE];
    const char *secret = x_api_key;
    const struct slot *found;
    int status;

    *key = NULL;
    if (authorization == NULL && x_api_key == NULL)
        return err_set(e, AGW_ENOCRED, "no credential");
    if (authorization != NULL && x_api_key != NULL)
        return err_set_public(e, AGW_EINVALID, "Authorization",
                              "Send one credential: Authorization or x-api-key, not both.");
    if (authorization != NULL && (status = bearer(authorization, &secret, e)) != 0)
        return status;
    if (!is_one_token(secret))
        return err_set_public(e, AGW_EINVALID,
                              authorization != NULL ? "Authorization" : "x-api-key",
                              "The API key must be one word: exactly one credential.");
    if (strnlen(secret, SECRET_MAX + 1) > SECRET_MAX)
        return err_set(e, AGW_EBADKEY, "key too long");
    sha_256(secret, strlen(secret), hash);
    found = find(index, hash);
    secret_wipe(hash, sizeof hash);
    if (found->key == NULL)
        return err_set(e, AGW_EBADKEY, "unknown key");
    *key = found->key;
    if (found->until != 0 && now >= found->until)
        return err_set(e, AGW_EBADKEY, "this secret of key %s was replaced", found->key->id);
    if (found->key->expires_at != 0 && now >= found->key->expires_at)
        return err_set(e, AGW_EBADKEY, "key %s is expired", found->key->id);
    return 0;
}
