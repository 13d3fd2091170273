/* SPDX-License-Identifier: MIT */
/* agwctl doctor: everything that the gateway needs, looked at once. */
#include <stdlib.h>

#include "ctl/commands.h"
#include "ctl/context.h"
#include "ctl/doctor.h"

static void check_config(struct doctor *d)
{
    struct config_errors errors = {0};
    const char *file = context_config_file(d->call);

    if (config_sources_read(file, &d->sources, &errors) == 0)
        config_build(&d->sources, &d->config, &errors);
    if (d->config != NULL)
        findings_add(d->findings, "configuration", FINDING_OK, NULL, "%s is fine", file);
    else if (errors.count > 0)
        findings_add(d->findings, "configuration", FINDING_FAILED,
                     "agwctl config check shows all errors; a running gateway keeps what it has",
                     "%zu errors, the first: %s%s%s", errors.count, errors.list[0].file,
                     errors.list[0].file[0] == '\0' ? "" : ": ", errors.list[0].message);
    else
        findings_add(d->findings, "configuration", FINDING_FAILED, NULL, "out of memory");
    config_errors_free(&errors);
}

/* Even when another file is broken, gateway.yaml says where things are. */
static void find_places(struct doctor *d)
{
    if (d->config != NULL)
        d->gateway = &d->config->gateway;
    else if (context_gateway(d->call, &d->gateway) != CTL_FINE)
        d->gateway = NULL;
    if (d->call->database != NULL || (d->gateway != NULL && d->gateway->database != NULL))
        (void)context_database(d->call, &d->database);
}

static int run(struct call *call)
{
    struct findings findings;
    struct doctor d = {.call = call, .findings = &findings};
    int status;

    findings_begin(&findings);
    check_config(&d);
    find_places(&d);
    doctor_modes(&d);
    if (d.database != NULL) {
        doctor_disk(&d);
        doctor_owners(&d);
        doctor_store(&d);
    }
    doctor_socket(&d);
    doctor_url(&d);
    doctor_runner(&d);
    status = findings_end(&findings, call);
    config_release(&d.config);
    config_sources_free(&d.sources);
    return status;
}

static const struct command_option options[] = {
    {"socket", VALUE_FILE, "PATH", "the gateway's socket, when a service manager or web server "
                                   "holds it", false, 0, 0},
    {"url", VALUE_TEXT, "URL", "where the web server serves the gateway: URL/health is asked",
     false, 0, 0},
    {NULL, VALUE_NONE, NULL, NULL, false, 0, 0},
};

const struct command cmd_doctor = {
    .name = "doctor",
    .summary = "Look at everything the gateway needs, and say what to do",
    .options = options,
    .run = run,
};
