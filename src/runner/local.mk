# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/runner/dropins.c src/runner/dropins.h \
  src/runner/link.c src/runner/link.h \
  src/runner/link_ask.c src/runner/link_state.h \
  src/runner/session.c src/runner/session.h \
  src/runner/wire.c src/runner/wire.h

unit_tests += tests/unit/test_runner_wire
tests_unit_test_runner_wire_SOURCES = tests/unit/test_runner_wire.c $(count_entries)
tests_unit_test_runner_wire_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_runner_wire_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=recvmsg

unit_tests += tests/unit/test_runner_dropins
tests_unit_test_runner_dropins_SOURCES = tests/unit/test_runner_dropins.c $(inject)
tests_unit_test_runner_dropins_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_runner_dropins_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_runner_session
tests_unit_test_runner_session_SOURCES = tests/unit/test_runner_session.c

unit_tests += tests/unit/test_runner_link
tests_unit_test_runner_link_SOURCES = tests/unit/test_runner_link.c $(count_entries) $(inject)
tests_unit_test_runner_link_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_runner_link_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps) -Wl,--wrap=getsockopt
