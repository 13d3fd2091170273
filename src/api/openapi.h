/* SPDX-License-Identifier: MIT */
/* The endpoints as an OpenAPI document, made of the tables that serve them. */
#ifndef AGW_API_OPENAPI_H
#define AGW_API_OPENAPI_H

#include <jansson.h>
#include <stddef.h>

/* A row of the table in doc/API.md, built in. */
struct endpoint_text {
    const char *method, *path, *text;
};
extern const struct endpoint_text endpoint_texts[];
extern const size_t endpoint_text_count;

/* NULL when memory is out. */
json_t *openapi_document(void);

#endif
