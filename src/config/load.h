/* SPDX-License-Identifier: MIT */
/* From YAML texts to one configuration, or to the list of everything that is wrong.
 *
 * Reading and building are apart so that every worker builds from the very same texts: who
 * accepts a configuration stores its sources in the database under a generation number and
 * the others build from there. Sources hold `${VAR}` unexpanded: no secret is stored.
 * Any thread; the environment must not change while the program runs.
 */
#ifndef AGW_CONFIG_LOAD_H
#define AGW_CONFIG_LOAD_H

#include "config/config.h"
#include "util/err.h"

enum { CONFIG_FILE_MAX = 16 << 20, CONFIG_ERRORS_MAX = 200 };

struct config_source {
    char *path; /* as shown in messages; NULL for a component without a file (tools) */
    char *text; /* NULL with path NULL */
};

struct config_sources {
    struct config_source component[CONFIG_COMPONENTS];
};

/* One thing that is wrong. line and column start at 1, 0 = the file as a whole. */
struct config_error {
    char *file;
    int line, column;
    char *message;
};

struct config_errors {
    size_t count; /* at most CONFIG_ERRORS_MAX; the last then says that there are more */
    struct config_error *list;
    bool lost;    /* memory ran out: there was an error that is not in the list */
};

/* Adds one; silently full past the maximum. */
void config_errors_add(struct config_errors *errors, const char *file, int line, int column,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Sorted by file, line, column as "file:line:column: message\n" each; malloc'ed. */
char *config_errors_text(const struct config_errors *errors);
void config_errors_free(struct config_errors *errors);
/* Whether memory ran out: then nothing is said about the files. */
bool config_errors_memory(const struct config_errors *errors);

/* Why a text cannot be the secret of a key (static text, without a subject), NULL when it can:
 * what fits into an HTTP header without quoting, and nothing else. */
const char *config_key_problem(const char *text);

/* gateway.yaml alone, for tools that must work while another file is broken: 0 and *config
 * whose `gateway` is set as far as it can be understood, or AGW_ECONFIG with errors. */
int config_gateway_read(const char *gateway_file, struct config **config,
                        struct config_errors *errors);

/* Reads gateway.yaml and the files it (or the environment) names. 0, or AGW_ECONFIG with
 * at least one error. Relative names are relative to gateway.yaml's folder. */
int config_sources_read(const char *gateway_file, struct config_sources *sources,
                        struct config_errors *errors);

/* Reads one file. 0, or AGW_ECONFIG with an error. */
int config_source_read(const char *path, struct config_source *source,
                       struct config_errors *errors);
void config_source_free(struct config_source *source);

/* The sources as one JSON object {"gateway": {"path","text"}, ...} and back: the form that
 * is stored by content hash. In place of plaintext keys it has their hashes. NULL when memory
 * is out, or security.yaml cannot be read as YAML. */
json_t *config_sources_json(const struct config_sources *sources);
int config_sources_from_json(const json_t *value, struct config_sources *sources,
                             struct err *e);
void config_sources_free(struct config_sources *sources);

/* Builds and checks across files (unknown upstream names, duplicate ids, no keys ...).
 * 0 and *config with one reference, or AGW_ECONFIG and every error at once. */
int config_build(const struct config_sources *sources, struct config **config,
                 struct config_errors *errors);

/* The same of what policy depends on: gateway, agents and security. Upstreams and tools stay
 * empty, and nothing is asked of the environment that an accepted configuration had from there,
 * so that one of the past can be read where its secrets are not known. Has no hashes. */
int config_build_policy(const struct config_sources *sources, struct config **config,
                        struct config_errors *errors);

#endif
