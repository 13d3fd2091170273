/* SPDX-License-Identifier: MIT */
/* Writes the nightly report so that it can be read over a coffee. */
#include "ctl/nightly_text.h"

#include <stdio.h>
#include <string.h>

#include "ctl/output.h"

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value == NULL ? "" : value;
}

static long long number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void heading(const json_t *report, bool colour, struct buf *out)
{
    const json_t *counts = json_object_get(report, "counts");
    bool healthy = json_is_true(json_object_get(report, "healthy"));

    buf_puts(out, colour ? output_style_begin(healthy ? STYLE_GOOD : STYLE_BAD) : "");
    buf_printf(out, "Nightly audit of %s: ", text(report, "timestamp"));
    if (healthy)
        buf_printf(out, "healthy, %lld notes", number(counts, "info"));
    else
        buf_printf(out, "%lld critical, %lld warnings, %lld notes", number(counts, "critical"),
                   number(counts, "warning"), number(counts, "info"));
    buf_printf(out, "%s\n", colour ? OUTPUT_RESET : "");
}

static enum output_style style_of(const char *severity)
{
    return strcmp(severity, "critical") == 0 ? STYLE_BAD
           : strcmp(severity, "warning") == 0 ? STYLE_WARNING
                                              : STYLE_FAINT;
}

/* The worst first. */
static void findings(const json_t *report, bool colour, struct buf *out)
{
    static const char *const order[] = {"critical", "warning", "info"};
    json_t *finding;
    size_t i;

    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        json_array_foreach(json_object_get(report, "security_findings"), i, finding) {
            const char *subject = text(finding, "subject");

            if (strcmp(text(finding, "severity"), order[k]) != 0)
                continue;
            buf_printf(out, "%s%-9s%s%-21s ", colour ? output_style_begin(style_of(order[k])) : "",
                       order[k], colour ? OUTPUT_RESET : "", text(finding, "kind"));
            output_escape(out, subject, 0);
            buf_puts(out, subject[0] == '\0' ? "" : ": ");
            output_escape(out, text(finding, "message"), 0);
            buf_puts(out, "\n");
        }
}

static void keys(const json_t *report, struct buf *out)
{
    buf_printf(out, "keys       %lld, %lld hashed, %lld without expiry, %lld expiring, %lld expired,"
                    " %lld unused, %lld administrators for every agent\n",
               number(report, "total_api_keys"), number(report, "hashed_api_keys"),
               number(report, "api_keys_without_expiry"), number(report, "api_keys_expiring"),
               number(report, "api_keys_expired"), number(report, "api_keys_unused"),
               number(report, "wildcard_admin_keys"));
}

static void trail(const json_t *report, struct buf *out)
{
    const json_t *audit = json_object_get(report, "audit");
    const json_t *head = json_object_get(audit, "head");
    const json_t *requests = json_object_get(report, "requests");

    if (!json_is_object(audit))
        return;
    buf_printf(out, "trail      %s, %lld rows verified, head %lld:%s\n",
               json_is_true(json_object_get(audit, "ok")) ? "holds" : "DOES NOT HOLD",
               number(audit, "checked"), number(head, "seq"), text(head, "hash"));
    buf_puts(out, "requests   ");
    if (json_is_true(json_object_get(requests, "compared")))
        buf_puts(out, "rows and metrics were compared by outcome\n");
    else
        buf_printf(out, "rows and metrics were not compared: %s\n",
                   text(requests, "not_compared"));
}

static void database(const json_t *report, struct buf *out)
{
    const json_t *overrides = json_object_get(report, "overrides");
    const json_t *denials = json_object_get(report, "denials");
    const json_t *pages = json_object_get(report, "database");

    if (json_is_object(overrides))
        buf_printf(out, "overrides  %lld, %lld in force, %lld used %lld times\n",
                   number(overrides, "total"), number(overrides, "active"),
                   number(overrides, "used"), number(overrides, "uses"));
    if (json_is_object(denials))
        buf_printf(out, "denials    %lld since %s\n", number(denials, "total"),
                   text(report, "since"));
    if (json_is_object(pages))
        buf_printf(out, "database   %s\n",
                   json_is_true(json_object_get(pages, "ok")) ? "sound" : "DAMAGED");
}

void nightly_text(const json_t *report, bool colour, struct buf *out)
{
    heading(report, colour, out);
    buf_puts(out, "\n");
    findings(report, colour, out);
    if (json_array_size(json_object_get(report, "security_findings")) > 0)
        buf_puts(out, "\n");
    keys(report, out);
    database(report, out);
    trail(report, out);
}
