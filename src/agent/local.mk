# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/agent/catalog.c src/agent/catalog.h \
  src/agent/run.c src/agent/run.h \
  src/agent/run_declarative.c src/agent/run_declarative.h

unit_tests += tests/unit/test_agent
tests_unit_test_agent_SOURCES = tests/unit/test_agent.c \
  tests/lib/build_config.c tests/lib/build_config.h tests/lib/yaml_cases.c tests/lib/yaml_cases.h
tests_unit_test_agent_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
EXTRA_DIST += tests/cases/agent/bodies.yaml
