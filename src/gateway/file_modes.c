/* SPDX-License-Identifier: MIT */
/* Tells of files that everybody may read. */
#include "gateway/file_modes.h"

#include "config/exposure.h"
#include "store/errors_ring.h"
#include "util/clock.h"
#include "util/log.h"

static void tell(void *arg, const char *path, const char *message)
{
    struct store *store = arg;
    struct error_entry entry = {.ts = clock_wall_ms(), .component = "gateway",
                                .kind = "security", .severity = "warning", .subject = path,
                                .message = message};
    struct err problem;

    log_message(LOG_WARN, "security.file_mode", "%s", message);
    if (errors_ring_add(store, &entry, 1, &problem) != 0)
        log_message(LOG_ERROR, "store.failed", "errors ring: %s", problem.message);
}

int file_modes_check(struct store *store, const char *database,
                     const struct config_sources *sources)
{
    return exposure_find(database, sources, tell, store);
}
