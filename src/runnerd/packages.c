/* SPDX-License-Identifier: MIT */
/* Where the packages of a module are. */
#include "runnerd/packages.h"

#include <fcntl.h>

const char *packages_folder(enum discover_lang lang)
{
    static const char *const folders[] = {
        [DISCOVER_PYTHON] = ".venv", [DISCOVER_NODE] = "node_modules", [DISCOVER_NATIVE] = NULL};

    return folders[lang];
}

static const char *distrust(const struct discover_search *s, const struct stat *st)
{
    if (S_ISLNK(st->st_mode))
        return "has packages behind a symbolic link, which is not followed";
    return discover_files_distrust(s, st) == NULL
               ? NULL : "has packages that others can have put there";
}

/* The last one is nobody's but the module's beside it. */
static const char *const installed[] = {".venv", "node_modules", "__pycache__"};

static const char *distrust_first(const struct discover_search *s, int fd, size_t count)
{
    const char *why = NULL;
    struct stat st;

    for (size_t i = 0; i < count && why == NULL; i++)
        if (fstatat(fd, installed[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
            why = distrust(s, &st);
    return why;
}

const char *packages_distrust(const struct discover_search *s, int fd)
{
    return distrust_first(s, fd, sizeof installed / sizeof installed[0]);
}

const char *packages_distrust_shared(const struct discover_search *s, int root)
{
    return distrust_first(s, root, sizeof installed / sizeof installed[0] - 1);
}

bool packages_are_shared(const struct discover_search *s, int root, enum discover_lang lang,
                         struct stat *st)
{
    const char *folder = packages_folder(lang);

    return folder != NULL && fstatat(root, folder, st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(st->st_mode) && distrust(s, st) == NULL;
}

bool packages_are_own(int fd, enum discover_lang lang)
{
    const char *folder = packages_folder(lang);
    struct stat st;

    return folder != NULL && fstatat(fd, folder, &st, AT_SYMLINK_NOFOLLOW) == 0;
}
