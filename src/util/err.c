/* SPDX-License-Identifier: MIT */
/* Turns failures into one code with a public face and a private detail. */
#include "util/err.h"

#include <stdio.h>
#include <string.h>

static const struct err_info table[] = {
    {"OK", 200, "", NULL, false, ""},
#define X(name, status, type, code, retry, text) {#name, status, type, code, retry, text},
    AGW_ERR_TABLE(X)
#undef X
};

const struct err_info *err_info(int code)
{
    if (code > 0 || code <= -AGW_ORD_COUNT)
        return &table[AGW_ORD_EINTERNAL];
    return &table[-code];
}

static int fill(struct err *e, int code, bool is_public, const char *param, const char *format,
                va_list args)
{
    if (e == NULL)
        return code;
    err_reset(e);
    e->code = code;
    e->is_public = is_public;
    if (param != NULL)
        snprintf(e->param, sizeof e->param, "%s", param);
    vsnprintf(e->message, sizeof e->message, format, args);
    return code;
}

int err_set(struct err *e, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(e, code, false, NULL, format, args);
    va_end(args);
    return code;
}

int err_set_public(struct err *e, int code, const char *param, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(e, code, true, param, format, args);
    va_end(args);
    return code;
}

void err_reset(struct err *e)
{
    e->code = AGW_OK;
    e->is_public = false;
    e->status = 0;
    e->retry_after_s = 0;
    e->param[0] = '\0';
    e->message[0] = '\0';
}
