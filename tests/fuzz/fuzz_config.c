/* SPDX-License-Identifier: MIT */
/* Any text as one of the five files: a configuration, or errors that say something. The first
 * byte picks the file. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const good[CONFIG_COMPONENTS] = {
    [CONFIG_GATEWAY] = "version: 1\nlisten: unix:/tmp/x\n",
    [CONFIG_AGENTS] = "version: 1\nagents:\n- {name: a, upstream: echo, model: m}\n",
    [CONFIG_UPSTREAMS] = "version: 1\nupstreams:\n- {name: echo, provider: builtin-echo}\n",
    [CONFIG_TOOLS] = "version: 1\ntools: []\n",
    [CONFIG_SECURITY] = "version: 1\napi_keys:\n- {id: k, key: a-long-enough-secret}\n",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;
    char *text;
    int status;

    if (size == 0 || memchr(data, '\0', size) != NULL)
        return 0;
    for (int i = 0; i < CONFIG_COMPONENTS; i++) {
        sources.component[i].path = strdup(config_component_names[i]);
        sources.component[i].text = i == data[0] % CONFIG_COMPONENTS
                                        ? strndup((const char *)data + 1, size - 1)
                                        : strdup(good[i]);
        assert(sources.component[i].path != NULL && sources.component[i].text != NULL);
    }
    status = config_build(&sources, &config, &errors);
    assert((status == 0) == (config != NULL));
    assert((status == 0) == (errors.count == 0 && !errors.lost));
    text = config_errors_text(&errors);
    assert(text != NULL && (status == 0) == (text[0] == '\0'));
    free(text);
    if (config != NULL)
        config_release(&config);
    config_errors_free(&errors);
    config_sources_free(&sources);
    return 0;
}
