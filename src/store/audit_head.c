/* SPDX-License-Identifier: MIT */
/* Writes the head of the trail where it is safe from whoever owns the database. */
#include "store/audit_head.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"

enum { LINE_MAX_SIZE = 256 };

int audit_head_parse(const char *text, struct audit_head *head)
{
    unsigned char digest[SHA_SIZE];
    char *end;

    if (*text < '1' || *text > '9')
        return -1;
    errno = 0;
    head->seq = strtoll(text, &end, 10);
    if (errno != 0 || (*end != ':' && *end != ' ') || strlen(end + 1) < SHA_HEX_SIZE - 1)
        return -1;
    memcpy(head->hash, end + 1, SHA_HEX_SIZE - 1);
    head->hash[SHA_HEX_SIZE - 1] = '\0';
    if (sha_unhex(head->hash, digest, sizeof digest) != 0)
        return -1;
    sha_hex(digest, sizeof digest, head->hash); /* rows have lower case */
    end += SHA_HEX_SIZE;
    return *end == '\0' || *end == '\n' || *end == '\r' || *end == ' ' ? 0 : -1;
}

int audit_head_read(const char *path, struct audit_head *head, struct err *e)
{
    FILE *file = fopen(path, "re");
    char line[LINE_MAX_SIZE] = "";
    int status = 0;

    if (file == NULL)
        return err_set(e, errno == ENOENT ? AGW_ENOTFOUND : AGW_EINVALID, "cannot read %s: %s",
                       path, strerror(errno));
    if (fgets(line, sizeof line, file) == NULL || audit_head_parse(line, head) != 0)
        status = err_set(e, AGW_EINVALID,
                         "%s: its first line is not 'seq hash time', as the head of the audit"
                         " trail is written", path);
    (void)fclose(file); /* only read */
    return status;
}

/* The folder may be the gateway's and the writer root: what stands there already must not lead
 * to another file. */
static FILE *open_temporary(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    struct stat info = {0}; /* what cannot be looked at is no file of ours */
    FILE *file = NULL;

    if (fd < 0)
        return NULL;
    (void)fstat(fd, &info);
    if (!S_ISREG(info.st_mode) || info.st_nlink != 1)
        errno = ELOOP;
    else if (ftruncate(fd, 0) != 0 || (file = fdopen(fd, "w")) == NULL)
        unlink(path);
    if (file == NULL)
        close(fd);
    return file;
}

int audit_head_write(const char *path, const struct audit_head *head, int64_t at,
                     const char *more, struct err *e)
{
    char temporary[4096], time_text[CLOCK_TEXT_SIZE];
    FILE *file;
    bool written;

    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return err_set(e, AGW_EINVALID, "%.100s...: the name is too long", path);
    file = open_temporary(temporary);
    if (file == NULL)
        return err_set(e, AGW_ESTORE, "cannot write %s: %s", temporary, strerror(errno));
    fprintf(file, "%lld %s %s\n%s", (long long)head->seq, head->hash,
            clock_format(at, time_text), more == NULL ? "" : more);
    written = fflush(file) == 0 && fdatasync(fileno(file)) == 0;
    if (fclose(file) != 0 || !written || rename(temporary, path) != 0) {
        err_set(e, AGW_ESTORE, "cannot write %s: %s", path, strerror(errno));
        unlink(temporary);
        return AGW_ESTORE;
    }
    return 0;
}
