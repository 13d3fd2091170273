/* SPDX-License-Identifier: MIT */
/* gateway.yaml: what the option table alone cannot say. */
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "config/build.h"

enum { CORES_A_WORKER = 4, WORKERS_MAX = 64 };

/* RFC 6454: scheme, host, port; browsers send it in lower case and without a path. */
const char *gateway_check_origin(const char *text)
{
    static const char wrong[] =
        "must be an exact origin like https://app.example.org or http://localhost:3000";
    const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                       : strncmp(text, "http://", 7) == 0 ? text + 7
                                                          : NULL;

    if (strchr(text, '*') != NULL)
        return "must not have a wildcard: name each origin";
    if (host == NULL || host[0] == '\0' || host[0] == ':' ||
        strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]_") != strlen(host))
        return wrong;
    return NULL;
}

const char *gateway_check_listen(const char *text)
{
    if (strncmp(text, "unix:", 5) != 0 || text[5] == '\0')
        return "must be unix: and the path of a socket";
    return NULL;
}

void gateway_take_mode(struct build *b, const struct option *option, struct tree_node *node,
                       char *base)
{
    size_t digits = strspn(node->text, "01234567");
    int mode;

    (void)base;
    if (digits < 3 || digits > 4 || node->text[digits] != '\0' ||
        (mode = (int)strtol(node->text, NULL, 8)) > 0777)
        build_error(b, node, "'%s' must be three or four octal digits like \"0660\"",
                    option->path);
    else
        b->config->gateway.socket_mode = mode;
}

static void resolve_listen(struct build *b, const struct tree_node *root)
{
    struct config_gateway *g = &b->config->gateway;
    const struct tree_node *node = tree_get(root, "listen");
    const char *path;

    if (g->listen == NULL || node == NULL)
        return;
    path = build_path(b, g->listen + 5);
    if (path == NULL)
        return;
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        build_error(b, node, "the path of a socket must not be longer than %zu bytes",
                    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    g->listen = arena_printf(b->arena, "unix:%s", path);
    if (g->listen == NULL)
        build_error(b, node, "out of memory");
}

void gateway_end(struct build *b, const struct tree_node *root)
{
    struct config_gateway *g = &b->config->gateway;
    const struct tree_node *threads = tree_get(root, "threads");

    resolve_listen(b, root);
    if (g->log_file != NULL && strcmp(g->log_file, "-") == 0)
        g->log_file = NULL;
    /* Threads use the cores; processes only keep each other's deaths apart, and each costs: the
     * writer gate changes hands between them, and with it SQLite's page cache starts over. */
    if (g->workers == 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN) / CORES_A_WORKER;

        g->workers = n < 1 ? 1 : n > WORKERS_MAX ? WORKERS_MAX : (int)n;
    }
    if (threads != NULL && g->max_threads > 0 && g->min_threads > g->max_threads)
        build_error(b, threads, "'threads.min' (%d) must not be above 'threads.max' (%d)",
                    g->min_threads, g->max_threads);
}
