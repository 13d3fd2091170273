/* SPDX-License-Identifier: MIT */
/* The option table: every option of every file is one row here, and only here.
 *
 * Parser, error texts, manual page and the checks of the sample files all read it. A row
 * also says where the value goes, so most options need no code of their own.
 */
#ifndef AGW_CONFIG_SCHEMA_H
#define AGW_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct build;
struct tree_node;

enum option_type {
    OPTION_TEXT,      /* one line */
    OPTION_LINES,     /* text of any number of lines */
    OPTION_INTEGER,
    OPTION_NUMBER,    /* at most three decimals, kept in thousandths */
    OPTION_SECONDS,   /* the same, so milliseconds */
    OPTION_BOOLEAN,
    OPTION_TIME,      /* RFC 3339 or a date, kept as UTC milliseconds */
    OPTION_CHOICE,    /* one of `choices`, kept as its index */
    OPTION_CHOICES,   /* list of `choices`, kept as a mask of their bits; not empty */
    OPTION_NAME,      /* [a-z0-9._-]+, no '/' */
    OPTION_PATH,      /* file name, relative to gateway.yaml's folder */
    OPTION_PATTERNS,  /* list of globs */
    OPTION_RULES,     /* the same; an entry may be {pattern: GLOB, mode: shadow} */
    OPTION_TEXTS,     /* list of texts */
    OPTION_PATHS,     /* list of file names */
    OPTION_MAP,       /* text -> text */
    OPTION_JSON,      /* any YAML value, kept as JSON; rows below it check known keys */
    OPTION_SECTION,   /* a mapping with rows of its own */
    OPTION_LIST,      /* a list of mappings with rows of their own */
    OPTION_SECTIONS   /* a mapping of names to mappings with rows of their own */
};

struct option {
    enum config_component component;
    const char *path;       /* "default.rate_limit.per_minute", "api_keys[].id" */
    enum option_type type;
    bool required, reloadable;
    bool secret;            /* may hold one: its value is not shown */
    const char *fallback;   /* the default as written in YAML; NULL = absent */
    const char *choices;    /* "openai|azure" */
    /* Inclusive. Numbers: the value (SECONDS and NUMBER in thousandths); texts: length in
     * bytes, 0 as max = 4096. */
    int64_t min, max;
    const char *environment; /* contract variable that overrides it, or NULL */
    const char *help;        /* one line */

    /* Where the value goes: into struct config, or into the element of the list above. A
     * size of 0 = nowhere. For lists the size of an element, with the place of the count. */
    size_t offset, size, count_offset;

    /* Why a text is not acceptable (static text, without a subject), NULL when it is. */
    const char *(*check)(const char *text);
    /* Reads the value instead of the type's own reader; `base` is what `offset` counts from. */
    void (*take)(struct build *b, const struct option *option, struct tree_node *node,
                 char *base);
    /* After all options of one element were read: whatever needs more than one of them. */
    void (*finish)(struct build *b, const struct tree_node *node, void *element);
};

extern const struct option schema_options[];
extern const size_t schema_option_count;

/* The row, or NULL. */
const struct option *schema_find(enum config_component component, const char *path);

/* The row's own name when it is an option of the section `parent` ("" = of the file itself,
 * "api_keys[]" = of its elements), otherwise NULL. */
const char *schema_name_in(const struct option *option, const char *parent);

/* The option `key` of the section `parent`, or NULL. */
const struct option *schema_child(enum config_component component, const char *parent,
                                  const char *key);

/* What may have been meant by `key`, or NULL. */
const char *schema_suggest(enum config_component component, const char *parent,
                           const char *key);

#endif
