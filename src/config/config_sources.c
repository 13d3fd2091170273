/* SPDX-License-Identifier: MIT */
/* Reads the files' texts, and turns them into the form that is stored and back. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/build.h"
#include "util/secret.h"

/* The whole file, or NULL with errno or *problem. */
static char *read_whole(int fd, size_t *length, const char **problem)
{
    struct stat status;
    size_t room, used = 0;
    char *text;

    if (fstat(fd, &status) != 0)
        return NULL;
    if (!S_ISREG(status.st_mode)) {
        *problem = "not a regular file";
        return NULL;
    }
    if (status.st_size > CONFIG_FILE_MAX) {
        *problem = "larger than 16 MiB";
        return NULL;
    }
    room = (size_t)status.st_size + 1; /* one more, to see whether it grew */
    text = malloc(room + 1);
    while (text != NULL && used < room) {
        ssize_t got = read(fd, text + used, room - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got < 0)
                secret_free(&text);
            break;
        }
        used += (size_t)got;
    }
    if (text == NULL)
        return NULL;
    text[used] = '\0';
    if (used == room) {
        *problem = "changed while it was read";
        secret_free(&text);
    }
    *length = used;
    return text;
}

/* 0, -1 with an error reported, or 1 when it does not exist and may be missing. */
static int read_source(const char *path, bool optional, struct config_source *source,
                       struct config_errors *errors)
{
    const char *problem = NULL;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* it may be a FIFO */
    int reason = errno;

    if (fd < 0 && errno == ENOENT && optional)
        return 1;
#pragma GCC diagnostic push
/* False: config_sources_free() frees it with the array, which gcc 12 does not follow. */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
    source->path = strdup(path);
    if (fd >= 0) {
#pragma GCC diagnostic pop
        source->text = read_whole(fd, &length, &problem);
        reason = errno;
        close(fd);
    }
    errno = reason; /* for %m */
    if (source->path == NULL)
        problem = "out of memory";
    if (problem != NULL)
        config_errors_add(errors, path, 0, 0, "cannot be read: %s", problem);
    else if (source->text == NULL)
        config_errors_add(errors, path, 0, 0, "cannot be read: %m");
    if (source->path == NULL)
        secret_free(&source->text);
    if (source->text == NULL)
        return -1;
    if (memchr(source->text, '\0', length) != NULL) {
        int line, column;

        tree_place(source->text, strlen(source->text), &line, &column);
        config_errors_add(errors, path, line, column,
                          "the control character 0x00 is not allowed");
        secret_free(&source->text);
        return -1;
    }
    return 0;
}

static int read_named(const struct config *config, const char *folder,
                      struct config_sources *sources, struct config_errors *errors)
{
    const struct config_gateway *g = &config->gateway;
    const struct {
        enum config_component component;
        const char *path;
    } files[] = {
        {CONFIG_AGENTS, g->agents_file},
        {CONFIG_UPSTREAMS, g->upstreams_file},
        {CONFIG_TOOLS, g->tools_file != NULL ? g->tools_file : folder},
        {CONFIG_SECURITY, g->security_file},
    };
    int result = 0;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        bool optional = files[i].component == CONFIG_TOOLS && g->tools_file == NULL;

        /* No name: it is wrong in gateway.yaml, which config_build() tells. */
        if (files[i].path == NULL ||
            read_source(files[i].path, optional, &sources->component[files[i].component],
                        errors) < 0)
            result = AGW_ECONFIG;
    }
    return result;
}

int config_gateway_read(const char *gateway_file, struct config **config,
                        struct config_errors *errors)
{
    struct config_source source = {0};

    *config = NULL;
    if (read_source(gateway_file, false, &source, errors) == 0)
        *config = build_gateway_only(&source, errors);
    if (*config == NULL && errors->count == 0)
        config_errors_add(errors, gateway_file, 0, 0, "it cannot be understood");
    free(source.path);
    secret_free(&source.text);
    return *config == NULL ? AGW_ECONFIG : 0;
}

int config_sources_read(const char *gateway_file, struct config_sources *sources,
                        struct config_errors *errors)
{
    const char *slash = strrchr(gateway_file, '/');
    struct config *config = NULL;
    char *tools = NULL;
    int result = AGW_ECONFIG;

    *sources = (struct config_sources){0};
    if (read_source(gateway_file, false, &sources->component[CONFIG_GATEWAY], errors) != 0)
        goto out;
    if (asprintf(&tools, "%.*stools.yaml",
                 slash != NULL ? (int)(slash - gateway_file) + 1 : 0, gateway_file) < 0) {
        tools = NULL;
        config_errors_add(errors, gateway_file, 0, 0, "out of memory");
        goto out;
    }
    config = build_gateway_only(&sources->component[CONFIG_GATEWAY], errors);
    if (config != NULL)
        result = read_named(config, tools, sources, errors);
    config_release(&config);
    if (result != 0) /* what could be read may have errors of its own: all are told at once */
        config_build(sources, &config, errors);
    if (result != 0 && errors->count == 0)
        config_errors_add(errors, gateway_file, 0, 0, "out of memory");
out:
    config_release(&config);
    free(tools);
    if (result != 0)
        config_sources_free(sources);
    return result;
}

json_t *config_sources_json(const struct config_sources *sources)
{
    json_t *all = json_object();

    for (int c = 0; c < CONFIG_COMPONENTS && all != NULL; c++) {
        const struct config_source *source = &sources->component[c];
        char *redacted = NULL;
        json_t *one;

        if (source->path == NULL || source->text == NULL)
            continue;
        if (c == CONFIG_SECURITY)
            redacted = redact_security(source->text);
        one = c == CONFIG_SECURITY && redacted == NULL
                  ? NULL
                  : json_pack("{s:s, s:s}", "path", source->path, "text",
                              redacted != NULL ? redacted : source->text);
        free(redacted);
        if (one == NULL || json_object_set_new(all, config_component_names[c], one) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

int config_sources_from_json(const json_t *value, struct config_sources *sources,
                             struct err *e)
{
    *sources = (struct config_sources){0};
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        const json_t *one = json_object_get(value, config_component_names[c]);
        struct config_source *source = &sources->component[c];
        const char *path = json_string_value(json_object_get(one, "path"));
        const char *text = json_string_value(json_object_get(one, "text"));

        if (one == NULL && c == CONFIG_TOOLS)
            continue;
        if (path == NULL || text == NULL) {
            config_sources_free(sources);
            return err_set(e, AGW_ECONFIG, "stored configuration: no source of '%s'",
                           config_component_names[c]);
        }
        source->path = strdup(path);
        source->text = strdup(text);
        if (source->path == NULL || source->text == NULL) {
            config_sources_free(sources);
            return err_set(e, AGW_ENOMEM, "stored configuration: out of memory");
        }
    }
    return 0;
}

int config_source_read(const char *path, struct config_source *source,
                       struct config_errors *errors)
{
    *source = (struct config_source){0};
    if (read_source(path, false, source, errors) == 0)
        return 0;
    config_source_free(source);
    return AGW_ECONFIG;
}

void config_source_free(struct config_source *source)
{
    free(source->path);
    source->path = NULL;
    secret_free(&source->text);
}

void config_sources_free(struct config_sources *sources)
{
    for (int c = 0; c < CONFIG_COMPONENTS; c++)
        config_source_free(&sources->component[c]);
}
