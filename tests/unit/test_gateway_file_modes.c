/* SPDX-License-Identifier: MIT */
/* Files that everybody may read are told of, and only those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/file_modes.h"
#include "inject.h"
#include "store_fixture.h"
#include "util/log.h"

static void make(const struct fixture *f, const char *name, char *path, size_t size)
{
    int fd;

    snprintf(path, size, "%s/%s", f->directory, name);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void world_readable_files_are_told_of(void **state)
{
    struct fixture *f = *state;
    char security[100], upstreams[100], gone[] = "/nonexistent/tools.yaml", text[] = "";
    struct config_sources sources = {0};

    log_set_level(LOG_ERROR);
    make(f, "security.yaml", security, sizeof security);
    make(f, "upstreams.yaml", upstreams, sizeof upstreams);
    sources.component[CONFIG_SECURITY] = (struct config_source){security, text};
    sources.component[CONFIG_UPSTREAMS] = (struct config_source){upstreams, text};
    assert_int_equal(file_modes_check(f->store, f->database, &sources), 0);
    sources.component[CONFIG_TOOLS] = (struct config_source){gone, text};
    chmod(security, 0640);
    chmod(upstreams, 0604);
    assert_int_equal(file_modes_check(f->store, f->database, &sources), 1);
    chmod(f->database, 0644);
    chmod(security, 0644);
    assert_int_equal(file_modes_check(f->store, f->database, &sources), 3);
    assert_int_equal(fixture_number(f, "SELECT count(*) FROM recent_error WHERE kind ="
                                       " 'security' AND severity = 'warning' AND message LIKE"
                                       " '% can be read by every user (mode 06_4)'"), 4);
    log_set_level(LOG_ERROR + 1);
    inject_start(INJECT_SQLITE, 0, true); /* told of in the log at least */
    assert_int_equal(file_modes_check(f->store, f->database, &sources), 3);
    inject_stop();
    log_set_level(LOG_ERROR);
}

/* What the store makes itself is nobody else's to read, whatever the umask. */
static void the_database_is_made_private(void **state)
{
    struct fixture *f = *state;
    mode_t before = umask(0);
    struct store *store;
    struct stat info;
    char path[160];
    static const char *const endings[] = {"", "-wal", "-shm", ".gate", ".shared"};

    store_close(&f->store);
    snprintf(f->database, sizeof f->database, "%s/other.db", f->directory);
    store = fixture_open(f);
    f->store = store;
    umask(before);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        snprintf(path, sizeof path, "%s%s", f->database, endings[i]);
        if (stat(path, &info) == 0)
            assert_int_equal(info.st_mode & 07, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(world_readable_files_are_told_of, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(the_database_is_made_private, fixture_setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests_name("gateway/file_modes", tests, NULL, NULL);
}
