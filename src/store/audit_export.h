/* SPDX-License-Identifier: MIT */
/* The trail as lines of JSON, with every byte that its hashes cover: numbers as numbers (`ts` in
 * UTC ms), texts as strings, those that are not UTF-8 as {"base64": "..."}, NULL as null. So
 * the chain can be verified without the database.
 */
#ifndef AGW_STORE_AUDIT_EXPORT_H
#define AGW_STORE_AUDIT_EXPORT_H

#include "store/audit_rows.h"

struct audit_export {
    struct audit_head after; /* seq 0 = from the oldest row; with a hash ("" = none) that row
                                must be the same here */
    int64_t to_seq;          /* 0 = the newest */
    int (*write)(void *arg, const char *line, size_t length); /* whole lines; 0 or -1 */
    void *arg;
    void (*progress)(void *progress_arg, int64_t done, int64_t of); /* may be NULL */
    void *progress_arg;
};

struct audit_exported {
    int64_t first_seq, rows;
    struct audit_head last; /* what was written last; `after` when nothing was */
};

/* AGW_EINVALID when the row `after` is not here or another, or when rows behind it were
 * removed; AGW_EINTERNAL when write() failed. */
int audit_export(struct db *db, const struct audit_export *order,
                 struct audit_exported *result, struct err *e);

#endif
