/* SPDX-License-Identifier: MIT */
/* upstreams.yaml: what the option table alone cannot say. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/build.h"
#include "util/secret.h"

enum { HEADERS_MAX = 64, HEADER_VALUE_MAX = 8192 };

const char *upstreams_check_url(const char *text)
{
    const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                       : strncmp(text, "http://", 7) == 0 ? text + 7
                                                          : NULL;
    size_t authority = host != NULL ? strcspn(host, "/?#") : 0;

    if (authority == 0)
        return "must start with http:// or https:// and a host";
    if (memchr(host, '@', authority) != NULL)
        return "must not have a user or password inside";
    if (strchr(host, '#') != NULL)
        return "must not have a fragment (#)";
    if (strpbrk(host, " \\\"<>^`{|}") != NULL)
        return "has characters that a URL may not have";
    return NULL;
}

const char *upstreams_check_absolute(const char *text)
{
    if (text[0] != '/')
        return "must start with /";
    return strpbrk(text, " #") != NULL ? "must not have spaces or a fragment (#)" : NULL;
}

/* ---- headers ---- */

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcasecmp(name, *names) == 0)
            return true;
    return false;
}

static const char *header_problem(const struct tree_node *node)
{
    static const char *const ours[] = {"host", "content-length", "transfer-encoding",
                                       "connection", "te", "upgrade", "expect", NULL};
    static const char *const secret[] = {"authorization", "proxy-authorization", "x-api-key",
                                         "api-key", "cookie", NULL};
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "!#$%&'*+-.^_`|~"; /* RFC 9110, section 5.6.2 */

    if (node->key[0] == '\0' || strspn(node->key, token) != strlen(node->key))
        return "is not a name of a header";
    if (is_one_of(node->key, ours))
        return "is set by the gateway itself";
    if (node->kind == TREE_BROKEN)
        return NULL;
    if (node->kind != TREE_TEXT || tree_is_null(node))
        return "must have a text as its value";
    if (is_one_of(node->key, secret) && !node->expanded)
        return "carries a secret, which does not belong in a file: write ${NAME}";
    if (strlen(node->text) > HEADER_VALUE_MAX)
        return "has too long a value";
    for (const char *c = node->text; *c != '\0'; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return "must not have line ends or control characters in its value";
    return NULL;
}

void upstreams_take_headers(struct build *b, const struct option *option,
                            struct tree_node *node, char *base)
{
    struct config_header *headers = build_alloc(b, (node->count + 1) * sizeof *headers);
    size_t count = 0;

    if (headers == NULL)
        return;
    if (node->count > HEADERS_MAX) {
        build_error(b, node, "'%s' must not have more than %d entries", option->path,
                    HEADERS_MAX);
        return;
    }
    for (struct tree_node *n = node->first; n != NULL; n = n->next) {
        const char *problem = header_problem(n);

        for (size_t i = 0; i < count && problem == NULL; i++)
            if (strcasecmp(headers[i].name, n->key) == 0)
                problem = "is there twice, but for upper and lower case";
        if (problem != NULL)
            build_key_error(b, n, "'%s': '%.64s' %s", option->path, n->key, problem);
        else
            headers[count++] = (struct config_header){n->key, n->text, n->expanded};
    }
    memcpy(base + option->offset, &headers, sizeof headers);
    memcpy(base + option->count_offset, &count, sizeof count);
}

/* ---- keys ---- */

static void drop_secret(void *text)
{
    char *secret = text;

    secret_free(&secret);
}

static void store_secret(struct build *b, const struct option *option, struct tree_node *node,
                         char *base, const char *value)
{
    char *copy;

    for (const char *c = value; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7f) {
            build_error(b, node, "'%s': the key must be visible ASCII characters without "
                                 "spaces", option->path);
            return;
        }
    copy = strdup(value);
    if (copy == NULL || arena_cleanup(b->arena, drop_secret, copy) != 0)
        build_error(b, node, "out of memory");
    else
        memcpy(base + option->offset, &copy, sizeof copy);
}

/* `api_key_env: NAME` and `api_key: ${NAME}`. */
void upstreams_take_secret(struct build *b, const struct option *option,
                           struct tree_node *node, char *base)
{
    const char *value = node->text;

    if (strcmp(schema_name_in(option, "upstreams[]"), "api_key_env") == 0) {
        if (node->text[0] == '\0' || strpbrk(node->text, "= \t\n${}") != NULL) {
            build_error(b, node, "'%s' must be the name of an environment variable",
                        option->path);
            return;
        }
        value = getenv(node->text);
        if (value == NULL || value[0] == '\0') {
            build_error(b, node, "'%s': set the environment variable '%.128s', it is %s",
                        option->path, node->text, value == NULL ? "not set" : "empty");
            return;
        }
    } else if (!node->expanded) {
        build_error(b, node, "'%s': a secret does not belong in a file: write ${NAME}, or "
                             "use 'api_key_env'", option->path);
        return;
    }
    store_secret(b, option, node, base, value);
}

/* ---- the whole ---- */

static void finish_url(struct build *b, const struct tree_node *node,
                       struct config_upstream *upstream, bool echo)
{
    const struct tree_node *url = tree_get(node, "base_url");
    size_t length;
    char *copy;

    if (echo && url != NULL)
        build_error(b, url, "'builtin-echo' answers by itself and takes no 'base_url'");
    if (!echo && url == NULL)
        build_error(b, node, "'base_url' is needed by this provider");
    if (upstream->base_url == NULL)
        return;
    if (strchr(upstream->base_url, '?') != NULL) {
        build_error(b, url, "'base_url' must not have a query (?)");
        return;
    }
    length = strlen(upstream->base_url);
    while (length > 0 && upstream->base_url[length - 1] == '/')
        length--;
    copy = arena_strndup(b->arena, upstream->base_url, length);
    if (copy == NULL)
        build_error(b, node, "out of memory");
    upstream->base_url = copy;
}

void upstreams_finish_one(struct build *b, const struct tree_node *node, void *element)
{
    struct config_upstream *upstream = element;
    const struct tree_node *provider = tree_get(node, "provider");
    const struct tree_node *version = tree_get(node, "api_version");

    upstream->place = build_place(b, node);
    if (tree_get(node, "api_key") != NULL && tree_get(node, "api_key_env") != NULL)
        build_error(b, node, "'api_key' and 'api_key_env' exclude each other");
    if (!values_is_choice(schema_find(CONFIG_UPSTREAMS, "upstreams[].provider"), provider))
        return; /* said already */
    finish_url(b, node, upstream, upstream->provider == PROVIDER_ECHO);
    if (upstream->provider == PROVIDER_AZURE && version == NULL)
        build_error(b, node, "'api_version' is needed by this provider");
    if (upstream->provider != PROVIDER_AZURE && version != NULL)
        build_error(b, version, "'api_version' is for the provider azure only");
}

void upstreams_end(struct build *b, const struct tree_node *root)
{
    const struct config *c = b->config;

    (void)root;
    build_refuse_duplicates(b, &(struct build_unique){
        c->upstreams, c->upstream_count, sizeof *c->upstreams,
        offsetof(struct config_upstream, name), 0, offsetof(struct config_upstream, place),
        "upstream name"});
}
