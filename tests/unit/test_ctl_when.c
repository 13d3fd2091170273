/* SPDX-License-Identifier: MIT */
/* Times on the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "ctl/when.h"

static const int64_t now = 1764100000123;

static void times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"now", 1764100000123},
        {"2026-11-25", 1795564800000},
        {"2026-11-25T01:00:00+01:00", 1795564800000},
        {"2026-11-25T00:00:00.5Z", 1795564800500},
        {"-1s", 1764100000123 - 1000},
        {"-30m", 1764100000123 - 1800000},
        {"-1h", 1764100000123 - 3600000},
        {"-7d", 1764100000123 - 604800000},
        {"+2w", 1764100000123 + 1209600000},
        {"-1h30m", 1764100000123 - 5400000},
        {"-0s", 1764100000123},
        {"-366000d", 1764100000123 - (int64_t)366000 * 86400000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;

        if (when_parse(cases[i].text, now, &ms) != 0 || ms != cases[i].ms)
            fail_msg("'%s' is %lld", cases[i].text, (long long)ms);
    }
}

static void no_times(void **state)
{
    static const char *const cases[] = {
        "", " ", "-", "+", "1h", "-h", "-1", "-1y", "-1H", "--1h", "-1h ", " -1h", "-1h-1m",
        "-1.5h", "-366001d", "-366000d1s", "-99999999999999999999s", "-9223372036854775808s",
        "yesterday", "now ", "2026-13-01", "2026-11-25T", "2026-11-25 10:00:00", "-1h\n",
        "-\x1b[31m1h", "\xff",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;

        if (when_parse(cases[i], now, &ms) == 0)
            fail_msg("'%s' is %lld", cases[i], (long long)ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(no_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
