/* SPDX-License-Identifier: MIT */
/* Starts the process that hosts a module. */
#include "runnerd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/packages.h"
#include "util/proc.h"

enum { WORDS_MAX = 80, VARIABLES_MAX = 12, FOLDERS_MAX = 16, FILES = 1024, FILE_MIB = 64,
       TMP_MIB = 64, MIB_SHIFT = 20 };

struct command {
    const char *words[WORDS_MAX], *environment[VARIABLES_MAX];
    size_t word_count, variable_count;
    char folder[PATH_MAX], program[PATH_MAX], code[PATH_MAX];
    char shared[PATH_MAX]; /* packages of all agents that the module uses, or "" */
    char folders[FOLDERS_MAX][PATH_MAX]; /* of its interpreter */
    size_t folder_count;
    char memory[24], processes[24], file_size[24], tmp_size[24];
};

const char *spawn_hosts(void)
{
    const char *named = getenv("GATEWAY_HOSTS");

    return named != NULL && named[0] == '/' ? named : AGW_LIBEXECDIR;
}

static void add(struct command *c, const char *word)
{
    if (c->word_count + 1 < WORDS_MAX)
        c->words[c->word_count++] = word;
}

static void add_value(struct command *c, const char *option, const char *value)
{
    add(c, option);
    add(c, value);
}

static void add_variable(struct command *c, const char *variable)
{
    if (c->variable_count + 1 < VARIABLES_MAX)
        c->environment[c->variable_count++] = variable;
}

/* Not a script, like those of pyenv and nvm that look for the program: in the sandbox they find
 * nothing. */
static bool is_program(const char *path)
{
    char first[2];
    struct stat st;
    bool is_script;
    int fd;

    if (path[0] != '/' || access(path, X_OK) != 0 || stat(path, &st) != 0 ||
        !S_ISREG(st.st_mode))
        return false;
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* one that cannot be read is no script */
    is_script = fd >= 0 && read(fd, first, sizeof first) == sizeof first &&
                memcmp(first, "#!", sizeof first) == 0;
    if (fd >= 0)
        close(fd);
    return !is_script;
}

/* As a shell would find it. */
static int find_program(struct command *c, const char *name, struct err *e)
{
    const char *path = getenv("PATH");

    if (strchr(name, '/') != NULL) {
        if (access(name, X_OK) != 0)
            return err_set(e, AGW_EUNAVAILABLE, "cannot run %s: %s", name, strerror(errno));
        snprintf(c->program, sizeof c->program, "%s", name);
        return 0;
    }
    if (path == NULL || path[0] == '\0')
        path = "/usr/local/bin:/usr/bin:/bin";
    while (*path != '\0') {
        size_t length = strcspn(path, ":");

        snprintf(c->program, sizeof c->program, "%.*s/%s", (int)length, path, name);
        if (is_program(c->program))
            return 0;
        path += length + (path[length] == ':');
    }
    return err_set(e, AGW_EUNAVAILABLE,
                   "there is no program %s (scripts do not count); gateway.yaml can name one", name);
}

static void add_folder(struct command *c, const char *prefix, const char *name)
{
    char *path;

    if (c->folder_count == FOLDERS_MAX)
        return;
    path = c->folders[c->folder_count];
    if (snprintf(path, PATH_MAX, "%s/%s", prefix, name) < PATH_MAX) {
        c->folder_count++;
        add_value(c, "--read", path);
    }
}

/* Of "/x/bin/name" what was installed with it, by name: "/x" may hold more. That of the system's
 * own interpreter is /usr, and below /usr/local are configuration and database of this gateway;
 * of a module's own interpreter, which may be a link to anywhere, the module says what it is. */
static void add_prefix(struct command *c, const char *program)
{
    static const char *const installed[] = {"bin", "include", "lib", "lib64", "libexec",
                                            "pyvenv.cfg", "share", "ssl"};
    static const char folder[] = "/bin";
    const char *slash = strrchr(program, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - program), end = sizeof folder - 1;
    char prefix[PATH_MAX];

    if (length <= end || length - end >= sizeof prefix ||
        memcmp(slash - end, folder, end) != 0) { /* the program alone */
        add_folder(c, "", program + 1);
        return;
    }
    snprintf(prefix, sizeof prefix, "%.*s", (int)(length - end), program);
    for (size_t i = 0; i < sizeof installed / sizeof installed[0]; i++)
        add_folder(c, prefix, installed[i]);
}

/* What sanitizers map beside a program's memory counts as its own: terabytes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static void add_limits(struct command *c, const struct config_runner *runner,
                       const struct found *module)
{
    snprintf(c->memory, sizeof c->memory, "%lld", (long long)runner->memory_mib << MIB_SHIFT);
    snprintf(c->processes, sizeof c->processes, "%lld", (long long)runner->processes);
    snprintf(c->file_size, sizeof c->file_size, "%lld", (long long)FILE_MIB << MIB_SHIFT);
    snprintf(c->tmp_size, sizeof c->tmp_size, "%lld", (long long)TMP_MIB << MIB_SHIFT);
    if (!SANITIZED || module->lang != DISCOVER_NATIVE)
        add_value(c, "--memory", c->memory);
    add_value(c, "--processes", c->processes);
    add_value(c, "--files", "1024");
    add_value(c, "--file-size", c->file_size);
    add_value(c, "--tmp-size", c->tmp_size);
}

static void add_sandbox(struct command *c, const struct config_runner *runner,
                        const struct found *module, bool network)
{
    char real[PATH_MAX];

    add_value(c, "--directory", c->folder);
    if (runner->sandbox != SANDBOX_BEST_EFFORT)
        add(c, runner->sandbox == SANDBOX_OFF ? "--off" : "--require");
    if (network) {
        add(c, "--network");
        add(c, "--no-unix"); /* of the runner, the gateway, and other services of the host */
    }
    add_limits(c, runner, module);
    add_value(c, "--read", c->folder);
    if (module->origin != NULL)
        add_value(c, "--read", module->origin);
    if (c->shared[0] != '\0')
        add_value(c, "--read", c->shared);
    add_value(c, "--read", spawn_hosts());
    if (module->lang == DISCOVER_NATIVE) {
        add_value(c, "--read", c->program);
        return;
    }
    add_prefix(c, c->program);
    if (realpath(c->program, real) != NULL && strcmp(real, c->program) != 0)
        add_prefix(c, real);
}

/* Of a copy, the folder of packages in its root is a link to the one that the sandbox opens. */
static void find_folders(struct command *c, const struct found *module)
{
    char path[PATH_MAX + NAME_MAX + 2];

    snprintf(c->folder, sizeof c->folder, "%s%s%s", module->root,
             module->folder[0] == '\0' ? "" : "/", module->folder);
    if (!module->shares)
        return;
    snprintf(path, sizeof path, "%s/%s", module->root, packages_folder(module->lang));
    if (realpath(path, c->shared) == NULL)
        c->shared[0] = '\0';
}

/* The program that lies with the module's packages: in its own folder, or else in c->shared. */
static bool has_own(struct command *c, const struct found *module, const char *name)
{
    char own[PATH_MAX + 32];
    const char *folder = c->shared;
    int length;

    if (!module->shares) {
        snprintf(own, sizeof own, "%s/%s", c->folder, packages_folder(module->lang));
        folder = own;
    }
    length = snprintf(c->program, sizeof c->program, "%s/%s", folder, name);
    return folder[0] != '\0' && length < (int)sizeof c->program && access(c->program, X_OK) == 0;
}

static int choose_program(struct command *c, const struct config_runner *runner,
                          const struct found *module, struct err *e)
{
    switch (module->lang) {
    case DISCOVER_PYTHON:
        return has_own(c, module, "bin/python") ? 0 : find_program(c, runner->python, e);
    case DISCOVER_NODE:
        return has_own(c, module, ".bin/node") ? 0 : find_program(c, runner->node, e);
    default:
        proc_program("agw-native", spawn_hosts(), c->program, sizeof c->program);
        return access(c->program, X_OK) == 0
                   ? 0 : err_set(e, AGW_EUNAVAILABLE, "there is no program %s", c->program);
    }
}

static void add_program(struct command *c, const struct found *module)
{
    add(c, "--");
    add(c, c->program);
    if (module->lang == DISCOVER_PYTHON) {
        add(c, "-I"); /* neither the environment nor its folder say what is imported */
        add(c, "-B"); /* its folder is not for writing */
        add(c, "-u");
        add(c, "-X");
        add(c, "utf8");
        snprintf(c->code, sizeof c->code, "%s/python/host.py", spawn_hosts());
        add(c, c->code);
    } else if (module->lang == DISCOVER_NODE) {
        snprintf(c->code, sizeof c->code, "%s/node/host.mjs", spawn_hosts());
        add(c, c->code);
        add_variable(c, "NODE_CHANNEL_FD=3");
        add_variable(c, "NODE_CHANNEL_SERIALIZATION_MODE=json");
    }
    add_variable(c, "PATH=/usr/local/bin:/usr/bin:/bin");
    add_variable(c, "LANG=C.UTF-8");
}

int spawn_host(const struct config_runner *runner, const struct found *module, bool network,
               int channel, struct launch_child *child, struct err *e)
{
    struct command *c = calloc(1, sizeof *c);
    struct launch_command command = {.channel = channel};
    int status;

    if (c == NULL)
        return err_set(e, AGW_ENOMEM, "starting %s", module->module);
    find_folders(c, module);
    status = choose_program(c, runner, module, e);
    if (status == 0) {
        add_sandbox(c, runner, module, network);
        add_program(c, module);
        command.words = c->words;
        command.environment = c->environment;
        status = launch_spawn(&command, child, e);
    }
    free(c);
    return status;
}
