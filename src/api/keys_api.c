/* SPDX-License-Identifier: MIT */
/* Lists all keys; makes, rotates and revokes those that do not stand in a file. */
#include <string.h>

#include "api/fields.h"
#include "api/handlers.h"
#include "api/key_terms.h"
#include "api/outcome.h"
#include "policy/key_admin.h"
#include "util/secret.h"

static const struct field rotate_fields[] = {
    {"overlap_seconds", FIELD_INTEGER, false, 0, KEY_ADMIN_OVERLAP_MAX_S},
};
const struct field_set keys_api_rotate_fields = {rotate_fields, 1, true};

int keys_api_list(struct exchange *x)
{
    const char *all = request_query(&x->request, "all");
    struct key_filter filter = {.id = request_query(&x->request, "id"),
                                .origin = request_query(&x->request, "origin"),
                                .health = request_query(&x->request, "health"),
                                .ended = all != NULL && strcmp(all, "true") == 0};
    struct db *db = store_acquire(x->api->store, &x->err);
    json_t *keys = NULL;
    int status;

    if (db == NULL)
        return AGW_ESTORE;
    status = keys_list(db, &filter, &keys, &x->err);
    store_release(x->api->store, db);
    if (status != 0)
        return status;
    x->answer.json = json_pack("{s:o}", "keys", keys);
    return x->answer.json == NULL ? err_set(&x->err, AGW_ENOMEM, "keys") : 0;
}

static struct key_admin admin_of(struct exchange *x, struct audit_row *row)
{
    outcome_row(x, "key", row); /* the change names its kind */
    return (struct key_admin){.store = x->api->store,
                              .security = &x->policy->config->security,
                              .by = x->key->id, .audit = row};
}

/* Answers with the key, and its secret if there is a new one. */
static int answer_key(struct exchange *x, int status, struct key_list *done, char *secret)
{
    if (status == 0) {
        x->answer.json = key_terms_json(done->items, secret);
        if (x->answer.json == NULL)
            status = err_set(&x->err, AGW_ENOMEM, "key");
    }
    if (secret != NULL)
        secret_wipe(secret, KEY_SECRET_SIZE);
    key_list_clear(done);
    return status;
}

int keys_api_create(struct exchange *x)
{
    char secret[KEY_SECRET_SIZE];
    struct audit_row audit;
    struct key_admin admin = admin_of(x, &audit);
    struct key_list done;
    struct key_row row;
    int status = key_terms_read(x->body, store_now(x->api->store), x->request.arena, &row,
                                &x->err);

    if (status != 0)
        return status;
    status = key_admin_create(&admin, &row, secret, &done, &x->err);
    return answer_key(x, status, &done, secret);
}

int keys_api_rotate(struct exchange *x)
{
    char secret[KEY_SECRET_SIZE];
    struct audit_row audit;
    struct key_admin admin = admin_of(x, &audit);
    struct key_list done;
    int64_t overlap = admin.security->key_rotation_overlap_s;
    int status;

    if (fields_check(x->body, rotate_fields, 1, true, &x->err) != 0)
        return AGW_EINVALID;
    overlap = fields_integer(x->body, "overlap_seconds", overlap);
    status = key_admin_rotate(&admin, x->object_id, overlap, secret, &done, &x->err);
    return answer_key(x, status, &done, secret);
}

int keys_api_revoke(struct exchange *x)
{
    struct audit_row audit;
    struct key_admin admin = admin_of(x, &audit);
    struct key_list done;
    int status = key_admin_revoke(&admin, x->object_id, &done, &x->err);

    return answer_key(x, status, &done, NULL);
}
