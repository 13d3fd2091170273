/* SPDX-License-Identifier: MIT */
/* Finds out who is asking. */
#include "policy/authenticate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/secret.h"
#include "util/sha.h"

enum { SECRET_MAX = 512 };

struct key_index {
    size_t mask; /* slots - 1, a power of two at least twice the keys */
    const struct config_key *slots[];
};

/* The hash is already uniform: its first bytes choose the slot. */
static size_t slot_of(const struct key_index *index, const unsigned char *hash)
{
    size_t start;

    memcpy(&start, hash, sizeof start);
    return start & index->mask;
}

struct key_index *authenticate_index_new(const struct config_security *security)
{
    struct key_index *index;
    size_t slots = 16;

    while (slots < 2 * security->key_count)
        slots *= 2;
    index = calloc(1, sizeof *index + slots * sizeof index->slots[0]);
    if (index == NULL)
        return NULL;
    index->mask = slots - 1;
    for (size_t i = 0; i < security->key_count; i++) {
        size_t at = slot_of(index, security->keys[i].hash);

        while (index->slots[at] != NULL)
            at = (at + 1) & index->mask;
        index->slots[at] = &security->keys[i];
    }
    return index;
}

void authenticate_index_free(struct key_index **index)
{
    free(*index);
    *index = NULL;
}

/* How far the probe runs depends on SHA-256 of the guess, which tells a guesser nothing
 * about any key. */
static const struct config_key *find(const struct key_index *index, const unsigned char *hash)
{
    for (size_t at = slot_of(index, hash); index->slots[at] != NULL; at = (at + 1) & index->mask)
        if (secret_equal(index->slots[at]->hash, hash, SHA_SIZE))
            return index->slots[at];
    return NULL;
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
    const struct config_key *found;
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
    if (found == NULL)
        return err_set(e, AGW_EBADKEY, "unknown key");
    *key = found;
    if (found->expires_at != 0 && now >= found->expires_at)
        return err_set(e, AGW_EBADKEY, "key %s is expired", found->id);
    return 0;
}
