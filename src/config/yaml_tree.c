/* SPDX-License-Identifier: MIT */
/* Makes trees of YAML events, and stops early at whatever smells of a bomb. */
#include "config/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "util/json_text.h"
#include "util/secret.h"

struct reader {
    yaml_parser_t parser;
    const char *file, *text;
    struct arena *arena;
    struct config_errors *errors;
    size_t events;
};

#define REPORT(r, mark, ...)                                                                   \
    config_errors_add((r)->errors, (r)->file, (int)(mark).line + 1, (int)(mark).column + 1,    \
                      __VA_ARGS__)

void tree_place(const char *text, size_t offset, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset; i++)
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            ++*column;
        }
}

static void syntax_error(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;

    if (p->error == YAML_READER_ERROR) {
        int line, column;

        tree_place(r->text, p->problem_offset, &line, &column);
        config_errors_add(r->errors, r->file, line, column, "not readable as YAML: %s",
                          p->problem);
    } else if (p->error == YAML_MEMORY_ERROR) {
        config_errors_add(r->errors, r->file, 0, 0, "out of memory");
    } else if (p->context != NULL) {
        REPORT(r, p->problem_mark, "not valid YAML: %s %s", p->problem, p->context);
    } else {
        REPORT(r, p->problem_mark, "not valid YAML: %s", p->problem);
    }
}

/* 0 with an event that the caller deletes, or -1 with the error reported. */
static int next_event(struct reader *r, yaml_event_t *event)
{
    if (!yaml_parser_parse(&r->parser, event)) {
        syntax_error(r);
        return -1;
    }
    if (++r->events > TREE_EVENTS_MAX) {
        REPORT(r, event->start_mark, "the file has too many values (more than %d events)",
               TREE_EVENTS_MAX);
        yaml_event_delete(event);
        return -1;
    }
    return 0;
}

/* A text may be a secret. */
static void wipe_text(yaml_char_t *text, size_t length)
{
    if (text != NULL)
        secret_wipe(text, length);
}

static void drop_event(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        wipe_text(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}

/* Its buffers hold the file's text, in two encodings, and it would free them as they are. */
static void drop_parser(yaml_parser_t *p)
{
    wipe_text(p->raw_buffer.start, (size_t)(p->raw_buffer.end - p->raw_buffer.start));
    wipe_text(p->buffer.start, (size_t)(p->buffer.end - p->buffer.start));
    for (yaml_token_t *token = p->tokens.head; token != p->tokens.tail; token++)
        if (token->type == YAML_SCALAR_TOKEN)
            wipe_text(token->data.scalar.value, token->data.scalar.length);
    yaml_parser_delete(p);
}

static struct tree_node *new_node(struct reader *r, enum tree_kind kind, yaml_mark_t mark)
{
    struct tree_node *node = arena_alloc(r->arena, sizeof *node);

    if (node == NULL) {
        REPORT(r, mark, "out of memory: the file holds too much");
        return NULL;
    }
    node->kind = kind;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
    return node;
}

static void refuse_properties(struct reader *r, yaml_mark_t mark, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (anchor != NULL)
        REPORT(r, mark, "anchors are not supported");
    if (tag != NULL)
        REPORT(r, mark, "tags are not supported");
}

static struct tree_node *read_text(struct reader *r, const yaml_event_t *event)
{
    struct tree_node *node = new_node(r, TREE_TEXT, event->start_mark);
    const char *value = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;

    if (node == NULL)
        return NULL;
    refuse_properties(r, event->start_mark, event->data.scalar.anchor, event->data.scalar.tag);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->start = event->start_mark.index;
    node->end = event->end_mark.index;
    if (length > TREE_TEXT_MAX || memchr(value, '\0', length) != NULL) {
        if (length > TREE_TEXT_MAX)
            REPORT(r, event->start_mark, "a text must not be longer than %d bytes",
                   TREE_TEXT_MAX);
        else
            REPORT(r, event->start_mark, "a text must not contain a NUL character");
        node->kind = TREE_BROKEN;
        return node;
    }
    node->text = arena_strndup(r->arena, value, length);
    if (node->text == NULL) {
        REPORT(r, event->start_mark, "out of memory: the file holds too much");
        return NULL;
    }
    return node;
}

static void append(struct tree_node *parent, struct tree_node *child)
{
    if (parent->last == NULL)
        parent->first = child;
    else
        parent->last->next = child;
    parent->last = child;
    parent->count++;
}

static int by_key(const void *a, const void *b)
{
    const struct tree_node *left = *(struct tree_node *const *)a;
    const struct tree_node *right = *(struct tree_node *const *)b;
    int order = strcmp(left->key, right->key);

    if (order == 0)
        order = left->key_line - right->key_line;
    return order != 0 ? order : left->key_column - right->key_column;
}

/* Sorted, because comparing each with each would make a bomb of a long mapping. */
static int refuse_duplicates(struct reader *r, const struct tree_node *map)
{
    struct tree_node **sorted;
    size_t count = 0, first = 0;

    if (map->count < 2)
        return 0;
    sorted = calloc(map->count, sizeof *sorted);
    if (sorted == NULL) {
        config_errors_add(r->errors, r->file, map->line, map->column, "out of memory");
        return -1;
    }
    for (struct tree_node *n = map->first; n != NULL; n = n->next)
        sorted[count++] = n;
    qsort(sorted, count, sizeof *sorted, by_key);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i]->key, sorted[first]->key) != 0) {
            first = i;
            continue;
        }
        config_errors_add(r->errors, r->file, sorted[i]->key_line, sorted[i]->key_column,
                          "duplicate key '%.64s', first on line %d", sorted[i]->key,
                          sorted[first]->key_line);
        sorted[i]->kind = TREE_BROKEN;
    }
    free(sorted);
    return 0;
}

static struct tree_node *read_node(struct reader *r, const yaml_event_t *event, int depth);

/* The text of a key; NULL after an error. */
static struct tree_node *read_key(struct reader *r, const yaml_event_t *event)
{
    struct tree_node *key;

    if (event->type == YAML_ALIAS_EVENT) {
        REPORT(r, event->start_mark, "aliases are not supported");
        return NULL;
    }
    if (event->type != YAML_SCALAR_EVENT) {
        REPORT(r, event->start_mark, "a key must be a text");
        return NULL;
    }
    key = read_text(r, event);
    if (key == NULL || key->kind == TREE_BROKEN)
        return NULL;
    if (key->plain && strcmp(key->text, "<<") == 0)
        REPORT(r, event->start_mark, "merge keys are not supported");
    return key;
}

static int read_entry(struct reader *r, struct tree_node *parent, yaml_event_t *event,
                      int depth)
{
    struct tree_node *key = NULL, *child;

    if (parent->kind == TREE_MAP) {
        key = read_key(r, event);
        drop_event(event);
        if (key == NULL || next_event(r, event) != 0)
            return -1;
    }
    child = read_node(r, event, depth);
    drop_event(event);
    if (child == NULL)
        return -1;
    if (key != NULL) {
        child->key = key->text;
        child->key_line = key->line;
        child->key_column = key->column;
        if (key->plain && strcmp(key->text, "<<") == 0)
            child->kind = TREE_BROKEN;
    }
    append(parent, child);
    return 0;
}

static struct tree_node *read_collection(struct reader *r, const yaml_event_t *start,
                                         enum tree_kind kind, int depth)
{
    struct tree_node *node = new_node(r, kind, start->start_mark);
    yaml_event_t event;

    if (node == NULL)
        return NULL;
    if (depth >= TREE_DEPTH_MAX) {
        REPORT(r, start->start_mark, "nested deeper than %d levels", TREE_DEPTH_MAX);
        return NULL;
    }
    for (;;) {
        if (next_event(r, &event) != 0)
            return NULL;
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            drop_event(&event);
            break;
        }
        if (read_entry(r, node, &event, depth + 1) != 0)
            return NULL;
    }
    if (kind == TREE_MAP && refuse_duplicates(r, node) != 0)
        return NULL;
    return node;
}

static struct tree_node *read_node(struct reader *r, const yaml_event_t *event, int depth)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return read_text(r, event);
    case YAML_SEQUENCE_START_EVENT:
        refuse_properties(r, event->start_mark, event->data.sequence_start.anchor,
                          event->data.sequence_start.tag);
        return read_collection(r, event, TREE_LIST, depth);
    case YAML_MAPPING_START_EVENT:
        refuse_properties(r, event->start_mark, event->data.mapping_start.anchor,
                          event->data.mapping_start.tag);
        return read_collection(r, event, TREE_MAP, depth);
    case YAML_ALIAS_EVENT:
        REPORT(r, event->start_mark, "aliases are not supported");
        return new_node(r, TREE_BROKEN, event->start_mark);
    default:
        REPORT(r, event->start_mark, "not valid YAML: a value is missing");
        return NULL;
    }
}

/* Reads over stream and document starts to the first node's event. */
static struct tree_node *read_document(struct reader *r)
{
    struct tree_node *root = NULL;
    yaml_event_t event;

    for (;;) {
        if (next_event(r, &event) != 0)
            return NULL;
        if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT)
            break;
        drop_event(&event);
    }
    if (event.type == YAML_STREAM_END_EVENT)
        config_errors_add(r->errors, r->file, 1, 1, "the file is empty");
    else
        root = read_node(r, &event, 0);
    drop_event(&event);
    if (root == NULL)
        return NULL;
    if (next_event(r, &event) != 0) /* the end of the document */
        return NULL;
    drop_event(&event);
    if (next_event(r, &event) != 0)
        return NULL;
    if (event.type != YAML_STREAM_END_EVENT)
        REPORT(r, event.start_mark, "only one document is allowed in a file");
    drop_event(&event);
    return root;
}

/* libyaml would say less about it, and would take UTF-16. */
static int refuse_bytes(struct reader *r, size_t length)
{
    size_t step;

    for (size_t i = 0; i < length; i += step) {
        unsigned char c = (unsigned char)r->text[i];
        int line, column;

        step = json_text_utf8(r->text + i, length - i);
        if (step != 0 && ((c >= 0x20 && c != 0x7f) || c == '\t' || c == '\n' || c == '\r'))
            continue;
        tree_place(r->text, i, &line, &column);
        config_errors_add(r->errors, r->file, line, column,
                          step == 0 ? "the byte 0x%02x is not UTF-8"
                                    : "the control character 0x%02x is not allowed",
                          c);
        return -1;
    }
    return 0;
}

struct tree_node *tree_parse(const char *file, const char *text, struct arena *arena,
                             struct config_errors *errors)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    struct reader r = {.file = file, .arena = arena, .errors = errors};
    struct tree_node *root;

    r.text = strncmp(text, byte_order_mark, 3) == 0 ? text + 3 : text;
    if (refuse_bytes(&r, strlen(r.text)) != 0)
        return NULL;
    if (!yaml_parser_initialize(&r.parser)) {
        config_errors_add(errors, file, 0, 0, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)r.text, strlen(r.text));
    root = read_document(&r);
    drop_parser(&r.parser);
    return root;
}

struct tree_node *tree_get(const struct tree_node *map, const char *key)
{
    for (struct tree_node *n = map->first; n != NULL; n = n->next)
        if (n->key != NULL && strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

bool tree_is_null(const struct tree_node *node)
{
    return node->kind == TREE_TEXT && node->plain && node->variable == NULL &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}
