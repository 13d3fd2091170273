/* SPDX-License-Identifier: MIT */
/* Searches folders for agent.py, agent.mjs, agent.js, agent.cjs, agent.ts and agent.so. */
#include "runnerd/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/discover_files.h"
#include "runnerd/memory.h"
#include "runnerd/packages.h"
#include "runnerd/problem.h"
#include "util/json_text.h"

const char *const discover_lang_names[] = {"python", "node", "native"};

/* The first kind of agent.* in the folder, -1 = none. */
static int agent_in(char **names, size_t count, size_t *others)
{
    int first = -1;

    *others = 0;
    for (int k = 0; k < DISCOVER_KINDS; k++)
        for (size_t i = 0; i < count; i++)
            if (strncmp(names[i], "agent.", 6) == 0 &&
                strcmp(names[i] + 6, discover_files_kinds[k].suffix) == 0) {
                if (first < 0)
                    first = k;
                else
                    (*others)++;
            }
    return first;
}

static void search_folder(struct discover_search *s, int fd, const char *rel, int depth);
static void search_part(struct discover_search *s, int fd, const char *rel);

static void search_entry(struct discover_search *s, int fd, const char *rel, const char *name,
                         int depth)
{
    char path[PATH_MAX];
    struct stat st;
    const char *why;
    int inner;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !discover_files_join(path, rel, name))
        return;
    if (S_ISLNK(st.st_mode) && fstatat(fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode)) {
        discover_files_complain(s, "security", "warning", path,
                                "is a symbolic link, which is not followed");
        return;
    }
    if (!S_ISDIR(st.st_mode))
        return;
    why = discover_files_distrust(s, &st);
    if (why != NULL) {
        discover_files_complain(s, "security", "error", path, why);
        return;
    }
    inner = discover_files_open(s, fd, name, O_NOFOLLOW);
    if (inner < 0) {
        if (errno == EACCES)
            discover_files_complain(s, "security", "error", path, "cannot be read");
        return;
    }
    if (depth > 0)
        search_folder(s, inner, path, depth + 1);
    else
        search_part(s, inner, path);
    close(inner);
}

/* A folder of the root, which hides no other one. */
static void search_part(struct discover_search *s, int fd, const char *rel)
{
    size_t before = s->entries;

    s->entries = 0;
    search_folder(s, fd, rel, 1);
    if (s->entries >= DISCOVER_ENTRIES_MAX)
        discover_files_complain(s, "validation", "error", rel,
                                "holds too many files; not all was searched");
    s->entries = before;
}

static void take_dropin(struct discover_search *s, int fd, const char *rel, int kind,
                        size_t others)
{
    char name[16];
    struct found *f;

    snprintf(name, sizeof name, "agent.%s", discover_files_kinds[kind].suffix);
    if (rel[0] == '\0') {
        discover_files_complain(s, "validation", "warning", name,
                                "is not in a folder of its own");
        return;
    }
    f = discover_files_take(s, fd, rel, name, discover_files_kinds[kind].lang);
    if (f == NULL)
        return;
    f->is_dropin = true;
    if (others > 0)
        discover_files_complain(s, "validation", "warning", rel,
                                "has several agent files; the first of "
                                "agent.py, agent.mjs, agent.js, agent.cjs, agent.ts, "
                                "agent.so is taken");
}

static bool has_name(char **names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void search_folder(struct discover_search *s, int fd, const char *rel, int depth)
{
    size_t count, others;
    char **names;
    int kind;

    if (s->out->folder != NULL)
        s->out->folder(s->out->arg, fd);
    names = discover_files_list(s, fd, &count);
    kind = agent_in(names, count, &others);
    if (kind >= 0)
        take_dropin(s, fd, rel, kind, others);
    else if (rel[0] != '\0' && has_name(names, count, "agent.c"))
        discover_files_complain(s, "dependency", "error", rel,
                                "has agent.c, but agent.so was not built from it; "
                                "contrib/build-agent does that");
    if (kind < 0 || rel[0] == '\0')
        for (size_t i = 0; i < count && depth < DISCOVER_DEPTH_MAX; i++) {
            if (depth == 0)
                s->first = json_array_size(s->out->problems);
            search_entry(s, fd, rel, names[i], depth);
        }
    discover_files_free(names, count);
}

static bool is_repeated(const char *const *roots, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(roots[i], roots[index]) == 0)
            return true;
    return false;
}

void discover_search(struct discovery *d, const char *const *roots, size_t count)
{
    d->found = NULL;
    d->count = 0;
    d->problems = json_array();
    d->missing[0] = '\0';
    d->is_cut = false;
    for (size_t i = 0; i < count; i++) {
        struct discover_search s;
        const char *why;
        int fd;

        if (is_repeated(roots, i))
            continue;
        fd = discover_files_open_root(&s, d, roots[i]);
        if (fd < 0) {
            snprintf(d->missing, sizeof d->missing, "%.200s: %s", roots[i], s.why);
            json_text_repair(d->missing);
            problem_add(d->problems, "validation", "error",
                        &(struct problem_place){.path = roots[i]},
                        "the folder of drop-in agents cannot be searched: %s", d->missing);
            continue;
        }
        why = packages_distrust_shared(&s, fd);
        if (why != NULL)
            discover_files_complain(&s, "security", "error", "", why);
        search_folder(&s, fd, "", 0);
        s.first = json_array_size(d->problems);
        if (s.entries >= DISCOVER_ENTRIES_MAX)
            discover_files_complain(&s, "validation", "error", "",
                                    "holds too many files; not all was searched");
        close(fd);
    }
}

/* ---- lifetime ---- */

void discover_copy(struct found *to, const struct found *from)
{
    *to = *from;
    to->root = memory_text(from->root);
    to->folder = memory_text(from->folder);
    to->path = memory_text(from->path);
    to->module = memory_text(from->module);
    to->origin = from->origin == NULL ? NULL : memory_text(from->origin);
}

void discover_drop(struct found *found)
{
    free(found->root);
    free(found->folder);
    free(found->path);
    free(found->module);
    free(found->origin);
    *found = (struct found){0};
}

void discover_free(struct discovery *d)
{
    for (size_t i = 0; i < d->count; i++)
        discover_drop(&d->found[i]);
    free(d->found);
    json_decref(d->problems);
    d->found = NULL;
    d->problems = NULL;
    d->count = 0;
}

bool discover_is_same(const struct found *found)
{
    struct discovery d = {.problems = json_array()};
    const char *file = found->path + strlen(found->root) + 1, *slash = strrchr(file, '/');
    struct discover_search s;
    int root = discover_files_open_root(&s, &d, found->root);
    int fd = root < 0 ? -1 : discover_files_open_beneath(&s, root, found->folder);
    struct found *f = fd < 0
                          ? NULL
                          : discover_files_take(&s, fd, found->folder,
                                                slash == NULL ? file : slash + 1, found->lang);
    bool same = f != NULL && f->mark == found->mark;

    if (fd >= 0)
        close(fd);
    if (root >= 0)
        close(root);
    discover_free(&d);
    return same;
}