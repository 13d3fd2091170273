/* SPDX-License-Identifier: MIT */
/* The newest row's seq and hash, carried out of the database: as one line "seq hash time" in a
 * file, or as "seq:hash". Any thread.
 */
#ifndef AGW_STORE_AUDIT_HEAD_H
#define AGW_STORE_AUDIT_HEAD_H

#include "store/audit_rows.h"

/* "seq:hash" or "seq hash [time]", with or without a line end; -1 when it is neither. */
int audit_head_parse(const char *text, struct audit_head *head);

/* Reads the file's first line. AGW_ENOTFOUND when there is no file, AGW_EINVALID when it holds
 * no head. */
int audit_head_read(const char *path, struct audit_head *head, struct err *e);

/* Replaces the file, whole or not at all, and durably. `at` is the time to be written, `more`
 * (may be NULL) what follows the line. */
int audit_head_write(const char *path, const struct audit_head *head, int64_t at,
                     const char *more, struct err *e);

#endif
