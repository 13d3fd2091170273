/* SPDX-License-Identifier: MIT */
/* What the host gives the gateway: socket, web server, file modes, disk. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "config/exposure.h"
#include "ctl/doctor.h"
#include "ctl/knock.h"
#include "util/clock.h"

enum { ANSWER_MS = 5000, PERCENT_LOW = 10, PERCENT_FULL = 2 };
static const unsigned long long low_bytes = 1ull << 30, full_bytes = 64ull << 20;

/* ---- socket ---- */

static const char *socket_path(const struct doctor *d)
{
    const char *path = call_text(d->call, "socket");

    if (path == NULL && d->gateway != NULL)
        path = d->gateway->listen;
    return path != NULL && strncmp(path, "unix:", 5) == 0 ? path + 5 : path;
}

/* Who may connect may pose as the web server. */
static void check_socket_mode(struct doctor *d, const char *path, const struct stat *info)
{
    const struct group *group = getgrgid(info->st_gid);

    if ((info->st_mode & S_IWOTH) != 0)
        findings_add(d->findings, "socket mode", FINDING_WARNING,
                     "set socket.mode to 0660 and socket.group to the web server's group",
                     "every user may write to %s (mode %04o) and pose as the web server", path,
                     (unsigned)info->st_mode & 07777);
    else
        findings_add(d->findings, "socket mode", FINDING_OK, NULL, "mode %04o, group %s",
                     (unsigned)info->st_mode & 07777, group == NULL ? "unknown" : group->gr_name);
}

static void ask_socket(struct doctor *d, const char *path)
{
    int64_t began = clock_mono_ms();
    struct err e = {0};
    int status;

    if (knock_socket(path, ANSWER_MS, &status, &e) != 0)
        findings_add(d->findings, "gateway", FINDING_FAILED,
                     "see whether agent-gateway runs, and what its log says", "%s: %s", path,
                     e.message);
    else if (status != 200)
        findings_add(d->findings, "gateway", FINDING_FAILED, "see its log",
                     "GET /health through %s is answered with status %d", path, status);
    else
        findings_add(d->findings, "gateway", FINDING_OK, NULL,
                     "answers GET /health through %s in %lld ms", path,
                     (long long)(clock_mono_ms() - began));
}

void doctor_socket(struct doctor *d)
{
    const char *path = socket_path(d);
    struct stat info;

    if (path == NULL) {
        findings_add(d->findings, "socket", FINDING_OK, "--socket PATH looks at it",
                     "gateway.yaml names none: a service manager or web server holds it");
        return;
    }
    if (stat(path, &info) != 0) {
        findings_add(d->findings, "socket", FINDING_FAILED, "start agent-gateway", "%s: %s", path,
                     strerror(errno));
        return;
    }
    if (!S_ISSOCK(info.st_mode)) {
        findings_add(d->findings, "socket", FINDING_FAILED,
                     "remove what is there, or let listen name another path",
                     "%s is not a socket", path);
        return;
    }
    check_socket_mode(d, path, &info);
    ask_socket(d, path);
}

void doctor_url(struct doctor *d)
{
    const char *url = call_text(d->call, "url");
    int64_t began = clock_mono_ms();
    struct err e = {0};
    size_t length;
    char *health;
    int status = 0;

    if (url == NULL)
        return;
    length = strcspn(url, "?#");
    if (length > 0 && url[length - 1] == '/')
        length--;
    if (asprintf(&health, "%.*s/health", (int)length, url) < 0)
        return;
    if (knock_url(health, ANSWER_MS, &status, &e) != 0)
        findings_add(d->findings, "web server", FINDING_FAILED,
                     "see whether the web server runs, and what its log says", "%s: %s", health,
                     e.message);
    else if (status != 200)
        findings_add(d->findings, "web server", FINDING_FAILED,
                     status == 502 || status == 503
                         ? "the web server does not reach the gateway: path and group of the socket"
                         : "compare its configuration with doc/WEBSERVERS.md",
                     "%s is answered with status %d", health, status);
    else
        findings_add(d->findings, "web server", FINDING_OK, NULL, "%s answers in %lld ms", health,
                     (long long)(clock_mono_ms() - began));
    free(health);
}

/* ---- files ---- */

static void take_exposed(void *arg, const char *path, const char *message)
{
    struct doctor *d = arg;
    char advice[4200];

    snprintf(advice, sizeof advice, "chmod o= %s", path);
    findings_add(d->findings, "file modes", FINDING_WARNING, advice, "%s", message);
}

void doctor_modes(struct doctor *d)
{
    if (exposure_find(d->database, &d->sources, take_exposed, d) == 0 && d->config != NULL)
        findings_add(d->findings, "file modes", FINDING_OK, NULL,
                     "database and files with secrets are not for every user");
}

/* A file that root's shell has made beside it locks the gateway out. */
void doctor_owners(struct doctor *d)
{
    static const char *const ends[] = {"-wal", "-shm", ".gate", ".shared"};
    struct stat database, info;
    char path[4200], advice[8600];
    bool fine = true;

    if (stat(d->database, &database) != 0)
        return;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        snprintf(path, sizeof path, "%.4096s%s", d->database, ends[i]);
        if (stat(path, &info) != 0 || info.st_uid == database.st_uid)
            continue;
        fine = false;
        snprintf(advice, sizeof advice, "chown --reference=%.4096s %s", d->database, path);
        findings_add(d->findings, "file owners", FINDING_FAILED, advice,
                     "%s belongs to user %lu, the database to user %lu", path,
                     (unsigned long)info.st_uid, (unsigned long)database.st_uid);
    }
    if (fine)
        findings_add(d->findings, "file owners", FINDING_OK, NULL,
                     "the database and the files beside it belong to one user");
}

void doctor_disk(struct doctor *d)
{
    char folder[4096];
    const char *slash = strrchr(d->database, '/');
    unsigned long long free_bytes, all_bytes;
    enum finding_state state = FINDING_OK;
    struct statvfs disk;
    int percent;

    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - d->database) + 1,
             slash == NULL ? "." : d->database);
    if (statvfs(folder, &disk) != 0) {
        findings_add(d->findings, "disk", FINDING_FAILED, "make the folder", "%s: %s", folder,
                     strerror(errno));
        return;
    }
    free_bytes = (unsigned long long)disk.f_bavail * disk.f_frsize;
    all_bytes = (unsigned long long)disk.f_blocks * disk.f_frsize;
    percent = all_bytes == 0 ? 0 : (int)(free_bytes * 100 / all_bytes);
    if (free_bytes < full_bytes || (percent < PERCENT_FULL && free_bytes < low_bytes))
        state = FINDING_FAILED;
    else if (free_bytes < low_bytes || percent < PERCENT_LOW)
        state = FINDING_WARNING;
    findings_add(d->findings, "disk", state,
                 state == FINDING_OK ? NULL
                                     : "make room: without it nothing can be recorded, and then "
                                       "nothing is answered (agwctl audit prune, old backups)",
                 "%llu MiB (%d %%) are free for the database", free_bytes >> 20, percent);
}
