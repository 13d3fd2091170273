/* SPDX-License-Identifier: MIT */
/* Hands files over to the database's owner, and nobody else's. */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int hand_over(int fd, const struct stat *model, mode_t mode)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return -1;
    if (!S_ISREG(info.st_mode) || info.st_nlink != 1) {
        errno = ELOOP;
        return -1;
    }
    if (geteuid() == 0 && (info.st_uid != model->st_uid || info.st_gid != model->st_gid) &&
        fchown(fd, model->st_uid, model->st_gid) != 0)
        return -1;
    return mode == 0 ? 0 : fchmod(fd, mode);
}

int owner_copy(const char *model, const char *file, mode_t mode, struct err *e)
{
    struct stat info;
    int fd, status = 0;

    if (stat(model, &info) != 0)
        return 0;
    fd = open(file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || hand_over(fd, &info, mode) != 0)
        status = err_set(e, AGW_ESTORE, "%s cannot be given to the database's owner: %s", file,
                         errno == ELOOP ? "it is a link, or has a second name"
                                        : strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}
