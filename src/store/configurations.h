/* SPDX-License-Identifier: MIT */
/* Accepted configurations by content hash, and which one each gateway runs.
 *
 * A generation is the number of a distinct content; the same content accepted again keeps
 * its number. `origin` names a set of configuration files (the absolute path of
 * gateway.yaml): all instances with that origin follow the same generation.
 */
#ifndef AGW_STORE_CONFIGURATIONS_H
#define AGW_STORE_CONFIGURATIONS_H

#include <stdint.h>

#include "store/keys.h"
#include "store/store.h"
#include "util/sha.h"

struct configuration {
    char hash[SHA_HEX_SIZE];
    const char *sources; /* JSON text of config_sources_json() */
    const struct key_row *keys;
    size_t key_count;
    /* May be NULL: is told of each key whose id or secret a run-time key has; see
     * struct key_rows. Then AGW_ECONFIG. */
    void (*clash)(void *arg, size_t key, const char *problem);
    void *clash_arg;
};

/* Stores it if new, makes it current for `origin`, mirrors its keys, bumps the revision if
 * anything changed. Own transaction. */
int configurations_accept(struct store *store, const char *origin,
                          const struct configuration *c, int64_t *generation, struct err *e);

/* The generation `origin` runs, 0 = none. */
int configurations_current(struct db *db, const char *origin, int64_t *generation,
                           struct err *e);

/* The generation that `origin` ran at `at` (UTC ms), 0 = none. */
int configurations_at(struct db *db, const char *origin, int64_t at, int64_t *generation,
                      struct err *e);

/* The sources of a generation, malloc'ed. AGW_ENOTFOUND. */
int configurations_sources(struct db *db, int64_t generation, char **sources, struct err *e);

#endif
