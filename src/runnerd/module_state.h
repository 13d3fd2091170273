/* SPDX-License-Identifier: MIT */
/* Inside of runnerd/: what the files that keep modules ask of each other: the table (modules.c),
 * those who wait for a connection (module_opens.c), processes (module_process.c), and when
 * something is to be done with them (module_due.c).
 */
#ifndef AGW_RUNNERD_MODULE_STATE_H
#define AGW_RUNNERD_MODULE_STATE_H

#include "runnerd/modules.h"

enum { MODULES_WAIT_MS = 1000 }; /* who is refused may ask again then */

/* ---- modules.c ---- */

/* The list or the state of modules has changed. */
void modules_changed(const struct modules *table);

/* ---- module_opens.c ---- */

/* Connects those who wait, as far as that can be done now; has a process started for them. */
void module_opens_serve(struct modules *table, struct module *m);
/* All who wait. */
void module_opens_refuse(const struct modules *table, struct module *m,
                         enum modules_refusal refusal, const char *message,
                         int64_t retry_after_ms);

/* ---- module_process.c ---- */

/* Before all others: the one table, for callbacks of processes. */
void module_process_init(struct modules *table);

/* Starts a process with the newest files. */
void module_process_load(struct modules *table, struct module *m);
/* Starts one of the generation that serves, of its files or of their copy; whether there is
 * any. */
void module_process_revive(struct modules *table, struct module *m);
bool module_process_can_revive(const struct module *m);
/* What is wrong with the newest files. */
const char *module_process_error(const struct module *m);
/* Of those that do not serve yet. */
void module_process_stop_starting(struct module *m);
/* Of all others, with their runs. */
void module_process_stop_serving(struct module *m);
/* The process that serves, if there is one, takes no more runs; it may finish those it has
 * within so long. */
void module_process_retire(struct module *m, int64_t within_ms);
/* It offers nothing any more: its processes may finish their runs. */
void module_process_release(struct module *m);
bool module_process_is_there(const struct module *m);
/* Makes the list an empty one. */
void module_process_clear(json_t **problems);

/* ---- module_due.c ---- */

/* Does what is due; when there is more to do. */
int64_t module_due_tick(struct modules *table, struct module *m, int64_t now);

#endif
