/* SPDX-License-Identifier: MIT */
/* Makes sure that what an upstream says has OpenAI's shape, and reads its numbers. Any thread.
 */
#ifndef AGW_UPSTREAM_CHAT_CHECK_H
#define AGW_UPSTREAM_CHAT_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "upstream/chat_call.h"
#include "util/err.h"

/* Parses one chat.completion.chunk / chat.completion: a new reference in *value, with what
 * clients' types need filled in (index, delta, role, refusal, logprobs, finish_reason) and a
 * usage that is not three non-negative integers dropped. AGW_EUPSTREAM when it cannot be
 * one, or is an error object. */
int chat_check_chunk(const char *text, size_t length, json_t **value, struct err *e);
int chat_check_completion(const char *text, size_t length, json_t **value, struct err *e);

/* Keeps the numbers of `value`'s usage, if it has one. */
void chat_check_usage(const json_t *value, struct chat_usage *usage);

#endif
