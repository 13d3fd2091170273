/* SPDX-License-Identifier: MIT */
/* Opens the policy that a command asks about. */
#include "ctl/past.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/context.h"
#include "ctl/output.h"
#include "policy/key_set.h"
#include "policy/register.h"
#include "store/configurations.h"

static void *derive(void *arg, struct config *config, struct err *e)
{
    struct catalog *catalog = catalog_new(config, NULL);

    (void)arg;
    if (catalog == NULL)
        err_set(e, AGW_ENOMEM, "catalog");
    return catalog;
}

static void drop(void *derived)
{
    struct catalog *catalog = derived;

    catalog_release(&catalog);
}

const struct catalog *past_catalog(const struct policy *policy)
{
    return policy->derived;
}

static int show_problems(struct config_errors *errors)
{
    char *text = config_errors_text(errors);

    output_text(stderr, text == NULL ? "agwctl: out of memory" : text);
    free(text);
    config_errors_free(errors);
    return CTL_FAILED;
}

/* What `sources` say becomes the policy of every moment. */
static int propose(struct past *past, const struct config_sources *sources)
{
    struct config_errors errors = {0};
    struct config *config = NULL;
    struct err e;

    if (config_build_policy(sources, &config, &errors) != 0)
        return show_problems(&errors);
    if (history_propose(past->history, config, &e) != 0)
        return call_fail("%s", e.message);
    return CTL_FINE;
}

static int take_files(struct call *call, struct past *past)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    int status;

    past->from_files = true;
    if (config_sources_read(context_config_file(call), &sources, &errors) != 0) {
        config_sources_free(&sources);
        return show_problems(&errors);
    }
    status = propose(past, &sources);
    config_sources_free(&sources);
    return status;
}

/* Whether there is a database to ask; one that is missing is no failure. */
static int open_database(struct call *call, struct past *past)
{
    const char *path;
    struct stat info;
    struct err e;
    int status = context_database(call, &path);

    if (status != CTL_FINE || (stat(path, &info) != 0 && errno == ENOENT))
        return status;
    status = context_store(call, CONTEXT_READ, &past->store);
    if (status != CTL_FINE)
        return status;
    past->db = store_acquire(past->store, &e);
    return past->db == NULL ? call_fail("%s", e.message) : CTL_FINE;
}

int past_open(struct call *call, bool files, struct past *past)
{
    const struct policy_hooks hooks = {.derive = derive, .drop = drop};
    int64_t generation = 0;
    const char *origin;
    struct err e;
    int status = context_origin(call, &origin);

    *past = (struct past){.now = call->now};
    if (status == CTL_FINE)
        status = open_database(call, past);
    if (status != CTL_FINE)
        return status;
    if (history_open(past->db, origin, &hooks, &past->history, &e) != 0 ||
        (past->db != NULL && configurations_current(past->db, origin, &generation, &e) != 0))
        return call_fail("%s", e.message);
    if (past->store != NULL)
        past->now = store_now(past->store);
    if (generation == 0 && !files)
        call_warn("%s was never in force: what its files say is shown", origin);
    return generation == 0 || files ? take_files(call, past) : CTL_FINE;
}

void past_close(struct past *past)
{
    history_close(&past->history);
    if (past->db != NULL)
        store_release(past->store, past->db);
    past->db = NULL;
}

int past_policy(struct past *past, const struct moment *moment, const struct policy **policy)
{
    struct err e;

    if (history_at(past->history, moment, policy, &e) != 0)
        return call_fail("%s", e.message);
    return CTL_FINE;
}

/* The other files are those in force, so that only what is proposed makes a difference. */
static int base_sources(struct call *call, struct past *past, struct config_sources *sources)
{
    struct config_errors errors = {0};
    int64_t generation = 0;
    const char *origin;
    struct err e;
    int status = context_origin(call, &origin);

    *sources = (struct config_sources){0};
    if (status != CTL_FINE)
        return status;
    if (past->db != NULL && configurations_current(past->db, origin, &generation, &e) != 0)
        return call_fail("%s", e.message);
    if (generation != 0 && !past->from_files)
        return register_sources(past->db, generation, sources, &e) == 0
                   ? CTL_FINE : call_fail("%s", e.message);
    if (config_sources_read(context_config_file(call), sources, &errors) != 0)
        return show_problems(&errors);
    return CTL_FINE;
}

/* A gateway would not take a file that has the id of a key made at run time. */
static int refuse_clashes(struct past *past)
{
    const struct config_security *security;
    const struct policy *policy;
    struct moment now = {.at = past->now};
    int status = past_policy(past, &now, &policy);

    if (status != CTL_FINE)
        return status;
    security = &policy->config->security;
    for (size_t i = 0; i < policy->runtime->count; i++)
        for (size_t k = 0; k < security->key_count; k++)
            if (strcmp(policy->runtime->keys[i].id, security->keys[k].id) == 0)
                status = call_fail("%s:%d:%d: the key '%s' was made at run time: a gateway would "
                                   "refuse this file", security->keys[k].place.file,
                                   security->keys[k].place.line, security->keys[k].place.column,
                                   security->keys[k].id);
    return status;
}

int past_propose_security(struct call *call, struct past *past, const char *file)
{
    struct config_errors errors = {0};
    struct config_source security;
    struct config_sources sources;
    int status;

    if (config_source_read(file, &security, &errors) != 0)
        return show_problems(&errors);
    status = base_sources(call, past, &sources);
    if (status == CTL_FINE) {
        config_source_free(&sources.component[CONFIG_SECURITY]);
        sources.component[CONFIG_SECURITY] = security;
        status = propose(past, &sources);
        if (status == CTL_FINE)
            status = refuse_clashes(past);
    } else {
        config_source_free(&security);
    }
    config_sources_free(&sources);
    return status;
}
