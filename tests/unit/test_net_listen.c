/* SPDX-License-Identifier: MIT */
/* Sockets that are inherited, made, stale, taken, and left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/fcgi_client.h"
#include "net/listen.h"

static char directory[] = "/tmp/agw-listen-XXXXXX";
static char path[64], address[80];

static bool reachable(void)
{
    int fd = fcgi_client_connect(path);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void made_and_removed(void **state)
{
    static const int modes[] = {0660, 0600, 0666};
    struct listen_socket s;
    struct stat st;
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        mode_t mask = umask(0077), after;

        assert_int_equal(listen_make(&s, address, modes[i], NULL, &e), 0);
        after = umask(mask);
        assert_int_equal(after, 0077); /* as it was */
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, modes[i]);
        assert_true((fcntl(s.fd, F_GETFD) & FD_CLOEXEC) != 0);
        assert_true(reachable());
        listen_close(&s);
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void stale_is_replaced(void **state)
{
    struct listen_socket s;
    struct err e = {0};
    int old = fcgi_client_listen(path);

    (void)state;
    assert_true(old >= 0);
    close(old); /* the file stays, nobody listens */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(listen_make(&s, address, 0660, NULL, &e), 0);
    assert_true(reachable());
    listen_close(&s);
}

static void living_is_left_alone(void **state)
{
    struct listen_socket first, second;
    struct err e = {0};

    (void)state;
    assert_int_equal(listen_make(&first, address, 0660, NULL, &e), 0);
    assert_int_equal(listen_make(&second, address, 0660, NULL, &e), AGW_EINVALID);
    assert_non_null(strstr(e.message, path));
    assert_int_equal(second.fd, -1);
    listen_close(&second);
    assert_true(reachable());
    listen_close(&first);
}

static void other_things_are_left_alone(void **state)
{
    struct listen_socket s;
    struct err e = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(listen_make(&s, address, 0660, NULL, &e), AGW_EINVALID);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/nonexistent", path), 0);
    assert_int_equal(listen_make(&s, address, 0660, NULL, &e), AGW_EINVALID);
    assert_int_equal(unlink(path), 0);
}

/* Somebody put another socket in its place meanwhile: not ours to remove. */
static void only_ours_is_removed(void **state)
{
    struct listen_socket s;
    struct err e = {0};
    int other;

    (void)state;
    assert_int_equal(listen_make(&s, address, 0660, NULL, &e), 0);
    assert_int_equal(unlink(path), 0);
    other = fcgi_client_listen(path);
    assert_true(other >= 0);
    listen_close(&s);
    assert_true(reachable());
    close(other);
    unlink(path);
}

static void wrong_addresses(void **state)
{
    static const char too_long[] =
        "unix:/tmp/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static const char *const wrong[] = {
        "", "unix:", "/run/x", "tcp:127.0.0.1:9000", ":9000", "unix:/nonexistent/folder/socket",
        too_long};
    struct listen_socket s;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct err e = {0};

        assert_int_equal(listen_make(&s, wrong[i], 0660, NULL, &e), AGW_EINVALID);
        assert_int_not_equal(e.message[0], '\0');
    }
    assert_int_equal(listen_make(&s, address, 0660, "no-such-group-here", NULL), AGW_EINVALID);
    assert_int_equal(access(path, F_OK), -1);
}

/* In a process of its own, since descriptors 0 and 3 change. What it returns is compared. */
static int in_child(int (*check)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(check());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void announce(const char *fds, long pid_offset)
{
    char pid[24];

    snprintf(pid, sizeof pid, "%ld", (long)getpid() + pid_offset);
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", fds, 1);
}

static int from_descriptor_0(void)
{
    struct listen_socket s;
    struct stat st;
    int fd = fcgi_client_listen(path);

    dup2(fd, 0);
    close(fd);
    if (listen_inherit(&s, NULL) != 0 || s.fd < 3 || s.made)
        return 1;
    if (fstat(0, &st) != 0 || !S_ISCHR(st.st_mode)) /* programs we start get no socket */
        return 2;
    if (!reachable())
        return 3;
    listen_close(&s);
    return access(path, F_OK) == 0 ? 0 : 4; /* not ours to remove */
}

static int from_a_service_manager(void)
{
    struct listen_socket s;
    int fd = fcgi_client_listen(path);

    dup2(fd, 3);
    announce("1", 0);
    if (listen_inherit(&s, NULL) != 0 || s.fd != 3)
        return 1;
    if ((fcntl(3, F_GETFD) & FD_CLOEXEC) == 0)
        return 2;
    return getenv("LISTEN_FDS") == NULL && getenv("LISTEN_PID") == NULL ? 0 : 3;
}

static int for_another_process(void)
{
    struct listen_socket s;
    int fd = fcgi_client_listen(path), null = open("/dev/null", O_RDONLY);

    dup2(fd, 3);
    dup2(null, 0);
    announce("1", 1);
    return listen_inherit(&s, NULL) == AGW_ENOTFOUND ? 0 : 1;
}

static int too_many(void)
{
    struct listen_socket s;

    announce("2", 0);
    return listen_inherit(&s, NULL) == AGW_EINVALID ? 0 : 1;
}

static int not_listening(void)
{
    struct listen_socket s;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        return 1;
    dup2(pair[0], 3);
    announce("1", 0);
    if (listen_inherit(&s, NULL) != AGW_EINVALID)
        return 2;
    dup2(pair[0], 0);
    return listen_inherit(&s, NULL) == AGW_ENOTFOUND ? 0 : 3;
}

static void inherited(void **state)
{
    static int (*const checks[])(void) = {from_descriptor_0, from_a_service_manager,
                                          for_another_process, too_many, not_listening};

    (void)state;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        int rc = in_child(checks[i]);

        if (rc != 0)
            fail_msg("check %zu: %d", i, rc);
        unlink(path);
    }
}

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(address, sizeof address, "unix:%s", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_removed),
        cmocka_unit_test(stale_is_replaced),
        cmocka_unit_test(living_is_left_alone),
        cmocka_unit_test(other_things_are_left_alone),
        cmocka_unit_test(only_ours_is_removed),
        cmocka_unit_test(wrong_addresses),
        cmocka_unit_test(inherited),
    };

    return cmocka_run_group_tests_name("net/listen", tests, setup, teardown);
}
