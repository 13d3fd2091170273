/* SPDX-License-Identifier: MIT */
/* What the commands of the group db share. */
#ifndef AGW_CTL_DB_H
#define AGW_CTL_DB_H

#include "ctl/call.h"
#include "store/audit_rows.h"

/* The database's name, when there is such a file; else another exit status, said why. */
int db_existing(struct call *call, const char **path);

/* Copies with progress; see backup_copy(). */
int db_copy(const char *source, const char *target, bool immutable, struct err *e);

/* AGW_ESTORE with the first thing that is wrong with a file that nobody uses. */
int db_verify_copy(const char *path, bool quick, struct audit_head *head, struct err *e);

#endif
