# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/upstream/breaker.c src/upstream/breaker.h \
  src/upstream/chat_answer.c src/upstream/chat_answer.h \
  src/upstream/chat_call.c src/upstream/chat_call.h \
  src/upstream/chat_check.c src/upstream/chat_check.h \
  src/upstream/chat_error.c src/upstream/chat_error.h \
  src/upstream/chat_request.c src/upstream/chat_request.h \
  src/upstream/chat_sink.h \
  src/upstream/echo.c src/upstream/echo.h \
  src/upstream/echo_calls.c src/upstream/echo_calls.h \
  src/upstream/entry.c src/upstream/entry.h \
  src/upstream/health.c src/upstream/health.h \
  src/upstream/select.c src/upstream/select.h \
  src/upstream/set.h \
  src/upstream/upstreams.c src/upstream/upstreams.h

mock_upstream_test_sources = \
  tests/lib/chat_fixture.c tests/lib/chat_fixture.h \
  tests/lib/metrics_double.c tests/lib/metrics_double.h \
  tests/lib/mock_http.c tests/lib/mock_http.h

unit_tests += tests/unit/test_upstream_chat_call
tests_unit_test_upstream_chat_call_SOURCES = tests/unit/test_upstream_chat_call.c \
  $(mock_upstream_test_sources)
tests_unit_test_upstream_chat_call_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_upstream_chat_call_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=socket

unit_tests += tests/unit/test_upstream_echo
tests_unit_test_upstream_echo_SOURCES = tests/unit/test_upstream_echo.c \
  $(mock_upstream_test_sources)
tests_unit_test_upstream_echo_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_upstream_select
tests_unit_test_upstream_select_SOURCES = tests/unit/test_upstream_select.c \
  $(mock_upstream_test_sources)
tests_unit_test_upstream_select_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_upstream_deadlines
tests_unit_test_upstream_deadlines_SOURCES = tests/unit/test_upstream_deadlines.c \
  $(mock_upstream_test_sources)
tests_unit_test_upstream_deadlines_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
