/* SPDX-License-Identifier: MIT */
/* Makes calls of libraries fail on demand. */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"
#include "util/secret.h"
#include "util/shm.h"

static atomic_long calls;
static atomic_uint active; /* kinds; 0 = nothing fails */
static long fail_at;
static bool fail_all_after;

void inject_start(unsigned kinds, long at, bool all_after)
{
    atomic_store(&calls, 0);
    fail_at = at;
    fail_all_after = all_after;
    atomic_store(&active, kinds);
}

long inject_stop(void)
{
    atomic_store(&active, 0);
    return atomic_load(&calls);
}

static long step_size(void)
{
    const char *text = getenv("AGW_TEST_INJECT_STEP");
    long step = text == NULL ? 1 : strtol(text, NULL, 10);

    return step < 1 ? 1 : step;
}

long inject_each(unsigned kinds, void (*fn)(void *arg), void (*check)(void *arg), void *arg)
{
    long step = step_size(), calls_made = 0;

    for (int all = 0; all < 2; all++) {
        bool failed;
        long at = 0;

        do {
            inject_start(kinds, at, all);
            fn(arg);
            failed = inject_stop() > at;
            if (check != NULL)
                check(arg);
            at += step;
        } while (failed);
        calls_made += at;
    }
    return calls_made;
}

static bool fails(enum inject_kind kind)
{
    long now;

    if ((atomic_load(&active) & kind) == 0)
        return false;
    now = atomic_fetch_add(&calls, 1);
    return now == fail_at || (fail_all_after && now > fail_at);
}

/* A function of the library and its stand-in, which yields `failure` when its time comes. */
#define WRAP(kind, type, name, parameters, arguments, failure)                                 \
    type __real_##name parameters;                                                             \
    type __wrap_##name parameters;                                                             \
    type __wrap_##name parameters                                                              \
    {                                                                                          \
        return fails(INJECT_##kind) ? (failure) : __real_##name arguments;                     \
    }

WRAP(MEMORY, void *, malloc, (size_t size), (size), NULL)
WRAP(MEMORY, void *, calloc, (size_t count, size_t size), (count, size), NULL)
WRAP(MEMORY, void *, realloc, (void *old, size_t size), (old, size), NULL)
WRAP(MEMORY, char *, strdup, (const char *text), (text), NULL)
WRAP(MEMORY, json_t *, json_array, (void), (), NULL)
WRAP(MEMORY, json_t *, json_object, (void), (), NULL)
WRAP(MEMORY, json_t *, json_string, (const char *text), (text), NULL)
WRAP(MEMORY, char *, json_dumps, (const json_t *value, size_t flags), (value, flags), NULL)
WRAP(SQLITE, int, sqlite3_prepare_v2,
     (sqlite3 *db, const char *sql, int length, sqlite3_stmt **statement, const char **tail),
     (db, sql, length, statement, tail), (*statement = NULL, SQLITE_IOERR))
WRAP(SQLITE, int, sqlite3_prepare_v3,
     (sqlite3 *db, const char *sql, int length, unsigned flags, sqlite3_stmt **statement,
      const char **tail),
     (db, sql, length, flags, statement, tail), (*statement = NULL, SQLITE_IOERR))
WRAP(SQLITE, int, sqlite3_exec,
     (sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **), void *arg,
      char **error),
     (db, sql, row, arg, error), SQLITE_IOERR)
WRAP(COLUMN, const unsigned char *, sqlite3_column_text, (sqlite3_stmt *statement, int column),
     (statement, column), NULL)
WRAP(CRYPTO, EVP_MD *, EVP_MD_fetch,
     (OSSL_LIB_CTX *library, const char *name, const char *properties),
     (library, name, properties), NULL)
WRAP(CRYPTO, EVP_MD_CTX *, EVP_MD_CTX_new, (void), (), NULL)
WRAP(CRYPTO, int, EVP_DigestInit_ex2,
     (EVP_MD_CTX *context, const EVP_MD *digest, const OSSL_PARAM *parameters),
     (context, digest, parameters), 0)
WRAP(CRYPTO, int, EVP_DigestUpdate, (EVP_MD_CTX *context, const void *data, size_t length),
     (context, data, length), 0)
WRAP(CRYPTO, int, EVP_DigestFinal_ex,
     (EVP_MD_CTX *context, unsigned char *digest, unsigned *length),
     (context, digest, length), 0)
WRAP(CRYPTO, int, secret_random_hex, (char *text, size_t bytes), (text, bytes), -1)
WRAP(SYSTEM, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *arg),
     (thread, attributes, fn, arg), EAGAIN)
WRAP(FILE, FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL)
WRAP(FILE, FILE *, fdopen, (int fd, const char *mode), (fd, mode), NULL)
WRAP(FILE, int, fflush, (FILE * file), (file), (errno = ENOSPC, EOF))
WRAP(FILE, int, fdatasync, (int fd), (fd), (errno = EIO, -1))
WRAP(FILE, int, ftruncate, (int fd, off_t length), (fd, length), (errno = EIO, -1))
WRAP(FILE, int, rename, (const char *old, const char *new), (old, new), (errno = EIO, -1))
WRAP(SYSTEM, ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size),
     (errno = EIO, -1))
WRAP(SYSTEM, int, gethostname, (char *name, size_t size), (name, size), (errno = EIO, -1))
WRAP(SYSTEM, int, shm_region,
     (struct shm * shm, const char *name, size_t size, void **region, struct err *e),
     (shm, name, size, region, e), err_set(e, AGW_ESTORE, "injected"))

/* SQLite rolls back without anything that could fail. */
int __real_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement);
int __wrap_sqlite3_step(sqlite3_stmt *statement)
{
    bool rolls_back = strncmp(sqlite3_sql(statement), "ROLLBACK", 8) == 0;

    return !rolls_back && fails(INJECT_SQLITE) ? SQLITE_IOERR : __real_sqlite3_step(statement);
}

/* A file is closed whatever fclose() says. */
int __real_fclose(FILE *file);
int __wrap_fclose(FILE *file);
int __wrap_fclose(FILE *file)
{
    int result = __real_fclose(file);

    return fails(INJECT_FILE) ? EOF : result;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    int mode = 0;

    if (fails(INJECT_SYSTEM)) {
        errno = EMFILE;
        return -1;
    }
    if (flags & O_CREAT) {
        va_start(arguments, flags);
        mode = va_arg(arguments, int);
        va_end(arguments);
    }
    return __real_open(path, flags, mode);
}
