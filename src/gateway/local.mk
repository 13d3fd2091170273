# SPDX-License-Identifier: MIT
sbin_PROGRAMS += agent-gateway
agent_gateway_SOURCES = src/gateway/main.c
agent_gateway_LDADD = $(AGW_LIBS)

libagw_a_SOURCES += src/gateway/worker.c src/gateway/worker.h
