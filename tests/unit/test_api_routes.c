/* SPDX-License-Identifier: MIT */
/* The table of endpoints: what it finds, and that it is sound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/routes.h"

static const struct {
    const char *method, *path;
    int status;
    const char *route, *id, *allow;
} cases[] = {
    {"GET", "/health", 0, "/health", NULL, "GET, HEAD, OPTIONS"},
    {"HEAD", "/health", 0, "/health", NULL, "GET, HEAD, OPTIONS"},
    {"POST", "/health", AGW_EMETHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"OPTIONS", "/v1/chat/completions", AGW_EMETHOD, NULL, NULL, "POST, OPTIONS"},
    {"POST", "/v1/chat/completions", 0, "/v1/chat/completions", NULL, "POST, OPTIONS"},
    {"post", "/v1/chat/completions", AGW_EMETHOD, NULL, NULL, "POST, OPTIONS"},
    {"GET", "/v1/models", 0, "/v1/models", NULL, "GET, HEAD, OPTIONS"},
    {"GET", "/v1/models/a", 0, "/v1/models/{id}", "a", "GET, HEAD, OPTIONS"},
    {"GET", "/v1/models/labs/planner", 0, "/v1/models/{id}", "labs/planner",
     "GET, HEAD, OPTIONS"},
    {"GET", "/v1/models/", AGW_ENOROUTE, NULL, NULL, ""},
    {"GET", "/v1/modelsx", AGW_ENOROUTE, NULL, NULL, ""},
    {"GET", "/", AGW_ENOROUTE, NULL, NULL, ""},
    {"GET", "/Health", AGW_ENOROUTE, NULL, NULL, ""},
    {"DELETE", "/security/overrides/ovr_1", 0, "/security/overrides/{id}", "ovr_1",
     "DELETE, OPTIONS"},
    {"DELETE", "/security/overrides", AGW_EMETHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
    {"DELETE", "/security/overrides/ovr_1/x", AGW_ENOROUTE, NULL, NULL, ""},
    {"GET", "/security/keys", 0, "/security/keys", NULL, "GET, HEAD, POST, OPTIONS"},
    {"POST", "/security/keys", 0, "/security/keys", NULL, "GET, HEAD, POST, OPTIONS"},
    {"DELETE", "/security/keys/ci", 0, "/security/keys/{id}", "ci", "DELETE, OPTIONS"},
    {"POST", "/security/keys/ci/rotate", 0, "/security/keys/{id}/rotate", "ci",
     "POST, OPTIONS"},
    {"DELETE", "/security/keys/ci/rotate", AGW_EMETHOD, NULL, NULL, "POST, OPTIONS"},
    {"DELETE", "/security/keys/rotate", 0, "/security/keys/{id}", "rotate", "DELETE, OPTIONS"},
    {"POST", "/security/keys/rotate", AGW_EMETHOD, NULL, NULL, "DELETE, OPTIONS"},
    {"POST", "/security/keys//rotate", AGW_ENOROUTE, NULL, NULL, ""},
    {"POST", "/security/keys/a/b/rotate", AGW_ENOROUTE, NULL, NULL, ""},
    {"POST", "/security/keys/", AGW_ENOROUTE, NULL, NULL, ""},
    {"GET", "/security/audit/verify", 0, "/security/audit/verify", NULL, "GET, HEAD, OPTIONS"},
    {"BREW", "/health", AGW_EMETHOD, NULL, NULL, "GET, HEAD, OPTIONS"},
};

static void finds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct route *route;
        struct route_id id;
        unsigned allow;
        char text[64];
        int status = routes_find(cases[i].method, cases[i].path, &route, &id, &allow);

        if (status != cases[i].status)
            fail_msg("%s %s: %d", cases[i].method, cases[i].path, status);
        assert_int_equal(route != NULL, status == 0);
        if (status == 0)
            assert_string_equal(route->path, cases[i].route);
        if (cases[i].id == NULL)
            assert_null(id.start);
        else if (id.start == NULL || id.length != strlen(cases[i].id) ||
                 memcmp(id.start, cases[i].id, id.length) != 0)
            fail_msg("%s %s: another id", cases[i].method, cases[i].path);
        assert_string_equal(routes_allow_text(allow, text), cases[i].allow);
    }
}

/* What would open a door by a slip in the table. */
static void is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count; i++) {
        const struct route *r = &routes_table[i];

        assert_non_null(r->handle);
        assert_int_equal(r->auth == ROUTE_OPEN, r->roles == 0);
        assert_int_equal(r->auth == ROUTE_OPEN, r->kind[0] == '\0');
        assert_true(r->auth != ROUTE_OPEN || strcmp(r->path, "/health") == 0 ||
                    strcmp(r->path, "/ready") == 0 || strcmp(r->path, "/openapi.json") == 0);
        assert_int_equal(r->limited, strncmp(r->path, "/v1/", 4) == 0);
        assert_true((r->roles & ROLE_CLIENT) == 0 || strncmp(r->path, "/v1/", 4) == 0);
        /* What changes something is for administrators; only a preview is not a change. */
        if (strcmp(r->method, "GET") != 0 && strncmp(r->path, "/v1/", 4) != 0 &&
            strcmp(r->path, "/security/preview") != 0)
            assert_int_equal(r->roles, ROLE_ADMIN);
        for (size_t j = 0; j < i; j++)
            assert_false(strcmp(r->method, routes_table[j].method) == 0 &&
                         strcmp(r->path, routes_table[j].path) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(is_sound),
    };

    return cmocka_run_group_tests_name("api/routes", tests, NULL, NULL);
}
