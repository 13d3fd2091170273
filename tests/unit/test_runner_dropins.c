/* SPDX-License-Identifier: MIT */
/* What the runner lists: agents of it that can be served, and nothing else, whatever the list
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inject.h"
#include "runner/dropins.h"

#define REST "\"lang\":\"python\",\"module\":\"m\",\"path\":\"/p\",\"attr\":\"agent\""
#define AGENT(ns, name, more)                                                                    \
    "{\"id\":\"" ns "/" name "\",\"namespace\":\"" ns "\",\"name\":\"" name "\"," REST more "}"
#define GOOD(ns, name) AGENT(ns, name, ",\"model\":\"m\",\"available\":true")

static struct dropins *read_list(const char *agents)
{
    char text[65536];
    struct dropins *dropins;

    snprintf(text, sizeof text, "{\"t\":\"agents\",\"agents\":%s}", agents);
    dropins = dropins_new(json_loads(text, 0, NULL));
    assert_non_null(dropins);
    return dropins;
}

/* Ids in order, an unavailable one in brackets with its problem. */
static const char *in_short(const struct dropins *dropins)
{
    static char text[4096];
    size_t length = 0;

    text[0] = '\0';
    for (size_t i = 0; i < dropins->count; i++) {
        const struct dropin *d = &dropins->list[i];

        length += (size_t)snprintf(text + length, sizeof text - length,
                                   d->available ? "%s%s" : "%s[%s: %s]", i == 0 ? "" : " ",
                                   d->spec.id, d->problem);
        assert_int_equal(d->spec.kind, AGENT_SDK);
        assert_true(d->available == (d->problem == NULL));
        assert_ptr_equal(dropins_find(dropins, d->spec.id), d);
    }
    return text;
}

static const struct list_case {
    const char *agents, *served;
} cases[] = {
    {"[]", ""},
    {"null", ""},
    {"7", ""},
    {"{\"id\":\"a/b\"}", ""},
    {"[" GOOD("b", "x") "," GOOD("a", "y") "]", "a/y b/x"},
    {"[" GOOD("a", "x") "," GOOD("a", "x") "," GOOD("a", "x") "]", "a/x"},
    {"[null,1,\"a/b\",[],{}," GOOD("a", "x") ",{\"id\":\"a/z\"}]", "a/x"},
    /* without a model, or said to be unavailable */
    {"[" AGENT("a", "x", ",\"available\":true") "]", "[a/x: it names no model]"},
    {"[" AGENT("a", "x", ",\"model\":\"m\",\"available\":false,\"problem\":\"broken\"") "]",
     "[a/x: broken]"},
    {"[" AGENT("a", "x", ",\"model\":\"m\"") "]", "[a/x: the runner does not say why]"},
    {"[" AGENT("a", "x", ",\"model\":\"m\",\"available\":1") "]",
     "[a/x: the runner does not say why]"},
    /* decisions are made by id and namespace: they must say the same */
    {"[{\"id\":\"a/x\",\"namespace\":\"b\",\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"y\"," REST "}]", ""},
    {"[{\"id\":\"a/x/y\",\"namespace\":\"a\",\"name\":\"x/y\"," REST "}]", ""},
    {"[{\"id\":\"/x\",\"namespace\":\"\",\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"a/\",\"namespace\":\"a\",\"name\":\"\"," REST "}]", ""},
    {"[{\"id\":\"ax\",\"namespace\":\"a\",\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"A/x\",\"namespace\":\"A\",\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"a*/x\",\"namespace\":\"a*\",\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"a/x y\",\"namespace\":\"a\",\"name\":\"x y\"," REST "}]", ""},
    /* fields of another type, or that are not there */
    {"[{\"id\":7,\"namespace\":\"a\",\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"a/x\",\"namespace\":null,\"name\":\"x\"," REST "}]", ""},
    {"[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"x\",\"lang\":\"c\",\"module\":\"m\","
     "\"path\":\"/p\"}]", ""},
    {"[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"x\",\"lang\":\"c\",\"module\":\"m\","
     "\"attr\":\"agent\"}]", ""},
    {"[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"x\",\"lang\":\"c\",\"path\":\"/p\","
     "\"attr\":\"agent\"}]", ""},
    {"[{\"id\":\"a/x\",\"namespace\":\"a\",\"name\":\"x\",\"module\":\"m\",\"path\":\"/p\","
     "\"attr\":\"agent\"}]", ""},
};

static void what_can_be_served_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dropins *dropins = read_list(cases[i].agents);

        assert_string_equal(in_short(dropins), cases[i].served);
        dropins_release(&dropins);
        assert_null(dropins);
    }
}

static void all_that_is_said_is_kept(void **state)
{
    struct dropins *dropins = read_list(
        "[" AGENT("a", "x", ",\"model\":\"m\",\"upstream\":\"u\",\"available\":true,"
                  "\"display_name\":\"X\",\"description\":\"Does x.\",\"tools\":[\"t\"],"
                  "\"handoffs\":[\"y\",7]") "]");
    const struct dropin *d = dropins_find(dropins, "a/x");

    (void)state;
    assert_string_equal(d->spec.ns, "a");
    assert_string_equal(d->spec.name, "x");
    assert_string_equal(d->spec.model, "m");
    assert_string_equal(d->spec.upstream, "u");
    assert_string_equal(d->spec.display_name, "X");
    assert_string_equal(d->spec.description, "Does x.");
    assert_string_equal(d->spec.place.file, "/p");
    assert_int_equal(json_object_size(d->spec.metadata), 0);
    assert_string_equal(d->lang, "python");
    assert_string_equal(d->module, "m");
    assert_string_equal(d->path, "/p");
    assert_string_equal(d->attr, "agent");
    assert_int_equal(json_array_size(d->tools), 1);
    assert_null(d->handoffs); /* not texts alone */
    dropins_release(&dropins);
}

static void a_list_lives_as_long_as_its_users(void **state)
{
    struct dropins *first = read_list("[" GOOD("a", "x") "]"), *second = dropins_acquire(first);
    struct dropins *none = NULL;

    (void)state;
    dropins_release(&first);
    assert_string_equal(dropins_find(second, "a/x")->spec.name, "x");
    assert_null(dropins_find(second, "a/y"));
    assert_null(dropins_find(second, ""));
    assert_null(dropins_find(NULL, "a/x"));
    dropins_release(&second);
    assert_null(dropins_acquire(NULL));
    dropins_release(&none);
}

/* A runner that lists without end fills no memory and keeps nobody from being found. */
static void there_may_be_many(void **state)
{
    enum { MANY = 12000, KEPT = 10000 };
    json_t *message = json_object(), *agents = json_array();
    struct dropins *dropins;

    (void)state;
    for (int i = 0; i < MANY; i++) {
        char name[16], id[32];

        snprintf(name, sizeof name, "n%05d", MANY - i);
        snprintf(id, sizeof id, "a/%s", name);
        json_array_append_new(agents, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "id", id,
                                                "namespace", "a", "name", name, "lang", "python",
                                                "module", "m", "path", "/p", "attr", "agent",
                                                "model", "m", "available", true));
    }
    json_object_set_new(message, "agents", agents);
    dropins = dropins_new(message);
    assert_int_equal(dropins->count, KEPT);
    assert_non_null(dropins_find(dropins, "a/n12000"));
    assert_null(dropins_find(dropins, "a/n00001"));
    dropins_release(&dropins);
}

/* ---- without memory ---- */

struct attempt {
    json_t *message;
    struct dropins *made;
};

static void make(void *arg)
{
    struct attempt *a = arg;

    a->made = dropins_new(json_incref(a->message));
}

static void none_or_whole(void *arg)
{
    struct attempt *a = arg;

    if (a->made != NULL)
        assert_string_equal(in_short(a->made), "a/x b/y");
    dropins_release(&a->made);
    assert_int_equal(a->message->refcount, 1);
    json_object_del(a->message, "");
}

static void without_memory_there_is_no_list(void **state)
{
    struct attempt a = {.message = json_loads(
        "{\"agents\":[" GOOD("b", "y") "," GOOD("a", "x") "]}", 0, NULL)};

    (void)state;
    assert_true(inject_each(INJECT_MEMORY, make, none_or_whole, &a) > 2);
    json_decref(a.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_served_is),
        cmocka_unit_test(all_that_is_said_is_kept),
        cmocka_unit_test(a_list_lives_as_long_as_its_users),
        cmocka_unit_test(there_may_be_many),
        cmocka_unit_test(without_memory_there_is_no_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
