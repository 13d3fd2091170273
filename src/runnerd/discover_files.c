/* SPDX-License-Identifier: MIT */
/* Tells which files belong to a module, whether they can be trusted, and when they differ. */
#include "runnerd/discover_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runnerd/identity.h"
#include "runnerd/memory.h"
#include "runnerd/packages.h"
#include "runnerd/problem.h"
#include "util/folder.h"
#include "util/json_text.h"

enum { FOUND_MAX = 2000 };

const struct discover_kind discover_files_kinds[DISCOVER_KINDS] = {{"py", DISCOVER_PYTHON},
                                                                   {"mjs", DISCOVER_NODE},
                                                                   {"js", DISCOVER_NODE},
                                                                   {"cjs", DISCOVER_NODE},
                                                                   {"ts", DISCOVER_NODE},
                                                                   {"so", DISCOVER_NATIVE}};

/* Files whose change makes a new generation of their module. */
static const char *const marked[] = {"py",  "mjs", "cjs",  "js",  "ts", "so",  "json",
                                     "txt", "md",  "yaml", "yml", "toml"};
static const char *suffix_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot == NULL ? "" : dot + 1;
}

bool discover_files_is_skipped(const char *name)
{
    return name[0] == '.' || strcmp(name, "node_modules") == 0 ||
           strcmp(name, "__pycache__") == 0;
}

/* NULL when only the operator, root and we can have written it. */
const char *discover_files_distrust(const struct discover_search *s, const struct stat *st)
{
    if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != s->owner)
        return "belongs to another user";
    if ((st->st_mode & S_IWOTH) != 0)
        return "may be written by everybody";
    return NULL;
}

void discover_files_complain(const struct discover_search *s, const char *kind,
                             const char *severity, const char *rel, const char *what)
{
    char path[PATH_MAX], module[PATH_MAX];
    struct problem_place place = {.path = path};

    if (json_array_size(s->out->problems) - s->first >= DISCOVER_PROBLEMS_MAX)
        return;
    snprintf(path, sizeof path, "%s/%s", s->root, rel);
    if (identity_module(rel, module, sizeof module))
        place.module = module;
    problem_add(s->out->problems, kind, severity, &place, "%s %s", path, what);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int discover_files_open(struct discover_search *s, int fd, const char *name, int flags)
{
    int inner = openat(fd, name, flags | O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    s->out->is_cut = s->out->is_cut || (inner < 0 && (errno == EMFILE || errno == ENFILE));
    return inner;
}

/* The names in a folder, sorted; the descriptor stays open. */
char **discover_files_list(struct discover_search *s, int fd, size_t *count)
{
    int copy = discover_files_open(s, fd, ".", 0);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    char **names = NULL;
    size_t room = 0;
    struct dirent *entry;

    *count = 0;
    if (d == NULL && copy >= 0)
        close(copy);
    while (d != NULL && s->entries < DISCOVER_ENTRIES_MAX && (entry = readdir(d)) != NULL) {
        if (discover_files_is_skipped(entry->d_name))
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

void discover_files_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool discover_files_join(char out[PATH_MAX], const char *rel, const char *name)
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

bool discover_files_is_marked(const char *name)
{
    const char *suffix = suffix_of(name);

    for (size_t i = 0; i < sizeof marked / sizeof marked[0]; i++)
        if (strcmp(suffix, marked[i]) == 0)
            return true;
    return false;
}

static bool mark_folder(struct discover_search *s, int fd, const char *rel, int depth,
                        uint64_t *mark);

/* false: it must not be loaded, which is said. */
static bool mark_entry(struct discover_search *s, int fd, const char *rel, const char *name,
                       int depth, uint64_t *mark)
{
    char path[PATH_MAX];
    struct stat st;
    const char *why;
    int inner;
    bool fine;

    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !discover_files_join(path, rel, name))
        return true;
    if (!S_ISDIR(st.st_mode) && !(S_ISREG(st.st_mode) && discover_files_is_marked(name)))
        return true;
    why = discover_files_distrust(s, &st);
    if (why != NULL) {
        discover_files_complain(s, "security", "error", path, why);
        return false;
    }
    mix(mark, path, strlen(path) + 1);
    if (!S_ISDIR(st.st_mode)) {
        mix(mark, &st.st_ino, sizeof st.st_ino);
        mix(mark, &st.st_size, sizeof st.st_size);
        mix(mark, &st.st_ctim, sizeof st.st_ctim);
        return true;
    }
    inner = discover_files_open(s, fd, name, O_NOFOLLOW);
    if (inner < 0)
        return true;
    fine = mark_folder(s, inner, path, depth + 1, mark);
    close(inner);
    return fine;
}

static bool mark_folder(struct discover_search *s, int fd, const char *rel, int depth,
                        uint64_t *mark)
{
    size_t count;
    char **names;
    const char *why;
    bool fine = true;

    if (depth > DISCOVER_DEPTH_MAX)
        return true;
    if (s->out->folder != NULL)
        s->out->folder(s->out->arg, fd);
    why = depth == 0 ? NULL : packages_distrust(s, fd); /* what is compiled there is code, too */
    if (why != NULL) {
        discover_files_complain(s, "security", "error", rel, why);
        return false;
    }
    names = discover_files_list(s, fd, &count);
    for (size_t i = 0; i < count && fine; i++)
        fine = mark_entry(s, fd, rel, names[i], depth, mark);
    discover_files_free(names, count);
    return fine;
}

/* Many files of one module hide no other one. */
static bool mark_whole(struct discover_search *s, int fd, const char *rel, uint64_t *mark)
{
    size_t before = s->entries;
    bool fine;

    s->entries = 0;
    fine = mark_folder(s, fd, rel, 0, mark);
    if (s->entries >= DISCOVER_ENTRIES_MAX) {
        discover_files_complain(s, "validation", "error", rel,
                                "holds too many files for a module");
        fine = false;
    }
    s->entries = before;
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

/* Lists of security.yaml could not tell them apart. */
static bool is_ambiguous(const struct discovery *d, const char *root, const char *folder,
                         const char *module)
{
    for (size_t i = 0; i < d->count; i++)
        if (strcmp(d->found[i].module, module) == 0 && strcmp(d->found[i].root, root) == 0 &&
            strcmp(d->found[i].folder, folder) != 0)
            return true;
    return false;
}

static struct found *add(struct discover_search *s, const char *folder, const char *file,
                         enum discover_lang lang, uint64_t mark)
{
    struct discovery *d = s->out;
    char path[PATH_MAX], module[PATH_MAX];
    struct found *f;

    if (!identity_module(file, module, sizeof module) ||
        snprintf(path, sizeof path, "%s/%s", s->root, file) >= PATH_MAX)
        return NULL;
    if (d->count >= FOUND_MAX) {
        discover_files_complain(s, "validation", "error", file, "is one module too many");
        return NULL;
    }
    if (!is_utf8(path)) {
        discover_files_complain(s, "validation", "error", file, "has a name that is not UTF-8");
        return NULL;
    }
    if (is_ambiguous(d, s->root, folder, module)) {
        discover_files_complain(s, "security", "error", file,
                                "is called like another module, as dots and slashes of its "
                                "path count alike");
        return NULL;
    }
    d->found = memory_grow(d->found, (d->count + 1) * sizeof *d->found);
    f = &d->found[d->count++];
    *f = (struct found){.root = memory_text(s->root),
                        .folder = memory_text(folder),
                        .path = memory_text(path),
                        .module = memory_text(module),
                        .lang = lang,
                        .mark = mark};
    return f;
}

/* The module in this folder: `name` in it. NULL when it may not be loaded. */
struct found *discover_files_take(struct discover_search *s, int fd, const char *folder,
                                  const char *name, enum discover_lang lang)
{
    char file[PATH_MAX];
    struct stat st;
    uint64_t mark = UINT64_C(0xcbf29ce484222325);
    const char *why = NULL;
    struct found *found;
    bool shared, shares;

    if (!discover_files_join(file, folder, name) ||
        fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return NULL;
    if (S_ISLNK(st.st_mode))
        why = "is a symbolic link, which is not followed";
    else if (!S_ISREG(st.st_mode))
        why = "is not a regular file";
    else if ((why = discover_files_distrust(s, &st)) == NULL && fstat(fd, &st) == 0)
        why = discover_files_distrust(s, &st); /* its folder */
    if (why == NULL)
        why = packages_distrust(s, fd);
    if (why != NULL) {
        discover_files_complain(s, "security", "error", file, why);
        return NULL;
    }
    mix(&mark, &st.st_ino, sizeof st.st_ino);
    if (!mark_whole(s, fd, folder, &mark))
        return NULL;
    shared = packages_are_shared(s, s->fd, lang, &st);
    shares = shared && !packages_are_own(fd, lang);
    if (shares) {
        mix(&mark, &st.st_ino, sizeof st.st_ino);
        mix(&mark, &st.st_ctim, sizeof st.st_ctim);
    }
    found = add(s, folder, file, lang, mark);
    if (found != NULL) {
        found->shared = shared;
        found->shares = shares;
    }
    return found;
}

int discover_files_open_root(struct discover_search *s, struct discovery *d, const char *path)
{
    struct stat st = {0};
    int fd;

    *s = (struct discover_search){.out = d, .root = path,
                                  .first = json_array_size(d->problems)};
    fd = discover_files_open(s, AT_FDCWD, path, 0);
    if (fd < 0)
        s->why = strerror(errno);
    else if (fstat(fd, &st) != 0 || (st.st_mode & S_IWOTH) != 0)
        s->why = "it may be written by everybody";
    else if (folder_may_be_anybodys(fd, "."))
        s->why = "another user has made it, or a folder around it, where everybody may";
    if (s->why == NULL) {
        s->owner = st.st_uid;
        s->fd = fd;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_distrusted(const struct discover_search *s, int fd)
{
    struct stat st;

    return fstat(fd, &st) != 0 || discover_files_distrust(s, &st) != NULL;
}

/* The folder `rel` below `fd`, no link followed; -1 with errno. */
int discover_files_open_beneath(const struct discover_search *s, int fd, const char *rel)
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
        if (length == 0 || discover_files_is_skipped(name))
            break;
        rel += length + (rel[length] == '/');
        next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(at);
        at = next;
        if (at >= 0 && *rel != '\0' && s != NULL && is_distrusted(s, at))
            break;
    }
    if (at >= 0 && *rel != '\0') {
        close(at);
        at = -1;
        errno = ENOENT;
    }
    return at;
}
