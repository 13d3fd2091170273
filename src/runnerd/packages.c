/* SPDX-License-Identifier: MIT */
/* Where the packages of a module are. */
#include "runnerd/packages.h"

#include <fcntl.h>
#include <stdbool.h>

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

const char *packages_distrust(const struct discover_search *s, int fd)
{
    static const char *const skipped[] = {".venv", "node_modules", "__pycache__"};
    const char *why = NULL;
    struct stat st;

    for (size_t i = 0; i < sizeof skipped / sizeof skipped[0] && why == NULL; i++)
        if (fstatat(fd, skipped[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
            why = distrust(s, &st);
    return why;
}

ino_t packages_shared(const struct discover_search *s, int root, int fd, enum discover_lang lang)
{
    const char *folder = packages_folder(lang);
    struct stat st;

    if (folder == NULL || fstatat(fd, folder, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
        fstatat(root, folder, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    return S_ISDIR(st.st_mode) && distrust(s, &st) == NULL ? st.st_ino : 0;
}
