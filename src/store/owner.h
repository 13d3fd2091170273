/* SPDX-License-Identifier: MIT */
/* Lets files that root makes belong to whom the database belongs. Any thread. */
#ifndef AGW_STORE_OWNER_H
#define AGW_STORE_OWNER_H

#include <sys/types.h>

#include "util/err.h"

/* Gives `file` owner and group of `model` (a file or folder; when it is not there, nothing
 * happens), if this process is root, and `mode` if that is not 0. The folder may belong to
 * somebody who is not trusted with root's rights: links are not followed, and what has a second
 * name is left alone. 0, or AGW_ESTORE with the reason. */
int owner_copy(const char *model, const char *file, mode_t mode, struct err *e);

#endif
