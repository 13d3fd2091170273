/* SPDX-License-Identifier: MIT */
/* Tells processes apart that once had the same number. */
#include "util/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct stat_fields {
    char state;                /* field 3 */
    long parent;               /* 4 */
    unsigned long long start;  /* 22 */
};

/* The name in field 2 may hold blanks and
 * parentheses, so fields are counted from its last ')'. */
static bool read_stat(pid_t pid, struct stat_fields *fields)
{
    char path[32], text[1024];
    char *after, *end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    after = strrchr(text, ')');
    /* at the blank before field 3, 4, ... 22 */
    for (int field = 3; field <= 22 && after != NULL; field++) {
        after = strchr(after + 1, ' ');
        if (after != NULL && field == 3)
            fields->state = after[1];
        if (after != NULL && field == 4)
            fields->parent = strtol(after + 1, NULL, 10);
    }
    if (after == NULL)
        return false;
    errno = 0;
    fields->start = strtoull(after + 1, &end, 10);
    return end != after + 1 && errno == 0;
}

uint64_t proc_start_time(pid_t pid)
{
    struct stat_fields fields;

    return read_stat(pid, &fields) ? fields.start : 0;
}

pid_t proc_parent(pid_t pid)
{
    struct stat_fields fields;

    return read_stat(pid, &fields) ? (pid_t)fields.parent : 0;
}

bool proc_is_alive(pid_t pid, uint64_t start_time)
{
    struct stat_fields fields;

    return pid > 0 && read_stat(pid, &fields) && fields.state != 'Z' && fields.state != 'X' &&
           fields.start == start_time;
}

void proc_program(const char *name, const char *installed, char *path, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    char *slash;

    path[length < 0 ? 0 : length] = '\0';
    slash = strrchr(path, '/');
    if (slash != NULL)
        snprintf(slash + 1, size - (size_t)(slash + 1 - path), "%s", name);
    if (slash == NULL || access(path, X_OK) != 0)
        snprintf(path, size, "%s/%s", installed, name);
}

void proc_boot_id(char boot[PROC_BOOT_SIZE])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, boot, PROC_BOOT_SIZE - 1);

    if (fd >= 0)
        close(fd);
    boot[n < 0 ? 0 : n] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
}
