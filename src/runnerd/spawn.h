/* SPDX-License-Identifier: MIT */
/* Which program hosts a module, and what it may do: its command for tools/launch.h. One thread. */
#ifndef AGW_RUNNERD_SPAWN_H
#define AGW_RUNNERD_SPAWN_H

#include <stdbool.h>

#include "config/config.h"
#include "runnerd/discover.h"
#include "tools/launch.h"

/* Starts the host of a module, in the sandbox, with `channel` as its descriptor 3; does not
 * wait, see launch_look(). AGW_EUNAVAILABLE with what is missing, AGW_ENOMEM. */
int spawn_host(const struct config_runner *runner, const struct found *module, bool network,
               int channel, struct launch_child *child, struct err *e);

/* The folder of the hosts' code: $GATEWAY_HOSTS, else where it is installed. */
const char *spawn_hosts(void);

#endif
