/* SPDX-License-Identifier: MIT */
/* A sample agent in C: it knows what time it is, anywhere, and how long it is until a day.
 *
 *     contrib/build-agent agents/Clock
 *
 * makes agent.so of it, and clients call it default/clock. security.yaml has to allow its tools:
 * local_tools_allowlist: ["Clock.agent:*"].
 */
#include <agent_gateway/agent.h>

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SECONDS_OF_DAY = 86400, NAME_SIZE = 64, TEXT_SIZE = 80 };

/* The C library has one time zone for all threads, and requests come side by side. */
static pthread_mutex_t zone_lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_zone(const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
    return name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL &&
           access(path, R_OK) == 0;
}

/* ---- now(timezone) ---- */

static int now(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    char zone[NAME_SIZE] = "UTC", text[TEXT_SIZE];
    time_t seconds = time(NULL);
    struct tm when;

    (void)run;
    agw_json_string(arguments, "/timezone", zone, sizeof zone); /* without one it stays UTC */
    if (strcmp(zone, "UTC") != 0 && !is_zone(zone)) {
        /* The model is told, and may try another one. */
        agw_text_addf(result, "there is no time zone %s; one is, for example, Europe/Lisbon", zone);
        return AGW_FAILED;
    }
    pthread_mutex_lock(&zone_lock);
    setenv("TZ", zone, 1);
    tzset();
    localtime_r(&seconds, &when);
    strftime(text, sizeof text, "%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)", &when);
    pthread_mutex_unlock(&zone_lock);
    return agw_text_add(result, text);
}

/* ---- until(date) ---- */

static int until(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    char date[NAME_SIZE], rest;
    struct tm day = {0}, asked;
    long days;

    if (agw_json_string(arguments, "/date", date, sizeof date) != AGW_DONE ||
        sscanf(date, "%4d-%2d-%2d%c", &day.tm_year, &day.tm_mon, &day.tm_mday, &rest) != 3) {
        agw_text_add(result, "a date is written as 2027-01-31");
        return AGW_FAILED;
    }
    day.tm_year -= 1900;
    day.tm_mon -= 1;
    asked = day;
    /* timegm() takes a 30th of February for a day in March. */
    days = (long)(timegm(&day) / SECONDS_OF_DAY - time(NULL) / SECONDS_OF_DAY);
    if (day.tm_mon != asked.tm_mon || day.tm_mday != asked.tm_mday) {
        agw_text_addf(result, "the calendar has no %s", date);
        return AGW_FAILED;
    }
    agw_log(run, "info", "%s is %ld days from today", date, days);
    return agw_text_addf(result, "{\"date\": \"%s\", \"days\": %ld}", date, days);
}

/* ---- the agent ---- */

static const struct agw_tool tools[] = {
    {.name = "now",
     .description = "What time and day it is now, in a time zone.",
     .parameters = "{\"type\": \"object\", \"properties\": {\"timezone\": {\"type\": \"string\","
                   " \"description\": \"for example Europe/Lisbon; without it UTC\"}}}",
     .call = now},
    {.name = "until",
     .description = "How many days it is from today (UTC) until a date; negative when it has passed.",
     .parameters = "{\"type\": \"object\", \"properties\": {\"date\": {\"type\": \"string\","
                   " \"description\": \"YYYY-MM-DD\"}}, \"required\": [\"date\"]}",
     .call = until},
    {0}, /* the end of the list */
};

const struct agw_agent agent = {
    .version = AGW_AGENT_VERSION,
    .name = "Clock",
    .display_name = "Clock",
    .description = "Tells the time anywhere, and how long it is until a day.",
    .instructions = "You answer questions about time and dates. Always ask your tools; never guess"
                    " what day it is today.",
    .tools = tools,
};
