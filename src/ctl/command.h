/* SPDX-License-Identifier: MIT */
/* What a command of agwctl is: one row, from which help, option parsing, completion and the
 * checks of manual page and schemas follow.
 *
 * To add a command `group name`:
 *   1. write src/ctl/cmd_<group>.c with its options, its run function and its row
 *      (`const struct command cmd_group_name = {...}`), and add the file to local.mk;
 *   2. add the row to the list in commands.c;
 *   3. describe it in doc/man/agwctl.8 (a section `.Ss group name` with an example), and its
 *      --json output in doc/schemas/agwctl-group-name.json (a row without a schema is refused);
 *   4. test it in tests/integration/test_agwctl_<group>.py.
 * test_ctl_commands fails as long as row, manual page and schema do not agree.
 *
 * A run function reads its options (call.h), opens what it needs (context.h), prints through
 * output.h and table.h, and returns one of the four statuses. After a failure it has said why
 * by call_fail().
 */
#ifndef AGW_CTL_COMMAND_H
#define AGW_CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;

/* Exit statuses, as in the manual page. */
enum { CTL_FINE = 0, CTL_FINDING = 1, CTL_USAGE = 2, CTL_FAILED = 3 };

enum value_kind {
    VALUE_NONE,   /* a flag */
    VALUE_TEXT,
    VALUE_FILE,   /* completed as a file name */
    VALUE_NUMBER, /* min..max */
    VALUE_TIME    /* when.h */
};

struct command_option {
    const char *name;  /* "agent" for --agent; NULL ends the list */
    enum value_kind kind;
    const char *value; /* what help calls the value: "NAME"; NULL for a flag */
    const char *help;  /* one line, without a full stop */
    bool required;
    int64_t min, max;  /* VALUE_NUMBER */
};

struct command_argument {
    const char *name; /* "FILE"; NULL ends the list */
    enum value_kind kind;
    const char *help;
    bool optional;
};

struct command {
    const char *group;   /* NULL: the command stands alone */
    const char *name;
    const char *summary; /* one line, without a full stop */
    const struct command_option *options;     /* NULL = none */
    const struct command_argument *arguments; /* NULL = none */
    int (*run)(struct call *call);
};

enum { COMMAND_OPTIONS_MAX = 24, COMMAND_ARGUMENTS_MAX = 4 };

/* Filters that several commands have, so that they read alike everywhere. */
#define COMMAND_SINCE                                                                          \
    {"since", VALUE_TIME, "TIME", "only what happened at TIME or later", false, 0, 0}
#define COMMAND_UNTIL {"until", VALUE_TIME, "TIME", "only what happened before TIME", false, 0, 0}
#define COMMAND_KEY {"key", VALUE_TEXT, "ID", "only the API key ID", false, 0, 0}
#define COMMAND_AGENT {"agent", VALUE_TEXT, "NAME", "only the agent NAME", false, 0, 0}
#define COMMAND_LIMIT(most) {"limit", VALUE_NUMBER, "N", "at most N rows", false, 1, most}

/* Options of every command. */
extern const struct command_option command_globals[];

/* In the order of help; NULL ends the list. */
extern const struct command *const commands[];

/* "key", "list" or "explain", NULL. NULL when there is none. */
const struct command *command_find(const char *first, const char *second);
bool command_is_group(const char *name);

/* "key list" or "explain", for messages. Returns `text`. */
const char *command_title(const struct command *command, char *text, size_t size);

#endif
