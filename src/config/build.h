/* SPDX-License-Identifier: MIT */
/* Inside of config/: what the parts of one config_build() share. One thread. */
#ifndef AGW_CONFIG_BUILD_H
#define AGW_CONFIG_BUILD_H

#include "config/load.h"
#include "config/schema.h"
#include "config/yaml_tree.h"
#include "util/buf.h"

struct build {
    struct config *config;
    struct arena *arena;       /* the configuration's: texts of the trees stay in it */
    struct config_errors *errors;
    enum config_component component; /* the file that is being read */
    const char *file;          /* its name in messages */
    const char *folder;        /* of gateway.yaml, "" or ending in '/' */
    bool policy_only;          /* config_build_policy() */
    bool usable[CONFIG_COMPONENTS]; /* its tree was read: others may be checked against it */
};

/* Room in the configuration's arena; NULL with the error reported. */
void *build_alloc(struct build *b, size_t size);

/* Reports an error at a value, at the key of a value, or at the environment variable the
 * value came from. */
void build_error(struct build *b, const struct tree_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void build_key_error(struct build *b, const struct tree_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Elements of one array that must differ: `text` is the offset of a text, or of `length` bytes
 * when that is not 0; `place` the offset of a struct config_place. */
struct build_unique {
    const void *elements;
    size_t count, size, text, length, place;
    const char *what; /* "upstream name" */
};
void build_refuse_duplicates(struct build *b, const struct build_unique *unique);

struct config_place build_place(const struct build *b, const struct tree_node *node);

/* Resolves a file name against gateway.yaml's folder. NULL with the error reported. */
const char *build_path(struct build *b, const char *name);

/* walk.c: reads one file's tree (NULL = all defaults) into the configuration. */
void walk_component(struct build *b, struct tree_node *root);

/* values.c: reads one value that is not a section. */
void values_read(struct build *b, const struct option *option, struct tree_node *node,
                 void *base);
/* Whether the node is one of the option's choices; node may be NULL. */
bool values_is_choice(const struct option *option, const struct tree_node *node);
/* Room for `count` patterns, -1 with the error reported; adds the pattern of a node, or reports
 * what is wrong with it. */
int values_patterns_alloc(struct build *b, struct config_patterns *list, size_t count);
void values_add_pattern(struct build *b, const struct option *option, struct tree_node *node,
                        struct config_patterns *list);
/* NULL when memory is out. */
json_t *values_json(const struct tree_node *node);

/* rules.c: the reader of OPTION_RULES. */
void rules_read(struct build *b, const struct option *option, struct tree_node *list,
                char *base);

/* environment.c */
/* The value that overrides the option, as a node; NULL when there is none. */
struct tree_node *environment_override(struct build *b, const struct option *option);
/* Replaces ${NAME} in every text of the tree. */
void environment_expand(struct build *b, struct tree_node *node);
/* Every contract variable that is set, as "NAME=value\n" in the order of the table. */
int environment_describe(struct buf *out);

/* config_errors.c: sorts by place and drops what is there twice. */
void build_sort_errors(struct config_errors *errors);

/* redact.c: a copy of security.yaml in which the hash stands for each plaintext key, so that
 * it may be stored; already redacted text stays as it is. NULL when memory is out or the text
 * is no YAML. */
char *redact_security(const char *text);
extern const char redact_prefix[]; /* what the hash of a plaintext key is written behind */

/* snapshot.c: an empty configuration with one reference, and the arena that lives with it. */
struct config *snapshot_new(struct arena **arena);

/* build.c: only the gateway's own file, for the names of the others. NULL with errors when
 * nothing can be said of it; errors in single options are left to config_build(). */
struct config *build_gateway_only(const struct config_source *source,
                                  struct config_errors *errors);

/* build_*.c: the checks and readers that the table names; their *_end() does what is left
 * when a whole file was read. */
const char *gateway_check_origin(const char *text);
const char *gateway_check_listen(const char *text);
void gateway_take_mode(struct build *b, const struct option *option, struct tree_node *node,
                       char *base);
void gateway_end(struct build *b, const struct tree_node *root);

void security_take_key(struct build *b, const struct option *option, struct tree_node *node,
                       char *base);
void security_take_hash(struct build *b, const struct option *option, struct tree_node *node,
                        char *base);
void security_finish_key(struct build *b, const struct tree_node *node, void *element);
void security_finish_namespace(struct build *b, const struct tree_node *node, void *element);
void security_finish_tool_rule(struct build *b, const struct tree_node *node, void *element);
void security_end(struct build *b, const struct tree_node *root);

const char *upstreams_check_url(const char *text);
const char *tools_check_url(const char *text);
const char *upstreams_check_absolute(const char *text);
void upstreams_take_headers(struct build *b, const struct option *option,
                            struct tree_node *node, char *base);
void upstreams_take_secret(struct build *b, const struct option *option,
                           struct tree_node *node, char *base);
void upstreams_finish_one(struct build *b, const struct tree_node *node, void *element);
void upstreams_end(struct build *b, const struct tree_node *root);

void tools_take_environment(struct build *b, const struct option *option,
                            struct tree_node *node, char *base);
/* What only tools with a url have: method and templates. */
void tools_check_http(struct build *b, const struct tree_node *node,
                      const struct config_tool *tool);
void tools_finish_one(struct build *b, const struct tree_node *node, void *element);
void tools_end(struct build *b, const struct tree_node *root);

const char *agents_check_module(const char *text);
void agents_take_tool_choice(struct build *b, const struct option *option,
                             struct tree_node *node, char *base);
void agents_finish_one(struct build *b, const struct tree_node *node, void *element);
void agents_end(struct build *b, const struct tree_node *root);

#endif
