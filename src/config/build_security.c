/* SPDX-License-Identifier: MIT */
/* security.yaml: what the option table alone cannot say. */
#include <string.h>

#include "config/build.h"
#include "util/secret.h"

const char *config_key_problem(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            return "must be visible ASCII characters without spaces";
    if (text[0] == '\0')
        return "must not be empty";
    if (strstr(text, "${") != NULL)
        return "holds ${, but variables are not replaced in this file";
    if (strlen(text) > 512)
        return "must not be longer than 512 bytes";
    if (strncmp(text, "sha256:", 7) == 0)
        return "looks like a hash; write it as 'hashed_key'";
    return NULL;
}

/* Never quotes the value, and leaves no copy of it behind. */
void security_take_key(struct build *b, const struct option *option, struct tree_node *node,
                       char *base)
{
    struct config_key *key = (void *)base;
    size_t prefix = strlen(redact_prefix);
    const char *problem = config_key_problem(node->text);

    key->was_plaintext = true;
    if (strncmp(node->text, redact_prefix, prefix) == 0 &&
        sha_unhex(node->text + prefix, key->hash, SHA_SIZE) == 0)
        return;
    if (problem != NULL)
        build_error(b, node, "'%s' %s", option->path, problem);
    else
        sha_256(node->text, strlen(node->text), key->hash);
    secret_wipe(node->text, strlen(node->text));
}

void security_take_hash(struct build *b, const struct option *option, struct tree_node *node,
                        char *base)
{
    struct config_key *key = (void *)base;

    if (strncmp(node->text, "sha256:", 7) != 0 ||
        sha_unhex(node->text + 7, key->hash, SHA_SIZE) != 0)
        build_error(b, node, "'%s' must be sha256: and 64 hex digits", option->path);
}

void security_finish_key(struct build *b, const struct tree_node *node, void *element)
{
    struct config_key *key = element;
    bool plain = tree_get(node, "key") != NULL, hashed = tree_get(node, "hashed_key") != NULL;

    key->place = build_place(b, node);
    if (plain == hashed)
        build_error(b, node, plain ? "'key' and 'hashed_key' exclude each other"
                                   : "one of 'key' and 'hashed_key' is needed");
}

void security_finish_namespace(struct build *b, const struct tree_node *node, void *element)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    struct config_namespace *space = element;

    space->name = node->key;
    space->place = (struct config_place){b->file, node->key_line, node->key_column};
    if (node->key[0] == '\0' || strlen(node->key) > 100 ||
        strspn(node->key, letters) != strlen(node->key))
        build_key_error(b, node, "a namespace may only have 1 to 100 of the characters a-z "
                                 "0-9 . _ -");
}

void security_finish_tool_rule(struct build *b, const struct tree_node *node, void *element)
{
    struct config_tool_rule *rule = element;

    rule->place = build_place(b, node);
    if (tree_get(node, "allow_tools") == NULL && tree_get(node, "deny_tools") == NULL)
        build_error(b, node, "one of 'allow_tools' and 'deny_tools' is needed");
}

/* Keys whose hash could not be read are all zero and not worth a second message. */
static size_t keys_with_hash(struct build *b, struct config_key **keys)
{
    static const unsigned char none[SHA_SIZE];
    const struct config_security *s = &b->config->security;
    size_t count = 0;

    *keys = build_alloc(b, (s->key_count + 1) * sizeof **keys);
    for (size_t i = 0; i < s->key_count && *keys != NULL; i++)
        if (memcmp(s->keys[i].hash, none, SHA_SIZE) != 0)
            (*keys)[count++] = s->keys[i];
    return count;
}

static bool has_shadow(const struct config_security *s)
{
    bool found = s->allow_agents.shadow != NULL || s->deny_agents.shadow != NULL;

    for (size_t i = 0; i < s->namespace_count && !found; i++)
        found = s->namespaces[i].allow_agents.shadow != NULL;
    return found;
}

void security_end(struct build *b, const struct tree_node *root)
{
    struct config_security *s = &b->config->security;
    const struct tree_node *list = tree_get(root, "api_keys");
    struct config_key *hashed;
    size_t count;

    s->has_shadow = has_shadow(s);
    if (list != NULL && list->kind == TREE_LIST && list->count == 0)
        build_error(b, list, "'api_keys' must have at least one key: a gateway without keys "
                             "is never open");
    build_refuse_duplicates(b, &(struct build_unique){
        s->keys, s->key_count, sizeof *s->keys, offsetof(struct config_key, id), 0,
        offsetof(struct config_key, place), "key id"});
    count = keys_with_hash(b, &hashed);
    build_refuse_duplicates(b, &(struct build_unique){
        hashed, count, sizeof *hashed, offsetof(struct config_key, hash), SHA_SIZE,
        offsetof(struct config_key, place), "key: the same secret under another id"});
}
