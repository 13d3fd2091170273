/* SPDX-License-Identifier: MIT */
/* agwctl explain: why a key may call an agent, or may not; now, then, and in a batch. */
#include <stdlib.h>
#include <string.h>

#include "api/fields.h"
#include "ctl/commands.h"
#include "ctl/explain.h"
#include "ctl/output.h"
#include "ctl/when.h"
#include "util/json_limits.h"

static const struct command_option options[] = {
    {"key", VALUE_TEXT, "ID", "the API key that calls", false, 0, 0},
    {"agent", VALUE_TEXT, "NAME", "the agent that is called", false, 0, 0},
    {"at", VALUE_TIME, "TIME", "by what was in force at TIME", false, 0, 0},
    {"request", VALUE_TEXT, "ID", "make the decision about an audited request again", false, 0,
     0},
    {"files", VALUE_NONE, NULL, "by what the files say now, in force or not", false, 0, 0},
    {"batch", VALUE_NONE, NULL,
     "answer each line {\"key\",\"agent\",\"at\"} or {\"request\"} of standard input with one "
     "line", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

enum { LINE_MAX_BYTES = 65536 };

static int check(const struct call *call)
{
    bool one = call_text(call, "key") != NULL || call_text(call, "agent") != NULL;

    if (call_flag(call, "batch"))
        return one || call_text(call, "request") != NULL || call_text(call, "at") != NULL
                   ? call_usage(call, "with --batch the questions come from standard input")
                   : CTL_FINE;
    if (call_text(call, "request") != NULL)
        return one || call_text(call, "at") != NULL || call_flag(call, "files")
                   ? call_usage(call, "--request says key, agent and time by itself")
                   : CTL_FINE;
    if (call_text(call, "key") == NULL || call_text(call, "agent") == NULL)
        return call_usage(call, "--key ID and --agent NAME are needed, or --request ID");
    if (call_text(call, "at") != NULL && call_flag(call, "files"))
        return call_usage(call, "--files are of now, --at is of another time");
    return CTL_FINE;
}

static int explain_one(struct call *call, struct past *past)
{
    struct explain_question q = {.key_id = call_text(call, "key"),
                                 .agent = call_text(call, "agent"),
                                 .moment = {.at = call_time(call, "at", past->now)}};
    json_t *document;
    int status = call_text(call, "request") != NULL
                     ? explain_audited(past, call_text(call, "request"), &document)
                     : explain_document(past, &q, &document);

    if (document == NULL)
        return status;
    if (call->json)
        return call_json(document, status);
    explain_show(document, call->colour);
    json_decref(document);
    return status;
}

static const struct field question_fields[] = {
    {"key", FIELD_TEXT, false, 1, 128},
    {"agent", FIELD_TEXT, false, 1, 512},
    {"at", FIELD_TEXT, false, 1, 64},
    {"request", FIELD_TEXT, false, 1, 128},
};

/* A question that was read; NULL document when it could not be answered. */
static int answer(struct call *call, struct past *past, const json_t *question,
                  json_t **document)
{
    const char *at = fields_text(question, "at"), *request = fields_text(question, "request");
    struct explain_question q = {.key_id = fields_text(question, "key"),
                                 .agent = fields_text(question, "agent"),
                                 .moment = {.at = past->now}};

    if (at != NULL && when_parse(at, call->now, &q.moment.at) != 0)
        *document = json_pack("{s:s}", "error", "'at' must be a time: " WHEN_FORMS);
    else if (request != NULL && q.key_id == NULL && q.agent == NULL && at == NULL)
        return explain_audited(past, request, document);
    else if (request == NULL && q.key_id != NULL && q.agent != NULL)
        return explain_document(past, &q, document);
    else
        *document = json_pack("{s:s}", "error", "'key' and 'agent' are needed, or 'request'");
    return CTL_FINDING;
}

static json_t *answer_line(struct call *call, struct past *past, const char *line,
                           size_t length, int *status)
{
    static const struct json_limits limits = {.depth = 4, .tokens = 32};
    json_t *question = NULL, *document = NULL;
    int result = CTL_FINDING;
    struct err e;

    if (length > LINE_MAX_BYTES)
        document = json_pack("{s:s}", "error", "the line is too long");
    else if (json_limits_parse(line, length, &limits, &question, &e) != 0)
        document = json_pack("{s:s}", "error", e.message);
    else if (!json_is_object(question))
        document = json_pack("{s:s}", "error", "a line must be a JSON object");
    else if (fields_check(question, question_fields, 4, true, &e) != 0)
        document = json_pack("{s:s}", "error", e.message);
    else
        result = answer(call, past, question, &document);
    json_decref(question);
    if (document == NULL)
        document = json_pack("{s:s}", "error", "it could not be explained");
    if (result > *status)
        *status = result;
    return document;
}

static int explain_batch(struct call *call, struct past *past)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int status = CTL_FINE;

    while ((length = getline(&line, &room, stdin)) > 0) {
        if (line[length - 1] == '\n')
            length--;
        if (length > 0 &&
            output_json_line(answer_line(call, past, line, (size_t)length, &status)) != 0) {
            status = CTL_FAILED;
            break;
        }
    }
    free(line);
    return status;
}

static int run(struct call *call)
{
    struct past past;
    int status = check(call);

    if (status != CTL_FINE)
        return status;
    status = past_open(call, call_flag(call, "files"), &past);
    if (status == CTL_FINE)
        status = call_flag(call, "batch") ? explain_batch(call, &past)
                                          : explain_one(call, &past);
    past_close(&past);
    return status;
}

const struct command cmd_explain = {
    .name = "explain",
    .summary = "Tell why a key may call an agent or may not, and what would allow it",
    .options = options,
    .run = run,
};
