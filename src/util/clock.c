/* SPDX-License-Identifier: MIT */
/* Tells the time and writes it down. */
#include "util/clock.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SECOND_LENGTH = 19 };

static int64_t read_clock(clockid_t id, int64_t per_second)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * per_second + now.tv_nsec / (1000000000 / per_second);
}

int64_t clock_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000);
}

int64_t clock_mono_ms(void)
{
    return read_clock(CLOCK_BOOTTIME, 1000);
}

int64_t clock_mono_us(void)
{
    return read_clock(CLOCK_BOOTTIME, 1000000);
}

void clock_condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

struct timespec clock_wait_end(int64_t ms)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ms / 1000;
    end.tv_nsec += ms % 1000 * 1000000;
    if (end.tv_nsec >= 1000000000) {
        end.tv_sec++;
        end.tv_nsec -= 1000000000;
    }
    return end;
}

/* "2026-11-25T19:01:17" of `seconds`, without NUL. */
static void spell_second(time_t seconds, char text[SECOND_LENGTH])
{
    char spelled[CLOCK_TEXT_SIZE];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    /* strftime's %Y does not pad; years below 1000 must sort and parse like the others. */
    snprintf(spelled, sizeof spelled, "%04d", (tm.tm_year + 1900) % 10000);
    (void)strftime(spelled + 4, sizeof spelled - 4, "-%m-%dT%H:%M:%S", &tm);
    memcpy(text, spelled, SECOND_LENGTH);
}

/* Most times are those of now: each thread keeps the second it spelled last. */
const char *clock_format(int64_t ms, char text[CLOCK_TEXT_SIZE])
{
    static _Thread_local char spelled[SECOND_LENGTH];
    static _Thread_local time_t of = (time_t)-1;
    const int64_t first = -62167219200000, last = 253402300799999; /* years 0 and 9999 */
    int64_t clamped = ms < first ? first : ms > last ? last : ms;
    int64_t millis = (clamped % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((clamped - millis) / 1000);

    if (seconds != of || spelled[0] == '\0') {
        spell_second(seconds, spelled);
        of = seconds;
    }
    memcpy(text, spelled, SECOND_LENGTH);
    text[SECOND_LENGTH] = '.';
    text[SECOND_LENGTH + 1] = (char)('0' + millis / 100);
    text[SECOND_LENGTH + 2] = (char)('0' + millis / 10 % 10);
    text[SECOND_LENGTH + 3] = (char)('0' + millis % 10);
    text[SECOND_LENGTH + 4] = 'Z';
    text[SECOND_LENGTH + 5] = '\0';
    return text;
}

/* Exactly `count` digits at *cursor, which moves past them; -1 otherwise. */
static int digits(const char **cursor, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++, (*cursor)++) {
        if (!isdigit((unsigned char)**cursor))
            return -1;
        value = value * 10 + (**cursor - '0');
    }
    return value;
}

static int expect(const char **cursor, char wanted)
{
    if (**cursor != wanted)
        return -1;
    (*cursor)++;
    return 0;
}

/* The fraction after the seconds in milliseconds; further digits are dropped. */
static int fraction(const char **cursor)
{
    int millis = 0, scale = 100;

    if (**cursor != '.')
        return 0;
    (*cursor)++;
    if (!isdigit((unsigned char)**cursor))
        return -1;
    for (; isdigit((unsigned char)**cursor); (*cursor)++, scale /= 10)
        millis += (**cursor - '0') * scale;
    return millis;
}

static int zone_minutes(const char **cursor, int *minutes)
{
    int sign, hours, rest;

    *minutes = 0;
    if (**cursor == 'Z' || **cursor == 'z') {
        (*cursor)++;
        return 0;
    }
    sign = **cursor == '+' ? 1 : **cursor == '-' ? -1 : 0;
    if (sign == 0)
        return -1;
    (*cursor)++;
    hours = digits(cursor, 2);
    if (hours < 0 || hours > 23 || expect(cursor, ':') != 0)
        return -1;
    rest = digits(cursor, 2);
    if (rest < 0 || rest > 59)
        return -1;
    *minutes = sign * (hours * 60 + rest);
    return 0;
}

static int time_of_day(const char **cursor, struct tm *tm, int *millis, int *zone)
{
    if (**cursor != 'T' && **cursor != 't' && **cursor != ' ')
        return -1;
    (*cursor)++;
    tm->tm_hour = digits(cursor, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || expect(cursor, ':') != 0)
        return -1;
    tm->tm_min = digits(cursor, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59 || expect(cursor, ':') != 0)
        return -1;
    tm->tm_sec = digits(cursor, 2);
    if (tm->tm_sec < 0 || tm->tm_sec > 60)
        return -1;
    *millis = fraction(cursor);
    return *millis < 0 ? -1 : zone_minutes(cursor, zone);
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (leap && month == 2);
}

int clock_parse(const char *text, int64_t *ms)
{
    struct tm tm = {0};
    int year, month, day, millis = 0, zone = 0;

    year = digits(&text, 4);
    if (year < 0 || expect(&text, '-') != 0)
        return -1;
    month = digits(&text, 2);
    if (month < 1 || month > 12 || expect(&text, '-') != 0)
        return -1;
    day = digits(&text, 2);
    if (day < 1 || day > days_of_month(year, month))
        return -1;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    if (*text != '\0' && time_of_day(&text, &tm, &millis, &zone) != 0)
        return -1;
    if (*text != '\0')
        return -1;
    *ms = ((int64_t)timegm(&tm) - zone * INT64_C(60)) * 1000 + millis;
    return 0;
}
