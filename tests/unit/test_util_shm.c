/* SPDX-License-Identifier: MIT */
/* shm: shared between processes, survives their deaths, believes no damaged file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/shm.h"

/* The file's head as util/shm.c writes it; a test that damages it must know it. */
struct head {
    char magic[8];
    uint64_t used;
    struct {
        char name[SHM_NAME_MAX + 1];
        uint64_t offset, size;
    } entries[SHM_REGIONS];
};

static char folder[64], path[128], bad_path[140];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/agw-shm-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/shared", folder);
    snprintf(bad_path, sizeof bad_path, "%s.bad", path);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(path);
    unlink(bad_path);
    return 0;
}

static int remove_folder(void **state)
{
    remove_files(state);
    return rmdir(folder);
}

static struct shm *opened(void)
{
    struct shm *shm;
    struct err e;

    if (shm_open_file(path, &shm, &e) != 0)
        fail_msg("%s", e.message);
    return shm;
}

static void *region(struct shm *shm, const char *name, size_t size)
{
    void *start;
    struct err e;

    if (shm_region(shm, name, size, &start, &e) != 0)
        fail_msg("%s", e.message);
    return start;
}

static void regions_start_zeroed_aligned_and_stay(void **state)
{
    struct shm *shm = opened();
    unsigned char *small = region(shm, "small", 10), *large = region(shm, "large", 100000);
    struct stat info;

    (void)state;
    assert_int_equal((uintptr_t)small % 64, 0);
    assert_int_equal((uintptr_t)large % 64, 0);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(large[i], 0);
    memset(small, 1, 10);
    memset(large, 2, 100000);
    assert_ptr_equal(region(shm, "small", 10), small);
    shm_close(&shm);
    assert_null(shm);
    shm_close(&shm);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0007, 0);
    shm = opened();
    small = region(shm, "small", 10);
    large = region(shm, "large", 100000);
    assert_int_equal(small[9], 1);
    assert_int_equal(large[0], 2);
    assert_int_equal(large[99999], 2);
    shm_close(&shm);
    assert_int_equal(access(bad_path, F_OK), -1);
}

static void what_cannot_be_a_region(void **state)
{
    struct shm *shm = opened();
    struct stat before, after;
    struct err e;
    void *start;

    (void)state;
    region(shm, "known", 64);
    region(shm, "exactly-twenty-three-xx", 64);
    assert_int_equal(stat(path, &before), 0);
    assert_int_equal(shm_region(shm, "known", 65, &start, &e), AGW_ESTORE);
    assert_null(start);
    assert_non_null(strstr(e.message, "known"));
    assert_int_equal(shm_region(shm, "", 64, &start, &e), AGW_ESTORE);
    assert_int_equal(shm_region(shm, "exactly-twenty-three-xxx", 64, &start, &e), AGW_ESTORE);
    assert_int_equal(shm_region(shm, "nothing", 0, &start, &e), AGW_ESTORE);
    assert_int_equal(shm_region(shm, "huge", SIZE_MAX, &start, &e), AGW_ESTORE);
    assert_int_equal(shm_region(shm, "huge", SIZE_MAX - 4096, &start, &e), AGW_ESTORE);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    for (int i = 2; i < SHM_REGIONS; i++) {
        char name[16];

        snprintf(name, sizeof name, "r%d", i);
        region(shm, name, 8);
    }
    assert_int_equal(shm_region(shm, "one-more", 8, &start, &e), AGW_ESTORE);
    assert_non_null(strstr(e.message, "no room"));
    shm_close(&shm);
}

/* T31: no room on the disk is an error now, not a SIGBUS at the first touch. */
static void T31_no_room_is_an_error(void **state)
{
    struct shm *shm = opened();
    struct rlimit old, small = {.rlim_cur = 1 << 20};
    struct err e;
    void *start;
    int status;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    status = shm_region(shm, "large", 4 << 20, &start, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, AGW_ESTORE);
    memset(region(shm, "large", 4 << 20), 1, 4 << 20);
    shm_close(&shm);
}

static void blocks_are_reserved(void **state)
{
    struct shm *shm = opened();
    struct stat info;

    (void)state;
    region(shm, "large", 1 << 20);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_blocks * 512 >= 1 << 20);
    shm_close(&shm);
}

static void write_file(const void *data, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, length), length);
    close(fd);
}

static void expect_set_aside(const char *what)
{
    struct shm *shm = opened();

    if (access(bad_path, F_OK) != 0)
        fail_msg("%s was believed", what);
    memset(region(shm, "fresh", 5000), 1, 5000);
    shm_close(&shm);
    remove_files(NULL);
}

static void garbage_and_cut_files_are_set_aside(void **state)
{
    unsigned seed = 5;
    char garbage[8192];

    (void)state;
    write_file("x", 1);
    expect_set_aside("one byte");
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof garbage; i++)
            garbage[i] = (char)rand_r(&seed);
        write_file(garbage, (size_t)round * 160 + 1);
        expect_set_aside("garbage");
    }
    for (off_t size = 1; size < 12288 + 100; size += 997) {
        struct shm *shm = opened();

        region(shm, "a", 4096);
        region(shm, "b", 100);
        shm_close(&shm);
        assert_int_equal(truncate(path, size), 0);
        if (size < 8192 + 100)
            expect_set_aside("a cut file");
        remove_files(NULL);
    }
}

static void entries_that_lead_out_of_the_file_are_not_believed(void **state)
{
    static const struct {
        const char *what;
        uint64_t offset, size;
    } bad[] = {
        {"in the head", 0, 100},
        {"not on a page", 4097, 100},
        {"past the end", 1 << 20, 100},
        {"longer than the file", 4096, 1 << 20},
        {"wrapping around", 4096, UINT64_MAX - 100},
        {"at the end of the world", UINT64_MAX - 4095, 8192},
        {"empty", 4096, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct head head = {.used = 8192};
        char file[8192] = {0};

        memcpy(head.magic, "AGWSHM01", 8);
        memcpy(head.entries[0].name, "fresh", 5);
        head.entries[0].offset = bad[i].offset;
        head.entries[0].size = bad[i].size;
        memcpy(file, &head, sizeof head);
        write_file(file, sizeof file);
        expect_set_aside(bad[i].what);
    }
}

static void unterminated_names_and_other_versions_are_not_believed(void **state)
{
    struct head head = {.used = 8192};
    char file[8192] = {0};

    (void)state;
    memcpy(head.magic, "AGWSHM01", 8);
    memset(head.entries[0].name, 'n', sizeof head.entries[0].name);
    head.entries[0].offset = 4096;
    head.entries[0].size = 100;
    memcpy(file, &head, sizeof head);
    write_file(file, sizeof file);
    expect_set_aside("an unterminated name");
    memset(&head, 0, sizeof head);
    memcpy(head.magic, "AGWSHM99", 8);
    head.used = 4096;
    memcpy(file, &head, sizeof head);
    write_file(file, sizeof file);
    expect_set_aside("another version");
}

static void what_cannot_be_opened_is_an_error(void **state)
{
    struct shm *shm;
    struct err e;

    (void)state;
    assert_int_equal(shm_open_file("/nowhere/at/all", &shm, &e), AGW_ESTORE);
    assert_null(shm);
    assert_non_null(strstr(e.message, "/nowhere/at/all"));
    assert_int_equal(shm_open_file(folder, &shm, &e), AGW_ESTORE);
    assert_null(shm);
}

/* Many processes open a damaged file at once: all must end up in one and the same new one. */
static void concurrent_opens_meet_in_one_file(void **state)
{
    enum { CHILDREN = 8, ROUNDS = 10, ADDS = 1000 };
    struct shm *shm;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t children[CHILDREN];

        write_file("damaged", 7);
        for (int i = 0; i < CHILDREN; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                atomic_long *counter;

                shm = opened();
                counter = region(shm, i % 2 ? "odd" : "even", sizeof *counter);
                region(shm, i % 2 ? "even" : "odd", sizeof *counter);
                for (int n = 0; n < ADDS; n++)
                    atomic_fetch_add(counter, 1);
                _exit(0);
            }
        }
        for (int i = 0; i < CHILDREN; i++) {
            int status;

            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        shm = opened();
        assert_int_equal(*(atomic_long *)region(shm, "odd", sizeof(long)), CHILDREN / 2 * ADDS);
        assert_int_equal(*(atomic_long *)region(shm, "even", sizeof(long)),
                         CHILDREN / 2 * ADDS);
        shm_close(&shm);
        remove_files(NULL);
    }
}

/* Children make regions and count until they are killed at a random instant; what they had
 * counted is there, and the file stays good. */
static void killed_processes_leave_a_good_file(void **state)
{
    unsigned seed = 3;

    (void)state;
    for (int round = 0; round < 60; round++) {
        pid_t child = fork();
        struct shm *shm;
        int status;

        if (child == 0) {
            atomic_long *counter;

            shm = opened();
            counter = region(shm, "counter", sizeof *counter);
            for (int i = 0; i < 10; i++) {
                char name[16];

                snprintf(name, sizeof name, "r%d", i);
                atomic_fetch_add((atomic_long *)region(shm, name, 8192), 1);
            }
            for (;;)
                atomic_fetch_add(counter, 1);
        }
        assert_true(child > 0);
        usleep((useconds_t)rand_r(&seed) % 3000);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        shm = opened();
        region(shm, "counter", sizeof(long));
        shm_close(&shm);
        if (round % 6 == 5)
            remove_files(NULL);
        assert_int_equal(access(bad_path, F_OK), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(regions_start_zeroed_aligned_and_stay, remove_files),
        cmocka_unit_test_teardown(what_cannot_be_a_region, remove_files),
        cmocka_unit_test_teardown(T31_no_room_is_an_error, remove_files),
        cmocka_unit_test_teardown(blocks_are_reserved, remove_files),
        cmocka_unit_test_teardown(garbage_and_cut_files_are_set_aside, remove_files),
        cmocka_unit_test_teardown(entries_that_lead_out_of_the_file_are_not_believed, remove_files),
        cmocka_unit_test_teardown(unterminated_names_and_other_versions_are_not_believed,
                                  remove_files),
        cmocka_unit_test_teardown(what_cannot_be_opened_is_an_error, remove_files),
        cmocka_unit_test_teardown(concurrent_opens_meet_in_one_file, remove_files),
        cmocka_unit_test_teardown(killed_processes_leave_a_good_file, remove_files),
    };

    return cmocka_run_group_tests_name("util/shm", tests, make_folder, remove_folder);
}
