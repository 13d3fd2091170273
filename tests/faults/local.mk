# SPDX-License-Identifier: MIT
# Fault injection from the outside. `make check` runs a sample of a few minutes, check-faults
# all of it, check-long the long version (hours; counts by environment, see doc/TESTING.md).
faults_files = \
  tests/faults/conftest.py tests/faults/invariants.py tests/faults/scale.py \
  tests/faults/counting-tool tests/faults/counting_server.py \
  tests/faults/shim.c tests/faults/shim.py \
  tests/faults/test_budgets.py \
  tests/faults/test_exhaustion.py \
  tests/faults/test_hostile.py \
  tests/faults/test_kill.py \
  tests/faults/test_memory.py \
  tests/faults/test_peers.py \
  tests/faults/test_revocation.py \
  tests/faults/test_races.py \
  tests/faults/test_storage.py \
  tests/faults/test_tampering.py \
  tests/faults/test_tools.py

EXTRA_DIST += $(faults_files) tests/faults/soak tests/faults/soak.py tests/lib/fcgi.py
CLEANFILES += tests/faults/shim.so

# Preloaded into the gateway, never linked: so no libtool.
tests/faults/shim.so: $(srcdir)/tests/faults/shim.c
	$(AM_V_CC)$(MKDIR_P) tests/faults && \
	  $(CC) -O2 -g -Wall -Wextra -Werror -shared -fPIC -o $@ $(srcdir)/tests/faults/shim.c -ldl

run_faults = AGW_BUILD='$(abs_top_builddir)' $(SHELL) $(top_srcdir)/tests/integration/run \
  $(abs_top_srcdir)/tests/faults

.PHONY: check-faults-sample check-faults check-long check-soak
check-faults-sample: all tests/faults/shim.so
	AGW_FAULTS=sample $(run_faults) $(PYTEST_ARGS)
check-faults: all tests/faults/shim.so
	AGW_FAULTS=all $(run_faults) $(PYTEST_ARGS)
check-long: all tests/faults/shim.so
	$(MAKE) $(AM_MAKEFLAGS) check-agree
	AGW_FAULTS=long $(run_faults) $(PYTEST_ARGS)
	$(MAKE) $(AM_MAKEFLAGS) check-soak
check-soak: all tests/faults/shim.so
	AGW_BUILD='$(abs_top_builddir)' $(SHELL) $(top_srcdir)/tests/faults/soak
