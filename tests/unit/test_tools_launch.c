/* SPDX-License-Identifier: MIT */
/* launch: children in their sandbox, from the first byte to the last, and what cannot start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/report.h"
#include "tools/launch.h"
#include "util/clock.h"
#include "util/proc.h"

enum { LONG_MS = 60000 };

static char folder[] = "/tmp/agw-test-launch-XXXXXX";
static char base[sizeof folder + 1];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL || chmod(folder, 0755) != 0)
        return -1;
    snprintf(base, sizeof base, "%s/", folder);
    return setenv("GATEWAY_EXEC", AGW_BUILD_DIR "/agw-exec", 1);
}

static void in_folder(char path[200], const char *name)
{
    snprintf(path, 200, "%s/%s", folder, name);
}

static int tear_down(void **state)
{
    static const char *const made[] = {"tool", "text", "closed"};
    char path[200];

    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        in_folder(path, made[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static void write_program(const char *name, const char *text, mode_t mode)
{
    char path[200];
    FILE *f;

    in_folder(path, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static struct config_tool tool_of(const char **command, size_t count)
{
    return (struct config_tool){.name = "t", .command = command, .command_count = count,
                                .program = {.folder = base, .max_memory_mib = 512,
                                            .max_processes = 64}};
}

static int start(const struct config_tool *tool, struct launch_child *child, struct err *e)
{
    return launch_start(tool, 0, clock_mono_ms() + LONG_MS, NULL, 0, child, e);
}

/* All that it writes until it ends or `size` is full. */
static size_t read_all(int fd, char *text, size_t size)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    size_t used = 0;
    ssize_t got = 1;

    while (got != 0 && used + 1 < size) {
        assert_true(poll(&watched, 1, LONG_MS) > 0);
        got = read(fd, text + used, size - used - 1);
        if (got > 0)
            used += (size_t)got;
    }
    text[used] = '\0';
    return used;
}

static void await_end(struct launch_child *child)
{
    struct pollfd watched = {.fd = child->ended_fd, .events = POLLIN};

    assert_true(poll(&watched, 1, LONG_MS) > 0);
    assert_true(launch_has_ended(child));
}

static void a_child_reads_writes_and_ends(void **state)
{
    const char *command[] = {"sh", "-c", "cat; echo done >&2; exit 3"};
    struct config_tool tool = tool_of(command, 3);
    struct launch_child child;
    struct err e = {0};
    char text[4096], how[60];

    (void)state;
    assert_int_equal(start(&tool, &child, &e), 0);
    assert_true(report_has_started(child.report, NULL, 0));
    assert_int_equal(write(child.in, "hello", 5), 5);
    launch_close(&child.in);
    assert_int_equal(child.in, -1);
    read_all(child.out, text, sizeof text);
    assert_string_equal(text, "hello");
    /* A build that counts lines complains there first, that the sandbox lets it write nowhere. */
    read_all(child.err, text, sizeof text);
    assert_non_null(strstr(text, "done\n"));
    await_end(&child);
    launch_status_text(child.status, how, sizeof how);
    assert_string_equal(how, "exit status 3");
    launch_end(&child);
    launch_end(&child);
}

/* What it was given is there, though nobody writes after its start. */
static void a_child_begins_with_its_input(void **state)
{
    static char long_text[200000];
    const char *command[] = {"cat"};
    struct config_tool tool = tool_of(command, 1);
    struct launch_child child;
    struct err e = {0};
    char text[100];

    (void)state;
    assert_int_equal(launch_start(&tool, 0, clock_mono_ms() + LONG_MS, "hello", 5, &child, &e), 0);
    assert_int_equal(child.fed, 5);
    launch_close(&child.in);
    read_all(child.out, text, sizeof text);
    assert_string_equal(text, "hello");
    launch_end(&child);
    assert_int_equal(launch_start(&tool, 0, clock_mono_ms() + LONG_MS, long_text,
                                  sizeof long_text, &child, &e), 0);
    assert_in_range(child.fed, 4096, sizeof long_text - 1); /* what the pipe takes */
    launch_end(&child);
}

static void what_cannot_start_says_why(void **state)
{
    const char *missing[] = {"no/such/tool"}, *nowhere[] = {"no-such-tool-anywhere"};
    const char *text[] = {"text"}, *closed[] = {"./closed"}, *relative[] = {"./text"};
    const struct {
        const char **command, *says;
    } rows[] = {{missing, "there is no program no/such/tool"},
                {nowhere, "there is no program no-such-tool-anywhere"},
                {text, "there is no program text"},
                {closed, "cannot run ./closed: Permission denied"},
                {relative, "it is no program and does not begin with #!"}};

    (void)state;
    write_program("text", "echo hello\n", 0755);
    write_program("closed", "#!/bin/sh\n", 0644);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config_tool tool = tool_of(rows[i].command, 1);
        struct launch_child child;
        struct err e = {0};

        assert_int_equal(start(&tool, &child, &e), AGW_EUNAVAILABLE);
        assert_non_null(strstr(e.message, rows[i].says));
        assert_int_equal(child.ended_fd, -1);
        assert_int_equal(child.out, -1);
    }
}

static void nothing_outlives_the_end(void **state)
{
    /* a grandchild that leaves its session and ignores what can be ignored */
    const char *command[] = {"sh", "-c",
                             ("trap '' TERM; (setsid sh -c \"trap '' TERM HUP; sleep 1000\" &) ; "
                              "echo up; sleep 1000")};
    struct config_tool tool = tool_of(command, 3);
    struct launch_child child;
    struct err e = {0};
    char text[10];
    uint64_t began;
    pid_t pid;

    (void)state;
    assert_int_equal(start(&tool, &child, &e), 0);
    assert_int_equal(read_all(child.out, text, 4), 3);
    pid = child.pid;
    began = proc_start_time(pid);
    assert_true(proc_is_alive(pid, began));
    launch_ask(&child);
    assert_false(launch_has_ended(&child));
    launch_end(&child);
    assert_true(child.ended);
    assert_false(proc_is_alive(pid, began));
}

static void a_polite_program_is_asked(void **state)
{
    const char *command[] = {"sh", "-c", ("trap 'echo bye; exit 0' TERM; echo up; "
                                          "while :; do sleep 0.05; done")};
    struct config_tool tool = tool_of(command, 3);
    struct launch_child child;
    struct err e = {0};
    char text[20];

    (void)state;
    assert_int_equal(start(&tool, &child, &e), 0);
    assert_int_equal(read_all(child.out, text, 4), 3);
    launch_ask(&child);
    read_all(child.out, text, sizeof text);
    assert_string_equal(text, "bye\n");
    await_end(&child);
    assert_int_equal(child.status, 0);
    launch_end(&child);
}

static void its_environment_is_what_the_tool_says(void **state)
{
    const char *command[] = {"sh", "-c", "echo $TOKEN $LANG ${SECRET_OF_GATEWAY:-none}"};
    struct config_header variables[] = {{"TOKEN", "abc", false}, {"LANG", "C", false}};
    struct config_tool tool = tool_of(command, 3);
    struct launch_child child;
    struct err e = {0};
    char text[100];

    (void)state;
    setenv("SECRET_OF_GATEWAY", "secret", 1);
    tool.program.environment = variables;
    tool.program.environment_count = 2;
    assert_int_equal(start(&tool, &child, &e), 0);
    read_all(child.out, text, sizeof text);
    assert_string_equal(text, "abc C none\n");
    launch_end(&child);
}

static void a_name_leads_from_the_configuration(void **state)
{
    const char *command[] = {"./tool", "a b", "*"};
    struct config_tool tool = tool_of(command, 3);
    struct launch_child child;
    struct err e = {0};
    char text[400], expected[400];

    (void)state;
    write_program("tool", "#!/bin/sh\necho \"$1|$2|$#\"; pwd\n", 0755);
    snprintf(expected, sizeof expected, "a b|*|2\n%s\n", folder);
    assert_int_equal(start(&tool, &child, &e), 0);
    read_all(child.out, text, sizeof text);
    assert_string_equal(text, expected);
    launch_end(&child);
}

/* What the program has on descriptor 3 is the other end of ours, and 4 and 5 are nothing. */
static void a_channel_is_descriptor_3(void **state)
{
    const char *words[] = {"--", "/bin/sh", "-c",
                           "read line <&3; echo \"got $line\" >&3; echo open: >&2; "
                           "ls /proc/self/fd >&2", NULL};
    const char *environment[] = {"PATH=/usr/bin:/bin", NULL};
    struct launch_command command = {.words = words, .environment = environment};
    struct launch_child child;
    struct err e = {0};
    struct pollfd watched = {.events = POLLIN};
    char text[4096];
    int ends[2], status;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    command.channel = ends[1];
    assert_int_equal(launch_spawn(&command, &child, &e), 0);
    close(ends[1]);
    watched.fd = child.starting;
    while ((status = launch_look(&child, &e)) == 0)
        assert_true(poll(&watched, 1, LONG_MS) > 0);
    assert_int_equal(status, 1);
    assert_int_equal(child.starting, -1);
    assert_int_equal(launch_look(&child, &e), 1);
    assert_int_equal(send(ends[0], "hello\n", 6, MSG_NOSIGNAL), 6);
    read_all(ends[0], text, sizeof text);
    assert_string_equal(text, "got hello\n");
    read_all(child.err, text, sizeof text);
    /* A build that counts lines complains before. 4 is what ls reads the folder with. */
    assert_non_null(strstr(text, "open:\n"));
    assert_string_equal(strstr(text, "open:\n"), "open:\n0\n1\n2\n3\n4\n");
    await_end(&child);
    assert_int_equal(child.status, 0);
    launch_end(&child);
    close(ends[0]);
}

/* The numbers of a PID namespace are used up and begin again: that must not be the end. */
static void one_that_lives_long_can_start_processes_for_ever(void **state)
{
    const char *command[] = {"sh", "-c",
                             ("i=0; while [ $i -lt 800 ]; do /bin/true || exit 7; i=$((i+1)); "
                              "done")};
    struct config_tool tool = tool_of(command, 3);
    struct launch_child child;
    struct err e = {0};

    (void)state;
    tool.program.max_processes = 16;
    assert_int_equal(start(&tool, &child, &e), 0);
    await_end(&child);
    assert_int_equal(child.status, 0);
    launch_end(&child);
}

static void a_spawned_one_that_cannot_run_says_why(void **state)
{
    const char *words[] = {"--", "/nowhere/program", NULL};
    const char *environment[] = {NULL};
    struct launch_command command = {.words = words, .environment = environment, .channel = -1};
    struct launch_child child;
    struct err e = {0};
    struct pollfd watched = {.events = POLLIN};
    int status;

    (void)state;
    assert_int_equal(launch_spawn(&command, &child, &e), 0);
    watched.fd = child.starting;
    while ((status = launch_look(&child, &e)) == 0)
        assert_true(poll(&watched, 1, LONG_MS) > 0);
    assert_int_equal(status, AGW_EUNAVAILABLE);
    assert_non_null(strstr(e.message, "/nowhere/program"));
    launch_end(&child);
}

static void the_report_is_read_by_layers(void **state)
{
    static const char text[] = "landlock applied ABI 7\nseccomp missing it is \"odd\"\n"
                               "network_namespace unwanted \nbroken\nlandlock odd x\nstarted\n";
    char names[100], why[100], with_tmp[] = "tmp /tmp/x\nstarted\n";
    json_t *object = report_json(text);

    (void)state;
    assert_int_equal(json_object_size(object), 3);
    assert_string_equal(json_string_value(json_object_get(object, "landlock")),
                        "applied (ABI 7)");
    assert_string_equal(json_string_value(json_object_get(object, "seccomp")),
                        "missing (it is \"odd\")");
    assert_string_equal(json_string_value(json_object_get(object, "network_namespace")),
                        "unwanted");
    json_decref(object);
    report_take_tmp(with_tmp, why, sizeof why);
    assert_string_equal(why, "/tmp/x");
    assert_string_equal(with_tmp, "started\n");
    report_take_tmp(with_tmp, why, sizeof why);
    assert_string_equal(why, "");
    assert_string_equal(with_tmp, "started\n");
    report_names(text, REPORT_MISSING, names, sizeof names);
    assert_string_equal(names, "seccomp");
    assert_true(report_has_started(text, why, sizeof why));
    assert_false(report_has_started("", why, sizeof why));
    assert_string_equal(why, "it ended before the program began");
    assert_false(report_has_started("started\nfailed no: luck\n", why, sizeof why));
    assert_string_equal(why, "no: luck");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_reads_writes_and_ends),
        cmocka_unit_test(a_child_begins_with_its_input),
        cmocka_unit_test(what_cannot_start_says_why),
        cmocka_unit_test(nothing_outlives_the_end),
        cmocka_unit_test(a_polite_program_is_asked),
        cmocka_unit_test(its_environment_is_what_the_tool_says),
        cmocka_unit_test(a_name_leads_from_the_configuration),
        cmocka_unit_test(a_channel_is_descriptor_3),
        cmocka_unit_test(one_that_lives_long_can_start_processes_for_ever),
        cmocka_unit_test(a_spawned_one_that_cannot_run_says_why),
        cmocka_unit_test(the_report_is_read_by_layers),
    };
    return cmocka_run_group_tests_name("tools/launch", tests, set_up, tear_down);
}
