/* SPDX-License-Identifier: MIT */
/* The one table of agwctl's commands. */
#include "ctl/commands.h"

#include <stdio.h>
#include <string.h>

const struct command_option command_globals[] = {
    {"config", VALUE_FILE, "FILE", "the gateway's configuration, instead of " AGW_SYSCONFDIR
                                   "/gateway.yaml", false, 0, 0},
    {"database", VALUE_FILE, "FILE", "the database, instead of the one that the configuration "
                                     "names", false, 0, 0},
    {"json", VALUE_NONE, NULL, "print JSON", false, 0, 0},
    {"no-color", VALUE_NONE, NULL, "print without colours", false, 0, 0},
    {"help", VALUE_NONE, NULL, "show this text and exit", false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command *const commands[] = {
    &cmd_access,
    &cmd_audit_query,
    &cmd_audit_verify,
    &cmd_audit_head,
    &cmd_audit_export,
    &cmd_audit_prune,
    &cmd_audit_nightly,
    &cmd_config_check,
    &cmd_config_diff,
    &cmd_db_backup,
    &cmd_db_check,
    &cmd_db_migrate,
    &cmd_db_restore,
    &cmd_doctor,
    &cmd_explain,
    &cmd_hash_key,
    &cmd_key_list,
    &cmd_key_create,
    &cmd_key_rotate,
    &cmd_key_revoke,
    &cmd_override_list,
    &cmd_override_create,
    &cmd_override_revoke,
    &cmd_replay,
    &cmd_tools_list,
    &cmd_tools_call,
    &cmd_tools_test,
    &cmd_tools_mcp_probe,
    &cmd_usage,
    NULL,
};

const struct command *command_find(const char *first, const char *second)
{
    for (size_t i = 0; commands[i] != NULL; i++) {
        const struct command *c = commands[i];

        if (c->group == NULL && strcmp(c->name, first) == 0)
            return c;
        if (c->group != NULL && second != NULL && strcmp(c->group, first) == 0 &&
            strcmp(c->name, second) == 0)
            return c;
    }
    return NULL;
}

bool command_is_group(const char *name)
{
    for (size_t i = 0; commands[i] != NULL; i++)
        if (commands[i]->group != NULL && strcmp(commands[i]->group, name) == 0)
            return true;
    return false;
}

const char *command_title(const struct command *command, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s", command->group == NULL ? "" : command->group,
             command->group == NULL ? "" : " ", command->name);
    return text;
}
