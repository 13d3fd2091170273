/* SPDX-License-Identifier: MIT */
/* The checks of agwctl doctor, by what they look at. Each adds what it found. */
#ifndef AGW_CTL_DOCTOR_H
#define AGW_CTL_DOCTOR_H

#include "config/load.h"
#include "ctl/findings.h"
#include "store/store.h"

struct doctor {
    struct call *call;
    struct findings *findings;
    struct config_sources sources;
    struct config *config;                /* NULL: it has errors */
    const struct config_gateway *gateway; /* NULL: gateway.yaml cannot be read */
    const char *database;
};

/* doctor_store.c: schema, journal, gate, clock, audit, requests, errors. */
void doctor_store(struct doctor *doctor);

/* doctor_host.c */
void doctor_socket(struct doctor *doctor);
void doctor_url(struct doctor *doctor);
void doctor_modes(struct doctor *doctor);
void doctor_owners(struct doctor *doctor);
void doctor_disk(struct doctor *doctor);

/* doctor_runner.c */
void doctor_runner(struct doctor *doctor);

#endif
