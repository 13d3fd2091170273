/* SPDX-License-Identifier: MIT */
/* Looks at who owns a folder and those around it. */
#include "util/folder.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char up[] = "/..";

/* Names with links may change; what is above an open folder is what it really lies in. */
bool folder_may_be_anybodys(int at, const char *path)
{
    char name[PATH_MAX];
    size_t length = (size_t)snprintf(name, sizeof name, "%s", path);
    struct stat inner, outer;

    if (length >= sizeof name || fstatat(at, name, &inner, 0) != 0)
        return true;
    for (;;) {
        if (length + sizeof up > sizeof name)
            return true;
        memcpy(name + length, up, sizeof up);
        length += sizeof up - 1;
        if (fstatat(at, name, &outer, 0) != 0)
            return true;
        if (outer.st_dev == inner.st_dev && outer.st_ino == inner.st_ino)
            return false; /* the top */
        if ((outer.st_mode & S_IWOTH) != 0 && inner.st_uid != 0 && inner.st_uid != geteuid())
            return true;
        inner = outer;
    }
}
