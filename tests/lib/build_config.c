/* SPDX-License-Identifier: MIT */
/* Makes configurations for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "build_config.h"

#define SOME_KEY                                                                               \
    "version: 1\napi_keys:\n  - {id: k, hashed_key: \"sha256:"                                 \
    "00000000000000000000000000000000000000000000000000000000000000aa\"}\n"

struct config *build_config(const char *security, const char *agents)
{
    return build_config_tools(security, agents, NULL);
}

struct config *build_config_tools(const char *security, const char *agents, const char *tools)
{
    const char *texts[CONFIG_COMPONENTS] = {
        [CONFIG_GATEWAY] = "version: 1\n",
        [CONFIG_AGENTS] = agents != NULL ? agents : "version: 1\nagents: []\n",
        [CONFIG_UPSTREAMS] = "version: 1\nupstreams: [{name: echo, provider: builtin-echo}]\n",
        [CONFIG_TOOLS] = tools != NULL ? tools : "version: 1\ntools: [{name: t, provider: local, command: [/bin/true]}]\n",
        [CONFIG_SECURITY] = security != NULL ? security : SOME_KEY,
    };
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;

    for (int i = 0; i < CONFIG_COMPONENTS; i++) {
        char path[32];

        snprintf(path, sizeof path, "%s.yaml", config_component_names[i]);
        sources.component[i].path = strdup(path);
        sources.component[i].text = strdup(texts[i]);
    }
    if (config_build(&sources, &config, &errors) != 0)
        fail_msg("%s", config_errors_text(&errors));
    config_sources_free(&sources);
    config_errors_free(&errors);
    return config;
}
