# SPDX-License-Identifier: MIT
agwlibexec_PROGRAMS += agw-native
agw_native_SOURCES = src/runnerd/native/main.c src/runnerd/native/api.c
# Code of agents has neither database nor HTTP client beside it.
agw_native_LDADD = libagw.a $(JANSSON_LIBS) $(CRYPTO_LIBS) $(PCRE2_LIBS) -lm
# Modules find the functions of agent.h in the program, and nothing else.
agw_native_LDFLAGS = $(AM_LDFLAGS) -Wl,--dynamic-list=$(srcdir)/src/runnerd/native/exports.list
agw_native_DEPENDENCIES = libagw.a src/runnerd/native/exports.list
dist_man_MANS += doc/man/agent_gateway.3
EXTRA_DIST += src/runnerd/native/exports.list

agwincludedir = $(includedir)/agent_gateway
agwinclude_HEADERS = src/runnerd/native/agent_gateway/agent.h

libagw_a_SOURCES += \
  src/runnerd/native/descriptor.c src/runnerd/native/descriptor.h \
  src/runnerd/native/native_calls.c src/runnerd/native/native_calls.h \
  src/runnerd/native/native_host.c src/runnerd/native/native_host.h \
  src/runnerd/native/native_loop.c src/runnerd/native/native_loop.h \
  src/runnerd/native/native_module.c src/runnerd/native/native_module.h \
  src/runnerd/native/native_run.c src/runnerd/native/native_run.h \
  src/runnerd/native/native_serve.c

unit_tests += tests/unit/test_runnerd_native
tests_unit_test_runnerd_native_SOURCES = tests/unit/test_runnerd_native.c
