/* SPDX-License-Identifier: MIT */
/* agwctl audit export: the trail as lines of JSON, gone on with where a file ends. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/audit.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "store/audit_export.h"

enum { BLOCK = 65536 };
static const off_t last_line_max = 64 << 20;

/* Where the file's whole lines end, and where the last of them begins: what is behind is half a
 * line of somebody who was killed. */
static int find_last_line(int fd, off_t size, off_t *begin, off_t *end)
{
    static char block[BLOCK];

    *begin = *end = 0;
    for (off_t at = size; at > 0 && size - at <= last_line_max;) {
        size_t n = at < BLOCK ? (size_t)at : BLOCK;

        at -= (off_t)n;
        if (pread(fd, block, n, at) != (ssize_t)n)
            return -1;
        for (size_t i = n; i-- > 0;) {
            if (block[i] != '\n')
                continue;
            if (*end == 0) {
                *end = at + (off_t)i + 1;
            } else {
                *begin = at + (off_t)i + 1;
                return 0;
            }
        }
    }
    return 0;
}

static int read_seq_and_hash(const json_t *row, struct audit_head *head)
{
    const json_t *seq = json_object_get(row, "seq");
    const char *hash = json_string_value(json_object_get(row, "hash"));

    if (!json_is_integer(seq) || json_integer_value(seq) < 1 || hash == NULL ||
        strlen(hash) != SHA_HEX_SIZE - 1)
        return -1;
    head->seq = json_integer_value(seq);
    memcpy(head->hash, hash, sizeof head->hash);
    return 0;
}

static int read_last_row(int fd, off_t begin, off_t end, struct audit_head *head)
{
    size_t length = (size_t)(end - begin);
    char *line = malloc(length);
    json_t *row = NULL;
    int status = -1;

    if (line != NULL && pread(fd, line, length, begin) == (ssize_t)length)
        row = json_loadb(line, length, JSON_ALLOW_NUL, NULL);
    if (row != NULL)
        status = read_seq_and_hash(row, head);
    json_decref(row);
    free(line);
    return status;
}

/* Whether a file without a whole line can be an export that was killed in its first. */
static bool is_half_a_row(int fd, off_t size)
{
    static const char start[] = "{\"seq\":";
    char found[sizeof start - 1];
    size_t n = size < (off_t)sizeof found ? (size_t)size : sizeof found;

    return pread(fd, found, n, 0) == (ssize_t)n && memcmp(found, start, n) == 0;
}

/* Opens the file, takes half a line off its end, and finds out what it holds already. */
static int open_output(const char *path, FILE **out, struct audit_head *after)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    struct stat info;
    off_t begin, end;

    if (fd < 0)
        return call_fail("cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return call_fail("%s: another export writes it", path);
    }
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) ||
        find_last_line(fd, info.st_size, &begin, &end) != 0) {
        close(fd);
        return call_fail("%s is no file that can be gone on with", path);
    }
    if (end == 0 ? !is_half_a_row(fd, info.st_size)
                 : read_last_row(fd, begin, end, after) != 0) {
        close(fd);
        return call_fail("%s does not end with a row of an export: it is left alone", path);
    }
    if (ftruncate(fd, end) != 0 || lseek(fd, end, SEEK_SET) != end ||
        (*out = fdopen(fd, "w")) == NULL) {
        close(fd);
        return call_fail("%s: %s", path, strerror(errno));
    }
    return CTL_FINE;
}

static int write_line(void *arg, const char *line, size_t length)
{
    return fwrite(line, 1, length, arg) == length ? 0 : -1;
}

static int report(const struct call *call, const struct audit_exported *result, const char *path)
{
    if (call->json)
        return call_json(json_pack("{s:s, s:I, s:o, s:o}", "file", path, "rows",
                                   (json_int_t)result->rows, "first_seq",
                                   result->rows == 0 ? json_null()
                                                     : json_integer(result->first_seq),
                                   "last", result->last.seq == 0
                                               ? json_null()
                                               : json_pack("{s:I, s:s}", "seq",
                                                           (json_int_t)result->last.seq, "hash",
                                                           result->last.hash)),
                         CTL_FINE);
    if (result->rows == 0)
        output_line("%s has all rows already.", path);
    else
        output_line("Wrote rows %" PRId64 " to %" PRId64 " to %s.", result->first_seq,
                    result->last.seq, path);
    return CTL_FINE;
}

/* What could not be written is an error of the file, what could not be read one of the trail. */
static int finish(FILE *out, const char *path, int status, const struct err *e)
{
    bool written = fflush(out) == 0 && (path == NULL || fsync(fileno(out)) == 0);
    int problem = errno;

    if (path != NULL && fclose(out) != 0)
        written = false;
    if (status != 0 && status != AGW_EINTERNAL)
        return call_fail("%s", e->message);
    return status == 0 && written
               ? CTL_FINE
               : call_fail("%s: %s", path == NULL ? "standard output" : path, strerror(problem));
}

static int run(struct call *call)
{
    const char *path = call_text(call, "output");
    struct progress progress;
    struct audit_exported result;
    struct audit_export order = {.after.seq = call_number(call, "after", 0),
                                 .write = write_line, .progress = audit_show_progress,
                                 .progress_arg = &progress};
    struct store *store;
    struct db *db;
    struct err e = {0};
    FILE *out = stdout;
    int status;

    if (path != NULL && call_text(call, "after") != NULL)
        return call_usage(call, "--after is for standard output: a file knows where it ends");
    if (path == NULL && call->json)
        return call_usage(call, "--json reports about a file: give --output");
    status = audit_open(call, CONTEXT_READ, &store, &db);
    if (status == CTL_FINE && path != NULL &&
        (status = open_output(path, &out, &order.after)) != CTL_FINE)
        store_release(store, db);
    if (status != CTL_FINE)
        return status;
    order.arg = out;
    progress_begin(&progress, "exporting", 0);
    status = finish(out, path, audit_export(db, &order, &result, &e), &e);
    progress_end(&progress);
    store_release(store, db);
    return status == CTL_FINE && path != NULL ? report(call, &result, path) : status;
}

static const struct command_option options[] = {
    {"output", VALUE_FILE, "FILE", "write to FILE; what it holds already is gone on with", false,
     0, 0},
    {"after", VALUE_NUMBER, "SEQ", "begin behind the row SEQ", false, 1, INT64_MAX},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_audit_export = {
    .group = "audit",
    .name = "export",
    .summary = "Write the trail as lines of JSON, which can be verified by themselves",
    .options = options,
    .run = run,
};
