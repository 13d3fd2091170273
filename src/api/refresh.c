/* SPDX-License-Identifier: MIT */
/* Lets an administrator put a changed file into force, or learn what is wrong with it. */
#include "api/refresh.h"

#include <stdlib.h>
#include <string.h>

#include "http/response.h"

static json_t *error_list(const struct config_errors *errors)
{
    json_t *list = json_array();

    for (size_t i = 0; i < errors->count; i++)
        json_array_append_new(list,
                              json_pack("{s:s,s:i,s:i,s:s}", "file", errors->list[i].file,
                                        "line", errors->list[i].line, "column",
                                        errors->list[i].column, "message",
                                        errors->list[i].message));
    return list;
}

/* The error object clients know, its message holding the first problems, and beside it the
 * whole list for programs. */
static int rejected(struct exchange *x, const struct config_errors *errors)
{
    char *text = config_errors_text(errors);

    if (text != NULL && text[0] != '\0')
        text[strlen(text) - 1] = '\0'; /* its last line needs no end */
    err_set_public(&x->err, AGW_ECONFIG, NULL, "%s", text == NULL ? "?" : text);
    free(text);
    x->answer.status = err_info(AGW_ECONFIG)->status;
    x->answer.json = response_error_json(AGW_ECONFIG, &x->err);
    if (x->answer.json == NULL)
        return AGW_ENOMEM;
    json_object_set_new(x->answer.json, "errors", error_list(errors));
    return 0;
}

int refresh_component(struct exchange *x, enum config_component component)
{
    struct config_errors errors = {0};
    int64_t generation;
    int status = policy_reload(x->api->policy, component, x->key->id, &generation, &errors,
                               &x->err);

    if (status == AGW_ECONFIG) {
        status = rejected(x, &errors);
    } else if (status == 0) {
        /* The caller's key lives in the old policy, so that is kept until the end. */
        x->superseded = x->policy;
        catalog_release(&x->catalog);
        status = policy_acquire(x->api->policy, &x->policy, &x->err);
    }
    config_errors_free(&errors);
    return status;
}
