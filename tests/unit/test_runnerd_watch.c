/* SPDX-License-Identifier: MIT */
/* watch: changes are noticed once they are over, storms are not waited out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/watch.h"
#include "util/clock.h"

enum { LONG_MS = 60000 };

static char folder[] = "/tmp/agw-test-watch-XXXXXX";
static struct watch watch;

static int set_up(void **state)
{
    int fd;

    (void)state;
    if (mkdtemp(folder) == NULL || event_open(NULL) != 0 || watch_open(&watch) != 0)
        return -1;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    watch_folder(&watch, fd);
    watch_folder(&watch, fd); /* again does nothing */
    close(fd);
    return watch.trouble[0] == '\0' ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    watch_close(&watch);
    watch_close(&watch);
    event_close();
    return rmdir(folder);
}

static void touch(void)
{
    char path[100];

    snprintf(path, sizeof path, "%s/file", folder);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    unlink(path);
}

static void await_change(void)
{
    int64_t until = clock_mono_ms() + LONG_MS, before = watch.latest;

    while (watch.latest == before && clock_mono_ms() < until)
        event_wait(100);
    assert_true(watch.latest > before);
}

static void a_change_is_due_when_it_is_quiet(void **state)
{
    (void)state;
    assert_int_equal(watch_due(&watch), INT64_MAX);
    touch();
    await_change();
    assert_int_equal(watch_due(&watch), watch.latest + 150);
    watch_begin_search(&watch);
    assert_int_equal(watch_due(&watch), INT64_MAX);
}

static void a_storm_is_not_waited_out(void **state)
{
    int64_t first;

    (void)state;
    touch();
    await_change();
    first = watch.first;
    while (watch.latest < first + 500) {
        usleep(2000);
        touch();
        await_change();
    }
    assert_int_equal(watch.first, first);
    assert_true(watch_due(&watch) <= first + 600);
    watch_begin_search(&watch);
}

static void what_cannot_be_watched_is_told(void **state)
{
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct watch none = {.fd = -1, .event = {.fd = -1}};

    (void)state;
    watch_folder(&watch, file);
    close(file);
    assert_true(watch.trouble[0] != '\0');
    watch_begin_search(&watch);
    assert_true(watch.trouble[0] == '\0');
    watch_folder(&none, STDIN_FILENO);
    assert_true(none.trouble[0] == '\0');
    assert_int_equal(watch_due(&none), INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_due_when_it_is_quiet),
        cmocka_unit_test(a_storm_is_not_waited_out),
        cmocka_unit_test(what_cannot_be_watched_is_told),
    };

    return cmocka_run_group_tests_name("runnerd/watch", tests, set_up, tear_down);
}
