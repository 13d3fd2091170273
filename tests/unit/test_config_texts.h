/* SPDX-License-Identifier: MIT */
/* Configurations from texts in C, for the tests of config/. */
#ifndef AGW_TEST_CONFIG_TEXTS_H
#define AGW_TEST_CONFIG_TEXTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/schema.h"

static const char sample[] = AGW_SOURCE_DIR "/conf/gateway.yaml";

/* Texts of a case; NULL = the smallest that works. */
struct texts {
    const char *gateway, *agents, *upstreams, *tools, *security;
};

static void fill(struct config_sources *sources, const struct texts *texts)
{
    const char *const given[] = {texts->gateway, texts->agents, texts->upstreams, texts->tools,
                                 texts->security};
    const char *const least[] = {"version: 1\n", "version: 1\n", "version: 1\n", NULL,
                                 "version: 1\napi_keys: [{id: a, key: some-secret}]\n"};

    *sources = (struct config_sources){0};
    for (int c = 0; c < CONFIG_COMPONENTS; c++) {
        const char *text = given[c] != NULL ? given[c] : least[c];

        if (text == NULL)
            continue;
        sources->component[c].text = strdup(text);
        sources->component[c].path =
            strdup(c == CONFIG_GATEWAY ? "conf/gateway.yaml" : config_component_names[c]);
    }
}

static struct config *build_sources(const struct config_sources *sources)
{
    struct config_errors errors = {0};
    struct config *config = NULL;

    if (config_build(sources, &config, &errors) != 0)
        fail_msg("%s", config_errors_text(&errors));
    config_errors_free(&errors);
    return config;
}

static inline struct config *build(const struct texts *texts)
{
    struct config_sources sources;
    struct config *config;

    fill(&sources, texts);
    config = build_sources(&sources);
    config_sources_free(&sources);
    return config;
}

/* The tests say themselves which variables are set. */
static void unset_contract_variables(void)
{
    for (size_t i = 0; i < schema_option_count; i++)
        if (schema_options[i].environment != NULL)
            unsetenv(schema_options[i].environment);
}

#endif
