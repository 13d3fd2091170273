/* SPDX-License-Identifier: MIT */
/* Changes the keys that were made at run time. */
#include "policy/key_admin.h"

#include <string.h>

#include "util/clock.h"
#include "util/log.h"
#include "util/secret.h"

/* A key of the file belongs to the file. */
static int refuse_file_key(const struct key_admin *admin, const char *id, const char *param,
                           struct err *e)
{
    const struct config_security *s = admin->security;

    for (size_t i = 0; s != NULL && i < s->key_count; i++)
        if (strcmp(s->keys[i].id, id) == 0)
            return err_set_public(e, AGW_ECONFLICT, param,
                                  "The key '%.100s' is a key of the configuration (%s:%d): "
                                  "change it there and reload.", id, s->keys[i].place.file,
                                  s->keys[i].place.line);
    return 0;
}

static int new_secret(char secret[KEY_SECRET_SIZE], unsigned char hash[SHA_SIZE], struct err *e)
{
    if (key_secret_new(secret) != 0)
        return err_set(e, AGW_EINTERNAL, "no randomness");
    sha_256(secret, strlen(secret), hash);
    return 0;
}

static void log_change(const struct key_admin *admin, const char *event,
                       const struct key_record *key)
{
    char when[CLOCK_TEXT_SIZE];
    struct log_line line;

    log_begin(&line, LOG_INFO, event);
    log_str(&line, "request_id", admin->audit->request_id);
    log_str(&line, "key_id", key->row.id);
    log_str(&line, "by", admin->by);
    log_str(&line, "roles", key->row.roles);
    if (key->row.expires_at != 0)
        log_str(&line, "expires_at", clock_format(key->row.expires_at, when));
    if (key->previous_until != 0)
        log_str(&line, "overlap_ends_at", clock_format(key->previous_until, when));
    log_end(&line);
}

/* A secret of a change that did not happen is nobody's. */
static int finish(const struct key_admin *admin, const char *event, int status, char *secret,
                  const struct key_list *done)
{
    if (status == 0)
        log_change(admin, event, done->items);
    else if (secret != NULL)
        secret_wipe(secret, KEY_SECRET_SIZE);
    return status;
}

int key_admin_create(const struct key_admin *admin, struct key_row *row,
                     char secret[KEY_SECRET_SIZE], struct key_list *done, struct err *e)
{
    int status = refuse_file_key(admin, row->id, "id", e);

    memset(done, 0, sizeof *done);
    memset(secret, 0, KEY_SECRET_SIZE);
    if (status == 0)
        status = new_secret(secret, row->hash, e);
    if (status == 0)
        status = keys_create(admin->store, row, admin->by, admin->audit, done, e);
    return finish(admin, "api_key.created", status, secret, done);
}

int key_admin_rotate(const struct key_admin *admin, const char *id, int64_t overlap_s,
                     char secret[KEY_SECRET_SIZE], struct key_list *done, struct err *e)
{
    unsigned char hash[SHA_SIZE];
    int status = refuse_file_key(admin, id, NULL, e);

    memset(done, 0, sizeof *done);
    memset(secret, 0, KEY_SECRET_SIZE);
    if (status == 0)
        status = new_secret(secret, hash, e);
    if (status == 0)
        status = keys_rotate(admin->store, id, hash, overlap_s * 1000, admin->by, admin->audit,
                             done, e);
    return finish(admin, "api_key.rotated", status, secret, done);
}

int key_admin_revoke(const struct key_admin *admin, const char *id, struct key_list *done,
                     struct err *e)
{
    int status = refuse_file_key(admin, id, NULL, e);

    memset(done, 0, sizeof *done);
    if (status == 0)
        status = keys_revoke(admin->store, id, admin->by, admin->audit, done, e);
    return finish(admin, "api_key.revoked", status, NULL, done);
}
