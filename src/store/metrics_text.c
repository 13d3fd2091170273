/* SPDX-License-Identifier: MIT */
/* Shows the metrics: to Prometheus as text, to people as JSON. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/metrics_region.h"

static int compare_series(const void *a, const void *b)
{
    const struct series *x = *(const struct series *const *)a;
    const struct series *y = *(const struct series *const *)b;

    return strcmp(x->labels, y->labels);
}

struct series **metrics_collect(enum metric metric, size_t *count, bool *failed)
{
    struct metrics_region *region = metrics_region();
    struct series **list = NULL;
    size_t capacity = 0;

    *count = 0;
    for (size_t i = 0; region != NULL && i < METRICS_INDEX_SIZE; i++) {
        uint32_t number = atomic_load_explicit(&region->index[i], memory_order_acquire);
        struct series *series = number == 0 ? NULL : metrics_series(number - 1);

        if (series == NULL || series->family != metrics_families[metric].tag)
            continue;
        if (*count == capacity) {
            struct series **more;

            capacity = capacity == 0 ? 64 : 2 * capacity;
            more = realloc(list, capacity * sizeof *list);
            if (more == NULL) {
                *failed = true;
                break;
            }
            list = more;
        }
        list[(*count)++] = series;
    }
    if (*count > 0)
        qsort(list, *count, sizeof *list, compare_series);
    return list;
}

int metrics_next_label(const char **labels, const char **name, size_t *name_length,
                       char value[METRICS_LABEL_MAX + 1])
{
    const char *at = *labels;
    size_t length = 0;

    if (*at == ',')
        at++;
    if (*at == '\0')
        return 0;
    *name = at;
    *name_length = strcspn(at, "=");
    at += *name_length;
    at += at[0] == '=' && at[1] == '"' ? 2 : 0;
    while (*at != '\0' && *at != '"' && length < METRICS_LABEL_MAX) {
        if (at[0] == '\\' && at[1] != '\0') {
            value[length++] = (char)(at[1] == 'n' ? '\n' : at[1]);
            at += 2;
        } else {
            value[length++] = *at++;
        }
    }
    value[length] = '\0';
    *labels = at + (*at == '"');
    return 1;
}

static void write_header(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_sample(struct buf *out, const char *name, const char *labels)
{
    buf_puts(out, name);
    if (labels[0] != '\0')
        buf_printf(out, "{%s}", labels);
}

/* Seconds with all digits of the microseconds and no locale. */
static void write_seconds(struct buf *out, uint64_t us)
{
    buf_printf(out, "%" PRIu64, us / 1000000);
    if (us % 1000000 != 0) {
        char digits[8];
        int n = snprintf(digits, sizeof digits, "%06" PRIu64, us % 1000000);

        while (n > 0 && digits[n - 1] == '0')
            digits[--n] = '\0';
        buf_printf(out, ".%s", digits);
    }
}

/* The count is the sum of the buckets read here, so that a scrape in the middle of an
 * update agrees with itself. */
static void write_histogram(struct buf *out, const char *name, const struct series *s)
{
    const char *comma = s->labels[0] == '\0' ? "" : ",";
    uint64_t total = 0;

    for (int i = 0; i <= METRICS_BUCKETS; i++) {
        total += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{%s%sle=\"", name, s->labels, comma);
        if (i == METRICS_BUCKETS)
            buf_puts(out, "+Inf");
        else
            write_seconds(out, (uint64_t)metrics_bounds_us[i]);
        buf_printf(out, "\"} %" PRIu64 "\n", total);
    }
    buf_printf(out, "%s_sum", name);
    write_sample(out, "", s->labels);
    buf_puts(out, " ");
    write_seconds(out, atomic_load_explicit(&s->value, memory_order_relaxed));
    buf_printf(out, "\n%s_count", name);
    write_sample(out, "", s->labels);
    buf_printf(out, " %" PRIu64 "\n", total);
}

static void write_series(struct buf *out, const struct metrics_family *f,
                         const struct series *s)
{
    uint64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);

    if (f->type == METRIC_HISTOGRAM) {
        write_histogram(out, f->name, s);
        return;
    }
    write_sample(out, f->name, s->labels);
    if (f->type == METRIC_GAUGE)
        buf_printf(out, " %" PRId64 "\n", (int64_t)value);
    else
        buf_printf(out, " %" PRIu64 "\n", value);
}

/* A family without labels shows its zero before it is first used, so that rates start right. */
static int write_family(struct buf *out, enum metric metric)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    static const struct series zero;
    const struct metrics_family *f = &metrics_families[metric];
    bool failed = false;
    size_t count;
    struct series **list = metrics_collect(metric, &count, &failed);

    write_header(out, f->name, types[f->type], f->help);
    for (size_t i = 0; i < count; i++)
        write_series(out, f, list[i]);
    if (count == 0 && f->labels[0] == '\0')
        write_series(out, f, &zero);
    free(list);
    return failed ? -1 : 0;
}

int metrics_write_text(struct buf *out)
{
    int64_t inflight = 0, audit_queue = 0;
    int status = 0;

    for (int i = 0; i < METRIC_COUNT; i++)
        status |= write_family(out, (enum metric)i);
    if (metrics_region() != NULL)
        metrics_process_sums(&inflight, &audit_queue);
    write_header(out, "agent_gateway_inflight_requests", "gauge",
                 "Requests that are being handled.");
    buf_printf(out, "agent_gateway_inflight_requests %" PRId64 "\n", inflight);
    write_header(out, "agent_gateway_audit_queue", "gauge",
                 "Audit rows that wait for their commit.");
    buf_printf(out, "agent_gateway_audit_queue %" PRId64 "\n", audit_queue);
    write_header(out, "agent_gateway_build_info", "gauge", "The program's version.");
    buf_printf(out, "agent_gateway_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
    return status != 0 || out->failed ? -1 : 0;
}

static json_t *labels_json(const char *labels)
{
    char value[METRICS_LABEL_MAX + 1];
    const char *name;
    size_t length;
    json_t *object = json_object();

    while (metrics_next_label(&labels, &name, &length, value)) {
        char key[64];

        snprintf(key, sizeof key, "%.*s", (int)length, name);
        json_object_set_new(object, key, json_string(value));
    }
    return object;
}

static json_t *series_json(const struct metrics_family *f, const struct series *s)
{
    uint64_t value = atomic_load_explicit(&s->value, memory_order_relaxed), total = 0;

    if (f->type != METRIC_HISTOGRAM)
        return json_pack("{s:o, s:I}", "labels", labels_json(s->labels), "value",
                         (json_int_t)value);
    for (int i = 0; i <= METRICS_BUCKETS; i++)
        total += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
    return json_pack("{s:o, s:I, s:f}", "labels", labels_json(s->labels), "count",
                     (json_int_t)total, "sum", (double)value / 1e6);
}

json_t *metrics_json(void)
{
    int64_t inflight = 0, audit_queue = 0;
    json_t *all = json_object();
    bool failed = all == NULL;

    for (int i = 0; i < METRIC_COUNT; i++) {
        size_t count;
        struct series **list = metrics_collect((enum metric)i, &count, &failed);
        json_t *samples = json_array();

        for (size_t k = 0; k < count; k++)
            failed |= json_array_append_new(samples, series_json(&metrics_families[i],
                                                                 list[k])) != 0;
        failed |= json_object_set_new(all, metrics_families[i].name, samples) != 0;
        free(list);
    }
    if (metrics_region() != NULL)
        metrics_process_sums(&inflight, &audit_queue);
    failed |= json_object_set_new(all, "agent_gateway_inflight_requests",
                                  json_integer(inflight)) != 0;
    failed |= json_object_set_new(all, "agent_gateway_audit_queue",
                                  json_integer(audit_queue)) != 0;
    failed |= json_object_set_new(all, "agent_gateway_build_info",
                                  json_pack("{s:s}", "version", PACKAGE_VERSION)) != 0;
    if (failed) {
        json_decref(all);
        return NULL;
    }
    return all;
}

static bool has_label(const char *labels, const char *wanted, const char *wanted_value)
{
    char value[METRICS_LABEL_MAX + 1];
    const char *name;
    size_t length;

    while (metrics_next_label(&labels, &name, &length, value))
        if (strlen(wanted) == length && strncmp(name, wanted, length) == 0)
            return strcmp(value, wanted_value) == 0;
    return false;
}

uint64_t metrics_sum(enum metric metric, const char *label, const char *value)
{
    bool failed = false;
    uint64_t sum = 0;
    size_t count;
    struct series **list = metrics_collect(metric, &count, &failed);

    for (size_t i = 0; i < count; i++)
        if (label == NULL || has_label(list[i]->labels, label, value))
            sum += atomic_load(&list[i]->value);
    free(list);
    return sum;
}
