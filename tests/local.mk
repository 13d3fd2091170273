# SPDX-License-Identifier: MIT
check_PROGRAMS = $(unit_tests)
dist_check_SCRIPTS = tests/lint/test_lint
TESTS = $(unit_tests) tests/lint/test_lint tests/build/test_hardening
dist_check_SCRIPTS += tests/build/test_hardening
include tests/fuzz/local.mk
include tests/integration/local.mk
include tests/bench/local.mk
include tests/faults/local.mk
include tests/hosts/local.mk

# After the unit tests, never beside them: both measure time.
check-local: check-TESTS
	@if test "$$AGW_CHECK" = unit; then \
	  echo "AGW_CHECK=unit: the integration and fault tests are left out"; \
	else \
	  $(MAKE) $(AM_MAKEFLAGS) check-integration && \
	  $(MAKE) $(AM_MAKEFLAGS) check-hosts && \
	  $(MAKE) $(AM_MAKEFLAGS) check-faults-sample; \
	fi

# Test of tests: plants bugs and asks whether they are noticed (a quarter of an hour).
EXTRA_DIST += tests/mutation/run tests/mutation/table.py
check-mutation:
	$(srcdir)/tests/mutation/run $(MUTATION_ARGS)
.PHONY: check-mutation
