/* SPDX-License-Identifier: MIT */
/* Builds a configuration from texts; any mistake fails the test. */
#ifndef AGW_TESTS_BUILD_CONFIG_H
#define AGW_TESTS_BUILD_CONFIG_H

#include "config/load.h"

/* NULL texts get the smallest valid file: no agents, the upstream `echo`, one key `k`. */
struct config *build_config(const char *security, const char *agents);
/* The same with tools.yaml; NULL: the local tool `t`. */
struct config *build_config_tools(const char *security, const char *agents, const char *tools);

#endif
