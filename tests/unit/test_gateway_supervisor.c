/* SPDX-License-Identifier: MIT */
/* Workers that die, drain, reload, and never outlive their supervisor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/fcgi_client.h"
#include "gateway/supervisor.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/proc.h"

enum { WORKERS = 3, STUBBORN = 1, CRASHING = 2 };

static char directory[] = "/tmp/agw-supervisor-XXXXXX";
static char path[64], address[80], notify_path[64];

/* What all processes of a scene share. */
static struct shared {
    atomic_int pids[WORKERS], starts, hups, usr1s, terms, reopened;
} *shared;

static void nap(int ms)
{
    usleep((useconds_t)ms * 1000);
}

/* An orphan stays a zombie until init comes round to it: that is dead. */
static bool is_alive(pid_t pid)
{
    return proc_is_alive(pid, proc_start_time(pid));
}

/* A worker that accepts nothing: `behaviour` says how it takes its end. */
static int work(void *arg, const struct supervisor_seat *seat)
{
    const int *behaviour = arg;
    sigset_t watched;

    atomic_store(&shared->pids[seat->slot], (int)getpid());
    atomic_fetch_add(&shared->starts, 1);
    if (*behaviour == CRASHING)
        return 5;
    (void)!write(seat->ready_fd, "r", 1);
    sigemptyset(&watched);
    sigaddset(&watched, SIGTERM);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGUSR1);
    for (;;) {
        switch (sigwaitinfo(&watched, NULL)) {
        case SIGHUP:
            atomic_fetch_add(&shared->hups, 1);
            break;
        case SIGUSR1:
            atomic_fetch_add(&shared->usr1s, 1);
            break;
        case SIGTERM:
            atomic_fetch_add(&shared->terms, 1);
            if (*behaviour == STUBBORN)
                break;
            nap(100);
            return 0;
        }
    }
}

static void reopen(void *arg)
{
    (void)arg;
    atomic_fetch_add(&shared->reopened, 1);
}

static int supervise(int behaviour)
{
    struct listen_socket listening;
    struct supervisor_options options = {.workers = WORKERS, .drain_ms = 300,
                                         .socket = &listening, .work = work,
                                         .reopen_log = reopen, .arg = &behaviour};

    log_set_level(LOG_ERROR + 1);
    if (listen_make(&listening, address, 0660, NULL, NULL) != 0)
        return 9;
    return supervisor_run(&options, NULL) == 0 ? 0 : 8;
}

static pid_t start(int behaviour)
{
    pid_t pid;

    memset(shared, 0, sizeof *shared);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nothing behind */
        signal(SIGSEGV, SIG_DFL);         /* cmocka would go on with the tests */
        signal(SIGABRT, SIG_DFL);
        _exit(supervise(behaviour));
    }
    assert_true(pid > 0);
    return pid;
}

static void wait_count(const atomic_int *value, int wanted)
{
    for (int i = 0; i < 1000 && atomic_load(value) < wanted; i++)
        nap(5);
    assert_int_equal(atomic_load(value), wanted);
}

static int end(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void expect_all_dead(void)
{
    for (int i = 0; i < WORKERS; i++) {
        pid_t pid = atomic_load(&shared->pids[i]);

        for (int n = 0; n < 400 && is_alive(pid); n++)
            nap(5);
        assert_false(is_alive(pid));
    }
}

static void drains_on_sigterm(void **state)
{
    pid_t pid = start(0);

    (void)state;
    wait_count(&shared->starts, WORKERS);
    kill(pid, SIGTERM);
    assert_int_equal(end(pid), 0);
    assert_int_equal(shared->terms, WORKERS);
    assert_int_equal(shared->starts, WORKERS);
    expect_all_dead();
    assert_int_equal(access(path, F_OK), -1);
}

static void the_drain_has_an_end(void **state)
{
    pid_t pid = start(STUBBORN);
    int64_t before;

    (void)state;
    wait_count(&shared->starts, WORKERS);
    before = clock_mono_ms();
    kill(pid, SIGTERM);
    assert_int_equal(end(pid), 0);
    assert_in_range(clock_mono_ms() - before, 300, 4500);
    expect_all_dead();
}

static void a_second_sigterm_is_final(void **state)
{
    pid_t pid = start(STUBBORN);
    int64_t before;

    (void)state;
    wait_count(&shared->starts, WORKERS);
    kill(pid, SIGTERM);
    wait_count(&shared->terms, WORKERS);
    before = clock_mono_ms();
    kill(pid, SIGTERM);
    assert_int_equal(end(pid), 0);
    assert_true(clock_mono_ms() - before < 1000);
    expect_all_dead();
}

static void dead_workers_are_replaced_within_a_second(void **state)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGABRT};
    pid_t pid = start(0);

    (void)state;
    wait_count(&shared->starts, WORKERS);
    for (int i = 0; i < 3; i++) {
        int64_t before = clock_mono_ms();

        nap(20);
        kill(shared->pids[i], signals[i]);
        wait_count(&shared->starts, WORKERS + i + 1);
        assert_true(clock_mono_ms() - before < 1000);
    }
    kill(pid, SIGTERM);
    assert_int_equal(end(pid), 0);
    expect_all_dead();
}

/* Never a busy loop, never a pause of a second. */
static void crash_loops_are_slowed_down(void **state)
{
    pid_t pid = start(CRASHING);
    int before, after;

    (void)state;
    nap(3000);
    before = shared->starts;
    nap(1700);
    after = shared->starts;
    assert_true(before < WORKERS * 15);
    assert_in_range(after - before, WORKERS, WORKERS * 4);
    kill(pid, SIGTERM);
    assert_int_equal(end(pid), 0);
}

/* A process may look dead while a last thread of it (a sanitizer's) still holds the socket. */
static void expect_nobody_listens(void)
{
    int fd = fcgi_client_connect(path);

    for (int n = 0; n < 400 && fd >= 0; n++) {
        close(fd);
        nap(5);
        fd = fcgi_client_connect(path);
    }
    assert_int_equal(fd, -1);
}

static void a_killed_supervisor_leaves_no_orphans(void **state)
{
    pid_t pid = start(0);

    (void)state;
    wait_count(&shared->starts, WORKERS);
    nap(20);
    kill(pid, SIGKILL);
    assert_int_equal(end(pid), 100 + SIGKILL);
    expect_all_dead();
    expect_nobody_listens();
    unlink(path);
}

static void signals_are_passed_on(void **state)
{
    pid_t pid = start(0);

    (void)state;
    wait_count(&shared->starts, WORKERS);
    kill(pid, SIGHUP);
    wait_count(&shared->hups, 1);
    kill(pid, SIGUSR1);
    wait_count(&shared->usr1s, WORKERS);
    wait_count(&shared->reopened, 1);
    nap(50);
    assert_int_equal(shared->hups, 1); /* one reads the files, the others follow */
    kill(pid, SIGINT);
    assert_int_equal(end(pid), 0);
}

static void the_service_manager_is_told(void **state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char said[64];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pid_t pid;
    ssize_t n;

    (void)state;
    memcpy(to.sun_path, notify_path, strlen(notify_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    setenv("NOTIFY_SOCKET", notify_path, 1);
    pid = start(0);
    unsetenv("NOTIFY_SOCKET");
    n = recv(fd, said, sizeof said - 1, 0);
    assert_int_equal(n, 7);
    assert_memory_equal(said, "READY=1", 7);
    kill(pid, SIGTERM);
    n = recv(fd, said, sizeof said - 1, 0);
    assert_int_equal(n, 10);
    assert_memory_equal(said, "STOPPING=1", 10);
    assert_int_equal(end(pid), 0);
    close(fd);
    unlink(notify_path);
}

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                  0);
    if (shared == MAP_FAILED || mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(address, sizeof address, "unix:%s", path);
    snprintf(notify_path, sizeof notify_path, "%s/notify", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    unlink(notify_path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drains_on_sigterm),
        cmocka_unit_test(the_drain_has_an_end),
        cmocka_unit_test(a_second_sigterm_is_final),
        cmocka_unit_test(dead_workers_are_replaced_within_a_second),
        cmocka_unit_test(crash_loops_are_slowed_down),
        cmocka_unit_test(a_killed_supervisor_leaves_no_orphans),
        cmocka_unit_test(signals_are_passed_on),
        cmocka_unit_test(the_service_manager_is_told),
    };

    return cmocka_run_group_tests_name("gateway/supervisor", tests, setup, teardown);
}
