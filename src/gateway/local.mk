# SPDX-License-Identifier: MIT
sbin_PROGRAMS += agent-gateway
agent_gateway_SOURCES = src/gateway/main.c
agent_gateway_LDADD = $(AGW_LIBS)

libagw_a_SOURCES += \
  src/gateway/auto_reload.c src/gateway/auto_reload.h \
  src/gateway/companion.c src/gateway/companion.h \
  src/gateway/file_modes.c src/gateway/file_modes.h \
  src/gateway/notify.c src/gateway/notify.h \
  src/gateway/supervisor.c src/gateway/supervisor.h \
  src/gateway/worker.c src/gateway/worker.h

dist_man_MANS += doc/man/agent-gateway.8
EXTRA_DIST += contrib/systemd/agent-gateway.service contrib/systemd/agent-gateway.socket

unit_tests += tests/unit/test_gateway_auto_reload \
  tests/unit/test_gateway_main tests/unit/test_gateway_supervisor
tests_unit_test_gateway_auto_reload_SOURCES = tests/unit/test_gateway_auto_reload.c
tests_unit_test_gateway_main_SOURCES = tests/unit/test_gateway_main.c
tests_unit_test_gateway_supervisor_SOURCES = tests/unit/test_gateway_supervisor.c $(fcgi_client)

unit_tests += tests/unit/test_gateway_file_modes
tests_unit_test_gateway_file_modes_SOURCES = tests/unit/test_gateway_file_modes.c \
  $(store_fixture) $(inject)
tests_unit_test_gateway_file_modes_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_gateway_file_modes_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
