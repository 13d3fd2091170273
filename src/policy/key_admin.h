/* SPDX-License-Identifier: MIT */
/* Makes, rotates and revokes keys at run time: the one way for the endpoints and the command
 * line. Changes are in the trail, in the log, and in force when the call returns. Any thread.
 */
#ifndef AGW_POLICY_KEY_ADMIN_H
#define AGW_POLICY_KEY_ADMIN_H

#include "config/config.h"
#include "policy/key_secret.h"
#include "store/keys.h"

enum { KEY_ADMIN_OVERLAP_MAX_S = 2592000 }; /* 30 days */

/* Who does it, and what is known around it. */
struct key_admin {
    struct store *store;
    const struct config_security *security; /* to name the line of a file's key; or NULL */
    const char *by;                         /* a key id, or "cli:LOGIN" */
    const struct audit_row *audit;          /* template of the audit row */
};

/* `row` without its hash. `secret` is told here and never again; the caller wipes it. Errors
 * and *done as in store/keys.h. */
int key_admin_create(const struct key_admin *admin, struct key_row *row,
                     char secret[KEY_SECRET_SIZE], struct key_list *done, struct err *e);
int key_admin_rotate(const struct key_admin *admin, const char *id, int64_t overlap_s,
                     char secret[KEY_SECRET_SIZE], struct key_list *done, struct err *e);
int key_admin_revoke(const struct key_admin *admin, const char *id, struct key_list *done,
                     struct err *e);

#endif
