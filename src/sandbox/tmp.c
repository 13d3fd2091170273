/* SPDX-License-Identifier: MIT */
/* Temporary folders of programs: made for each, and removed with all that is in them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

enum { DEPTH_MAX = 64 };

static const char prefix[] = "/agw-tool-";

int tmp_make(char path[SANDBOX_TMP_SIZE])
{
    const char *folder = getenv("TMPDIR");
    int length;

    if (folder == NULL || folder[0] != '/' ||
        strlen(folder) + sizeof prefix + 6 > SANDBOX_TMP_SIZE)
        folder = "/tmp";
    length = snprintf(path, SANDBOX_TMP_SIZE, "%s%sXXXXXX", folder, prefix);
    if (length < SANDBOX_TMP_SIZE && mkdtemp(path) != NULL)
        return 0;
    path[0] = '\0';
    return -1;
}

/* Closes `folder`. A program may leave what it likes: names are never followed, and folders
 * deeper than any honest one stay. */
static void empty(int folder, int depth)
{
    DIR *d = fdopendir(folder);
    struct dirent *entry;

    if (d == NULL) {
        close(folder);
        return;
    }
    while ((entry = readdir(d)) != NULL) {
        int inner;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            unlinkat(dirfd(d), entry->d_name, 0) == 0)
            continue;
        inner = -1;
        if (fchmodat(dirfd(d), entry->d_name, S_IRWXU, AT_SYMLINK_NOFOLLOW) == 0)
            inner = openat(dirfd(d), entry->d_name,
                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner >= 0 && depth < DEPTH_MAX)
            empty(inner, depth + 1);
        else if (inner >= 0)
            close(inner);
        (void)unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR);
    }
    closedir(d);
}

void tmp_remove(const char *path)
{
    const char *name = strrchr(path, '/');
    int folder;

    if (name == NULL || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return;
    folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder >= 0)
        empty(folder, 0);
    (void)rmdir(path);
}
