/* SPDX-License-Identifier: MIT */
/* An explanation as one JSON document: what --json prints, and what the text is made from. */
#ifndef AGW_CTL_EXPLAIN_H
#define AGW_CTL_EXPLAIN_H

#include <jansson.h>

#include "ctl/past.h"

struct explain_question {
    const char *key_id, *agent;
    struct moment moment;
};

/* A new document, see doc/schemas/agwctl-explain.json. CTL_FINE, or another status after it
 * has said why. */
int explain_document(struct past *past, const struct explain_question *question,
                     json_t **document);

/* The same for an audited request: its newest decision is made again, by the configuration
 * that is stamped on it, with what was in force then. CTL_FINDING when it comes out otherwise;
 * *document then says so, too. */
int explain_audited(struct past *past, const char *request_id, json_t **document);

/* Prints it for people. */
void explain_show(const json_t *document, bool colour);

#endif
