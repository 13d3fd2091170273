/* SPDX-License-Identifier: MIT */
/* Opens configuration and database when a command first needs them. */
#include "ctl/context.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/output.h"

enum { GATE_WAIT_MS = 5000 }; /* without a configuration that says how long */

struct context {
    struct config_sources sources;
    struct config *config;  /* all of it */
    struct config *gateway; /* gateway.yaml alone */
    char *origin, *database;
    struct store *store;
    enum context_access access;
};

static struct context *context_of(struct call *call)
{
    if (call->context == NULL)
        call->context = calloc(1, sizeof *call->context);
    if (call->context == NULL)
        call_fail("out of memory");
    return call->context;
}

const char *context_config_file(const struct call *call)
{
    return call->config != NULL ? call->config : AGW_SYSCONFDIR "/gateway.yaml";
}

int context_show_errors(struct config_errors *errors)
{
    char *text = config_errors_text(errors);

    output_text(stderr, text == NULL ? "agwctl: out of memory" : text);
    free(text);
    config_errors_free(errors);
    return CTL_FAILED;
}

int context_config(struct call *call, const struct config **config,
                   const struct config_sources **sources)
{
    struct context *c = context_of(call);
    struct config_errors errors = {0};

    if (c == NULL)
        return CTL_FAILED;
    if (c->config == NULL &&
        (config_sources_read(context_config_file(call), &c->sources, &errors) != 0 ||
         config_build(&c->sources, &c->config, &errors) != 0)) {
        config_sources_free(&c->sources);
        context_show_errors(&errors);
        return CTL_FINDING;
    }
    config_errors_free(&errors);
    if (config != NULL)
        *config = c->config;
    if (sources != NULL)
        *sources = &c->sources;
    return CTL_FINE;
}

int context_gateway(struct call *call, const struct config_gateway **gateway)
{
    struct context *c = context_of(call);
    struct config_errors errors = {0};

    if (c == NULL)
        return CTL_FAILED;
    if (c->config == NULL && c->gateway == NULL &&
        config_gateway_read(context_config_file(call), &c->gateway, &errors) != 0)
        return context_show_errors(&errors);
    config_errors_free(&errors);
    *gateway = c->config != NULL ? &c->config->gateway : &c->gateway->gateway;
    return CTL_FINE;
}

int context_origin(struct call *call, const char **origin)
{
    struct context *c = context_of(call);

    if (c == NULL)
        return CTL_FAILED;
    if (c->origin == NULL)
        c->origin = realpath(context_config_file(call), NULL);
    if (c->origin == NULL)
        return call_fail("%s: %s", context_config_file(call), strerror(errno));
    *origin = c->origin;
    return CTL_FINE;
}

/* Its files lie beside it, not beside a link that leads to it. */
static int take_database(struct call *call, const char *name, const char **path)
{
    struct context *c = context_of(call);

    if (c == NULL)
        return CTL_FAILED;
    if (c->database == NULL)
        c->database = realpath(name, NULL); /* NULL: it is not there yet */
    *path = c->database != NULL ? c->database : name;
    return CTL_FINE;
}

int context_database(struct call *call, const char **path)
{
    const struct config_gateway *gateway;
    int status;

    if (call->database != NULL)
        return take_database(call, call->database, path);
    status = context_gateway(call, &gateway);
    if (status == CTL_FINE && gateway->database == NULL)
        status = call_fail("%s names no database", context_config_file(call));
    return status == CTL_FINE ? take_database(call, gateway->database, path) : status;
}

/* How the gateway opens it, as far as the configuration can be read. */
static struct store_options store_options(struct call *call, const char *path,
                                          enum context_access access)
{
    struct store_options options = {.path = path, .gate_wait_ms = GATE_WAIT_MS,
                                    .synchronous_full = true,
                                    .read_only = access == CONTEXT_READ};
    const struct config_gateway *gateway;

    if (access == CONTEXT_WRITE && call->database == NULL &&
        context_gateway(call, &gateway) == CTL_FINE) {
        options.gate_wait_ms = gateway->gate_wait_ms;
        options.synchronous_full = gateway->audit_synchronous_full;
    }
    return options;
}

int context_store(struct call *call, enum context_access access, struct store **store)
{
    struct context *c = context_of(call);
    struct store_options options;
    const char *path;
    struct stat info;
    struct err e;
    int status = c == NULL ? CTL_FAILED : context_database(call, &path);

    if (status != CTL_FINE)
        return status;
    if (c->store != NULL && access > c->access)
        store_close(&c->store);
    if (c->store == NULL) {
        options = store_options(call, path, access);
        if (stat(path, &info) != 0)
            return call_fail("%s: %s; the database is made by agent-gateway at its first start, "
                             "or by agwctl db migrate", path, strerror(errno));
        if (store_open(&options, &c->store, &e) != 0)
            return call_fail("the database cannot be opened: %s", e.message);
        c->access = access;
    }
    *store = c->store;
    return CTL_FINE;
}

const char *context_actor(void)
{
    static char actor[80];
    const struct passwd *user = getpwuid(getuid());

    if (user != NULL)
        snprintf(actor, sizeof actor, "cli:%.64s", user->pw_name);
    else
        snprintf(actor, sizeof actor, "cli:%lu", (unsigned long)getuid());
    return actor;
}

void context_close(struct call *call)
{
    struct context *c = call->context;

    if (c == NULL)
        return;
    store_close(&c->store);
    config_release(&c->config);
    config_release(&c->gateway);
    config_sources_free(&c->sources);
    free(c->origin);
    free(c->database);
    free(c);
    call->context = NULL;
}
