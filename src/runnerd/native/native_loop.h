/* SPDX-License-Identifier: MIT */
/* Runs an agent in C that leaves the answering to us: the loop of agent/tool_loop.h, with
 * handoffs, guardrails and structured output. Any thread of the run.
 */
#ifndef AGW_RUNNERD_NATIVE_NATIVE_LOOP_H
#define AGW_RUNNERD_NATIVE_NATIVE_LOOP_H

#include "runnerd/native/native_run.h"

struct native_answer {
    struct buf text, refusal;
    char finish_reason[32];
};

void native_answer_init(struct native_answer *answer);
void native_answer_free(struct native_answer *answer);

/* Answers `messages`. `depth` 0: for the client, who sees a stream as it comes; else for code of an
 * agent. AGW_E*: the run's failure may say more. */
int native_loop_run(struct agw_run *run, const struct descriptor *d, const json_t *messages,
                    int depth, struct native_answer *answer, struct err *e);

/* Code of the agent looks at a text: 0, or AGW_EGUARDRAIL. `class` as in run.error. */
int native_loop_guard(struct agw_run *run, const struct descriptor *d,
                      const struct agw_guardrail *guardrails, int depth, const char *text,
                      const char *class, struct err *e);

#endif
