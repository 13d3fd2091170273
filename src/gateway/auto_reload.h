/* SPDX-License-Identifier: MIT */
/* Notices changed configuration files by looking at them. One thread. */
#ifndef AGW_GATEWAY_AUTO_RELOAD_H
#define AGW_GATEWAY_AUTO_RELOAD_H

#include <stdbool.h>
#include <sys/stat.h>

#include "config/config.h"

struct auto_reload {
    struct auto_reload_file {
        char *path; /* NULL = not watched */
        struct stat seen;
    } files[CONFIG_COMPONENTS];
};

/* Watches what `gateway` wants watched (auto_reload.*), from its state now on. */
void auto_reload_init(struct auto_reload *a, const struct config_gateway *gateway);
void auto_reload_free(struct auto_reload *a);

/* Whether the file of `component` is another one, or changed, since the last call. A missing
 * file is no change: editors replace files in two steps. */
bool auto_reload_changed(struct auto_reload *a, enum config_component component);

#endif
