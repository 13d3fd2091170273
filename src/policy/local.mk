# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/policy/audit.c src/policy/audit.h src/policy/audit_queue.h \
  src/policy/audit_writer.c \
  src/policy/authenticate.c src/policy/authenticate.h \
  src/policy/budget.c src/policy/budget.h \
  src/policy/decide.c src/policy/decide.h \
  src/policy/decide_steps.c src/policy/decide_steps.h \
  src/policy/decide_tool.c src/policy/decide_tool.h \
  src/policy/explain.c src/policy/explain.h \
  src/policy/history.c src/policy/history.h \
  src/policy/key_admin.c src/policy/key_admin.h \
  src/policy/key_secret.c src/policy/key_secret.h \
  src/policy/key_set.c src/policy/key_set.h \
  src/policy/rate_limit.c src/policy/rate_limit.h \
  src/policy/register.c src/policy/register.h \
  src/policy/state.c src/policy/state.h \
  src/policy/tally.c src/policy/tally.h


unit_tests += tests/unit/test_policy_rate_limit
tests_unit_test_policy_rate_limit_SOURCES = tests/unit/test_policy_rate_limit.c $(inject)
tests_unit_test_policy_rate_limit_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_rate_limit_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
unit_tests += tests/unit/test_policy_decide
tests_unit_test_policy_decide_SOURCES = tests/unit/test_policy_decide.c \
  tests/lib/build_config.c tests/lib/build_config.h tests/lib/yaml_cases.c tests/lib/yaml_cases.h
tests_unit_test_policy_decide_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
unit_tests += tests/unit/test_policy_model
tests_unit_test_policy_model_SOURCES = tests/unit/test_policy_model.c
unit_tests += tests/unit/test_policy_explain tests/unit/test_policy_history
tests_unit_test_policy_explain_SOURCES = tests/unit/test_policy_explain.c \
  tests/lib/build_config.c tests/lib/build_config.h
tests_unit_test_policy_explain_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_history_SOURCES = tests/unit/test_policy_history.c \
  tests/lib/build_config.c tests/lib/build_config.h $(store_fixture) $(inject)
tests_unit_test_policy_history_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_history_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
unit_tests += tests/unit/test_policy_authenticate
tests_unit_test_policy_authenticate_SOURCES = tests/unit/test_policy_authenticate.c \
  tests/lib/build_config.c tests/lib/build_config.h
tests_unit_test_policy_authenticate_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
EXTRA_DIST += tests/cases/policy/decide.yaml

unit_tests += tests/unit/test_policy_key_set
tests_unit_test_policy_key_set_SOURCES = tests/unit/test_policy_key_set.c \
  tests/lib/build_config.c tests/lib/build_config.h $(store_fixture) $(inject)
tests_unit_test_policy_key_set_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_key_set_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_policy_audit
tests_unit_test_policy_audit_SOURCES = tests/unit/test_policy_audit.c $(store_fixture)
tests_unit_test_policy_audit_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_policy_state
tests_unit_test_policy_state_SOURCES = tests/unit/test_policy_state.c $(store_fixture) $(inject)
tests_unit_test_policy_state_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_state_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_policy_audit_failures
tests_unit_test_policy_audit_failures_SOURCES = tests/unit/test_policy_audit_failures.c \
  $(store_fixture) $(inject)
tests_unit_test_policy_audit_failures_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_audit_failures_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_policy_tally
tests_unit_test_policy_tally_SOURCES = tests/unit/test_policy_tally.c $(store_fixture) $(inject)
tests_unit_test_policy_tally_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_policy_tally_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_policy_budget
tests_unit_test_policy_budget_SOURCES = tests/unit/test_policy_budget.c $(store_fixture)
tests_unit_test_policy_budget_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_policy_decide_tool
tests_unit_test_policy_decide_tool_SOURCES = tests/unit/test_policy_decide_tool.c \
  tests/lib/build_config.c tests/lib/build_config.h
tests_unit_test_policy_decide_tool_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
