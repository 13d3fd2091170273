/* SPDX-License-Identifier: MIT */
/* Gets hold of the one socket that requests come from. */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, FIRST_PASSED = 3 }; /* sd_listen_fds(3) */

static bool is_listening(int fd)
{
    int listening = 0, type = 0;
    socklen_t length = sizeof listening;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0)
        return false;
    length = sizeof type;
    return listening != 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
           type == SOCK_STREAM;
}

/* How many descriptors a service manager passed to this very process. */
static long passed_count(void)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    long n = 0;

    if (pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid())
        n = strtol(count, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return n;
}

int listen_inherit(struct listen_socket *s, struct err *e)
{
    long passed = passed_count();
    int null;

    *s = (struct listen_socket){.fd = -1};
    if (passed > 1)
        return err_set(e, AGW_EINVALID, "%ld sockets were passed on, not one", passed);
    if (passed == 1) {
        if (!is_listening(FIRST_PASSED))
            return err_set(e, AGW_EINVALID, "descriptor %d is no listening stream socket",
                           FIRST_PASSED);
        fcntl(FIRST_PASSED, F_SETFD, FD_CLOEXEC);
        s->fd = FIRST_PASSED;
        return 0;
    }
    if (!is_listening(STDIN_FILENO))
        return AGW_ENOTFOUND;
    s->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, FIRST_PASSED);
    null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || null < 0)
        return err_set(e, AGW_EINVALID, "descriptor 0: %s", strerror(errno));
    dup2(null, STDIN_FILENO);
    close(null);
    return 0;
}

/* 0 when there is nothing at the path or a socket that nobody listens on. */
static int check_stale(const struct sockaddr_un *address, struct err *e)
{
    struct stat st;
    int fd, rc;

    if (lstat(address->sun_path, &st) != 0)
        return errno == ENOENT ? 0
                               : err_set(e, AGW_EINVALID, "%s: %s", address->sun_path,
                                         strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, AGW_EINVALID, "%s exists and is not a socket", address->sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, AGW_EINVALID, "socket: %s", strerror(errno));
    rc = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? 0 : errno;
    close(fd);
    if (rc == ECONNREFUSED || rc == ENOENT)
        return 0;
    if (rc == 0 || rc == EAGAIN)
        return err_set(e, AGW_EINVALID, "somebody already listens on %s", address->sun_path);
    return err_set(e, AGW_EINVALID, "%s: %s", address->sun_path, strerror(rc));
}

/* The folder is locked meanwhile, lest two starting gateways take each other's socket for a
 * stale one. -1 when it cannot be. */
static int lock_folder(const char *path)
{
    char copy[108];
    int fd;

    snprintf(copy, sizeof copy, "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* bind() honours the umask; the mode is right from the first moment. */
static int bind_with_mode(int fd, const struct sockaddr_un *address, int mode, gid_t group)
{
    mode_t before = umask((mode_t)~mode & 0777);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof *address);

    umask(before);
    if (rc == 0 && group != (gid_t)-1)
        rc = chown(address->sun_path, (uid_t)-1, group);
    return rc == 0 ? listen(fd, BACKLOG) : rc;
}

static int find_group(const char *name, gid_t *group, struct err *e)
{
    struct group *entry;

    *group = (gid_t)-1;
    if (name == NULL)
        return 0;
    entry = getgrnam(name);
    if (entry == NULL)
        return err_set(e, AGW_EINVALID, "there is no group %s", name);
    *group = entry->gr_gid;
    return 0;
}

static int make(struct listen_socket *s, const struct sockaddr_un *address, int mode,
                gid_t group, struct err *e)
{
    struct stat st;
    int rc = check_stale(address, e);

    if (rc != 0)
        return rc;
    unlink(address->sun_path);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind_with_mode(s->fd, address, mode, group) != 0 ||
        lstat(address->sun_path, &st) != 0) {
        err_set(e, AGW_EINVALID, "%s: %s", address->sun_path, strerror(errno));
        if (s->fd >= 0)
            close(s->fd);
        s->fd = -1;
        return AGW_EINVALID;
    }
    s->made = true;
    s->device = st.st_dev;
    s->inode = st.st_ino;
    memcpy(s->path, address->sun_path, sizeof s->path);
    return 0;
}

int listen_make(struct listen_socket *s, const char *address, int mode, const char *group,
                struct err *e)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    gid_t gid;
    int lock, rc;

    *s = (struct listen_socket){.fd = -1};
    if (strncmp(address, "unix:", 5) != 0 || address[5] == '\0')
        return err_set(e, AGW_EINVALID, "%s is not unix: and a path", address);
    if (strlen(address + 5) >= sizeof un.sun_path)
        return err_set(e, AGW_EINVALID, "%s is too long for a socket", address + 5);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", address + 5);
    rc = find_group(group, &gid, e);
    if (rc != 0)
        return rc;
    lock = lock_folder(un.sun_path);
    if (lock < 0)
        return err_set(e, AGW_EINVALID, "the folder of %s: %s", un.sun_path, strerror(errno));
    rc = make(s, &un, mode, gid, e);
    close(lock);
    return rc;
}

void listen_close(struct listen_socket *s)
{
    struct stat st;

    if (s->made && lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        unlink(s->path);
    s->made = false;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}
