/* SPDX-License-Identifier: MIT */
/* The rows of all commands; each stands in its cmd_<group>.c. */
#ifndef AGW_CTL_COMMANDS_H
#define AGW_CTL_COMMANDS_H

#include "ctl/command.h"

extern const struct command cmd_access;
extern const struct command cmd_audit_query, cmd_audit_verify, cmd_audit_head;
extern const struct command cmd_audit_export, cmd_audit_prune, cmd_audit_nightly;
extern const struct command cmd_config_check, cmd_config_diff;
extern const struct command cmd_db_backup, cmd_db_check, cmd_db_migrate, cmd_db_restore;
extern const struct command cmd_hash_key;
extern const struct command cmd_doctor;
extern const struct command cmd_key_list, cmd_key_create, cmd_key_rotate, cmd_key_revoke;
extern const struct command cmd_explain;
extern const struct command cmd_override_list, cmd_override_create, cmd_override_revoke;
extern const struct command cmd_replay;
extern const struct command cmd_tools_list, cmd_tools_call, cmd_tools_test;
extern const struct command cmd_tools_mcp_probe;
extern const struct command cmd_usage;

#endif
