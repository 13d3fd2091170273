/* SPDX-License-Identifier: MIT */
/* Matches modules against the drop-in lists of security.yaml. */
#include "runnerd/allow.h"

#include <stdio.h>
#include <string.h>

#include "util/glob.h"
#include "util/json_text.h"

static const struct config_namespace *find_namespace(const struct config_security *security,
                                                     const char *ns)
{
    for (size_t i = 0; i < security->namespace_count; i++)
        if (strcmp(security->namespaces[i].name, ns) == 0)
            return &security->namespaces[i];
    return NULL;
}

static bool denies(const struct config_patterns *list, const char *module, char *why,
                   size_t size)
{
    for (size_t i = 0; i < list->count; i++)
        if (glob_match(list->patterns[i], module)) {
            snprintf(why, size, "dropin_module_denylist has '%s' (%s:%d)", list->patterns[i],
                     list->places[i].file, list->places[i].line);
            json_text_repair(why);
            return true;
        }
    return false;
}

static bool allows(const struct config_patterns *list, const char *module)
{
    for (size_t i = 0; i < list->count; i++)
        if (glob_match(list->patterns[i], module))
            return true;
    return false;
}

bool allow_module(const struct config_security *security, const char *ns, const char *module,
                  char *why, size_t size)
{
    const struct config_namespace *own = find_namespace(security, ns);
    bool has_list = own != NULL && own->dropin_allow.present;

    if (denies(&security->dropin_deny, module, why, size) ||
        (own != NULL && denies(&own->dropin_deny, module, why, size)))
        return false;
    if (allows(has_list ? &own->dropin_allow : &security->dropin_allow, module))
        return true;
    snprintf(why, size, "no pattern of %s%s%s matches it", has_list ? "namespace_defaults." : "",
             has_list ? ns : "default", ".dropin_module_allowlist");
    json_text_repair(why);
    return false;
}
