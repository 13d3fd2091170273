/* SPDX-License-Identifier: MIT */
/* What administrators type to agwctl: points in time, and the exported head of the audit trail.
 * The first byte picks which. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/when.h"
#include "store/audit_head.h"
#include "util/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t now = 1795647677000; /* 2026-11-25 */

/* What it yields can be written down and is the same again. */
static void try_when(const char *text)
{
    char written[CLOCK_TEXT_SIZE];
    int64_t ms, again;

    if (when_parse(text, now, &ms) != 0)
        return;
    clock_format(ms, written);
    if (ms >= 0 && ms < INT64_C(253402300800000)) /* years of four digits */
        assert(when_parse(written, now, &again) == 0 && again == ms);
}

static void try_head(const char *text)
{
    struct audit_head head, again;
    char written[SHA_HEX_SIZE + 32];

    if (audit_head_parse(text, &head) != 0)
        return;
    assert(head.seq > 0 && strspn(head.hash, "0123456789abcdef") == SHA_HEX_SIZE - 1);
    snprintf(written, sizeof written, "%lld:%s", (long long)head.seq, head.hash);
    assert(audit_head_parse(written, &again) == 0 && again.seq == head.seq);
    assert(strcmp(again.hash, head.hash) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text;

    if (size == 0)
        return 0;
    text = strndup((const char *)data + 1, size - 1);
    assert(text != NULL);
    if (data[0] % 2 == 0)
        try_when(text);
    else
        try_head(text);
    free(text);
    return 0;
}
