/* SPDX-License-Identifier: MIT */
/* Keeps the files of each module as they were when it could be loaded last. */
#include "runnerd/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/discover_files.h"
#include "runnerd/memory.h"
#include "runnerd/packages.h"
#include "util/folder.h"
#include "util/sha.h"

/* Links and folders take memory, too. */
enum { NAME_SIZE = SHA_HEX_SIZE + 8, OPEN_AT_ONCE = 32, ENTRY_COST = 1024 };

/* ---- the folder ---- */

static void name_of(const char *path, char name[NAME_SIZE])
{
    sha_256_hex(path, strlen(path), name);
}

/* nftw() has no argument for those it calls. */
static int64_t walked;

static int64_t cost_of(const struct stat *st)
{
    return ENTRY_COST + (S_ISREG(st->st_mode) ? st->st_size : 0);
}

static int measure_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    walked += type == FTW_NS ? 0 : cost_of(st);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    if (remove(path) == 0 && type != FTW_NS)
        walked += cost_of(st);
    return 0;
}

static int64_t walk(const struct kept *k, const char *name,
                    int (*one)(const char *, const struct stat *, int, struct FTW *))
{
    char path[PATH_MAX + NAME_MAX + 2];

    walked = 0;
    snprintf(path, sizeof path, "%s/%s", k->path, name);
    (void)nftw(path, one, OPEN_AT_ONCE, FTW_DEPTH | FTW_PHYS);
    return walked;
}

/* Of what was measured. */
static void remove_tree(struct kept *k, const char *name)
{
    k->bytes -= walk(k, name, remove_one);
}

bool kept_is_noexec(int fd)
{
    struct statvfs fs;

    return fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_NOEXEC) != 0;
}

/* Processes are started from what lies under its name. */
static bool can_be_swapped(int fd)
{
    struct stat st;

    return fstatat(fd, "..", &st, 0) != 0 ||
           (st.st_mode & (S_IWOTH | S_ISVTX)) == S_IWOTH || folder_may_be_anybodys(fd, ".");
}

int kept_open(struct kept *k, const char *socket, struct err *e)
{
    struct stat st;
    char *real = NULL;

    *k = (struct kept){.fd = -1};
    snprintf(k->path, sizeof k->path, "%s.kept", socket);
    if (mkdir(k->path, S_IRWXU) != 0 && errno != EEXIST)
        return err_set(e, AGW_EUNAVAILABLE, "%s cannot be made: %s", k->path, strerror(errno));
    k->fd = open(k->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (k->fd < 0)
        return err_set(e, AGW_EUNAVAILABLE, "%s cannot be used: %s", k->path, strerror(errno));
    if (k->path[0] != '/' && (real = realpath(k->path, NULL)) != NULL)
        snprintf(k->path, sizeof k->path, "%s", real);
    free(real);
    if (fstat(k->fd, &st) == 0 && st.st_uid == geteuid() &&
        (st.st_mode & (S_IWGRP | S_IWOTH)) == 0 && !can_be_swapped(k->fd)) {
        k->is_noexec = kept_is_noexec(k->fd);
        k->bytes = walk(k, "", measure_one);
        return 0;
    }
    kept_close(k);
    return err_set(e, AGW_EUNAVAILABLE, "%s may be written by others, or swapped", k->path);
}

void kept_close(struct kept *k)
{
    if (k->fd >= 0)
        close(k->fd);
    k->fd = -1;
}

/* ---- copying ---- */

struct copying {
    const char *root; /* of the originals */
    int64_t bytes, room;
    int entries;
    bool is_noexec; /* no library can be loaded from there */
    struct err *e;
};

static int failed(const struct copying *c, const char *rel)
{
    return err_set(c->e, AGW_EUNAVAILABLE, "a copy of %s/%s: %s", c->root, rel,
                   strerror(errno));
}

static int no_room(const struct copying *c)
{
    return err_set(c->e, AGW_ETOOLARGE,
                   "the copies of all modules would have more than %d MiB, or this one more than "
                   "half of what is free in their folder", KEPT_TOTAL_MAX >> 20);
}

static int copy_bytes(struct copying *c, int from, int to, const char *rel)
{
    int64_t most = c->room < KEPT_BYTES_MAX ? c->room : KEPT_BYTES_MAX;
    ssize_t got;

    /* One more than there may be tells that there are more; others need the room for theirs. */
    while ((got = sendfile(to, from, NULL, (size_t)(most - c->bytes) + 1)) > 0) {
        c->bytes += got;
        if (c->bytes > KEPT_BYTES_MAX)
            return err_set(c->e, AGW_ETOOLARGE, "its files have more than %d MiB",
                           KEPT_BYTES_MAX >> 20);
        if (c->bytes > c->room)
            return no_room(c);
    }
    return got < 0 ? failed(c, rel) : 0;
}

static int copy_file(struct copying *c, int from, int to, const char *rel, const char *name)
{
    const char *dot = strrchr(name, '.');
    struct stat st;
    int in, out, status;

    if (c->is_noexec && dot != NULL && strcmp(dot, ".so") == 0)
        return err_set(c->e, AGW_EUNAVAILABLE,
                       "%s could not be loaded from the folder of copies, which is mounted noexec",
                       rel);
    in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0)
        return failed(c, rel);
    if (fstat(in, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(in);
        errno = EINVAL;
        return failed(c, rel);
    }
    out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                 S_IRUSR | S_IWUSR | (st.st_mode & S_IXUSR));
    status = out < 0 ? failed(c, rel) : copy_bytes(c, in, out, rel);
    close(in);
    if (out >= 0)
        close(out);
    return status;
}

static int link_to(const struct copying *c, int to, const char *rel, const char *name)
{
    char original[PATH_MAX + NAME_MAX + 2];

    snprintf(original, sizeof original, "%s/%s", c->root, rel);
    return symlinkat(original, to, name) == 0 ? 0 : failed(c, rel);
}

static int copy_folder(struct copying *c, int from, int to, const char *rel, int depth);

static int copy_inner(struct copying *c, int from, int to, const char *rel, const char *name,
                      int depth)
{
    int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), out = -1;
    int status;

    if (in >= 0 && mkdirat(to, name, S_IRWXU) == 0)
        out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    status = out < 0 ? failed(c, rel) : copy_folder(c, in, out, rel, depth + 1);
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    return status;
}

static int copy_entry(struct copying *c, int from, int to, const char *folder, const char *name,
                      int depth)
{
    char rel[PATH_MAX];
    bool skipped = discover_files_is_skipped(name);
    struct stat st;

    if (++c->entries > KEPT_ENTRIES_MAX)
        return err_set(c->e, AGW_ETOOLARGE, "it has more than %d files", KEPT_ENTRIES_MAX);
    if ((c->room -= ENTRY_COST) < c->bytes)
        return no_room(c);
    if (strcmp(name, "__pycache__") == 0 || !discover_files_join(rel, folder, name) ||
        fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    if (!skipped && S_ISREG(st.st_mode) && discover_files_is_marked(name))
        return copy_file(c, from, to, rel, name);
    if (!skipped && S_ISDIR(st.st_mode) && depth < DISCOVER_DEPTH_MAX)
        return copy_inner(c, from, to, rel, name, depth);
    return link_to(c, to, rel, name);
}

static int copy_folder(struct copying *c, int from, int to, const char *rel, int depth)
{
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), status = 0;
    DIR *d = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;

    if (d == NULL) {
        status = failed(c, rel);
        if (again >= 0)
            close(again);
        return status;
    }
    while (status == 0 && (entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = copy_entry(c, from, to, rel, entry->d_name, depth);
    closedir(d);
    return status;
}

/* Makes the folders of `rel` below `fd`; the descriptor of the last. */
static int make_folders(int fd, const char *rel)
{
    char path[PATH_MAX], *slash = path;

    if (rel[0] == '\0')
        return openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s", rel);
    while ((slash = strchr(slash, '/')) != NULL) {
        *slash = '\0';
        (void)mkdirat(fd, path, S_IRWXU);
        *slash++ = '/';
    }
    (void)mkdirat(fd, path, S_IRWXU);
    return openat(fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

int64_t kept_room(const struct kept *k, const struct statvfs *fs)
{
    int64_t left = KEPT_TOTAL_MAX - k->bytes;
    uint64_t half = (uint64_t)fs->f_bavail * fs->f_frsize / 2;

    return half < KEPT_TOTAL_MAX && (int64_t)half < left ? (int64_t)half : left;
}

static int64_t room_of(const struct kept *k)
{
    struct statvfs fs;

    return fstatvfs(k->fd, &fs) == 0 ? kept_room(k, &fs) : 0;
}

/* In the root of the copy as in that of the original, where Node.js looks for them. */
static int link_shared(const struct copying *c, int into, const struct found *module)
{
    const char *folder = packages_folder(module->lang);

    return module->shares ? link_to(c, into, folder, folder) : 0;
}

static int copy_module(const struct kept *k, int into, const struct found *module,
                       struct err *e)
{
    struct copying c = {.root = module->root, .room = room_of(k), .is_noexec = k->is_noexec,
                        .e = e};
    int root = open(module->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int from = root < 0 ? -1 : discover_files_open_beneath(NULL, root, module->folder);
    int to = from < 0 ? -1 : make_folders(into, module->folder);
    int status = to < 0 ? failed(&c, module->folder)
                        : copy_folder(&c, from, to, module->folder, 0);

    if (status == 0)
        status = link_shared(&c, into, module);
    if (to >= 0)
        close(to);
    if (from >= 0)
        close(from);
    if (root >= 0)
        close(root);
    return status;
}

/* There is always a whole copy, whenever the runner ends. */
static int put_in_place(struct kept *k, const char *fresh, const char *name, struct err *e)
{
    if (renameat2(k->fd, fresh, k->fd, name, RENAME_EXCHANGE) == 0) {
        remove_tree(k, fresh);
        return 0;
    }
    if (errno == EINVAL) /* a file system that cannot */
        remove_tree(k, name);
    if (renameat(k->fd, fresh, k->fd, name) == 0)
        return 0;
    return err_set(e, AGW_EUNAVAILABLE, "%s/%s: %s", k->path, name, strerror(errno));
}

int kept_take(struct kept *k, const struct found *module, struct err *e)
{
    char name[NAME_SIZE], fresh[NAME_SIZE + 8];
    int fd = -1, status;

    if (k->fd < 0)
        return err_set(e, AGW_EUNAVAILABLE, "there is no folder for copies");
    name_of(module->path, name);
    snprintf(fresh, sizeof fresh, "%s.new", name);
    remove_tree(k, fresh);
    if (mkdirat(k->fd, fresh, S_IRWXU) == 0)
        fd = openat(k->fd, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    status = fd < 0 ? err_set(e, AGW_EUNAVAILABLE, "%s/%s: %s", k->path, fresh, strerror(errno))
                    : copy_module(k, fd, module, e);
    if (fd >= 0)
        close(fd);
    k->bytes += walk(k, fresh, measure_one);
    if (status == 0 && !discover_is_same(module))
        status = err_set(e, AGW_EMODEL, "its files changed meanwhile");
    if (status == 0)
        status = put_in_place(k, fresh, name, e);
    if (status != 0)
        remove_tree(k, fresh);
    return status;
}

/* ---- what is there ---- */

/* What it shared when it was taken: since then its original may have got packages of its own. */
static bool has_link(const char *root, const char *folder)
{
    char path[2 * PATH_MAX];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", root, folder);
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

bool kept_find(const struct kept *k, const struct found *module, struct found *copy)
{
    char name[NAME_SIZE], root[PATH_MAX + NAME_SIZE + 1], path[2 * PATH_MAX];
    char origin[2 * PATH_MAX];

    name_of(module->path, name);
    snprintf(root, sizeof root, "%s/%s", k->path, name);
    snprintf(path, sizeof path, "%s%s", root, module->path + strlen(module->root));
    if (k->fd < 0 || access(path, R_OK) != 0)
        return false;
    if (copy == NULL)
        return true;
    snprintf(origin, sizeof origin, "%s/%s", module->root, module->folder);
    discover_copy(copy, module);
    free(copy->root);
    free(copy->path);
    copy->root = memory_text(root);
    copy->path = memory_text(path);
    copy->origin = memory_text(origin);
    copy->shares = module->shared && has_link(root, packages_folder(module->lang));
    return true;
}

void kept_forget(struct kept *k, const struct found *module)
{
    char name[NAME_SIZE];

    if (k->fd < 0)
        return;
    name_of(module->path, name);
    remove_tree(k, name);
}

static bool is_of(const char *name, const char *const *paths, size_t count)
{
    char known[NAME_SIZE];

    for (size_t i = 0; i < count; i++) {
        name_of(paths[i], known);
        if (strcmp(known, name) == 0)
            return true;
    }
    return false;
}

void kept_sweep(struct kept *k, const char *const *paths, size_t count)
{
    int again = k->fd < 0 ? -1 : openat(k->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;

    if (d == NULL) {
        if (again >= 0)
            close(again);
        return;
    }
    while ((entry = readdir(d)) != NULL)
        if (entry->d_name[0] != '.' && !is_of(entry->d_name, paths, count))
            remove_tree(k, entry->d_name);
    closedir(d);
}
