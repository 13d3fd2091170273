/* SPDX-License-Identifier: MIT */
/* What the table of endpoints names. Each fills x->answer or returns AGW_E*; see
 * struct route in api/routes.h for the rules of both kinds. */
#ifndef AGW_API_HANDLERS_H
#define AGW_API_HANDLERS_H

#include "api/context.h"
#include "api/fields.h"

/* health.c */
int health_alive(struct exchange *x);
int health_ready(struct exchange *x);

/* openapi.c */
int openapi_get(struct exchange *x);

/* models.c */
int models_list(struct exchange *x);
int models_get(struct exchange *x);

/* chat.c */
int chat_target(struct exchange *x);
int chat_complete(struct exchange *x);

/* security.c */
int security_preview_target(struct exchange *x);
int security_preview(struct exchange *x);
extern const struct field_set security_preview_fields;
int security_refresh(struct exchange *x);

/* overrides_api.c */
int overrides_api_create(struct exchange *x);
int overrides_api_list(struct exchange *x);
int overrides_api_revoke(struct exchange *x);

/* keys_api.c */
int keys_api_list(struct exchange *x);
int keys_api_create(struct exchange *x);
int keys_api_rotate(struct exchange *x);
extern const struct field_set keys_api_rotate_fields;
int keys_api_revoke(struct exchange *x);

/* audit_api.c */
int audit_api_query(struct exchange *x);
int audit_api_verify(struct exchange *x);

/* admin.c */
int admin_agents(struct exchange *x);
int admin_agents_refresh(struct exchange *x);
int admin_upstreams(struct exchange *x);
int admin_upstreams_refresh(struct exchange *x);
int admin_tools(struct exchange *x);
int admin_tools_refresh(struct exchange *x);
int admin_errors(struct exchange *x);

/* metrics_api.c */
int metrics_api_text(struct exchange *x);
int metrics_api_json(struct exchange *x);

#endif
