/* SPDX-License-Identifier: MIT */
/* Reads a point in time, absolute or counted from now. */
#include "ctl/when.h"

#include <string.h>

#include "util/clock.h"

/* A thousand years: no sum of such offsets overflows. */
static const int64_t offset_max = (int64_t)1000 * 366 * 86400 * 1000;

static int64_t unit_ms(char unit)
{
    static const int64_t second = 1000, minute = 60 * second, hour = 60 * minute,
                         day = 24 * hour;

    switch (unit) {
    case 's':
        return second;
    case 'm':
        return minute;
    case 'h':
        return hour;
    case 'd':
        return day;
    case 'w':
        return 7 * day;
    default:
        return 0;
    }
}

/* "1h30m" */
static int parse_offset(const char *text, int64_t *ms)
{
    int64_t sum = 0;

    do {
        int64_t number = 0, unit;

        if (*text < '0' || *text > '9')
            return -1;
        for (; *text >= '0' && *text <= '9'; text++) {
            number = number * 10 + (*text - '0');
            if (number > offset_max)
                return -1;
        }
        unit = unit_ms(*text);
        if (unit == 0 || number > (offset_max - sum) / unit)
            return -1;
        sum += number * unit;
        text++;
    } while (*text != '\0');
    *ms = sum;
    return 0;
}

int when_parse(const char *text, int64_t now, int64_t *ms)
{
    int64_t offset;

    if (strcmp(text, "now") == 0) {
        *ms = now;
        return 0;
    }
    if (text[0] == '-' || text[0] == '+') {
        if (parse_offset(text + 1, &offset) != 0)
            return -1;
        *ms = text[0] == '-' ? now - offset : now + offset;
        return 0;
    }
    return clock_parse(text, ms);
}
