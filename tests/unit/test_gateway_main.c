/* SPDX-License-Identifier: MIT */
/* The program's command line: texts, exit statuses, and that --help and the manual page name
 * the same options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[16384]; /* standard output and error of the last run */

/* Runs the program that was built here; -> exit status. */
static int run(const char *first, const char *second, const char *third)
{
    size_t have = 0;
    int ends[2], status;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        execl("./agent-gateway", "agent-gateway", first, second, third, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (have < sizeof said - 1 &&
           (n = read(ends[0], said + have, sizeof said - 1 - have)) > 0)
        have += (size_t)n;
    said[have] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void statuses(void **state)
{
    static const struct {
        const char *arguments[3];
        int status;
        const char *text;
    } cases[] = {
        {{"--help"}, 0, "Usage: agent-gateway"},
        {{"--version"}, 0, "agent-gateway " PACKAGE_VERSION},
        {{"--nonsense"}, 2, "--help"},
        {{"-x"}, 2, "--help"},
        {{"argument"}, 2, "--help"},
        {{"--workers", "0"}, 2, "--workers"},
        {{"--workers", "257"}, 2, "--workers"},
        {{"--workers", "2x"}, 2, "--workers"},
        {{"--workers"}, 2, "--help"},
        {{"--config", "/nonexistent/gateway.yaml"}, 1, "/nonexistent/gateway.yaml"},
        {{"--check", "--config", "/nonexistent/gateway.yaml"}, 1, "/nonexistent/gateway.yaml"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = run(cases[i].arguments[0], cases[i].arguments[1], cases[i].arguments[2]);

        if (status != cases[i].status || strstr(said, cases[i].text) == NULL)
            fail_msg("case %zu: status %d, %s", i, status, said);
    }
}

static void write_file(const char *directory, const char *name, const char *text, char path[96])
{
    FILE *file;

    snprintf(path, 96, "%s/%s", directory, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Every error of every file at once, each with its place. */
static void all_errors_at_once(void **state)
{
    char directory[] = "/tmp/agw-main-XXXXXX", gateway[96], security[96];

    (void)state;
    assert_non_null(mkdtemp(directory));
    write_file(directory, "gateway.yaml",
               "version: 1\nnonsense: 1\nsources: {agents: none.yaml}\nworkers: many\n", gateway);
    write_file(directory, "security.yaml", "version: 1\napi_keys: []\n", security);
    assert_int_equal(run("--check", "--config", gateway), 1);
    assert_non_null(strstr(said, "gateway.yaml:2:1: "));
    assert_non_null(strstr(said, "gateway.yaml:4:10: "));
    assert_int_equal(run("--config", gateway, NULL), 1); /* nor does it start */
    assert_non_null(strstr(said, "gateway.yaml:2:1: "));
    unlink(gateway);
    unlink(security);
    assert_int_equal(rmdir(directory), 0);
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);

    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

static bool has_option(const char *text, const char *prefix, const char *name, size_t length)
{
    char wanted[64];

    snprintf(wanted, sizeof wanted, "%s%.*s", prefix, (int)length, name);
    for (const char *p = text; (p = strstr(p, wanted)) != NULL; p++)
        if (strchr(" \n|,=", p[strlen(wanted)]) != NULL)
            return true;
    return false;
}

static void help_and_manual_agree(void **state)
{
    char *manual = read_all(AGW_SOURCE_DIR "/doc/man/agent-gateway.8");
    int count = 0;

    (void)state;
    assert_int_equal(run("--help", NULL, NULL), 0);
    for (const char *p = said; (p = strstr(p, "\n  --")) != NULL; p++, count++) {
        const char *name = p + 5;
        size_t length = strcspn(name, " \n");

        if (!has_option(manual, ".It Fl -", name, length))
            fail_msg("the manual page lacks --%.*s", (int)length, name);
    }
    assert_int_equal(count, 6);
    for (const char *p = manual; (p = strstr(p, "\n.It Fl -")) != NULL; p++, count--) {
        const char *name = p + 9;
        size_t length = strcspn(name, " \n");

        if (!has_option(said, "  --", name, length))
            fail_msg("--help lacks --%.*s", (int)length, name);
    }
    assert_int_equal(count, 0);
    free(manual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(all_errors_at_once),
        cmocka_unit_test(help_and_manual_agree),
    };

    return cmocka_run_group_tests_name("gateway/main", tests, NULL, NULL);
}
