/* SPDX-License-Identifier: MIT */
/* What an agent in a folder is called. Pure; any thread. */
#ifndef AGW_RUNNERD_IDENTITY_H
#define AGW_RUNNERD_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

enum { IDENTITY_NAME = 128 };

struct identity {
    char ns[IDENTITY_NAME], name[IDENTITY_NAME];
};

/* Lower case; what no name may have becomes '-', one for each character; cut where it is too
 * long. "" stays "". */
void identity_clean(char out[IDENTITY_NAME], const char *text);

/* Of the module in `folder`, its path below the folder of all agents: "Name" is
 * default_ns/name, "ns/.../Name" is ns/name. */
void identity_of(const char *folder, const char *default_ns, struct identity *identity);

/* name-attribute, for what a module offers besides its agent. */
void identity_further(struct identity *identity, const char *attribute);

/* "labs.Planner.agent" of "labs/Planner/agent.py": what allow and deny lists match. false when
 * it does not fit. */
bool identity_module(const char *path, char *out, size_t size);

#endif
