/* SPDX-License-Identifier: MIT */
/* Makes the C library fail or lie on command: preloaded into a gateway under test.
 *
 * The command block is a file (AGW_FAULT_CONTROL) mapped by the gateway's processes and by the
 * test, see shim.py; it is all zeros, "behave", at first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic int64_t malloc_at;    /* the allocation that fails, 0 = none */
    _Atomic int64_t malloc_more;  /* how many after it fail too */
    _Atomic int64_t malloc_count; /* allocations since the test set this to 0 */
    _Atomic int64_t malloc_failed;
    _Atomic int64_t malloc_fcgi;  /* libfcgi's, too: it answers a failure with abort() */
    _Atomic int64_t io_what;      /* 1 = writes, 2 = syncs, 3 = both; of the database's files */
    _Atomic int64_t io_errno;
    _Atomic int64_t io_every;     /* each how manieth fails */
    _Atomic int64_t io_count;
    _Atomic int64_t io_failed;
    _Atomic int64_t no_threads;   /* pthread_create() fails */
    _Atomic int64_t clock_ns;     /* added to the wall clock */
    _Atomic int64_t no_digests;   /* OpenSSL finds no SHA-256 by its name */
    _Atomic int64_t leak;         /* bytes that are lost with each accept4() */
};

static struct control none;
static struct control *control = &none;

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int), (*real_fdatasync)(int);
static int (*real_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
static int (*real_clock)(clockid_t, struct timespec *);
static int (*real_accept)(int, struct sockaddr *, socklen_t *, int);
static void *(*real_fetch)(void *, const char *, const char *);

/* dlsym() itself allocates: what it asks for comes from here and is never freed. */
static char early[65536] __attribute__((aligned(16)));
static atomic_size_t early_used;

static void *from_early(size_t size)
{
    size_t at = atomic_fetch_add(&early_used, (size + 15) & ~(size_t)15);

    return at + size > sizeof early ? NULL : early + at;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static uintptr_t fcgi_begin, fcgi_end; /* where libfcgi's code lies */

static int find_fcgi(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    if (strstr(info->dlpi_name, "libfcgi") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) != 0) {
            fcgi_begin = info->dlpi_addr + segment->p_vaddr;
            fcgi_end = fcgi_begin + segment->p_memsz;
        }
    }
    return 1;
}

static bool begun, beginning;

/* Other libraries' constructors may call before ours has run. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("AGW_FAULT_CONTROL");
    void *map;
    int fd;

    if (begun || beginning)
        return;
    beginning = true;
    real_malloc = next("malloc");
    real_calloc = next("calloc");
    real_realloc = next("realloc");
    real_write = next("write");
    real_pwrite = next("pwrite");
    real_fsync = next("fsync");
    real_fdatasync = next("fdatasync");
    real_create = next("pthread_create");
    real_clock = next("clock_gettime");
    real_accept = next("accept4");
    real_fetch = next("EVP_MD_fetch");
    dl_iterate_phdr(find_fcgi, NULL);
    begun = true;
    fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    map = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        control = map;
}

static bool refuse_memory(const void *caller)
{
    int64_t at = control->malloc_at, count;

    if (at == 0)
        return false;
    if (!control->malloc_fcgi && (uintptr_t)caller >= fcgi_begin && (uintptr_t)caller < fcgi_end)
        return false;
    count = ++control->malloc_count;
    if (count < at || count > at + control->malloc_more)
        return false;
    control->malloc_failed++;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    begin();
    if (!begun)
        return from_early(size);
    return refuse_memory(__builtin_return_address(0)) ? NULL : real_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    begin();
    if (!begun)
        return from_early(n * size); /* the block is zeros and handed out once */
    return refuse_memory(__builtin_return_address(0)) ? NULL : real_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    begin();
    if (is_early(p) || !begun) {
        void *fresh = malloc(size);
        size_t old = p == NULL ? 0 : (size_t)(early + sizeof early - (char *)p);

        return fresh == NULL || p == NULL ? fresh : memcpy(fresh, p, old < size ? old : size);
    }
    return size != 0 && refuse_memory(__builtin_return_address(0)) ? NULL : real_realloc(p, size);
}

void free(void *p)
{
    static void (*real_free)(void *);

    if (p == NULL || is_early(p))
        return;
    if (real_free == NULL)
        real_free = next("free");
    real_free(p);
}

/* Whether this write or sync of a file of the database fails. */
static bool refuse_io(int fd, int64_t kind)
{
    char link[64], path[512];
    int64_t every;
    ssize_t n;

    begin();
    if ((control->io_what & kind) == 0)
        return false;
    n = snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return false;
    path[n] = '\0';
    if (strstr(path, "gateway.db") == NULL)
        return false;
    every = control->io_every;
    if (++control->io_count % (every < 1 ? 1 : every) != 0)
        return false;
    control->io_failed++;
    errno = (int)control->io_errno;
    return true;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return refuse_io(fd, 1) ? -1 : real_write(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return refuse_io(fd, 1) ? -1 : real_pwrite(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return refuse_io(fd, 1) ? -1 : real_pwrite(fd, data, size, at);
}

int fsync(int fd)
{
    return refuse_io(fd, 2) ? -1 : real_fsync(fd);
}

int fdatasync(int fd)
{
    return refuse_io(fd, 2) ? -1 : real_fdatasync(fd);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *arg)
{
    begin();
    return control->no_threads ? EAGAIN : real_create(thread, attributes, run, arg);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    void *lost;

    begin();
    if (control->leak > 0 && (lost = real_malloc((size_t)control->leak)) != NULL)
        memset(lost, 1, (size_t)control->leak);
    return real_accept(fd, address, size, flags);
}

void *EVP_MD_fetch(void *library, const char *name, const char *properties)
{
    begin();
    return control->no_digests && strcmp(name, "SHA256") == 0
               ? NULL
               : real_fetch(library, name, properties);
}

static void shift(struct timespec *ts)
{
    int64_t ns = control->clock_ns;

    ts->tv_sec += ns / 1000000000;
    ts->tv_nsec += ns % 1000000000;
    if (ts->tv_nsec < 0) {
        ts->tv_nsec += 1000000000;
        ts->tv_sec--;
    } else if (ts->tv_nsec >= 1000000000) {
        ts->tv_nsec -= 1000000000;
        ts->tv_sec++;
    }
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
    int result;

    begin();
    result = real_clock(clock, ts);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shift(ts);
    return result;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec ts;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (out != NULL)
        *out = ts.tv_sec;
    return ts.tv_sec;
}
