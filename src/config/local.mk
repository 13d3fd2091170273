# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/config/build.c src/config/build.h \
  src/config/build_agents.c \
  src/config/build_gateway.c \
  src/config/build_security.c \
  src/config/build_tools.c \
  src/config/build_http_tools.c \
  src/config/build_upstreams.c \
  src/config/config.h \
  src/config/config_errors.c \
  src/config/config_sources.c \
  src/config/diff.c src/config/diff.h \
  src/config/environment.c \
  src/config/exposure.c src/config/exposure.h \
  src/config/load.h \
  src/config/redact.c \
  src/config/schema.c src/config/schema.h \
  src/config/schema_find.c \
  src/config/snapshot.c \
  src/config/rules.c src/config/values.c \
  src/config/walk.c \
  src/config/yaml_tree.c src/config/yaml_tree.h

dist_man_MANS += doc/man/agent-gateway.yaml.5
EXTRA_DIST += conf/gateway.yaml conf/agents.yaml conf/upstreams.yaml conf/tools.yaml \
  conf/security.yaml

EXTRA_DIST += tests/cases/config/agents.cases tests/cases/config/environment.cases \
  tests/cases/config/gateway.cases tests/cases/config/security.cases \
  tests/cases/config/together.cases tests/cases/config/tools.cases \
  tests/cases/config/upstreams.cases tests/cases/config/yaml.cases

unit_tests += tests/unit/test_config_bombs tests/unit/test_config_build \
  tests/unit/test_config_cases tests/unit/test_config_docs tests/unit/test_config_memory \
  tests/unit/test_config_sources
tests_unit_test_config_bombs_SOURCES = tests/unit/test_config_bombs.c
tests_unit_test_config_sources_SOURCES = tests/unit/test_config_sources.c \
  tests/unit/test_config_texts.h
read_file = tests/lib/read_file.c tests/lib/read_file.h
tests_unit_test_config_docs_SOURCES = tests/unit/test_config_docs.c $(read_file)
tests_unit_test_config_docs_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_config_cases_SOURCES = tests/unit/test_config_cases.c
tests_unit_test_config_build_SOURCES = tests/unit/test_config_build.c \
  tests/unit/test_config_texts.h
tests_unit_test_config_memory_SOURCES = tests/unit/test_config_memory.c \
  tests/unit/test_config_texts.h
tests_unit_test_config_memory_LDFLAGS = $(AM_LDFLAGS) \
  -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
