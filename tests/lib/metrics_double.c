/* SPDX-License-Identifier: MIT */
/* Remembers what was counted. */
#include "metrics_double.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SERIES_MAX = 256 };

static struct {
    enum metric metric;
    char labels[128];
    int64_t value;
} series[SERIES_MAX];
static int count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const label_names[] = {
#define X(id, name, type, labels, help) labels,
    METRICS_TABLE(X)
#undef X
};

static void join(enum metric metric, va_list values, char *out, size_t room)
{
    size_t used = 0;

    out[0] = '\0';
    for (const char *at = label_names[metric]; at != NULL && *at != '\0';) {
        used += (size_t)snprintf(out + used, room - used, "%s%s", used > 0 ? "," : "",
                                 va_arg(values, const char *));
        at = strchr(at, ',');
        at = at == NULL ? NULL : at + 1;
    }
}

static int64_t *find(enum metric metric, const char *labels)
{
    int i = 0;

    while (i < count && (series[i].metric != metric || strcmp(series[i].labels, labels) != 0))
        i++;
    if (i == count) {
        count++;
        series[i].metric = metric;
        series[i].value = 0;
        snprintf(series[i].labels, sizeof series[i].labels, "%s", labels);
    }
    return &series[i].value;
}

void metrics_add(enum metric metric, uint64_t by, ...)
{
    char labels[128];
    va_list values;

    va_start(values, by);
    join(metric, values, labels, sizeof labels);
    va_end(values);
    pthread_mutex_lock(&lock);
    *find(metric, labels) += (int64_t)by;
    pthread_mutex_unlock(&lock);
}

void metrics_set(enum metric metric, int64_t value, ...)
{
    char labels[128];
    va_list values;

    va_start(values, value);
    join(metric, values, labels, sizeof labels);
    va_end(values);
    pthread_mutex_lock(&lock);
    *find(metric, labels) = value;
    pthread_mutex_unlock(&lock);
}

void metrics_observe_us(enum metric metric, int64_t microseconds, ...)
{
    (void)metric, (void)microseconds;
}

int64_t metrics_double_value(enum metric metric, const char *labels)
{
    int64_t value;

    pthread_mutex_lock(&lock);
    value = *find(metric, labels);
    pthread_mutex_unlock(&lock);
    return value;
}

void metrics_double_reset(void)
{
    pthread_mutex_lock(&lock);
    count = 0;
    pthread_mutex_unlock(&lock);
}
