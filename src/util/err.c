/* SPDX-License-Identifier: MIT */
/* Turns failures into one code with a public face and a private detail. */
#include "util/err.h"

#include <stdio.h>
#include <string.h>

#include "util/json_text.h"

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

/* A text that was cut may end inside a UTF-8 sequence, which a JSON writer refuses. */
static void drop_cut_sequence(char *text, size_t length)
{
    size_t at = length;

    while (at > 0 && length - at < 4 && ((unsigned char)text[at - 1] & 0xC0) == 0x80)
        at--;
    if (at > 0 && (unsigned char)text[at - 1] >= 0xC0 &&
        json_text_utf8(text + at - 1, length - at + 1) == 0)
        text[at - 1] = '\0';
}

/* The arguments may point into *e itself (a caller that adds context to a message), so the
 * texts are made first. */
__attribute__((format(printf, 5, 0))) static int
fill(struct err *e, int code, bool is_public, const char *param, const char *format,
     va_list args)
{
    char message[sizeof e->message], field[sizeof e->param] = "";

    if (e == NULL)
        return code;
    if (vsnprintf(message, sizeof message, format, args) >= (int)sizeof message)
        drop_cut_sequence(message, sizeof message - 1);
    json_text_repair(message);
    if (param != NULL && snprintf(field, sizeof field, "%s", param) >= (int)sizeof field)
        drop_cut_sequence(field, sizeof field - 1);
    err_reset(e);
    e->code = code;
    e->is_public = is_public;
    memcpy(e->param, field, sizeof e->param);
    memcpy(e->message, message, strlen(message) + 1);
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
    e->no_retry = false;
    e->param[0] = '\0';
    e->message[0] = '\0';
}
