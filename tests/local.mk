# SPDX-License-Identifier: MIT
check_PROGRAMS = $(unit_tests)
dist_check_SCRIPTS = tests/lint/test_lint
TESTS = $(unit_tests) tests/lint/test_lint tests/build/test_hardening
dist_check_SCRIPTS += tests/build/test_hardening
include tests/fuzz/local.mk
include tests/integration/local.mk
include tests/bench/local.mk
