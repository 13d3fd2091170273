/* SPDX-License-Identifier: MIT */
/* Looks whether files have changed. */
#include "gateway/auto_reload.h"

#include <stdlib.h>
#include <string.h>

static void watch(struct auto_reload_file *file, bool wanted, const char *path)
{
    if (!wanted || path == NULL)
        return;
    file->path = strdup(path);
    if (file->path != NULL && stat(path, &file->seen) != 0)
        memset(&file->seen, 0, sizeof file->seen);
}

void auto_reload_init(struct auto_reload *a, const struct config_gateway *gateway)
{
    memset(a, 0, sizeof *a);
    watch(&a->files[CONFIG_AGENTS], gateway->agent_auto_reload, gateway->agents_file);
    watch(&a->files[CONFIG_UPSTREAMS], gateway->upstream_auto_reload, gateway->upstreams_file);
    watch(&a->files[CONFIG_TOOLS], gateway->tool_auto_reload, gateway->tools_file);
}

void auto_reload_free(struct auto_reload *a)
{
    for (int i = 0; i < CONFIG_COMPONENTS; i++)
        free(a->files[i].path);
    memset(a, 0, sizeof *a);
}

bool auto_reload_changed(struct auto_reload *a, enum config_component component)
{
    struct auto_reload_file *file = &a->files[component];
    struct stat now;

    if (file->path == NULL || stat(file->path, &now) != 0)
        return false;
    if (now.st_ino == file->seen.st_ino && now.st_dev == file->seen.st_dev &&
        now.st_size == file->seen.st_size &&
        now.st_mtim.tv_sec == file->seen.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == file->seen.st_mtim.tv_nsec)
        return false;
    file->seen = now;
    return true;
}
