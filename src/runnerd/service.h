/* SPDX-License-Identifier: MIT */
/* All of the runner: configuration, search, watch, modules, gateways. One thread. */
#ifndef AGW_RUNNERD_SERVICE_H
#define AGW_RUNNERD_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/load.h"
#include "runnerd/modules.h"
#include "runnerd/server.h"
#include "runnerd/watch.h"

struct service {
    const char *config_file;
    struct config *config;
    struct modules table;
    struct server server;
    struct watch watch;
    const char *watch_state;
    char watch_reason[300];
    char **roots; /* absolute */
    size_t root_count;
    char unkept[500];   /* why no copies of modules are kept; "" = they are */
    char rejected[500]; /* why the newest configuration was not taken; "" = it was */
    bool is_dirty, is_stopping;
    bool was_settled;   /* all modules have been tried */
    int64_t started_at; /* wall ms */
    char socket[108];   /* where it listens, or did */
    int64_t publish_at, generation, look_again_at, search_again_at;
    int64_t stop_by;
};

/* Reads the configuration: 0, or AGW_ECONFIG with errors. What a runner needs of it: no
 * variables of upstreams and tools, so no secrets. */
int service_read_config(const char *file, struct config **config, struct config_errors *errors);

/* Takes the configuration's reference. 0, or why it cannot serve. */
int service_open(struct service *s, const char *config_file, struct config *config,
                 struct err *e);
void service_close(struct service *s);

/* Reads the configuration again and searches. */
void service_refresh(struct service *s);
/* Serves until the last run has ended, or for timeouts.drain; a second time: until now. */
void service_stop(struct service *s);
bool service_has_ended(const struct service *s);

/* Does what is due; the longest wait for the next event in milliseconds, -1 = for ever. */
int service_tick(struct service *s);

#endif
