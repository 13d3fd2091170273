/* SPDX-License-Identifier: MIT */
/* kept: what is copied of a module, what is linked to, and that there is a whole copy or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runnerd/kept.h"

enum { LONG_PATH = 3 * PATH_MAX };

static char base[64], root[80], socket_path[80];
static struct kept kept;

static int set_up(void **state)
{
    char made[] = "/tmp/agw-test-kept-XXXXXX";

    (void)state;
    umask(027);
    if (mkdtemp(made) == NULL)
        return -1;
    snprintf(base, sizeof base, "%s", made);
    snprintf(root, sizeof root, "%s/agents", base);
    snprintf(socket_path, sizeof socket_path, "%s/s.sock", base);
    return mkdir(root, 0755) == 0 && kept_open(&kept, socket_path, NULL) == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    kept_close(&kept);
    return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* With the folders around it. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0755);
        *slash = '/';
    }
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The only module there is. */
static void look(struct found *module)
{
    const char *const roots[] = {root};
    struct discovery d = {0};

    discover_search(&d, roots, 1);
    assert_int_equal(d.count, 1);
    discover_copy(module, &d.found[0]);
    discover_free(&d);
}

static void read_file(const char *folder, const char *name, char text[64])
{
    char path[LONG_PATH];
    ssize_t got;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    got = read(fd, text, 63);
    assert_true(got >= 0);
    text[got] = '\0';
    close(fd);
}

static mode_t kind_of(const char *folder, const char *name)
{
    char path[LONG_PATH];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return lstat(path, &st) == 0 ? st.st_mode & S_IFMT : 0;
}

static void assert_text(const char *folder, const char *name, const char *text)
{
    char seen[64];

    read_file(folder, name, seen);
    assert_string_equal(seen, text);
}

static void test_code_is_copied_and_the_rest_is_linked_to(void **state)
{
    struct found module, copy;
    char folder[2 * PATH_MAX];

    (void)state;
    put("labs/One/agent.py", "good");
    put("labs/One/parts/helper.py", "help");
    put("labs/One/parts/data.bin", "data");
    put("labs/One/.venv/pyvenv.cfg", "venv");
    put("labs/One/node_modules/x/index.js", "x");
    put("labs/One/__pycache__/agent.pyc", "compiled");
    look(&module);
    assert_false(kept_find(&kept, &module, NULL));
    assert_int_equal(kept_take(&kept, &module, NULL), 0);
    put("labs/One/agent.py", "bad");
    put("labs/One/parts/helper.py", "worse");
    put("labs/One/parts/data.bin", "newer");
    assert_true(kept_find(&kept, &module, &copy));
    snprintf(folder, sizeof folder, "%s/%s", copy.root, copy.folder);
    assert_string_equal(copy.folder, "labs/One");
    assert_string_equal(copy.module, "labs.One.agent");
    assert_text("", copy.path, "good");
    assert_text(folder, "parts/helper.py", "help");
    assert_text(folder, "parts/data.bin", "newer");
    assert_int_equal(kind_of(folder, "parts/data.bin"), S_IFLNK);
    assert_int_equal(kind_of(folder, ".venv"), S_IFLNK);
    assert_text(folder, ".venv/pyvenv.cfg", "venv");
    assert_text(folder, "node_modules/x/index.js", "x");
    assert_int_equal(kind_of(folder, "__pycache__"), 0);
    snprintf(folder, sizeof folder, "%s/labs/One", root);
    assert_string_equal(copy.origin, folder);
    discover_drop(&copy);
    discover_drop(&module);
}

static void test_shared_packages_are_linked_to_where_they_were(void **state)
{
    struct found module, copy;

    (void)state;
    put("labs/One/agent.py", "good");
    put(".venv/pyvenv.cfg", "venv");
    put("node_modules/x/index.js", "x");
    look(&module);
    assert_true(module.shares);
    assert_int_equal(kept_take(&kept, &module, NULL), 0);
    assert_true(kept_find(&kept, &module, &copy));
    assert_true(copy.shares);
    assert_text(copy.root, ".venv/pyvenv.cfg", "venv");
    assert_int_equal(kind_of(copy.root, ".venv"), S_IFLNK);
    assert_int_equal(kind_of(copy.root, "node_modules"), 0); /* of another language */
    discover_drop(&copy);
    discover_drop(&module);
    put("labs/One/.venv/pyvenv.cfg", "its own"); /* since then; the copy is as it was */
    look(&module);
    assert_false(module.shares);
    assert_true(kept_find(&kept, &module, &copy));
    assert_true(copy.shares);
    discover_drop(&copy);
    module.shared = false; /* others may write there by now */
    assert_true(kept_find(&kept, &module, &copy));
    assert_false(copy.shares);
    discover_drop(&copy);
    discover_drop(&module);
}

static void test_a_newer_copy_takes_the_place_of_an_older_one(void **state)
{
    struct found first, second, copy;

    (void)state;
    put("One/agent.py", "first");
    put("One/old.py", "old");
    look(&first);
    assert_int_equal(kept_take(&kept, &first, NULL), 0);
    put("One/agent.py", "second");
    look(&second);
    assert_int_equal(kept_take(&kept, &second, NULL), 0);
    assert_true(kept_find(&kept, &first, &copy)); /* by its path */
    assert_text("", copy.path, "second");
    discover_drop(&copy);
    kept_forget(&kept, &first);
    assert_false(kept_find(&kept, &second, &copy));
    discover_drop(&first);
    discover_drop(&second);
}

static void test_files_that_changed_since_they_were_found_are_not_kept(void **state)
{
    struct found module, copy;
    struct err e = {0};

    (void)state;
    put("One/agent.py", "good");
    look(&module);
    assert_int_equal(kept_take(&kept, &module, NULL), 0);
    put("One/agent.py", "edited meanwhile");
    assert_int_equal(kept_take(&kept, &module, &e), AGW_EMODEL);
    assert_true(kept_find(&kept, &module, &copy));
    assert_text("", copy.path, "good");
    discover_drop(&copy);
    discover_drop(&module);
}

/* A module with one large file beside its code, as discovery finds it. */
static void look_at_large(struct found *module, off_t size)
{
    char path[PATH_MAX];

    put("One/agent.py", "good");
    put("One/big.json", "");
    snprintf(path, sizeof path, "%s/One/big.json", root);
    assert_int_equal(truncate(path, size), 0);
    look(module);
}

/* Without what was copied so far. */
static void assert_no_leftovers(void)
{
    char command[PATH_MAX];

    snprintf(command, sizeof command, "%s.kept", socket_path);
    assert_int_equal(rmdir(command), 0); /* it is empty */
}

static void test_what_is_too_much_is_not_kept_at_all(void **state)
{
    struct found module;
    struct err e = {0};

    (void)state;
    look_at_large(&module, (off_t)KEPT_BYTES_MAX + 1);
    assert_int_equal(kept_take(&kept, &module, &e), AGW_ETOOLARGE);
    assert_non_null(strstr(e.message, "16 MiB"));
    assert_false(kept_find(&kept, &module, NULL));
    assert_no_leftovers();
    discover_drop(&module);
}

/* Processes would be started from whatever is called so by then. */
static void test_copies_that_others_could_swap_are_not_kept(void **state)
{
    struct kept other;
    struct err e = {0};

    (void)state;
    assert_int_equal(chmod(base, 01777), 0); /* as /tmp: each has theirs */
    assert_int_equal(kept_open(&other, socket_path, &e), 0);
    kept_close(&other);
    assert_int_equal(chmod(base, 0777), 0);
    assert_int_equal(kept_open(&other, socket_path, &e), AGW_EUNAVAILABLE);
    assert_non_null(strstr(e.message, "swapped"));
    assert_int_equal(other.fd, -1);
}

static size_t copied; /* at most so many bytes were written */

/* In place of the library's. */
ssize_t sendfile(int to, int from, off_t *place, size_t count)
{
    ssize_t sent = syscall(SYS_sendfile, to, from, place, count);

    copied += sent > 0 ? (size_t)sent : 0;
    return sent;
}

/* What is left is for others, even for a moment. */
static void test_too_large_a_copy_takes_no_more_than_it_may(void **state)
{
    struct found module;
    struct err e = {0};

    (void)state;
    look_at_large(&module, 8 << 20);
    kept.bytes = KEPT_TOTAL_MAX - (1 << 20);
    copied = 0;
    assert_int_equal(kept_take(&kept, &module, &e), AGW_ETOOLARGE);
    assert_in_range(copied, 1, 1 << 20);
    assert_int_equal(kept.bytes, KEPT_TOTAL_MAX - (1 << 20));
    kept.bytes = 0;
    assert_no_leftovers();
    discover_drop(&module);
}

static void test_too_many_files_are_not_kept_at_all(void **state)
{
    struct found module;
    struct err e = {0};
    char name[64];

    (void)state;
    put("One/agent.py", "good");
    for (int i = 0; i < KEPT_ENTRIES_MAX; i++) {
        snprintf(name, sizeof name, "One/%d.bin", i);
        put(name, "");
    }
    look(&module);
    assert_int_equal(kept_take(&kept, &module, &e), AGW_ETOOLARGE);
    assert_no_leftovers();
    discover_drop(&module);
}

static void test_all_copies_together_have_a_limit(void **state)
{
    struct found module;
    struct err e = {0};

    (void)state;
    put("One/agent.py", "good");
    look(&module);
    kept.bytes = KEPT_TOTAL_MAX - 1;
    assert_int_equal(kept_take(&kept, &module, &e), AGW_ETOOLARGE);
    assert_non_null(strstr(e.message, "256 MiB"));
    assert_int_equal(kept.bytes, KEPT_TOTAL_MAX - 1);
    kept.bytes = KEPT_TOTAL_MAX - (64 << 10);
    assert_int_equal(kept_take(&kept, &module, &e), 0);
    assert_int_equal(kept_take(&kept, &module, &e), 0);
    kept_forget(&kept, &module);
    assert_int_equal(kept.bytes, KEPT_TOTAL_MAX - (64 << 10));
    discover_drop(&module);
}

static void test_half_of_what_is_free_stays_free(void **state)
{
    static const struct {
        int64_t bytes, room;
        fsblkcnt_t free;
    } rows[] = {{0, 0, 0},
                {0, 4096, 2},
                {KEPT_TOTAL_MAX - 5000, 4096, 2},
                {KEPT_TOTAL_MAX - 4000, 4000, 2},
                {0, KEPT_TOTAL_MAX, KEPT_TOTAL_MAX / 2048},
                {0, KEPT_TOTAL_MAX - 2048, KEPT_TOTAL_MAX / 2048 - 1},
                {0, KEPT_TOTAL_MAX, UINT64_MAX / 4096},
                {KEPT_TOTAL_MAX + 1, -1, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct kept k = {.bytes = rows[i].bytes};
        const struct statvfs fs = {.f_bavail = rows[i].free, .f_frsize = 4096};

        assert_int_equal(kept_room(&k, &fs), rows[i].room);
    }
}

static void test_libraries_are_not_kept_where_they_could_not_be_loaded(void **state)
{
    struct found module;
    struct err e = {0};

    (void)state;
    put("One/agent.py", "good");
    put("One/parts/fast.so", "code");
    look(&module);
    kept.is_noexec = true;
    assert_int_equal(kept_take(&kept, &module, &e), AGW_EUNAVAILABLE);
    assert_string_equal(e.message, "One/parts/fast.so could not be loaded from the folder of "
                                   "copies, which is mounted noexec");
    assert_false(kept_find(&kept, &module, NULL));
    assert_no_leftovers();
    discover_drop(&module);
}

static void test_all_else_is_kept_there(void **state)
{
    struct found module;

    (void)state;
    put("One/agent.py", "good");
    put("One/so", "");
    put("One/x.so.txt", "");
    look(&module);
    kept.is_noexec = true;
    assert_int_equal(kept_take(&kept, &module, NULL), 0);
    discover_drop(&module);
}

/* As the kernel lists what is mounted: the last one at a place counts. -1: nothing is. */
static int is_listed_noexec(const char *place)
{
    FILE *f = setmntent("/proc/self/mounts", "r");
    struct mntent *mount;
    int is = -1;

    assert_non_null(f);
    while ((mount = getmntent(f)) != NULL)
        if (strcmp(mount->mnt_dir, place) == 0)
            is = hasmntopt(mount, "noexec") != NULL;
    endmntent(f);
    return is;
}

static void test_how_the_folder_is_mounted_is_seen(void **state)
{
    static const char *const places[] = {"/", "/proc", "/sys", "/dev", "/dev/shm", "/run"};

    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int listed = is_listed_noexec(places[i]), fd = open(places[i], O_RDONLY | O_DIRECTORY);

        if (listed >= 0 && fd >= 0)
            assert_int_equal(kept_is_noexec(fd), listed);
        if (fd >= 0)
            close(fd);
    }
}

static void test_what_was_kept_before_counts(void **state)
{
    struct found module;
    struct kept again;

    (void)state;
    put("One/agent.py", "good");
    look(&module);
    assert_int_equal(kept_take(&kept, &module, NULL), 0);
    assert_int_equal(kept_open(&again, socket_path, NULL), 0);
    assert_true(again.bytes > 0);
    assert_int_equal(again.bytes - kept.bytes, 0);
    kept_close(&again);
    discover_drop(&module);
}

static void test_a_sweep_leaves_what_is_known(void **state)
{
    struct found module;
    char path[PATH_MAX];
    const char *known[1];

    (void)state;
    put("One/agent.py", "good");
    look(&module);
    assert_int_equal(kept_take(&kept, &module, NULL), 0);
    snprintf(path, sizeof path, "%s.kept/unfinished.new", socket_path);
    assert_int_equal(mkdir(path, 0700), 0);
    known[0] = module.path;
    kept_sweep(&kept, known, 1);
    assert_true(kept_find(&kept, &module, NULL));
    assert_int_equal(access(path, F_OK), -1);
    kept_sweep(&kept, NULL, 0);
    assert_false(kept_find(&kept, &module, NULL));
    assert_no_leftovers();
    discover_drop(&module);
}

static void test_a_folder_of_others_is_not_used(void **state)
{
    struct found module;
    struct kept other;
    struct err e = {0};
    char path[PATH_MAX], target[PATH_MAX];

    (void)state;
    snprintf(path, sizeof path, "%s.kept", socket_path);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(kept_open(&other, socket_path, &e), AGW_EUNAVAILABLE);
    assert_int_equal(chmod(path, 0700), 0);
    snprintf(path, sizeof path, "%s/t.sock.kept", base);
    snprintf(target, sizeof target, "%s/agents", base);
    assert_int_equal(symlink(target, path), 0);
    snprintf(path, sizeof path, "%s/t.sock", base);
    assert_int_equal(kept_open(&other, path, &e), AGW_EUNAVAILABLE);
    put("One/agent.py", "good");
    look(&module);
    assert_int_equal(kept_take(&other, &module, &e), AGW_EUNAVAILABLE);
    assert_false(kept_find(&other, &module, NULL));
    kept_forget(&other, &module);
    kept_sweep(&other, NULL, 0);
    kept_close(&other);
    discover_drop(&module);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_code_is_copied_and_the_rest_is_linked_to, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_shared_packages_are_linked_to_where_they_were,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_newer_copy_takes_the_place_of_an_older_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_files_that_changed_since_they_were_found_are_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_too_much_is_not_kept_at_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_too_large_a_copy_takes_no_more_than_it_may, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_copies_that_others_could_swap_are_not_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_too_many_files_are_not_kept_at_all, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_all_copies_together_have_a_limit, set_up, tear_down),
        cmocka_unit_test(test_half_of_what_is_free_stays_free),
        cmocka_unit_test_setup_teardown(
            test_libraries_are_not_kept_where_they_could_not_be_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_else_is_kept_there, set_up, tear_down),
        cmocka_unit_test(test_how_the_folder_is_mounted_is_seen),
        cmocka_unit_test_setup_teardown(test_what_was_kept_before_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_sweep_leaves_what_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_folder_of_others_is_not_used, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
