/* SPDX-License-Identifier: MIT */
/* Plans how the program of a tool is run: which file, with what words and environment. */
#include "tools/launch_plan.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 1024, FILE_MIB = 64, TMP_MIB = 64, FIXED_WORDS = 40, MIB_SHIFT = 20,
       PLAN_MAX = 4 << 20 };

static const char search_path[] = "/usr/local/bin:/usr/bin:/bin";

static int no_memory(struct launch_plan *p)
{
    return err_set(p->e, AGW_ENOMEM, "starting '%s'", p->tool->name);
}

static void add(struct launch_plan *p, const char *word)
{
    p->words[p->count++] = (char *)word; /* posix_spawn() does not change them */
}

static void add_number(struct launch_plan *p, const char *option, long long value)
{
    if (value == 0)
        return;
    add(p, option);
    add(p, arena_printf(p->arena, "%lld", value));
}

static const char *absolute(struct launch_plan *p, const char *path)
{
    char *real = realpath(path, NULL);
    const char *copy = real == NULL ? NULL : arena_printf(p->arena, "%s", real);

    free(real);
    return copy;
}

/* "/folder" of "/folder/name", without links; NULL when it is not there. */
static const char *folder_of(struct launch_plan *p, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash == path ? "/" : arena_printf(p->arena, "%.*s",
                                                            (int)(slash - path), path);

    return folder == NULL ? NULL : absolute(p, folder);
}

static bool is_there(const char *path)
{
    return path != NULL && access(path, F_OK) == 0;
}

/* A name without '/' is looked for like a shell would; another one, if relative, from the folder
 * of gateway.yaml, or the folder around that: conf/ and agents/ may stand side by side. */
static const char *find_program(struct launch_plan *p, const char *name)
{
    const char *path, *folder = p->tool->program.folder;

    p->directory = folder[0] == '\0' ? "." : folder;
    if (name[0] == '/')
        return is_there(name) ? name : NULL;
    if (strchr(name, '/') == NULL) {
        for (const char *c = search_path; *c != '\0'; c += strcspn(c, ":"), c += *c == ':') {
            path = arena_printf(p->arena, "%.*s/%s", (int)strcspn(c, ":"), c, name);
            if (is_there(path))
                return path;
        }
        return NULL;
    }
    path = arena_printf(p->arena, "%s%s", folder, name);
    if (is_there(path))
        return path;
    p->directory = arena_printf(p->arena, "%s..", folder);
    path = arena_printf(p->arena, "%s../%s", folder, name);
    return is_there(path) ? path : NULL;
}

static int resolve(struct launch_plan *p)
{
    const char *name = p->tool->command[0], *path = find_program(p, name), *folder;

    if (path == NULL)
        return err_set(p->e, AGW_EUNAVAILABLE, "there is no program %s", name);
    if (access(path, X_OK) != 0)
        return err_set(p->e, AGW_EUNAVAILABLE, "cannot run %s: %s", name, strerror(errno));
    p->directory = p->directory == NULL ? NULL : absolute(p, p->directory);
    folder = folder_of(p, path);
    if (folder == NULL || p->directory == NULL)
        return no_memory(p);
    /* The name that was written: programs look at it. */
    p->program = arena_printf(p->arena, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder,
                              strrchr(path, '/') + 1);
    return p->program == NULL ? no_memory(p) : 0;
}

/* It may read the folder that it is in, also where its name is only a link to it; but of the
 * folder of gateway.yaml nothing besides itself. */
static void add_own_folder(struct launch_plan *p)
{
    const char *real = absolute(p, p->program), *folder;
    const char *conf = absolute(p, p->tool->program.folder[0] == '\0' ? "."
                                                                     : p->tool->program.folder);
    const char *files[] = {p->program, real};

    for (size_t i = 0; i < 2; i++) {
        if (files[i] == NULL || (folder = folder_of(p, files[i])) == NULL)
            continue;
        add(p, "--read");
        add(p, conf != NULL && strcmp(folder, conf) == 0 ? files[i] : folder);
    }
}

static void add_options(struct launch_plan *p, int64_t cpu_s)
{
    const struct config_program *c = &p->tool->program;

    add(p, "--directory");
    add(p, p->directory);
    if (c->sandbox != SANDBOX_BEST_EFFORT)
        add(p, c->sandbox == SANDBOX_OFF ? "--off" : "--require");
    if (c->network)
        add(p, "--network");
    add_number(p, "--memory", (long long)c->max_memory_mib << MIB_SHIFT);
    add_number(p, "--processes", c->max_processes);
    add_number(p, "--cpu", cpu_s);
    add_number(p, "--files", FILES_MAX);
    add_number(p, "--file-size", (long long)FILE_MIB << MIB_SHIFT);
    add_number(p, "--tmp-size", (long long)TMP_MIB << MIB_SHIFT);
    add_own_folder(p);
    for (size_t i = 0; i < c->read_count; i++) {
        add(p, "--read");
        add(p, c->read[i]);
    }
    for (size_t i = 0; i < c->write_count; i++) {
        add(p, "--write");
        add(p, c->write[i]);
    }
}

int launch_plan_words(struct launch_plan *p, int64_t cpu_s)
{
    const struct config_program *c = &p->tool->program;
    size_t room = FIXED_WORDS + 2 * (c->read_count + c->write_count) + p->tool->command_count;

    p->words = arena_alloc(p->arena, room * sizeof *p->words);
    if (p->words == NULL)
        return no_memory(p);
    add_options(p, cpu_s);
    add(p, "--");
    add(p, p->program);
    for (size_t i = 1; i < p->tool->command_count; i++)
        add(p, p->tool->command[i]);
    for (size_t i = 0; i < p->count; i++)
        if (p->words[i] == NULL)
            return no_memory(p);
    p->words[p->count] = NULL;
    return 0;
}

static bool is_set(const struct config_program *c, const char *usual)
{
    size_t length = strcspn(usual, "=");

    for (size_t i = 0; i < c->environment_count; i++)
        if (strlen(c->environment[i].name) == length &&
            strncmp(c->environment[i].name, usual, length) == 0)
            return true;
    return false;
}

/* Of the gateway's own environment nothing passes on: there are secrets in it. */
int launch_plan_environment(struct launch_plan *p)
{
    const struct config_program *c = &p->tool->program;
    const char *usual[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"};
    size_t usual_count = sizeof usual / sizeof usual[0], count = 0;

    p->environment = arena_alloc(p->arena, (c->environment_count + usual_count + 1) *
                                               sizeof *p->environment);
    if (p->environment == NULL)
        return no_memory(p);
    for (size_t i = 0; i < c->environment_count; i++)
        p->environment[count++] = arena_printf(p->arena, "%s=%s", c->environment[i].name,
                                               c->environment[i].value);
    for (size_t i = 0; i < usual_count; i++)
        if (!is_set(c, usual[i]))
            p->environment[count++] = (char *)usual[i];
    for (size_t i = 0; i < count; i++)
        if (p->environment[i] == NULL)
            return no_memory(p);
    p->environment[count] = NULL;
    return 0;
}

int launch_plan_open(struct launch_plan *p, const struct config_tool *tool, struct err *e)
{
    *p = (struct launch_plan){.arena = arena_new(PLAN_MAX), .tool = tool, .e = e};
    if (p->arena == NULL)
        return no_memory(p);
    arena_keep_secret(p->arena); /* variables with tokens */
    return resolve(p);
}
