/* SPDX-License-Identifier: MIT */
/* Keeps counters where a dying process cannot take them along. */
#include "util/shm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "AGWSHM01"
enum { HEADER_SIZE = 4096, PAGE = 4096 };
#define SIZE_LIMIT ((size_t)1 << 40) /* far above any use, far below overflow */

struct entry {
    char name[SHM_NAME_MAX + 1];
    uint64_t offset, size;
};

struct header {
    char magic[8];
    uint64_t used; /* bytes given out, header included */
    struct entry entries[SHM_REGIONS];
};

struct mapping {
    void *start;
    size_t size;
};

struct shm {
    int fd;
    char *path;
    struct header *header;
    struct mapping mappings[SHM_REGIONS];
};

static int fail(const struct shm *shm, struct err *e, const char *what)
{
    return err_set(e, AGW_ESTORE, "%s: %s: %s", shm->path, what, strerror(errno));
}

/* Mapping past the end of the file would be a SIGBUS at the first touch, so no entry is
 * believed unchecked. */
static bool entries_are_good(const struct header *header)
{
    for (int i = 0; i < SHM_REGIONS; i++) {
        const struct entry *entry = &header->entries[i];

        if (entry->name[0] == '\0')
            continue;
        if (memchr(entry->name, '\0', sizeof entry->name) == NULL ||
            entry->offset < HEADER_SIZE || entry->offset % PAGE != 0 ||
            entry->offset > header->used || entry->size == 0 ||
            entry->size > header->used - entry->offset)
            return false;
    }
    return true;
}

/* A fresh file is filled; one with a foreign header or shorter than it says is not ours. */
static bool header_is_good(int fd, bool *is_new)
{
    struct header header;
    struct stat info;

    if (fstat(fd, &info) != 0)
        return false;
    *is_new = info.st_size == 0;
    if (*is_new)
        return true;
    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        return false;
    return memcmp(header.magic, MAGIC, sizeof header.magic) == 0 &&
           header.used >= HEADER_SIZE && (uint64_t)info.st_size >= header.used &&
           entries_are_good(&header);
}

static int begin_file(struct shm *shm, struct err *e)
{
    /* One write of one page: a death leaves an empty file or a good one. */
    union {
        struct header header;
        char page[HEADER_SIZE];
    } first = {.page = ""};

    memcpy(first.header.magic, MAGIC, sizeof first.header.magic);
    first.header.used = HEADER_SIZE;
    if (pwrite(shm->fd, &first, sizeof first, 0) != (ssize_t)sizeof first)
        return fail(shm, e, "cannot write the header");
    return 0;
}

/* While we waited for the lock another process may have set this file aside. */
static bool is_still_at_path(const struct shm *shm)
{
    struct stat ours, named;

    return fstat(shm->fd, &ours) == 0 && stat(shm->path, &named) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

/* Opens and locks the file; a damaged one is renamed and a new one begun. */
static int open_locked(struct shm *shm, struct err *e)
{
    char bad[PATH_MAX + 8];
    bool is_new;

    for (int attempt = 0; attempt < 3; attempt++) {
        shm->fd = open(shm->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0660);
        if (shm->fd < 0)
            return fail(shm, e, "cannot open");
        if (flock(shm->fd, LOCK_EX) != 0)
            return fail(shm, e, "cannot lock");
        if (is_still_at_path(shm)) {
            if (header_is_good(shm->fd, &is_new))
                return is_new ? begin_file(shm, e) : 0;
            snprintf(bad, sizeof bad, "%s.bad", shm->path);
            if (rename(shm->path, bad) != 0)
                return fail(shm, e, "cannot set the damaged file aside");
        }
        close(shm->fd);
        shm->fd = -1;
    }
    return err_set(e, AGW_ESTORE, "%s: is damaged again and again", shm->path);
}

int shm_open_file(const char *path, struct shm **out, struct err *e)
{
    struct shm *shm = calloc(1, sizeof *shm);
    int status;

    *out = NULL;
    if (shm == NULL)
        return err_set(e, AGW_ENOMEM, "opening %s", path);
    shm->fd = -1;
    shm->path = strdup(path);
    status = shm->path == NULL ? err_set(e, AGW_ENOMEM, "opening %s", path)
                               : open_locked(shm, e);
    if (status == 0) {
        void *start =
            mmap(NULL, HEADER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd, 0);

        if (start == MAP_FAILED)
            status = fail(shm, e, "cannot map");
        else
            shm->header = start;
        flock(shm->fd, LOCK_UN);
    }
    if (status != 0)
        shm_close(&shm);
    *out = shm;
    return status;
}

void shm_close(struct shm **shm)
{
    if (*shm == NULL)
        return;
    for (int i = 0; i < SHM_REGIONS; i++)
        if ((*shm)->mappings[i].start != NULL)
            munmap((*shm)->mappings[i].start, (*shm)->mappings[i].size);
    if ((*shm)->header != NULL)
        munmap((*shm)->header, HEADER_SIZE);
    if ((*shm)->fd >= 0)
        close((*shm)->fd);
    free((*shm)->path);
    free(*shm);
    *shm = NULL;
}

/* The file grows before the entry is named, and the name's first byte comes last, so a
 * death in between leaves only slack. The blocks are reserved: on a full disk a hole would
 * kill whoever touches it. */
static int add_entry(struct shm *shm, struct entry *entry, const char *name, size_t size,
                     struct err *e)
{
    uint64_t offset = (shm->header->used + PAGE - 1) & ~(uint64_t)(PAGE - 1);

    errno = posix_fallocate(shm->fd, (off_t)offset, (off_t)size);
    if (errno != 0)
        return fail(shm, e, "cannot grow");
    entry->offset = offset;
    entry->size = size;
    shm->header->used = offset + size;
    memcpy(entry->name + 1, name + 1, strlen(name));
    __atomic_store_n(&entry->name[0], name[0], __ATOMIC_RELEASE);
    return 0;
}

static int find_or_add(struct shm *shm, const char *name, size_t size, int *index,
                       struct err *e)
{
    for (int i = 0; i < SHM_REGIONS; i++) {
        struct entry *entry = &shm->header->entries[i];

        *index = i;
        if (entry->name[0] == '\0')
            return add_entry(shm, entry, name, size, e);
        if (strncmp(entry->name, name, sizeof entry->name) != 0)
            continue;
        if (entry->size != size)
            return err_set(e, AGW_ESTORE, "%s: region %s has %llu bytes, not %zu", shm->path,
                           name, (unsigned long long)entry->size, size);
        return 0;
    }
    return err_set(e, AGW_ESTORE, "%s: no room for region %s", shm->path, name);
}

int shm_region(struct shm *shm, const char *name, size_t size, void **start, struct err *e)
{
    struct mapping *mapping;
    int index, status;

    *start = NULL;
    if (name[0] == '\0' || strlen(name) > SHM_NAME_MAX || size == 0 || size > SIZE_LIMIT)
        return err_set(e, AGW_ESTORE, "%s: region '%s' of %zu bytes is out of bounds",
                       shm->path, name, size);
    if (flock(shm->fd, LOCK_EX) != 0)
        return fail(shm, e, "cannot lock");
    status = find_or_add(shm, name, size, &index, e);
    flock(shm->fd, LOCK_UN);
    if (status != 0)
        return status;
    mapping = &shm->mappings[index];
    if (mapping->start == NULL) {
        void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, shm->fd,
                        (off_t)shm->header->entries[index].offset);

        if (at == MAP_FAILED)
            return fail(shm, e, "cannot map");
        mapping->start = at;
        mapping->size = size;
    }
    *start = mapping->start;
    return 0;
}
