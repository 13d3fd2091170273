/* SPDX-License-Identifier: MIT */
/* Notices files that everybody may read. */
#include "gateway/file_modes.h"

#include <stdio.h>
#include <sys/stat.h>

#include "store/errors_ring.h"
#include "util/clock.h"
#include "util/log.h"

static int check_one(struct store *store, const char *path)
{
    char message[512];
    struct error_entry entry = {.ts = clock_wall_ms(), .component = "gateway",
                                .kind = "security", .severity = "warning", .subject = path,
                                .message = message};
    struct stat info;
    struct err problem;

    if (path == NULL || stat(path, &info) != 0 || (info.st_mode & S_IROTH) == 0)
        return 0;
    snprintf(message, sizeof message, "%.400s can be read by every user (mode %04o)", path,
             (unsigned)info.st_mode & 07777);
    log_message(LOG_WARN, "security.file_mode", "%s", message);
    if (errors_ring_add(store, &entry, 1, &problem) != 0)
        log_message(LOG_ERROR, "store.failed", "errors ring: %s", problem.message);
    return 1;
}

int file_modes_check(struct store *store, const char *database,
                     const struct config_sources *sources)
{
    static const enum config_component secret[] = {CONFIG_SECURITY, CONFIG_UPSTREAMS,
                                                   CONFIG_TOOLS};
    int found = check_one(store, database);

    for (size_t i = 0; i < sizeof secret / sizeof secret[0]; i++)
        if (sources->component[secret[i]].text != NULL)
            found += check_one(store, sources->component[secret[i]].path);
    return found;
}
