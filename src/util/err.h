/* SPDX-License-Identifier: MIT */
/* Errors: one table for code, HTTP status, OpenAI type/code and public text.
 *
 * Functions return 0 or a negative AGW_E*. Private detail (for the log and the
 * operator) goes into a caller-owned `struct err`; only `public` text or a
 * message explicitly marked public reaches a client. No allocation, any thread.
 */
#ifndef AGW_UTIL_ERR_H
#define AGW_UTIL_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/* name, HTTP status, OpenAI type, OpenAI code (NULL = null), may a retry help, public text */
#define AGW_ERR_TABLE(X)                                                                       \
    X(ENOCRED, 401, "invalid_request_error", NULL, false,                                      \
      "No API key was given. Send one as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")    \
    X(EBADKEY, 401, "invalid_request_error", "invalid_api_key", false,                         \
      "This API key is not valid: it is unknown, expired or revoked.")                         \
    X(EINVALID, 400, "invalid_request_error", NULL, false, "The request is not valid.")        \
    X(EMODEL, 404, "invalid_request_error", "model_not_found", false,                          \
      "This model does not exist or you have no access to it.")                                \
    X(EDENIED, 403, "permission_error", "agent_denied", false,                                 \
      "This API key may not call this agent.")                                                 \
    X(EROLE, 403, "permission_error", "role_required", false,                                  \
      "This API key has not the role that this endpoint needs.")                               \
    X(ENOROUTE, 404, "invalid_request_error", "not_found", false, "No such endpoint.")         \
    X(ENOTFOUND, 404, "invalid_request_error", "not_found", false, "No such object.")          \
    X(ECONFLICT, 409, "invalid_request_error", "conflict", false,                              \
      "This cannot be done to what is there now.")                                             \
    X(EMETHOD, 405, "invalid_request_error", "method_not_allowed", false,                      \
      "This endpoint does not take this method.")                                              \
    X(ETOOLARGE, 413, "invalid_request_error", "request_too_large", false,                     \
      "The request body is too large.")                                                        \
    X(ERATE, 429, "requests", "rate_limit_exceeded", true, "Rate limit reached for requests.") \
    X(EQUOTA, 429, "insufficient_quota", "insufficient_quota", false,                          \
      "The budget of this API key is used up for today.")                                      \
    X(EOVERLOAD, 503, "server_error", "overloaded", true,                                      \
      "The gateway is handling as many requests as it can. Try again shortly.")                \
    X(EUPSTREAM, 502, "server_error", "upstream_error", true,                                  \
      "The model provider failed to answer.")                                                  \
    X(EUPSTREAMREQ, 400, "invalid_request_error", "upstream_error", false,                     \
      "The model provider refused the request.")                                               \
    X(ETIMEOUT, 504, "server_error", "upstream_timeout", true,                                 \
      "The model provider did not answer in time.")                                            \
    X(EUNAVAILABLE, 503, "server_error", "upstream_unavailable", true,                         \
      "No model provider is available for this agent now.")                                    \
    X(EGUARDRAIL, 400, "invalid_request_error", "content_filter", false,                        \
      "A guardrail of the agent has stopped this request.")                                    \
    X(EAPPROVAL, 500, "server_error", "approval_required", false,                              \
      "A tool of the agent needs an approval, which cannot be asked for.")                     \
    X(EAGENT, 500, "server_error", "agent_error", false, "The agent failed.")                  \
    X(EAUDIT, 503, "server_error", "audit_unavailable", true,                                  \
      "The audit trail cannot be written, so nothing may be answered. Try again shortly.")     \
    X(ESTORE, 503, "server_error", "store_unavailable", true,                                  \
      "The gateway's database is not available. Try again shortly.")                           \
    X(EGONE, 499, "server_error", "client_gone", false, "The client has left.")                \
    X(ECONFIG, 422, "invalid_request_error", "config_rejected", false,                         \
      "The configuration has errors; the running one is kept.")                                \
    X(ENOMEM, 503, "server_error", "out_of_memory", true, "The gateway is out of memory.")     \
    X(EINTERNAL, 500, "server_error", "internal_error", true, "The gateway failed.")

enum agw_err_ordinal {
    AGW_ORD_OK,
#define X(name, status, type, code, retry, text) AGW_ORD_##name,
    AGW_ERR_TABLE(X)
#undef X
    AGW_ORD_COUNT
};

enum agw_error {
    AGW_OK = 0,
#define X(name, status, type, code, retry, text) AGW_##name = -AGW_ORD_##name,
    AGW_ERR_TABLE(X)
#undef X
};

struct err_info {
    const char *name;   /* "EDENIED" */
    int status;         /* HTTP status */
    const char *type;   /* OpenAI error.type */
    const char *code;   /* OpenAI error.code, NULL = JSON null */
    bool retry;         /* false: send x-should-retry: false where the client would retry */
    const char *text;   /* safe for any client */
};

struct err {
    int code;           /* AGW_OK or AGW_E* */
    bool is_public;     /* `message` may be shown to the client */
    int status;         /* HTTP status that replaces the table's, 0 = none (upstream 4xx) */
    int retry_after_s;  /* Retry-After seconds, 0 = none known */
    bool no_retry;      /* something was done already, which a retry would do again */
    char param[64];     /* the request field at fault, "" = none */
    char message[1024];
};

/* Row of the table for `code`; codes that are not in it get EINTERNAL's row. Static. */
const struct err_info *err_info(int code);

/* Fills `e` (may be NULL) with private detail and returns `code`. The arguments may point
 * into *e, so context can be put before a message: err_set(e, code, "x: %s", e->message). */
int err_set(struct err *e, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, but the message may be shown to the client; `param` may be NULL. */
int err_set_public(struct err *e, int code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Forgets everything: the state before any err_set(). */
void err_reset(struct err *e);

#endif
