/* SPDX-License-Identifier: MIT */
/* Local tools: what each way of ending becomes, whatever the program does, and that nothing of
 * it is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "count_entries.h"
#include "tools/local.h"
#include "util/clock.h"

enum { LONG_MS = 60000, MAX_RESULT = 1000, CALLERS = 100 };

/* Stands for `mark`, which is in the command lines of this program's children alone. */
#define MARK "7654321"
enum { MARK_LENGTH = sizeof MARK - 1 };
static char mark[16];

static bool is_marked(const char *pid)
{
    char path[300], text[4096];
    ssize_t got;
    bool found;
    int fd;

    snprintf(path, sizeof path, "/proc/%s/cmdline", pid);
    fd = open(path, O_RDONLY);
    got = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    found = got > 0 && memmem(text, (size_t)got, mark, MARK_LENGTH) != NULL;
    return found;
}

static int marked(void)
{
    struct dirent *entry;
    DIR *d = opendir("/proc");
    int count = 0;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            count += is_marked(entry->d_name);
    closedir(d);
    return count;
}

struct subject {
    char script[200];
    const char *words[4];
    struct config_tool config;
    struct tool tool;
    void *state;
};

static void begin(struct subject *s, const char *script)
{
    struct err e = {0};

    *s = (struct subject){.words = {"sh", "-c", s->script}};
    snprintf(s->script, sizeof s->script, "%s", script);
    for (char *at = s->script; (at = strstr(at, MARK)) != NULL; at += MARK_LENGTH)
        memcpy(at, mark, MARK_LENGTH);
    s->config = (struct config_tool){.name = "t", .command = s->words, .command_count = 3,
                                     .program = {.folder = "", .max_memory_mib = 512,
                                                 .max_processes = 64}};
    s->tool = (struct tool){.name = "t", .config = &s->config};
    s->state = local_provider.open(&s->config, NULL, NULL, &e);
    assert_non_null(s->state);
}

static void end(struct subject *s)
{
    local_provider.close(s->state);
}

static void call(struct subject *s, json_t *arguments, int64_t ms, int watch_fd,
                 struct tool_result *result)
{
    struct tool_call c = {.tool = &s->tool, .arguments = arguments, .call_id = "",
                          .request_id = "r", .deadline_ms = clock_mono_ms() + ms,
                          .max_result = MAX_RESULT, .watch_fd = watch_fd};

    *result = (struct tool_result){0};
    local_provider.call(s->state, &c, result);
}

static void each_way_to_end(void **state)
{
    static const struct {
        const char *script;
        enum tool_status status;
        const char *content; /* its beginning; all of it after '=' */
        int ms;
    } rows[] = {
        {"cat", TOOL_OK, "={\"a\":1}", LONG_MS},
        {"printf 'two\\nlines\\n\\n'", TOOL_OK, "=two\nlines", LONG_MS},
        {"echo hello >&2", TOOL_OK, "=The tool 't' ended well and wrote nothing.", LONG_MS},
        {"echo no luck; echo detail >&2; exit 3", TOOL_FAILED,
         "=The tool 't' failed: exit status 3. It says: no luck", LONG_MS},
        {"exit 1", TOOL_FAILED, "=The tool 't' failed: exit status 1.", LONG_MS},
        {"kill -9 $$", TOOL_FAILED, "=The tool 't' failed: signal 9 (Killed).", LONG_MS},
        {"kill -SEGV $$", TOOL_FAILED, "=The tool 't' failed: signal 11 (Seg", LONG_MS},
        {"printf 'a\\377b\\200'", TOOL_OK, "=a\xef\xbf\xbd" "b\xef\xbf\xbd", LONG_MS},
        {"exec 0<&-; exec sleep 0.1; echo x", TOOL_OK, "=The tool 't' ended well", LONG_MS},
        {"yes " MARK, TOOL_FAILED, "=The tool 't' wrote more than 16000 bytes and was ended.",
         LONG_MS},
        {"yes | head -c 1500", TOOL_OK, "y\ny\n", LONG_MS},
        {"yes " MARK " >&2", TOOL_TIMEOUT, "=The tool 't' was not ready in time and was ended.",
         300},
        {"echo up; exec sleep " MARK, TOOL_TIMEOUT, "The tool", 300},
        {"echo up; exec >&- 2>&-; exec sleep " MARK, TOOL_TIMEOUT, "The tool", 300},
        {"trap '' TERM INT HUP; sleep " MARK " & wait; sleep " MARK, TOOL_TIMEOUT, "The tool",
         300},
        {"(setsid sh -c 'sleep " MARK " &' &) ; echo up", TOOL_OK, "=up", LONG_MS},
        {"setsid sleep " MARK " & sleep " MARK, TOOL_TIMEOUT, "The tool", 300},
        {"b() { b | b & }; b; exec sleep " MARK, TOOL_TIMEOUT, "The tool", 1000},
        {"kill -STOP $$", TOOL_TIMEOUT, "The tool", 300},
        {"while :; do :; done; : " MARK, TOOL_TIMEOUT, "The tool", 300},
    };
    json_t *arguments = json_pack("{s:i}", "a", 1);
    int before = count_entries("/proc/self/fd");

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *wanted = rows[i].content + (rows[i].content[0] == '=');
        struct tool_result result;
        struct subject s;

        begin(&s, rows[i].script);
        call(&s, arguments, rows[i].ms, -1, &result);
        if (result.status != rows[i].status || result.content == NULL ||
            strncmp(result.content, wanted, strlen(wanted)) != 0)
            fail_msg("%s: %s %s", rows[i].script, tool_status_name(result.status),
                     result.content);
        if (strcmp(rows[i].script, "yes | head -c 1500") == 0) {
            assert_true(result.truncated);
            assert_int_equal(result.length, MAX_RESULT);
        }
        if (marked() != 0)
            fail_msg("%s: left running", rows[i].script);
        tool_result_clear(&result);
        end(&s);
    }
    json_decref(arguments);
    assert_int_equal(count_entries("/proc/self/fd"), before);
}

static void arguments_that_nobody_reads_hold_up_nobody(void **state)
{
    static const char *const scripts[] = {"echo done", "exec 0<&-; echo done",
                                          "head -c 5 >/dev/null; echo done",
                                          "wc -c >/dev/null; echo done"};
    char *big = malloc(1 << 21);
    json_t *arguments;

    (void)state;
    memset(big, 'x', (1 << 21) - 1);
    big[(1 << 21) - 1] = '\0';
    arguments = json_pack("{s:s}", "text", big);
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        struct tool_result result;
        struct subject s;

        begin(&s, scripts[i]);
        call(&s, arguments, LONG_MS, -1, &result);
        assert_int_equal(result.status, TOOL_OK);
        assert_string_equal(result.content, "done");
        tool_result_clear(&result);
        end(&s);
    }
    json_decref(arguments);
    free(big);
}

static void *leave_later(void *arg)
{
    struct timespec pause = {0, 100000000};

    nanosleep(&pause, NULL);
    close(*(int *)arg);
    return NULL;
}

static void who_leaves_cancels(void **state)
{
    json_t *arguments = json_object();
    struct tool_result result;
    struct subject s;
    pthread_t thread;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], "unread", 6), 6);
    begin(&s, "sleep " MARK);
    assert_int_equal(pthread_create(&thread, NULL, leave_later, &pair[1]), 0);
    call(&s, arguments, LONG_MS, pair[0], &result);
    pthread_join(thread, NULL);
    assert_int_equal(result.status, TOOL_CANCELLED);
    assert_null(result.content);
    assert_int_equal(marked(), 0);
    tool_result_clear(&result);
    end(&s);
    close(pair[0]);
    json_decref(arguments);
}

static void what_is_not_there_is_unavailable(void **state)
{
    json_t *arguments = json_object();
    struct tool_result result;
    struct subject s;

    (void)state;
    begin(&s, "");
    s.words[0] = "no/such/program";
    call(&s, arguments, LONG_MS, -1, &result);
    assert_int_equal(result.status, TOOL_UNAVAILABLE);
    assert_string_equal(result.content,
                        "The tool 't' cannot be run: there is no program no/such/program.");
    tool_result_clear(&result);
    end(&s);
    json_decref(arguments);
}

struct caller {
    struct subject *subject;
    json_t *arguments;
    struct tool_result result;
};

static void *call_one(void *arg)
{
    struct caller *c = arg;

    call(c->subject, c->arguments, 2 * LONG_MS, -1, &c->result);
    return NULL;
}

static void many_at_once(void **state)
{
    static struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    int before = count_entries("/proc/self/fd");
    struct subject s;

    (void)state;
    begin(&s, "cat");
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){&s, json_pack("{s:i}", "n", i), {0}};
        assert_int_equal(pthread_create(&threads[i], NULL, call_one, &callers[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        char wanted[40];

        pthread_join(threads[i], NULL);
        snprintf(wanted, sizeof wanted, "{\"n\":%d}", i);
        if (callers[i].result.status != TOOL_OK)
            fail_msg("%s", callers[i].result.content);
        assert_string_equal(callers[i].result.content, wanted);
        tool_result_clear(&callers[i].result);
        json_decref(callers[i].arguments);
    }
    end(&s);
    assert_int_equal(count_entries("/proc/self/fd"), before);
}

static void without_descriptors_it_says_so(void **state)
{
    json_t *arguments = json_object();
    struct rlimit usual, few;
    struct tool_result result;
    struct subject s;
    int before;

    (void)state;
    begin(&s, "echo done");
    call(&s, arguments, LONG_MS, -1, &result); /* what is opened once is open now */
    assert_int_equal(result.status, TOOL_OK);
    tool_result_clear(&result);
    before = count_entries("/proc/self/fd");
    getrlimit(RLIMIT_NOFILE, &usual);
    for (rlim_t room = 0; room < 24; room++) {
        few = (struct rlimit){(rlim_t)before + room - 3, usual.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        call(&s, arguments, LONG_MS, -1, &result);
        setrlimit(RLIMIT_NOFILE, &usual);
        if (result.status != TOOL_OK && result.status != TOOL_UNAVAILABLE)
            fail_msg("%d: %s", (int)room, result.content);
        if (room == 0)
            assert_int_equal(result.status, TOOL_UNAVAILABLE);
        if (room == 23)
            assert_int_equal(result.status, TOOL_OK);
        tool_result_clear(&result);
        assert_int_equal(count_entries("/proc/self/fd"), before);
    }
    end(&s);
    json_decref(arguments);
}

static void it_describes_its_sandbox(void **state)
{
    json_t *object = json_object();
    struct subject s;

    (void)state;
    begin(&s, "cat");
    local_provider.describe(s.state, object);
    assert_int_equal(json_integer_value(json_object_get(object, "running")), 0);
    assert_true(json_object_size(json_object_get(object, "sandbox")) >= 14);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(object, "sandbox"), "no_new_privs")),
        "applied");
    json_decref(object);
    end(&s);
}

/* With the network, so that nobody has asked for these layers before. */
static void what_kept_the_sandbox_from_being_seen_passes(void **state)
{
    json_t *object = json_pack("{s:[]}", "diagnostics");
    int64_t until = clock_mono_ms() + LONG_MS;
    json_t *list = json_object_get(object, "diagnostics");
    struct rlimit usual, few;
    struct subject s;

    (void)state;
    begin(&s, "cat");
    s.config.program.network = true;
    getrlimit(RLIMIT_NOFILE, &usual);
    few = (struct rlimit){(rlim_t)count_entries("/proc/self/fd") - 3, usual.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
    local_provider.describe(s.state, object);
    setrlimit(RLIMIT_NOFILE, &usual);
    assert_int_equal(json_array_size(list), 1);
    while (json_array_size(list) > 0 && clock_mono_ms() < until) {
        json_array_clear(list);
        usleep(100000);
        local_provider.describe(s.state, object);
    }
    assert_int_equal(json_array_size(list), 0);
    json_decref(object);
    end(&s);
}

static void it_says_what_keeps_it_from_running(void **state)
{
    json_t *object = json_pack("{s:[]}", "diagnostics");
    json_t *list = json_object_get(object, "diagnostics");
    struct subject s;

    (void)state;
    begin(&s, "");
    local_provider.describe(s.state, object);
    assert_int_equal(json_array_size(list), 0);
    s.config.program.write = (const char *[]){"/tmp", "/no/such/folder"};
    s.config.program.write_count = 2;
    local_provider.describe(s.state, object);
    assert_string_equal(json_string_value(json_array_get(list, 0)),
                        "write: /no/such/folder: No such file or directory");
    json_array_clear(list);
    s.config.program.write_count = 0;
    s.words[0] = "no/such/program";
    local_provider.describe(s.state, object);
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(json_string_value(json_array_get(list, 0)),
                        "there is no program no/such/program");
    json_decref(object);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_to_end),
        cmocka_unit_test(arguments_that_nobody_reads_hold_up_nobody),
        cmocka_unit_test(who_leaves_cancels),
        cmocka_unit_test(what_is_not_there_is_unavailable),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(without_descriptors_it_says_so),
        cmocka_unit_test(it_describes_its_sandbox),
        cmocka_unit_test(what_kept_the_sandbox_from_being_seen_passes),
        cmocka_unit_test(it_says_what_keeps_it_from_running),
    };

    snprintf(mark, sizeof mark, "%d", 1000000 + (int)getpid() % 9000000);
    signal(SIGPIPE, SIG_IGN); /* as the gateway has it */
    setenv("GATEWAY_EXEC", AGW_BUILD_DIR "/agw-exec", 1);
    return cmocka_run_group_tests_name("tools/local", tests, NULL, NULL);
}
