/* SPDX-License-Identifier: MIT */
/* The option table: every option of every file is one row here, and only here.
 *
 * Parser, error texts, manual page, `--help` of the configuration and the checks of the
 * sample files all read it.
 */
#ifndef AGW_CONFIG_SCHEMA_H
#define AGW_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum option_type {
    OPTION_TEXT, OPTION_INTEGER, OPTION_SECONDS, OPTION_BOOLEAN, OPTION_TIME, OPTION_CHOICE,
    OPTION_NAME,      /* [a-z0-9._-]+, no '/' */
    OPTION_PATTERNS,  /* list of globs */
    OPTION_TEXTS,     /* list of texts */
    OPTION_MAP,       /* text -> text */
    OPTION_JSON,      /* any YAML value, kept as JSON */
    OPTION_SECTION,   /* a mapping with rows of its own */
    OPTION_LIST,      /* a list of mappings with rows of their own */
    OPTION_SECTIONS   /* a mapping of names to mappings with rows of their own */
};

struct option {
    enum config_component component;
    const char *path;       /* "default.rate_limit.per_minute", "api_keys[].id" */
    enum option_type type;
    bool required, reloadable;
    const char *fallback;   /* the default as written in YAML; NULL = absent */
    const char *choices;    /* "openai|azure", OPTION_CHOICE only */
    int64_t min, max;       /* inclusive, numbers only (SECONDS: in milliseconds) */
    const char *environment; /* contract variable that overrides it, or NULL */
    const char *help;       /* one line */
};

extern const struct option schema_options[];
extern const size_t schema_option_count;

/* The row, or NULL. */
const struct option *schema_find(enum config_component component, const char *path);

#endif
