# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/config/build.c src/config/build.h \
  src/config/build_agents.c \
  src/config/build_gateway.c \
  src/config/build_security.c \
  src/config/build_tools.c \
  src/config/build_upstreams.c \
  src/config/config.h \
  src/config/config_errors.c \
  src/config/config_sources.c \
  src/config/environment.c \
  src/config/load.h \
  src/config/redact.c \
  src/config/schema.c src/config/schema.h \
  src/config/schema_find.c \
  src/config/snapshot.c \
  src/config/values.c \
  src/config/walk.c \
  src/config/yaml_tree.c src/config/yaml_tree.h

EXTRA_DIST += conf/gateway.yaml conf/agents.yaml conf/upstreams.yaml conf/tools.yaml \
  conf/security.yaml

EXTRA_DIST += tests/cases/config/agents.cases tests/cases/config/environment.cases \
  tests/cases/config/gateway.cases tests/cases/config/security.cases \
  tests/cases/config/together.cases tests/cases/config/tools.cases \
  tests/cases/config/upstreams.cases tests/cases/config/yaml.cases

unit_tests += tests/unit/test_config_build tests/unit/test_config_cases
tests_unit_test_config_cases_SOURCES = tests/unit/test_config_cases.c
tests_unit_test_config_build_SOURCES = tests/unit/test_config_build.c
