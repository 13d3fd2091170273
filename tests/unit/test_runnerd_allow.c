/* SPDX-License-Identifier: MIT */
/* allow: which modules the lists of security.yaml let in, and why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "runnerd/allow.h"

enum { PATTERNS_MAX = 4 };

struct lists {
    const char *patterns[PATTERNS_MAX];
    struct config_place places[PATTERNS_MAX];
};

/* "a|b": two patterns; "": an empty list; NULL: no list. */
static struct config_patterns list_of(struct lists *lists, char *text)
{
    struct config_patterns list = {.present = text != NULL, .patterns = lists->patterns,
                                   .places = lists->places};

    while (text != NULL && *text != '\0') {
        char *end = strchr(text, '|');

        lists->places[list.count] = (struct config_place){"security.yaml", 7, 1};
        lists->patterns[list.count++] = text;
        text = end == NULL ? NULL : end + 1;
        if (end != NULL)
            *end = '\0';
    }
    return list;
}

static char *copy(char room[64], const char *text)
{
    return text == NULL ? NULL : strncpy(room, text, 63);
}

static void lists_decide(void **state)
{
    static const struct {
        const char *allow, *deny, *ns_allow, *ns_deny, *ns, *module, *why; /* NULL = allowed */
    } rows[] = {
        {"*", NULL, NULL, NULL, "default", "Hello.agent", NULL},
        {NULL, NULL, NULL, NULL, "default", "Hello.agent", "default.dropin_module_allowlist"},
        {"", NULL, NULL, NULL, "default", "Hello.agent", "default.dropin_module_allowlist"},
        {"labs.*|Hello.*", NULL, NULL, NULL, "default", "Hello.agent", NULL},
        {"hello.*", NULL, NULL, NULL, "default", "Hello.agent", "allowlist"},
        {"*", "evil.*|Hello.*", NULL, NULL, "default", "Hello.agent", "'Hello.*' (security.yaml:7)"},
        /* a namespace's own allowlist stands alone, its denylist adds */
        {"*", NULL, "labs.Good.*", NULL, "labs", "labs.Good.agent", NULL},
        {"*", NULL, "labs.Good.*", NULL, "labs", "labs.Bad.agent",
         "namespace_defaults.labs.dropin_module_allowlist"},
        {"*", NULL, "", NULL, "labs", "labs.Good.agent", "namespace_defaults.labs"},
        {"", NULL, "labs.*", NULL, "labs", "labs.Good.agent", NULL},
        {"*", NULL, NULL, NULL, "labs", "labs.Good.agent", NULL},
        {"*", NULL, "*", "*.Bad.*", "labs", "labs.Bad.agent", "'*.Bad.*'"},
        {"*", "*.Bad.*", "*", NULL, "labs", "labs.Bad.agent", "'*.Bad.*'"},
        {"*", NULL, "", "*", "other", "labs.Good.agent", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lists lists[4] = {0};
        char rooms[4][64] = {{0}}, why[200] = "";
        struct config_namespace labs = {
            .name = "labs", .dropin_allow = list_of(&lists[0], copy(rooms[0], rows[i].ns_allow)),
            .dropin_deny = list_of(&lists[1], copy(rooms[1], rows[i].ns_deny))};
        struct config_security security = {
            .dropin_allow = list_of(&lists[2], copy(rooms[2], rows[i].allow)),
            .dropin_deny = list_of(&lists[3], copy(rooms[3], rows[i].deny)),
            .namespaces = &labs, .namespace_count = 1};

        assert_int_equal(
            allow_module(&security, rows[i].ns, rows[i].module, why, sizeof why),
            rows[i].why == NULL);
        if (rows[i].why != NULL && strstr(why, rows[i].why) == NULL)
            fail_msg("row %zu: %s", i, why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_decide)};

    return cmocka_run_group_tests_name("runnerd/allow", tests, NULL, NULL);
}
