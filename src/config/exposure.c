/* SPDX-License-Identifier: MIT */
/* Notices files that everybody may read. */
#include "config/exposure.h"

#include <stdio.h>
#include <sys/stat.h>

static int look(const char *path,
                void (*found)(void *arg, const char *path, const char *message), void *arg)
{
    char message[512];
    struct stat info;

    if (path == NULL || stat(path, &info) != 0 || (info.st_mode & S_IROTH) == 0)
        return 0;
    snprintf(message, sizeof message, "%.400s can be read by every user (mode %04o)", path,
             (unsigned)info.st_mode & 07777);
    found(arg, path, message);
    return 1;
}

int exposure_find(const char *database, const struct config_sources *sources,
                  void (*found)(void *arg, const char *path, const char *message), void *arg)
{
    static const enum config_component secret[] = {CONFIG_SECURITY, CONFIG_UPSTREAMS,
                                                   CONFIG_TOOLS};
    int count = look(database, found, arg);

    for (size_t i = 0; sources != NULL && i < sizeof secret / sizeof secret[0]; i++)
        if (sources->component[secret[i]].text != NULL)
            count += look(sources->component[secret[i]].path, found, arg);
    return count;
}
