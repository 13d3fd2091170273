/* SPDX-License-Identifier: MIT */
/* Takes plaintext keys out of security.yaml before it is stored anywhere. */
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "util/secret.h"
#include "util/sha.h"

const char redact_prefix[] = "sha256-of-plaintext:";

/* Walks forward through a text by characters, as the parser counts them. */
struct cursor {
    const char *at;
    size_t index;
};

static void advance(struct cursor *c, size_t index)
{
    while (c->index < index && *c->at != '\0') {
        c->at++;
        if (((unsigned char)*c->at & 0xc0) != 0x80)
            c->index++;
    }
}

static void redact_one(struct cursor *c, const struct tree_node *key, struct buf *out)
{
    const char *before = c->at;
    char hex[SHA_HEX_SIZE];

    advance(c, key->start);
    buf_append(out, before, (size_t)(c->at - before));
    before = c->at;
    advance(c, key->end);
    sha_256_hex(key->text, strlen(key->text), hex);
    buf_printf(out, "\"%s%s\"", redact_prefix, hex);
    if (c->at > before && c->at[-1] == '\n') /* a block text ends with its line */
        buf_puts(out, "\n");
    secret_wipe(key->text, strlen(key->text));
}

char *redact_security(const char *text)
{
    struct config_errors errors = {0};
    struct arena *arena = arena_new(512 << 20);
    struct tree_node *root, *keys;
    struct cursor cursor = {.at = text};
    struct buf out;

    if (arena == NULL)
        return NULL;
    arena_keep_secret(arena);
    buf_init(&out, 2 * (size_t)CONFIG_FILE_MAX);
    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        cursor.at += 3;
    root = tree_parse("", text, arena, &errors);
    keys = root != NULL && root->kind == TREE_MAP ? tree_get(root, "api_keys") : NULL;
    for (struct tree_node *n = keys != NULL ? keys->first : NULL; n != NULL; n = n->next) {
        const struct tree_node *key = n->kind == TREE_MAP ? tree_get(n, "key") : NULL;

        if (key != NULL && key->kind == TREE_TEXT &&
            strncmp(key->text, redact_prefix, strlen(redact_prefix)) != 0)
            redact_one(&cursor, key, &out);
    }
    buf_puts(&out, cursor.at);
    config_errors_free(&errors);
    arena_free(&arena);
    if (root == NULL) { /* what cannot be read may hold anything */
        buf_free(&out);
        return NULL;
    }
    return buf_take(&out);
}
