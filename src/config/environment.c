/* SPDX-License-Identifier: MIT */
/* Lets the environment speak: contract variables that override options, and ${NAME}. */
#include <stdlib.h>
#include <string.h>

#include "config/build.h"
#include "util/buf.h"
#include "util/secret.h"

static struct tree_node *variable_text(struct build *b, const char *name, const char *text,
                                       size_t length)
{
    struct tree_node *node = build_alloc(b, sizeof *node);

    if (node == NULL)
        return NULL;
    node->kind = TREE_TEXT;
    node->plain = true;
    node->variable = name;
    node->text = build_alloc(b, length + 1);
    if (node->text == NULL)
        return NULL;
    memcpy(node->text, text, length);
    return node;
}

/* "a, b" -> list; empty parts are passed over. */
static struct tree_node *variable_list(struct build *b, const char *name, const char *text)
{
    struct tree_node *list = build_alloc(b, sizeof *list);
    struct tree_node **next;

    if (list == NULL)
        return NULL;
    list->kind = TREE_LIST;
    list->variable = name;
    next = &list->first;
    while (*text != '\0') {
        size_t span;

        text += strspn(text, ", \t");
        span = strcspn(text, ",");
        while (span > 0 && (text[span - 1] == ' ' || text[span - 1] == '\t'))
            span--;
        if (span > 0) {
            *next = list->last = variable_text(b, name, text, span);
            if (*next == NULL)
                return NULL;
            next = &(*next)->next;
            list->count++;
        }
        text += span;
    }
    return list;
}

struct tree_node *environment_override(struct build *b, const struct option *option)
{
    const char *text = option->environment != NULL ? getenv(option->environment) : NULL;

    if (text == NULL || text[0] == '\0')
        return NULL;
    if (option->type == OPTION_TEXTS || option->type == OPTION_PATHS)
        return variable_list(b, option->environment, text);
    return variable_text(b, option->environment, text, strlen(text));
}

/* Whether the row is the first that names its variable. */
static bool names_first(size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (schema_options[i].environment != NULL &&
            strcmp(schema_options[i].environment, schema_options[index].environment) == 0)
            return false;
    return true;
}

int environment_describe(struct buf *out)
{
    for (size_t i = 0; i < schema_option_count; i++) {
        const char *name = schema_options[i].environment;
        const char *text = name != NULL ? getenv(name) : NULL;

        if (text != NULL && text[0] != '\0' && names_first(i))
            buf_printf(out, "%s=%s\n", name, text);
    }
    return out->failed ? -1 : 0;
}

/* ---- ${NAME} ---- */

static void drop_secret(void *text)
{
    char *secret = text;

    secret_free(&secret);
}

/* Appends the value of the variable whose name starts at `name`, right after "${". Returns
 * what follows the closing brace, or NULL with the error reported. */
static const char *append_variable(struct build *b, const struct tree_node *node,
                                   const char *name, struct buf *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t length = strspn(name, letters);
    char copy[129];
    const char *value;

    if (length == 0 || length >= sizeof copy || name[length] != '}') {
        build_error(b, node, "'${' must be followed by the name of an environment variable "
                             "and '}'; write $${ for the characters themselves");
        return NULL;
    }
    memcpy(copy, name, length);
    copy[length] = '\0';
    value = getenv(copy);
    if (value == NULL) {
        build_error(b, node, "the environment variable '%s' is not set", copy);
        return NULL;
    }
    buf_puts(out, value);
    return name + length + 1;
}

/* The value may be a secret: it is wiped when the configuration goes. */
static void expand_text(struct build *b, struct tree_node *node)
{
    const char *text = node->text;
    struct buf out;
    char *expanded;

    buf_init_secret(&out, TREE_TEXT_MAX);
    while (*text != '\0') {
        size_t span = strcspn(text, "$");

        buf_append(&out, text, span);
        text += span;
        if (strncmp(text, "$${", 3) == 0) {
            buf_puts(&out, "${");
            text += 3;
        } else if (strncmp(text, "${", 2) == 0) {
            node->expanded = true;
            text = append_variable(b, node, text + 2, &out);
            if (text == NULL) {
                node->kind = TREE_BROKEN;
                break;
            }
        } else if (*text == '$') {
            buf_puts(&out, "$");
            text++;
        }
    }
    expanded = node->kind == TREE_BROKEN ? NULL : buf_take(&out);
    buf_free(&out);
    if (node->kind == TREE_BROKEN)
        return;
    if (expanded == NULL || arena_cleanup(b->arena, drop_secret, expanded) != 0) {
        build_error(b, node, "too long after its variables were replaced");
        node->kind = TREE_BROKEN;
        return;
    }
    node->text = expanded;
}

void environment_expand(struct build *b, struct tree_node *node)
{
    if (node->kind == TREE_TEXT && strstr(node->text, "${") != NULL)
        expand_text(b, node);
    for (struct tree_node *n = node->first; n != NULL; n = n->next)
        environment_expand(b, n);
}
