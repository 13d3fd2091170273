/* SPDX-License-Identifier: MIT */
/* Searches folders for agent.py, agent.mjs, agent.js and agent.so. */
#include "runnerd/discover.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/identity.h"
#include "runnerd/memory.h"
#include "runnerd/problem.h"
#include "util/json_text.h"

enum { DEPTH_MAX = 12, ENTRIES_MAX = 50000, FOUND_MAX = 2000 };

const char *const discover_lang_names[] = {"python", "node", "native"};

static const struct {
    const char *suffix;
    enum discover_lang lang;
} kinds[] = {{"py", DISCOVER_PYTHON}, {"mjs", DISCOVER_NODE}, {"js", DISCOVER_NODE},
             {"so", DISCOVER_NATIVE}};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* Files whose change makes a new generation of their module. */
static const char *const marked[] = {"py", "mjs", "cjs", "js", "so", "json", "txt", "md", "yaml",
                                     "yml", "toml"};

struct search {
    struct discovery *out;
    const char *root;
    uid_t owner; /* of the root: trusted as the operator is */
    size_t entries;
};

/* ---- files ---- */

static const char *suffix_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot == NULL ? "" : dot + 1;
}

static bool is_skipped(const char *name)
{
    return name[0] == '.' || strcmp(name, "node_modules") == 0 ||
           strcmp(name, "__pycache__") == 0;
}

/* NULL when only the operator, root and we can have written it. */
static const char *distrust(const struct search *s, const struct stat *st)
{
    if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != s->owner)
        return "belongs to another user";
    if ((st->st_mode & S_IWOTH) != 0)
        return "may be written by everybody";
    return NULL;
}

static void complain(const struct search *s, const char *kind, const char *severity,
                     const char *rel, const char *what)
{
    char path[PATH_MAX], module[PATH_MAX];
    struct problem_place place = {.path = path};

    snprintf(path, sizeof path, "%s/%s", s->root, rel);
    if (identity_module(rel, module, sizeof module))
        place.module = module;
    problem_add(s->out->problems, kind, severity, &place, "%s %s", path, what);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, sorted; the descriptor stays open. */
static char **list_names(struct search *s, int fd, size_t *count)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    char **names = NULL;
    size_t room = 0;
    struct dirent *entry;

    *count = 0;
    if (d == NULL && copy >= 0)
        close(copy);
    while (d != NULL && s->entries < ENTRIES_MAX && (entry = readdir(d)) != NULL) {
        if (is_skipped(entry->d_name))
            continue;
        if (*count == room)
            names = memory_grow(names, (room = room * 2 + 16) * sizeof *names);
        names[(*count)++] = memory_text(entry->d_name);
        s->entries++;
    }
    if (d != NULL)
        closedir(d);
    if (*count > 0)
        qsort(names, *count, sizeof *names, by_name);
    return names;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static bool join(char out[PATH_MAX], const char *rel, const char *name)
{
    int length = snprintf(out, PATH_MAX, "%s%s%s", rel, rel[0] == '\0' ? "" : "/", name);

    return length > 0 && length < PATH_MAX;
}

/* ---- the mark of a module ---- */

static void mix(uint64_t *mark, const void *data, size_t length)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < length; i++)
        *mark = (*mark ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
}

static bool is_marked(const char *name)
{
    const char *suffix = suffix_of(name);

    for (size_t i = 0; i < sizeof marked / sizeof marked[0]; i++)
        if (strcmp(suffix, marked[i]) == 0)
            return true;
    return false;
}

static bool mark_folder(struct search *s, int fd, const char *rel, int depth, uint64_t *mark);

/* false: it must not be loaded, which is said. */
static bool mark_entry(struct search *s, int fd, const char *rel, const char *name, int depth,
                       uint64_t *mark)
{
    char path[PATH_MAX];
    struct stat st;
    const char *why;
    int inner;
    bool fine;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !join(path, rel, name))
        return true;
    if (!S_ISDIR(st.st_mode) && !(S_ISREG(st.st_mode) && is_marked(name)))
        return true;
    why = distrust(s, &st);
    if (why != NULL) {
        complain(s, "security", "error", path, why);
        return false;
    }
    mix(mark, path, strlen(path) + 1);
    if (!S_ISDIR(st.st_mode)) {
        mix(mark, &st.st_ino, sizeof st.st_ino);
        mix(mark, &st.st_size, sizeof st.st_size);
        mix(mark, &st.st_ctim, sizeof st.st_ctim);
        return true;
    }
    inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0)
        return true;
    fine = mark_folder(s, inner, path, depth + 1, mark);
    close(inner);
    return fine;
}

static bool mark_folder(struct search *s, int fd, const char *rel, int depth, uint64_t *mark)
{
    size_t count;
    char **names;
    bool fine = true;

    if (depth > DEPTH_MAX)
        return true;
    if (s->out->folder != NULL)
        s->out->folder(s->out->arg, fd);
    names = list_names(s, fd, &count);
    for (size_t i = 0; i < count && fine; i++)
        fine = mark_entry(s, fd, rel, names[i], depth, mark);
    free_names(names, count);
    return fine;
}

/* ---- modules ---- */

/* Other names could not be told to anybody. */
static bool is_utf8(const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t length = json_text_utf8(text, left);

        if (length == 0)
            return false;
        text += length;
        left -= length;
    }
    return true;
}

static struct found *add(struct search *s, const char *folder, const char *file,
                         enum discover_lang lang, uint64_t mark)
{
    struct discovery *d = s->out;
    char path[PATH_MAX], module[PATH_MAX];
    struct found *f;

    if (d->count >= FOUND_MAX || !identity_module(file, module, sizeof module) ||
        snprintf(path, sizeof path, "%s/%s", s->root, file) >= PATH_MAX)
        return NULL;
    if (!is_utf8(path)) {
        complain(s, "validation", "error", file, "has a name that is not UTF-8");
        return NULL;
    }
    d->found = memory_grow(d->found, (d->count + 1) * sizeof *d->found);
    f = &d->found[d->count++];
    *f = (struct found){.root = memory_text(s->root), .folder = memory_text(folder),
                        .path = memory_text(path), .module = memory_text(module), .lang = lang,
                        .mark = mark};
    return f;
}

/* The module in this folder: `name` in it. NULL when it may not be loaded. */
static struct found *take_module(struct search *s, int fd, const char *folder, const char *name,
                                 enum discover_lang lang)
{
    char file[PATH_MAX];
    struct stat st;
    uint64_t mark = UINT64_C(0xcbf29ce484222325);
    const char *why = NULL;

    if (!join(file, folder, name) || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return NULL;
    if (S_ISLNK(st.st_mode))
        why = "is a symbolic link, which is not followed";
    else if (!S_ISREG(st.st_mode))
        why = "is not a regular file";
    else if ((why = distrust(s, &st)) == NULL && fstat(fd, &st) == 0)
        why = distrust(s, &st); /* its folder */
    if (why != NULL) {
        complain(s, "security", "error", file, why);
        return NULL;
    }
    mix(&mark, &st.st_ino, sizeof st.st_ino);
    if (!mark_folder(s, fd, folder, 0, &mark))
        return NULL;
    return add(s, folder, file, lang, mark);
}

/* The first kind of agent.* in the folder, -1 = none. */
static int agent_in(char **names, size_t count, size_t *others)
{
    int first = -1;

    *others = 0;
    for (int k = 0; k < KINDS; k++)
        for (size_t i = 0; i < count; i++)
            if (strncmp(names[i], "agent.", 6) == 0 &&
                strcmp(names[i] + 6, kinds[k].suffix) == 0) {
                if (first < 0)
                    first = k;
                else
                    (*others)++;
            }
    return first;
}

static void search_folder(struct search *s, int fd, const char *rel, int depth);

static void search_entry(struct search *s, int fd, const char *rel, const char *name, int depth)
{
    char path[PATH_MAX];
    struct stat st;
    const char *why;
    int inner;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !join(path, rel, name))
        return;
    if (S_ISLNK(st.st_mode) && fstatat(fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode)) {
        complain(s, "security", "warning", path, "is a symbolic link, which is not followed");
        return;
    }
    if (!S_ISDIR(st.st_mode))
        return;
    why = distrust(s, &st);
    if (why != NULL) {
        complain(s, "security", "error", path, why);
        return;
    }
    inner = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0) {
        if (errno == EACCES)
            complain(s, "security", "error", path, "cannot be read");
        return;
    }
    search_folder(s, inner, path, depth + 1);
    close(inner);
}

static void take_dropin(struct search *s, int fd, const char *rel, int kind, size_t others)
{
    char name[16];
    struct found *f;

    snprintf(name, sizeof name, "agent.%s", kinds[kind].suffix);
    if (rel[0] == '\0') {
        complain(s, "validation", "warning", name, "is not in a folder of its own");
        return;
    }
    f = take_module(s, fd, rel, name, kinds[kind].lang);
    if (f == NULL)
        return;
    f->is_dropin = true;
    if (others > 0)
        complain(s, "validation", "warning", rel, "has several agent files; the first of "
                                                  "agent.py, agent.mjs, agent.js, agent.so is "
                                                  "taken");
}

static bool has_name(char **names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static void search_folder(struct search *s, int fd, const char *rel, int depth)
{
    size_t count, others;
    char **names;
    int kind;

    if (s->out->folder != NULL)
        s->out->folder(s->out->arg, fd);
    names = list_names(s, fd, &count);
    kind = agent_in(names, count, &others);
    if (kind >= 0)
        take_dropin(s, fd, rel, kind, others);
    else if (rel[0] != '\0' && has_name(names, count, "agent.c"))
        complain(s, "dependency", "error", rel, "has agent.c, but agent.so was not built from it; "
                                                "contrib/build-agent does that");
    if (kind < 0 || rel[0] == '\0')
        for (size_t i = 0; i < count && depth < DEPTH_MAX; i++)
            search_entry(s, fd, rel, names[i], depth);
    free_names(names, count);
}

static int open_root(struct search *s, struct discovery *d, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    *s = (struct search){.out = d, .root = path};
    if (fd >= 0 && fstat(fd, &st) == 0)
        s->owner = st.st_uid;
    return fd;
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
    for (size_t i = 0; i < count; i++) {
        struct search s;
        int fd;

        if (is_repeated(roots, i))
            continue;
        fd = open_root(&s, d, roots[i]);
        if (fd < 0) {
            snprintf(d->missing, sizeof d->missing, "%.200s: %s", roots[i], strerror(errno));
            json_text_repair(d->missing);
            problem_add(d->problems, "validation", "error",
                        &(struct problem_place){.path = roots[i]},
                        "the folder of drop-in agents cannot be searched: %s", d->missing);
            continue;
        }
        search_folder(&s, fd, "", 0);
        if (s.entries >= ENTRIES_MAX)
            complain(&s, "validation", "error", "", "holds too many files; not all was searched");
        close(fd);
    }
}

/* ---- modules that agents.yaml names ---- */

/* The folder `rel` below `fd`, no link followed; -1 when it is not there. */
static int open_beneath(int fd, const char *rel)
{
    int at = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    while (at >= 0 && *rel != '\0') {
        char name[NAME_MAX + 1];
        size_t length = strcspn(rel, "/");
        int next;

        if (length > NAME_MAX)
            break;
        memcpy(name, rel, length);
        name[length] = '\0';
        rel += length + (rel[length] == '/');
        if (length == 0 || is_skipped(name))
            break;
        next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(at);
        at = next;
    }
    if (at >= 0 && *rel != '\0') {
        close(at);
        at = -1;
    }
    return at;
}

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
static const struct found *try_stem(struct search *s, int root, const char *stem)
{
    const char *slash = strrchr(stem, '/');
    const struct found *f = NULL;
    char folder[PATH_MAX], name[NAME_MAX + 8], file[PATH_MAX];
    struct stat st;
    int fd;

    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 0 : (int)(slash - stem), stem);
    fd = open_beneath(root, folder);
    for (size_t k = 0; fd >= 0 && f == NULL && k < KINDS; k++) {
        snprintf(name, sizeof name, "%.*s.%s", NAME_MAX, slash == NULL ? stem : slash + 1,
                 kinds[k].suffix);
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !join(file, folder, name))
            continue;
        f = find_path(s->out, s->root, file);
        if (f == NULL)
            f = take_module(s, fd, folder, name, kinds[k].lang);
    }
    if (fd >= 0)
        close(fd);
    return f;
}

/* "agents.a.b:f" and "agents/a/b.py:f" -> "agents/a/b". */
static void stem_of(const char *name, char *stem, size_t size)
{
    size_t length = strcspn(name, ":");

    for (size_t k = 0; k < KINDS; k++) {
        size_t suffix = strlen(kinds[k].suffix);

        if (length > suffix + 1 && memchr(name, '/', length) != NULL &&
            name[length - suffix - 1] == '.' &&
            strncmp(name + length - suffix, kinds[k].suffix, suffix) == 0) {
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

static const struct found *named_in(struct search *s, int root, const char *stem)
{
    const char *last = strrchr(s->root, '/'), *slash = strchr(stem, '/');
    char longer[PATH_MAX];
    const char *stems[2] = {stem, NULL};

    if (last != NULL && slash != NULL && (size_t)(slash - stem) == strlen(last + 1) &&
        strncmp(stem, last + 1, (size_t)(slash - stem)) == 0)
        stems[1] = slash + 1;
    for (size_t i = 0; i < 2 && stems[i] != NULL; i++) {
        const struct found *f = try_stem(s, root, stems[i]);

        if (f == NULL && join(longer, stems[i], "agent"))
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
        struct search s;
        int fd = open_root(&s, d, roots[i]);

        if (fd < 0)
            continue;
        f = named_in(&s, fd, stem);
        close(fd);
    }
    return f;
}

/* ---- lifetime ---- */

void discover_copy(struct found *to, const struct found *from)
{
    *to = *from;
    to->root = memory_text(from->root);
    to->folder = memory_text(from->folder);
    to->path = memory_text(from->path);
    to->module = memory_text(from->module);
}

void discover_drop(struct found *found)
{
    free(found->root);
    free(found->folder);
    free(found->path);
    free(found->module);
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
    struct search s;
    int root = open_root(&s, &d, found->root);
    int fd = root < 0 ? -1 : open_beneath(root, found->folder);
    struct found *f = fd < 0 ? NULL
                             : take_module(&s, fd, found->folder,
                                           slash == NULL ? file : slash + 1, found->lang);
    bool same = f != NULL && f->mark == found->mark;

    if (fd >= 0)
        close(fd);
    if (root >= 0)
        close(root);
    discover_free(&d);
    return same;
}
