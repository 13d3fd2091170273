/* SPDX-License-Identifier: MIT */
/* Translates failures between a module and the gateway. */
#include <stdio.h>
#include <string.h>

#include "agent/sdk_run.h"
#include "util/log.h"

enum { BAD_REQUEST = 400, GATEWAY_TIMEOUT = 504 };

static bool is_class(const json_t *message, const char *class)
{
    return strcmp(sdk_call_text(message, "class"), class) == 0;
}

static int public_error(const struct sdk_run *r, const json_t *message, int code, struct err *e)
{
    const char *text = sdk_call_text(message, "message");
    const char *param = sdk_call_text(message, "param");

    return err_set_public(e, code, param[0] == '\0' ? NULL : param, "The agent '%.100s': %.400s",
                          r->run->agent->spec->id, text[0] == '\0' ? "it failed" : text);
}

/* What the gateway itself saw of the upstream is the truth; what the module tells is taken when
 * there is nothing else. */
static int upstream_error(struct sdk_run *r, const json_t *message, struct err *e)
{
    json_int_t status = json_integer_value(json_object_get(message, "status"));
    struct err failed;

    pthread_mutex_lock(&r->lock);
    failed = r->failed;
    pthread_mutex_unlock(&r->lock);
    if (failed.code != 0) {
        *e = failed;
        return failed.code;
    }
    return public_error(r, message, status == GATEWAY_TIMEOUT ? AGW_ETIMEOUT : AGW_EUPSTREAM, e);
}

void sdk_error_log(struct sdk_run *r, const char *class, const char *message)
{
    struct log_line line;

    if (r->is_told)
        return;
    r->is_told = true;
    log_begin(&line, LOG_WARN, "sdk_agent.failure");
    log_str(&line, "request_id", r->run->request_id);
    log_str(&line, "agent", r->run->agent->spec->id);
    log_str(&line, "class", class);
    log_str(&line, "message", message);
    log_end(&line);
}

int sdk_error(struct sdk_run *r, const json_t *message, struct err *e)
{
    json_int_t status = json_integer_value(json_object_get(message, "status"));

    sdk_error_log(r, sdk_call_text(message, "class"), sdk_call_text(message, "message"));
    if (is_class(message, "upstream"))
        return upstream_error(r, message, e);
    if (is_class(message, "input_guardrail") || is_class(message, "output_guardrail"))
        return public_error(r, message, AGW_EGUARDRAIL, e);
    if (is_class(message, "approval"))
        return public_error(r, message, AGW_EAPPROVAL, e);
    if (is_class(message, "user_error") && status == BAD_REQUEST)
        return public_error(r, message, AGW_EINVALID, e);
    if (is_class(message, "cancelled"))
        return public_error(r, message, AGW_ETIMEOUT, e);
    public_error(r, message, AGW_EAGENT, e);
    if (is_class(message, "crash"))
        e->status = SDK_CRASH;
    return e->code;
}

json_t *sdk_error_object(const struct err *e)
{
    const struct err_info *info = err_info(e->code);

    return json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "message",
                     e->is_public ? e->message : info->text, "type", info->type, "param",
                     e->param[0] == '\0' ? NULL : e->param, "code", info->code);
}
