/* SPDX-License-Identifier: MIT */
/* Finds the modules that agents.yaml names. */
#include "runnerd/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/discover_files.h"

static const struct found *find_path(const struct discovery *d, const char *root,
                                     const char *file)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s", root, file) >= PATH_MAX)
        return NULL;
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->found[i].path, path) == 0)
            return &d->found[i];
    return NULL;
}

/* `stem` without a suffix, below the root. */
static const struct found *try_stem(struct discover_search *s, int root, const char *stem)
{
    const char *slash = strrchr(stem, '/');
    const struct found *f = NULL;
    char folder[PATH_MAX], name[NAME_MAX + 8], file[PATH_MAX];
    struct stat st;
    int fd;

    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 0 : (int)(slash - stem), stem);
    fd = discover_files_open_beneath(s, root, folder);
    s->out->is_cut = s->out->is_cut || (fd < 0 && (errno == EMFILE || errno == ENFILE));
    for (size_t k = 0; fd >= 0 && f == NULL && k < DISCOVER_KINDS; k++) {
        snprintf(name, sizeof name, "%.*s.%s", NAME_MAX, slash == NULL ? stem : slash + 1,
                 discover_files_kinds[k].suffix);
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !discover_files_join(file, folder, name))
            continue;
        f = find_path(s->out, s->root, file);
        if (f == NULL)
            f = discover_files_take(s, fd, folder, name, discover_files_kinds[k].lang);
    }
    if (fd >= 0)
        close(fd);
    return f;
}

/* "agents.a.b:f" and "agents/a/b.py:f" -> "agents/a/b". */
static void stem_of(const char *name, char *stem, size_t size)
{
    size_t length = strcspn(name, ":");

    for (size_t k = 0; k < DISCOVER_KINDS; k++) {
        size_t suffix = strlen(discover_files_kinds[k].suffix);

        if (length > suffix + 1 && memchr(name, '/', length) != NULL &&
            name[length - suffix - 1] == '.' &&
            strncmp(name + length - suffix, discover_files_kinds[k].suffix, suffix) == 0) {
            snprintf(stem, size, "%.*s", (int)(length - suffix - 1), name);
            return;
        }
    }
    snprintf(stem, size, "%.*s", (int)length, name);
    if (strchr(stem, '/') == NULL)
        for (char *c = stem; *c != '\0'; c++)
            if (*c == '.')
                *c = '/';
}

static const struct found *named_in(struct discover_search *s, int root, const char *stem)
{
    const char *last = strrchr(s->root, '/'), *slash = strchr(stem, '/');
    char longer[PATH_MAX];
    const char *stems[2] = {stem, NULL};

    if (last != NULL && slash != NULL && (size_t)(slash - stem) == strlen(last + 1) &&
        strncmp(stem, last + 1, (size_t)(slash - stem)) == 0)
        stems[1] = slash + 1;
    for (size_t i = 0; i < 2 && stems[i] != NULL; i++) {
        const struct found *f = try_stem(s, root, stems[i]);

        if (f == NULL && discover_files_join(longer, stems[i], "agent"))
            f = try_stem(s, root, longer);
        if (f != NULL)
            return f;
    }
    return NULL;
}

const struct found *discover_named(struct discovery *d, const char *const *roots, size_t count,
                                   const char *name)
{
    const struct found *f = NULL;
    char stem[512];

    stem_of(name, stem, sizeof stem);
    for (size_t i = 0; i < count && f == NULL; i++) {
        struct discover_search s;
        int fd = discover_files_open_root(&s, d, roots[i]);

        if (fd < 0)
            continue;
        f = named_in(&s, fd, stem);
        close(fd);
    }
    return f;
}
