/* SPDX-License-Identifier: MIT */
/* Says what is new with drop-in agents: in the log, in the list of recent errors, in the metrics,
 * and, of blocked modules, in the audit trail. One worker an instance speaks; of several instances
 * with one database one tells of a problem, and none when it was told before (see
 * store/dropin_problems.h).
 */
#ifndef AGW_API_DROPIN_NEWS_H
#define AGW_API_DROPIN_NEWS_H

#include "runner/dropins.h"

/* For link_on_change(); `arg` is the struct api. */
void dropin_news(void *arg, const struct dropins *now, const struct dropins *before);

#endif
