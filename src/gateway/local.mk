# SPDX-License-Identifier: MIT
sbin_PROGRAMS += agent-gateway
agent_gateway_SOURCES = src/gateway/main.c
agent_gateway_LDADD = $(AGW_LIBS)

libagw_a_SOURCES += \
  src/gateway/auto_reload.c src/gateway/auto_reload.h \
  src/gateway/listen.c src/gateway/listen.h \
  src/gateway/notify.c src/gateway/notify.h \
  src/gateway/supervisor.c src/gateway/supervisor.h \
  src/gateway/worker.c src/gateway/worker.h
