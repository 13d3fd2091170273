/* SPDX-License-Identifier: MIT */
/* T16/T17: files that are made to hurt are refused, fast and in bounded memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/build.h"

/* Of computing, not of waiting, and generous: a build with sanitizers must pass, also under
 * valgrind; a quadratic parser must not. */
enum { LIMIT_MS = 15000 };

static int64_t computed_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Builds with `text` as agents.yaml and wants this error first. */
static void refuse(const char *what, char *text, const char *error)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;
    int64_t before = computed_ms(), took;
    char *got;

    assert_non_null(text);
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        sources.component[c].path = strdup(config_component_names[c]);
        sources.component[c].text =
            strdup(c == CONFIG_SECURITY ? "version: 1\napi_keys: [{id: a, key: a}]\n"
                                        : "version: 1\n");
    }
    free(sources.component[CONFIG_AGENTS].text);
    sources.component[CONFIG_AGENTS].text = text;
    assert_int_equal(config_build(&sources, &config, &errors), AGW_ECONFIG);
    took = computed_ms() - before;
    got = config_errors_text(&errors);
    if (strncmp(got, error, strlen(error)) != 0)
        fail_msg("%s: %.300s", what, got);
    print_message("# %s: %lld ms\n", what, (long long)took);
    if (took > LIMIT_MS)
        fail_msg("%s: took %lld ms", what, (long long)took);
    free(got);
    config_sources_free(&sources);
    config_errors_free(&errors);
}

/* head, then `part` again and again, then tail. */
static char *repeat(const char *head, const char *part, size_t times, const char *tail)
{
    struct buf text;

    buf_init(&text, CONFIG_FILE_MAX);
    buf_puts(&text, head);
    for (size_t i = 0; i < times; i++)
        buf_puts(&text, part);
    buf_puts(&text, tail);
    return buf_take(&text);
}

/* libyaml alone takes 18 s for the first. */
static void nesting(void **state)
{
    (void)state;
    refuse("100 kB of [", repeat("", "[", 100000, ""), "agents:1:33: nested deeper");
    refuse("100 kB of {a:", repeat("", "{a: ", 25000, ""), "agents:1:129: nested deeper");
    refuse("100 kB of - ", repeat("", "- ", 50000, ""), "agents:1:65: nested deeper");
    refuse("100 kB of ? ", repeat("", "? ", 50000, ""), "agents:1:3: a key must be a text");
    refuse("100 kB of [ in a value", repeat("agents: ", "[", 100000, ""),
           "agents:1:40: nested deeper");
    refuse("1 MB of closed brackets", repeat("agents: [", "[],", 333333, "]"), "agents:1:1:");
}

static void many_values(void **state)
{
    struct buf keys;

    (void)state;
    refuse("a million values", repeat("version: 1\nagents: [", "a,", 1000001, "]"),
           "agents:2:1999996: the file has too many values");
    refuse("16 MiB of list", repeat("version: 1\nagents: [", "a,", 8000000, "]"),
           "agents:2:1999996: the file has too many values");
    buf_init(&keys, CONFIG_FILE_MAX);
    for (int i = 0; i < 450000; i++)
        buf_printf(&keys, "k%d: 1\n", i);
    refuse("450,000 unknown options", buf_take(&keys), "agents:1:1: ");
    refuse("300,000 times the same key", repeat("", "k: 1\n", 300000, ""),
           "agents:2:1: duplicate key 'k', first on line 1");
}

static void long_texts(void **state)
{
    (void)state;
    refuse("a text of 2 MB", repeat("version: 1\nagents: [\"", "x", 2000000, "\"]\n"),
           "agents:2:10: a text must not be longer than 1048576 bytes");
    refuse("a key of 2 MB", repeat("? \"", "x", 2000000, "\"\n: 1\n"),
           "agents:1:3: a text must not be longer");
    refuse("instructions of 300 kB",
           repeat("version: 1\nagents: [{name: a, upstream: b, model: c, instructions: \"", "x",
                  300000, "\"}]\n"),
           "agents:2:30: there is no upstream 'b'\n"
           "agents:2:57: 'agents[].instructions' must not be longer than 262144 bytes\n");
    refuse("16 MB of comment", repeat("", "# x\n", 4000000, ""), "agents:1:1: the file is empty");
    refuse("a 16 MB line that is not closed", repeat("a: \"", "x", 16000000, ""), "agents:");
}

static void aliases(void **state)
{
    static const char text[] = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                               "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                               "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                               "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                               "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                               "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
                               "h: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n"
                               "i: &i [*h,*h,*h,*h,*h,*h,*h,*h,*h]\n";

    (void)state;
    refuse("aliases that mean 9^9 texts", strdup(text), "agents:1:1: ");
    refuse("300,000 aliases", repeat("a: &a x\nb: [", "*a,", 300000, "]"), "agents:1:4: anchors ");
}

/* A suggestion for each of many long names must not cost much. */
static void many_wrong_names(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, CONFIG_FILE_MAX);
    buf_puts(&text, "version: 1\nagents:\n");
    for (int i = 0; i < 60000; i++)
        buf_printf(&text, "- {name: A, instructionz%d: x}\n", i);
    refuse("60,000 misspelled options", buf_take(&text), "agents:3:3: ");
}

static void files_of_the_wrong_kind(void **state)
{
    char folder[] = "/tmp/agw-config-XXXXXX", path[64];
    struct config_sources sources;
    struct config_errors errors = {0};
    FILE *file;
    char *text;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/gateway.yaml", folder);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), CONFIG_FILE_MAX + 1), 0);
    fclose(file);
    assert_int_equal(config_sources_read(path, &sources, &errors), AGW_ECONFIG);
    assert_int_equal(config_sources_read(folder, &sources, &errors), AGW_ECONFIG);
    assert_int_equal(config_sources_read("/dev/zero", &sources, &errors), AGW_ECONFIG);
    text = config_errors_text(&errors);
    assert_non_null(strstr(text, "gateway.yaml: cannot be read: larger than 16 MiB"));
    assert_non_null(strstr(text, "/dev/zero: cannot be read: not a regular file"));
    free(text);
    config_errors_free(&errors);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting),          cmocka_unit_test(many_values),
        cmocka_unit_test(long_texts),       cmocka_unit_test(aliases),
        cmocka_unit_test(many_wrong_names), cmocka_unit_test(files_of_the_wrong_kind),
    };

    return cmocka_run_group_tests_name("config/bombs", tests, NULL, NULL);
}
