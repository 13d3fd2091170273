/* SPDX-License-Identifier: MIT */
/* escapes.py in C: a module of agents that tries to get out of its sandbox. */
#define _GNU_SOURCE
#include <agent_gateway/agent.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, FAMILY_MAX = 4096 };

/* What the module is after. */
struct to {
    struct agw_run *run;
    const char *json;
    char file[PATH_MAX], victim_file[PATH_MAX];
    pid_t victim;
};

static long long number(const struct to *to, const char *pointer)
{
    long long value = 0;

    agw_json_integer(to->json, pointer, &value);
    return value;
}

static int text(const struct to *to, const char *pointer, char *out, size_t size)
{
    return agw_json_string(to->json, pointer, out, size) == AGW_DONE ? 0 : (errno = EINVAL, -1);
}

/* close() may not change what went wrong before. */
static int closed(int fd, int status)
{
    int error = errno;

    close(fd);
    errno = error;
    return status;
}

static int opened(const char *path, int flags, const char *written)
{
    char some[64];
    int fd = open(path, flags | O_CLOEXEC, 0644);

    if (fd < 0)
        return -1;
    if (written != NULL)
        return closed(fd, write(fd, written, strlen(written)) < 0 ? -1 : 0);
    return closed(fd, read(fd, some, sizeof some) < 0 ? -1 : 0);
}

/* What it leaves behind ends with the child. */
static int in_child(long (*function)(const struct to *to), const struct to *to)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(function(to) < 0 ? errno : 0);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
    return errno == 0 ? 0 : -1;
}

/* ---- the network ---- */

static struct sockaddr_in loopback(long long port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int tcp(const struct to *to)
{
    struct sockaddr_in address = loopback(number(to, "/port"));
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return fd < 0 ? -1 : closed(fd, connect(fd, (struct sockaddr *)&address, sizeof address));
}

static int tcp_listen(const struct to *to)
{
    struct sockaddr_in address = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    (void)to;
    if (fd < 0)
        return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
        return closed(fd, -1);
    return closed(fd, listen(fd, 1));
}

static int udp(const struct to *to)
{
    struct sockaddr_in address = loopback(number(to, "/port"));
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ssize_t sent;

    if (fd < 0)
        return -1;
    sent = sendto(fd, "x", 1, 0, (struct sockaddr *)&address, sizeof address);
    return closed(fd, sent < 0 ? -1 : 0);
}

static int connected(const struct sockaddr_un *address, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    return fd < 0 ? -1 : closed(fd, connect(fd, (const struct sockaddr *)address, (socklen_t)size));
}

static int unix_socket(const struct to *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (text(to, "/socket", address.sun_path, sizeof address.sun_path) != 0)
        return -1;
    return connected(&address, sizeof address);
}

static int abstract_socket(const struct to *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *name = address.sun_path + 1;

    if (text(to, "/abstract", name, sizeof address.sun_path - 1) != 0)
        return -1;
    return connected(&address, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int datagram_pair(const struct to *to)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int ends[2];
    ssize_t sent;

    if (text(to, "/datagrams", address.sun_path, sizeof address.sun_path) != 0 ||
        socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0)
        return -1;
    sent = sendto(ends[0], "escaped", 7, 0, (struct sockaddr *)&address, sizeof address);
    return closed(ends[0], closed(ends[1], sent < 0 ? -1 : 0));
}

/* ---- files ---- */

static int read_file(const struct to *to)
{
    return opened(to->file, O_RDONLY, NULL);
}

static int list_folder(const struct to *to)
{
    char folder[PATH_MAX];
    char *slash;
    DIR *listed;

    snprintf(folder, sizeof folder, "%s", to->file);
    slash = strrchr(folder, '/');
    if (slash != NULL)
        *slash = '\0';
    listed = opendir(folder);
    return listed == NULL ? -1 : closedir(listed);
}

static int read_shadow(const struct to *to)
{
    (void)to;
    return opened("/etc/shadow", O_RDONLY, NULL);
}

static int write_file(const struct to *to)
{
    return opened(to->file, O_WRONLY | O_APPEND, "escaped");
}

static int make_file(const struct to *to)
{
    char path[PATH_MAX + 8];

    snprintf(path, sizeof path, "%s.new", to->file);
    return opened(path, O_WRONLY | O_CREAT | O_TRUNC, "escaped");
}

static int remove_file(const struct to *to)
{
    return unlink(to->victim_file);
}

/* ---- other processes, and the kernel ---- */

static int kill_other(const struct to *to)
{
    return kill(to->victim, SIGUSR1);
}

static long seize(const struct to *to)
{
    return ptrace(PTRACE_SEIZE, to->victim, NULL, NULL);
}

static int trace(const struct to *to)
{
    return in_child(seize, to);
}

static int of_process(const struct to *to, const char *what)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)to->victim, what);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : closed(fd, 0);
}

static int environment_of(const struct to *to)
{
    return of_process(to, "environ");
}

static int memory_of(const struct to *to)
{
    return of_process(to, "mem");
}

/* Nothing is there, but who gets as far as to be told that may look elsewhere. */
static int copy_memory(const struct to *to)
{
    char some[8];
    struct iovec here = {some, sizeof some}, there = {NULL, sizeof some};

    process_vm_readv(to->victim, &here, 1, &there, 1, 0);
    return errno == EFAULT ? 0 : -1;
}

static int limit_of(const struct to *to)
{
    const struct rlimit none = {0, 0};

    return prlimit(to->victim, RLIMIT_CORE, &none, NULL);
}

static long leave_namespace(const struct to *to)
{
    (void)to;
    return unshare(CLONE_NEWUSER);
}

static int user_namespace(const struct to *to)
{
    return in_child(leave_namespace, to);
}

static long set_up_ring(const struct to *to)
{
    char parameters[120] = "";

    (void)to;
    return syscall(SYS_io_uring_setup, 1, parameters);
}

static int io_uring(const struct to *to)
{
    return in_child(set_up_ring, to);
}

static int shared_memory(const struct to *to)
{
    return shmget((key_t)number(to, "/shared"), 0, 0) < 0 ? -1 : 0;
}

/* ---- more than is theirs ---- */

/* As many as the limit or more: it worked. */
static int fork_bomb(const struct to *to)
{
    static pid_t family[FAMILY_MAX];
    long long wanted = number(to, "/processes"), count = 0;
    int error = 0;

    while (count < wanted && count < FAMILY_MAX && error == 0) {
        pid_t child = fork();

        if (child == 0)
            for (;;)
                pause();
        if (child > 0)
            family[count++] = child;
        else
            error = errno;
        agw_cancelled(to->run);
    }
    while (count > 0) {
        kill(family[--count], SIGKILL);
        waitpid(family[count], NULL, 0);
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

static int memory(const struct to *to)
{
    enum { PIECE = 64 * MIB };
    void **held = NULL;
    long long size = 0, wanted = number(to, "/memory");
    int error = 0;

    while (size < wanted && error == 0) {
        void **piece = malloc(PIECE);

        if (piece == NULL) {
            error = ENOMEM;
            break;
        }
        memset(piece, 1, PIECE);
        *piece = (void *)held;
        held = piece;
        size += PIECE;
        agw_cancelled(to->run);
    }
    while (held != NULL) {
        void **before = *held;

        free((void *)held);
        held = before;
    }
    errno = error;
    return error == 0 ? 0 : -1;
}

static int descriptors(const struct to *to)
{
    static int held[FAMILY_MAX];
    long long wanted = number(to, "/files"), count = 0;
    int error = 0;

    while (count < wanted && count < FAMILY_MAX && error == 0) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (fd >= 0)
            held[count++] = fd;
        else
            error = errno;
    }
    while (count > 0)
        close(held[--count]);
    errno = error;
    return error == 0 ? 0 : -1;
}

static int disk(const struct to *to)
{
    static const char some[MIB];
    const char *folder = getenv("TMPDIR");
    long long size = 0, wanted = number(to, "/disk");
    char path[PATH_MAX];
    ssize_t more = 0;
    int fd;

    signal(SIGXFSZ, SIG_IGN); /* Python does so by itself */
    snprintf(path, sizeof path, "%s/big", folder == NULL ? "/tmp" : folder);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    while (size < wanted && more >= 0) {
        more = write(fd, some, sizeof some);
        size += more;
        agw_cancelled(to->run);
    }
    return closed(fd, more < 0 ? -1 : 0);
}

static const struct attempt {
    const char *name;
    int (*make)(const struct to *to); /* 0, or -1 and errno */
} attempts[] = {
    {"tcp", tcp}, {"tcp_listen", tcp_listen}, {"udp", udp}, {"unix_socket", unix_socket},
    {"abstract_socket", abstract_socket}, {"datagram_pair", datagram_pair},
    {"read_file", read_file}, {"list_folder", list_folder}, {"read_shadow", read_shadow},
    {"write_file", write_file}, {"make_file", make_file}, {"remove_file", remove_file},
    {"kill", kill_other}, {"ptrace", trace}, {"environment_of", environment_of},
    {"memory_of", memory_of}, {"copy_memory", copy_memory}, {"limit_of", limit_of},
    {"user_namespace", user_namespace}, {"io_uring", io_uring}, {"shared_memory", shared_memory},
    {"fork_bomb", fork_bomb}, {"memory", memory}, {"descriptors", descriptors}, {"disk", disk},
};

/* Adds `"name": null`, or why not. */
static void try(const struct to *to, const char *name, struct agw_text *answer)
{
    const char *problem = "no such attempt";

    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        if (strcmp(attempts[i].name, name) == 0)
            problem = attempts[i].make(to) == 0 ? NULL : strerrorname_np(errno);
    agw_text_add_json(answer, name);
    agw_text_add(answer, ": ");
    if (problem == NULL)
        agw_text_add(answer, "null");
    else
        agw_text_add_json(answer, problem);
}

static void add_environment(const char *path, struct agw_text *seen)
{
    char some[4096];
    ssize_t length;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    while ((length = read(fd, some, sizeof some)) > 0) {
        for (ssize_t i = 0; i < length; i++)
            if (some[i] == '\0')
                some[i] = '\n';
        agw_text_add_bytes(seen, some, (size_t)length);
    }
    close(fd);
}

/* All that can be read of other processes' environments. */
static int add_environments(struct agw_run *run, struct agw_text *answer)
{
    struct agw_text *seen = agw_text_new(run);
    DIR *processes = opendir("/proc");
    struct dirent *one;
    char path[300];

    for (char **variable = environ; *variable != NULL; variable++)
        agw_text_addf(seen, "%s\n", *variable);
    while (processes != NULL && (one = readdir(processes)) != NULL) {
        snprintf(path, sizeof path, "/proc/%s/environ", one->d_name);
        if (one->d_name[0] >= '1' && one->d_name[0] <= '9')
            add_environment(path, seen);
    }
    if (processes != NULL)
        closedir(processes);
    return agw_text_add_json(answer, agw_text_get(seen));
}

static int escape(struct agw_run *run, struct agw_text *answer)
{
    struct to to = {.run = run, .json = agw_input(run)};
    char pointer[32], name[64];

    to.victim = (pid_t)number(&to, "/victim");
    if (text(&to, "/file", to.file, sizeof to.file) != 0 ||
        text(&to, "/victim_file", to.victim_file, sizeof to.victim_file) != 0)
        return AGW_FATAL;
    agw_text_add(answer, "{\"attempts\": {");
    for (int i = 0;; i++) {
        snprintf(pointer, sizeof pointer, "/attempts/%d", i);
        if (text(&to, pointer, name, sizeof name) != 0)
            break;
        agw_text_add(answer, i == 0 ? "" : ", ");
        try(&to, name, answer);
    }
    agw_text_add(answer, "}, \"environments\": ");
    if (add_environments(run, answer) != AGW_DONE)
        return AGW_FATAL;
    return agw_text_add(answer, "}");
}

const struct agw_agent agent = {.version = AGW_AGENT_VERSION, .name = "Native", .run = escape};
