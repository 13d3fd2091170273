/* SPDX-License-Identifier: MIT */
/* Reads single values, by the type of their option. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/build.h"
#include "util/clock.h"
#include "util/glob.h"

enum { TEXT_MAX = 4096, NAME_MAX_BYTES = 100 };

/* ---- numbers ---- */

static int parse_integer(const char *text, int64_t *value)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');

    if (digits[0] == '\0' || strspn(digits, "0123456789") != strlen(digits))
        return -1;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno == 0 ? 0 : -1;
}

/* "0.05" -> 50: exact, which a double is not. */
static int parse_thousandths(const char *text, int64_t *value)
{
    size_t whole = strspn(text[0] == '-' ? text + 1 : text, "0123456789");
    const char *rest = (text[0] == '-' ? text + 1 : text) + whole;
    int64_t unit = 1000, result = 0;

    if (whole == 0 || whole > 15)
        return -1;
    for (size_t i = 0; i < whole; i++)
        result = result * 10 + ((rest - whole)[i] - '0');
    result *= 1000;
    if (*rest == '.' && rest[1] != '\0')
        for (rest++; *rest >= '0' && *rest <= '9' && unit > 1; rest++) {
            unit /= 10;
            result += (*rest - '0') * unit;
        }
    if (*rest != '\0')
        return -1;
    *value = text[0] == '-' ? -result : result;
    return 0;
}

/* 1500 -> "1.5" */
static const char *format_thousandths(int64_t value, char text[32])
{
    int64_t size = value < 0 ? -value : value;
    int length = snprintf(text, 32, "%s%" PRId64 ".%03d", value < 0 ? "-" : "", size / 1000,
                          (int)(size % 1000));

    while (text[length - 1] == '0')
        text[--length] = '\0';
    if (text[length - 1] == '.')
        text[--length] = '\0';
    return text;
}

/* Numbers of the table fit in what the field has. */
static void store_integer(const struct option *option, char *base, int64_t value)
{
    char *field = base + option->offset;

    if (option->size == sizeof(int64_t)) {
        memcpy(field, &value, sizeof value);
    } else if (option->size == sizeof(int)) {
        int narrow = (int)value;

        memcpy(field, &narrow, sizeof narrow);
    } else if (option->size == sizeof(bool)) {
        bool yes = value != 0;

        memcpy(field, &yes, sizeof yes);
    }
}

/* "${NAME}" needs its quotes inside of braces, whatever it becomes. */
static bool may_be_number(const struct tree_node *node)
{
    return node->plain || node->expanded;
}

static void read_integer(struct build *b, const struct option *option, struct tree_node *node,
                         char *base)
{
    int64_t value;

    if (!may_be_number(node) || parse_integer(node->text, &value) != 0)
        build_error(b, node, "'%s' must be a whole number%s", option->path,
                    may_be_number(node) ? "" : " without quotes");
    else if (!node->builtin && option->min == option->max && value != option->min)
        build_error(b, node, "'%s' must be %" PRId64, option->path, option->min);
    else if (!node->builtin && (value < option->min || value > option->max))
        build_error(b, node, "'%s' must be %" PRId64 " to %" PRId64, option->path, option->min,
                    option->max);
    else
        store_integer(option, base, value);
}

static void read_thousandths(struct build *b, const struct option *option,
                             struct tree_node *node, char *base)
{
    const char *what = option->type == OPTION_SECONDS ? "a number of seconds" : "a number";
    char low[32], high[32];
    int64_t value;

    if (!may_be_number(node) || parse_thousandths(node->text, &value) != 0)
        build_error(b, node, "'%s' must be %s with at most three decimals%s", option->path,
                    what, may_be_number(node) ? "" : " and without quotes");
    else if (value < option->min || value > option->max)
        build_error(b, node, "'%s' must be %s to %s%s", option->path,
                    format_thousandths(option->min, low),
                    format_thousandths(option->max, high),
                    option->type == OPTION_SECONDS ? " seconds" : "");
    else
        store_integer(option, base, value);
}

static void read_boolean(struct build *b, const struct option *option, struct tree_node *node,
                         char *base)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    size_t usable = node->variable != NULL ? 8 : 6; /* 0 and 1 are habits of environments */

    for (size_t i = 0; i < usable && may_be_number(node); i++)
        if (strcmp(node->text, words[i]) == 0) {
            store_integer(option, base, (int64_t)(i % 2));
            return;
        }
    build_error(b, node, "'%s' must be true or false", option->path);
}

static void read_time(struct build *b, const struct option *option, struct tree_node *node,
                      char *base)
{
    int64_t value;

    if (clock_parse(node->text, &value) != 0 || value <= 0)
        build_error(b, node, "'%s' must be a time like 2027-01-31T00:00:00Z or a date",
                    option->path);
    else
        store_integer(option, base, value);
}

/* ---- choices ---- */

/* The index of `text` in "a|b|c", or -1. */
static int choice_index(const char *choices, const char *text, bool any_case)
{
    size_t length = strlen(text);

    for (int index = 0; *choices != '\0'; index++) {
        size_t span = strcspn(choices, "|");

        if (span == length && (any_case ? strncasecmp(choices, text, span)
                                        : strncmp(choices, text, span)) == 0)
            return index;
        choices += span + (choices[span] == '|');
    }
    return -1;
}

static void refuse_choice(struct build *b, const struct option *option,
                          const struct tree_node *node)
{
    char words[256];
    size_t used = 0;

    for (const char *c = option->choices; *c != '\0' && used + 3 < sizeof words; c++) {
        words[used++] = (char)(*c == '|' ? ',' : *c);
        if (*c == '|')
            words[used++] = ' ';
    }
    words[used] = '\0';
    build_error(b, node, "'%s' must be one of: %s", option->path, words);
}

static void read_choice(struct build *b, const struct option *option, struct tree_node *node,
                        char *base)
{
    int index = choice_index(option->choices, node->text, node->variable != NULL);

    if (index < 0)
        refuse_choice(b, option, node);
    else
        store_integer(option, base, index);
}

bool values_is_choice(const struct option *option, const struct tree_node *node)
{
    return node != NULL && node->kind == TREE_TEXT &&
           choice_index(option->choices, node->text, node->variable != NULL) >= 0;
}

static void read_choices(struct build *b, const struct option *option, struct tree_node *list,
                         char *base)
{
    int64_t mask = 0;

    if (list->count == 0) {
        build_error(b, list, "'%s' must not be empty", option->path);
        return;
    }
    for (struct tree_node *n = list->first; n != NULL; n = n->next) {
        int index = n->kind == TREE_TEXT ? choice_index(option->choices, n->text, false) : -1;

        if (index < 0 && n->kind != TREE_BROKEN)
            refuse_choice(b, option, n);
        else if (index >= 0)
            mask |= INT64_C(1) << index;
    }
    store_integer(option, base, mask);
}

/* ---- texts ---- */

static const char *check_name(const char *text)
{
    if (strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(text))
        return "may only have the characters a-z 0-9 . _ -";
    return NULL;
}

const char *config_name_problem(const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length > NAME_MAX_BYTES)
        return "must have 1 to 100 characters";
    return check_name(text);
}

static const char *check_line(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "must not contain line ends or control characters";
    return NULL;
}

/* The accepted text, or NULL with the error reported. */
static const char *accept_text(struct build *b, const struct option *option,
                               struct tree_node *node)
{
    bool name = option->type == OPTION_NAME;
    size_t min = option->min > 0 ? (size_t)option->min : name;
    size_t max = option->max > 0 ? (size_t)option->max : name ? NAME_MAX_BYTES : TEXT_MAX;
    size_t length = strlen(node->text);
    const char *problem = NULL;

    if (length < min) {
        build_error(b, node, "'%s' must not be empty", option->path);
        return NULL;
    }
    if (length > max) {
        build_error(b, node, "'%s' must not be longer than %zu bytes", option->path, max);
        return NULL;
    }
    if (name)
        problem = check_name(node->text);
    else if (option->type != OPTION_LINES)
        problem = check_line(node->text);
    if (problem == NULL && option->check != NULL)
        problem = option->check(node->text);
    if (problem != NULL) {
        build_error(b, node, "'%s' %s", option->path, problem);
        return NULL;
    }
    if (option->type == OPTION_PATH || option->type == OPTION_PATHS)
        return build_path(b, node->text);
    return node->text;
}

static void read_text(struct build *b, const struct option *option, struct tree_node *node,
                      char *base)
{
    const char *text = accept_text(b, option, node);

    if (text != NULL && option->size != 0)
        memcpy(base + option->offset, &text, sizeof text);
}

static void read_texts(struct build *b, const struct option *option, struct tree_node *list,
                       char *base)
{
    const char **texts = build_alloc(b, (list->count + 1) * sizeof *texts);
    size_t count = 0;

    if (texts == NULL)
        return;
    for (struct tree_node *n = list->first; n != NULL; n = n->next) {
        if (n->kind != TREE_TEXT || tree_is_null(n)) {
            if (n->kind != TREE_BROKEN)
                build_error(b, n, "each entry of '%s' must be a text", option->path);
        } else if (n->text[0] == '\0') {
            build_error(b, n, "an entry of '%s' must not be empty", option->path);
        } else if ((texts[count] = accept_text(b, option, n)) != NULL) {
            count++;
        }
    }
    memcpy(base + option->offset, &texts, sizeof texts);
    memcpy(base + option->count_offset, &count, sizeof count);
}

int values_patterns_alloc(struct build *b, struct config_patterns *list, size_t count)
{
    list->patterns = build_alloc(b, (count + 1) * sizeof *list->patterns);
    list->places = build_alloc(b, (count + 1) * sizeof *list->places);
    return list->patterns == NULL || list->places == NULL ? -1 : 0;
}

void values_add_pattern(struct build *b, const struct option *option, struct tree_node *node,
                        struct config_patterns *list)
{
    const char *problem;

    if (node->kind != TREE_TEXT || tree_is_null(node)) {
        if (node->kind != TREE_BROKEN)
            build_error(b, node, "each entry of '%s' must be a pattern", option->path);
        return;
    }
    problem = glob_problem(node->text);
    if (problem != NULL) {
        build_error(b, node, "'%s': %s", option->path, problem);
        return;
    }
    list->patterns[list->count] = node->text;
    list->places[list->count++] = build_place(b, node);
}

static void read_patterns(struct build *b, const struct option *option,
                          struct tree_node *list, char *base)
{
    struct config_patterns *patterns = (void *)(base + option->offset);

    patterns->present = true;
    if (values_patterns_alloc(b, patterns, list->count) != 0)
        return;
    for (struct tree_node *n = list->first; n != NULL; n = n->next)
        values_add_pattern(b, option, n, patterns);
}

/* ---- JSON ---- */

/* Plain texts mean what JSON would read in them; all others are strings. */
static json_t *json_of_text(const struct tree_node *node)
{
    json_error_t error;
    json_t *value = NULL;

    if (tree_is_null(node))
        return json_null();
    if (node->plain)
        value = json_loads(node->text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (value != NULL && (json_is_number(value) || json_is_boolean(value)))
        return value;
    json_decref(value);
    return json_string(node->text);
}

json_t *values_json(const struct tree_node *node)
{
    json_t *value;

    if (node->kind == TREE_BROKEN)
        return json_null();
    if (node->kind == TREE_TEXT)
        return json_of_text(node);
    value = node->kind == TREE_LIST ? json_array() : json_object();
    for (struct tree_node *n = node->first; n != NULL && value != NULL; n = n->next)
        if ((node->kind == TREE_LIST ? json_array_append_new(value, values_json(n))
                                     : json_object_set_new(value, n->key, values_json(n))) !=
            0) {
            json_decref(value);
            return NULL;
        }
    return value;
}

static void drop_json(void *value)
{
    json_decref(value);
}

static void read_json(struct build *b, const struct option *option, struct tree_node *node,
                      char *base)
{
    json_t *value;

    if (node->kind != TREE_MAP) {
        build_error(b, node, "'%s' must be a mapping", option->path);
        return;
    }
    value = values_json(node);
    if (value == NULL || arena_cleanup(b->arena, drop_json, value) != 0) {
        build_error(b, node, "out of memory");
        return;
    }
    memcpy(base + option->offset, &value, sizeof value);
}

/* ---- by type ---- */

static const struct {
    enum tree_kind kind;
    const char *wanted;
    void (*read)(struct build *b, const struct option *option, struct tree_node *node,
                 char *base);
} readers[] = {
    [OPTION_TEXT] = {TREE_TEXT, "a text", read_text},
    [OPTION_LINES] = {TREE_TEXT, "a text", read_text},
    [OPTION_NAME] = {TREE_TEXT, "a text", read_text},
    [OPTION_PATH] = {TREE_TEXT, "a file name", read_text},
    [OPTION_INTEGER] = {TREE_TEXT, "a whole number", read_integer},
    [OPTION_NUMBER] = {TREE_TEXT, "a number", read_thousandths},
    [OPTION_SECONDS] = {TREE_TEXT, "a number of seconds", read_thousandths},
    [OPTION_BOOLEAN] = {TREE_TEXT, "true or false", read_boolean},
    [OPTION_TIME] = {TREE_TEXT, "a time", read_time},
    [OPTION_CHOICE] = {TREE_TEXT, "a text", read_choice},
    [OPTION_CHOICES] = {TREE_LIST, "a list of texts", read_choices},
    [OPTION_PATTERNS] = {TREE_LIST, "a list of patterns", read_patterns},
    [OPTION_RULES] = {TREE_LIST, "a list of patterns", rules_read},
    [OPTION_TEXTS] = {TREE_LIST, "a list of texts", read_texts},
    [OPTION_PATHS] = {TREE_LIST, "a list of file names", read_texts},
    [OPTION_MAP] = {TREE_MAP, "a mapping of texts", NULL},
    [OPTION_JSON] = {TREE_MAP, "a mapping", read_json},
};

void values_read(struct build *b, const struct option *option, struct tree_node *node,
                 void *base)
{
    enum tree_kind wanted = readers[option->type].kind;

    if (node->kind == TREE_BROKEN)
        return;
    if (tree_is_null(node)) {
        build_error(b, node, "'%s' has no value%s", option->path,
                    option->required       ? ""
                    : wanted == TREE_LIST  ? "; write [] or leave the line out"
                    : wanted == TREE_MAP   ? "; write {} or leave the line out"
                                           : "; write one or leave the line out");
        return;
    }
    if (node->kind != wanted && !(option->type == OPTION_JSON && option->take != NULL)) {
        build_error(b, node, "'%s' must be %s", option->path, readers[option->type].wanted);
        return;
    }
    if (option->take != NULL)
        option->take(b, option, node, base);
    else
        readers[option->type].read(b, option, node, base);
}
