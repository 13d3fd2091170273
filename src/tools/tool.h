/* SPDX-License-Identifier: MIT */
/* A tool, a call of it, and what a provider of tools has to do.
 *
 * A source is one entry of tools.yaml with what its provider keeps for it (a session, a pool
 * of connections). It gives one tool, or, an MCP server with `method: "*"`, many. Tools and
 * sources never change; both are shared by reference count, so a call that runs keeps its tool
 * whatever configuration comes. Who calls a tool does it through tools/invoke.h, never here.
 */
#ifndef AGW_TOOLS_TOOL_H
#define AGW_TOOLS_TOOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "util/err.h"

enum tool_status {
    TOOL_OK,
    TOOL_FAILED,      /* it ran and says so itself */
    TOOL_INVALID,     /* the arguments are not what its schema wants */
    TOOL_DENIED,      /* by policy */
    TOOL_TIMEOUT,
    TOOL_UNAVAILABLE, /* it could not be reached or started, or went away */
    TOOL_CANCELLED,   /* the client left */
    TOOL_STATUSES
};

/* "ok" "failed" "invalid" "denied" "timeout" "unavailable" "cancelled": in metrics, log, audit */
const char *tool_status_name(enum tool_status status);

struct tool_source;

/* What a model may call. */
struct tool {
    const char *name;        /* as agents, operators and policy know it: "files.read" */
    const char *function;    /* as models see it: [A-Za-z0-9_-]{1,64} */
    const char *remote;      /* what its server calls it; NULL when the entry is its one tool */
    const char *description; /* NULL = none */
    const json_t *schema;    /* of its arguments; an object, never NULL; borrow, do not share
                                with a body that is changed: json_deep_copy() */
    const struct arguments *arguments; /* the same, compiled (tools/arguments.h) */
    const struct config_tool *config;  /* the entry of tools.yaml */
    const char *provider;    /* "local" "http" "mcp" */
    struct tool_source *source;
    _Atomic int users;
};

struct tool *tool_acquire(const struct tool *tool);
void tool_release(struct tool **tool);

/* One call, valid while the provider's call() runs. */
struct tool_call {
    const struct tool *tool;
    const json_t *arguments; /* an object that fits the schema; borrowed, may be shared: never
                                change a reference count of it, copy what is to be kept */
    const char *call_id;     /* the model's, "" = none; any text */
    const char *request_id;  /* for logs and headers */
    int64_t deadline_ms;     /* clock_mono_ms() at which it must have ended; the earlier one of
                                the tool's timeout and the caller's */
    size_t max_result;       /* longer results are cut */
    int watch_fd;            /* the client's socket: a hang-up cancels; -1 = none */
};

/* What came of it. To be cleared by its owner. */
struct tool_result {
    enum tool_status status;
    char *content;           /* malloc'ed UTF-8 for the model, never NULL unless cancelled */
    size_t length;
    json_t *structured;      /* of an MCP tool's structuredContent, or NULL */
    bool truncated;          /* content was cut */
    int64_t duration_us;     /* set by tools/invoke.c */
};

void tool_result_clear(struct tool_result *result);
/* Sets status and a text; what was there is cleared. Returns false, with a NULL text, when
 * memory is out. */
bool tool_result_say(struct tool_result *result, enum tool_status status, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));
/* What a model is told that calls what is not there. */
bool tool_result_unknown(struct tool_result *result, const char *name);
/* Sets status and `length` bytes as the content, cut to `max` at a character's end, with
 * U+FFFD for what is no UTF-8. */
bool tool_result_put(struct tool_result *result, enum tool_status status, const char *bytes,
                     size_t length, size_t max);

/* What models call the tool `name`: "files.read" becomes "files_read". Malloc'ed, NULL when memory is
 * out. */
char *tool_function_name(const char *name);

/* The tools that a source offers, filled in by list(). */
struct tool_offer {
    char *name, *description; /* malloc'ed; description may be NULL */
    json_t *schema;           /* owned; NULL = any object */
};
struct tool_offers {
    size_t count;
    struct tool_offer *list;
};
/* Copies the texts and takes over the schema (in any case). -1: memory is out, or there are
 * TOOL_OFFERS_MAX already. */
enum { TOOL_OFFERS_MAX = 1024 };
int tool_offers_add(struct tool_offers *offers, const char *name, const char *description,
                    json_t *schema_take);
void tool_offers_clear(struct tool_offers *offers);

/* One kind of tools. All functions but open() and close() may run in several threads at once,
 * also for one state. */
struct tool_provider {
    const char *name; /* "local" "http" "mcp" */

    /* Makes what is kept for an entry; no I/O that may block, nothing is started yet. `config`
     * lives until close(). `changed` may be called from any thread, after open() has returned
     * and until close() returns: the list of tools is to be asked for anew. NULL with *e set:
     * out of memory, or a configuration that cannot work. */
    void *(*open)(const struct config_tool *config, void (*changed)(void *arg), void *arg,
                  struct err *e);
    /* After the last call and list ended. Ends processes and sessions; may take a second. */
    void (*close)(void *state);

    /* Asks for the tools, within `deadline_ms`; in a thread without a run permit. AGW_E* with
     * *e set: the list known before stays; AGW_EGONE when `watch_fd` (-1 = none) hangs up. NULL
     * function: the entry is its one tool. */
    int (*list)(void *state, int64_t deadline_ms, int watch_fd, struct tool_offers *offers,
                struct err *e);

    /* Runs one call to its end and fills *result (zeroed before). Blocks: gives the run permit
     * back while it waits (util/permit.h). Watches call->watch_fd and ends as TOOL_CANCELLED
     * when it hangs up. Never runs a tool twice. */
    void (*call)(void *state, const struct tool_call *call, struct tool_result *result);

    /* Adds what an administrator wants to see to the entry's object in GET /tools ("state",
     * "pid", "protocol", "sandbox" ...), never a secret; may wait, giving the run permit back.
     * NULL = nothing. */
    void (*describe)(void *state, json_t *object);
};

/* The providers of this program, indexed by enum config_tool_provider; NULL = not there. */
enum { TOOL_PROVIDERS = TOOL_MCP + 1 };
extern const struct tool_provider *const tool_providers[TOOL_PROVIDERS];
/* "local" "http" "mcp", by enum config_tool_provider. */
extern const char *const tool_provider_names[TOOL_PROVIDERS];

#endif
