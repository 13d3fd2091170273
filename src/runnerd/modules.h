/* SPDX-License-Identifier: MIT */
/* The modules there are: their generations, processes and back-off, and who waits for a
 * connection to one of their agents. One thread.
 *
 * A module's process is started to learn what it offers, ends when nobody needs it, and comes
 * back with the next run. When its files change, a process of the new generation is started
 * beside the old one; only when its catalog has come does it take the place, and the old one
 * finishes its runs. When the new one fails, the old one stays, and when it ends or has ended, it
 * comes back from the copy that was made of its files (kept.h).
 */
#ifndef AGW_RUNNERD_MODULES_H
#define AGW_RUNNERD_MODULES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "runnerd/discover.h"
#include "runnerd/host.h"
#include "runnerd/identity.h"
#include "runnerd/kept.h"

enum { MODULES_OLD_MAX = 16, MODULES_WHY = 256 };

/* An export that agents.yaml gives an identity of its own. */
struct module_claim {
    char *attr;
    const struct config_agent *agent; /* of the table's configuration */
};

/* Who asked for a connection; answered once, or given up with modules_forget(). */
struct module_open {
    struct module_open *next;
    void *client;
    int64_t id;
    bool is_counted; /* it waits for a pong, since there may be too many runs */
};

/* What failed is tried again after a while, ever later. */
struct module_tries {
    int failures;
    int64_t retry_at; /* mono ms */
};

struct module {
    struct module *next;
    struct found found; /* the newest */
    struct identity identity;
    struct module_claim *claims;
    size_t claim_count;
    bool network, network_given; /* by agents.yaml; to the process that was started last */
    bool is_wanted, is_blocked;
    bool needs_load;     /* the newest files are to be loaded */
    bool needs_revival;  /* they could not, and what the copy offers is not known */
    bool is_broken;      /* they could not; an older generation serves */
    bool is_kept;        /* there is a copy of one that could be loaded, */
    bool is_serving_kept; /* ... and it is the one that serves */
    bool keeps_later;     /* what serves is to be copied when no run uses the copy before */
    bool is_reviving_copy;
    uint64_t served_mark; /* found.mark when what serves was loaded; 0 = of an older copy */
    char blocked[MODULES_WHY];
    json_t *exports;  /* names to look for */
    json_t *catalog;  /* of the generation that serves; NULL = none */
    json_t *problems; /* of the newest load */
    json_t *runtime;  /* what has gone wrong since; problems */
    /* The one that serves, that with the newest files, that which is to serve again, and those
     * that finish their runs. */
    struct host *host, *loading, *reviving, *old[MODULES_OLD_MAX];
    struct module_tries load, revival;
    int64_t load_began; /* mono ms */
    int64_t listed_runs, listed_rss; /* as gateways were told last */
    int64_t loaded_at, generation, restarts, noted;
    struct module_open *opens;
};

enum modules_refusal { MODULES_UNKNOWN, MODULES_BLOCKED, MODULES_START_FAILED, MODULES_BACKOFF,
                       MODULES_BUSY, MODULES_DRAINING };
extern const char *const modules_refusals[]; /* as on the wire */

struct modules_user {
    /* The list or the state of modules has changed, */
    void (*changed)(void *arg);
    /* ... or only how many runs go on, and how much memory they take. */
    void (*load_changed)(void *arg);
    /* Whether the client could be sent something now. */
    bool (*can_send)(void *client);
    /* Takes `fd`; `process`: host_number() of where it leads. */
    void (*opened)(void *client, int64_t id, int fd, int64_t process);
    void (*refused)(void *client, int64_t id, enum modules_refusal refusal,
                    const char *message, int64_t retry_after_ms);
    void *arg;
};

struct modules {
    struct module *first;
    struct config *config; /* a reference */
    struct modules_user user;
    struct kept kept;
    json_t *problems;      /* of the search */
    json_t *defaults;
    int loads_max;
    int64_t connections;
    bool is_draining;
    bool is_swept; /* copies of modules that are gone have been removed */
    char sandbox[LAUNCH_REPORT_SIZE]; /* of the last start */
};

/* No copies of modules are kept unless kept_open() is called for `kept` then. */
void modules_init(struct modules *table, const struct modules_user *user);
/* Ends all processes, waits for them. */
void modules_free(struct modules *table);

/* Takes another configuration (a reference of its own) and what a search has found. `again`:
 * also those are loaded anew that failed. When for want of descriptors not all was searched
 * (found->is_cut, before or after), nothing changes. */
void modules_apply(struct modules *table, struct config *config, struct discovery *found,
                   const char *const *roots, size_t root_count, bool again);

void modules_open(struct modules *table, struct module *module, void *client, int64_t id);
/* The client is gone. */
void modules_forget(struct modules *table, const void *client);
/* A client can be sent something again. */
void modules_resume(struct modules *table);
/* Somebody says that this process of it hangs (0: any does): it is asked, and killed unless it
 * answers at once. One that has come after it is left alone. */
void modules_suspect(const struct module *module, int64_t process);

/* Nothing is loading or waits for that. */
bool modules_are_settled(const struct modules *table);

/* No more runs; processes end with the last of theirs, or after so long. */
void modules_drain(struct modules *table, int64_t within_ms);
bool modules_have_ended(const struct modules *table);

/* Does what is due; when there is more to do. */
int64_t modules_tick(struct modules *table, int64_t now);

/* "idle" "starting" ...: as on the wire. */
const char *modules_state(const struct module *module);

#endif
