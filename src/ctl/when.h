/* SPDX-License-Identifier: MIT */
/* Points in time as people write them on a command line. Any thread. */
#ifndef AGW_CTL_WHEN_H
#define AGW_CTL_WHEN_H

#include <stdint.h>

/* RFC 3339 ("2026-11-25T19:01:17Z"), a date (midnight UTC), "now", or an offset from `now`:
 * a sign and numbers with s, m, h, d or w ("-90s", "-1h30m", "+7d"). 0 and UTC ms, or -1. */
int when_parse(const char *text, int64_t now, int64_t *ms);

/* What when_parse() takes, for messages. */
#define WHEN_FORMS "RFC 3339 (2026-11-25T19:00:00Z), a date, or relative (-1h, -30m, -7d)"

#endif
