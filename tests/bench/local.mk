# SPDX-License-Identifier: MIT
# Built with the tests, so that they do not rot; run by `make bench` only.
bench_programs = tests/bench/mock_upstream tests/bench/load tests/bench/grow tests/bench/micro
check_PROGRAMS += $(bench_programs)
tests_bench_mock_upstream_SOURCES = tests/bench/mock_upstream.c
tests_bench_mock_upstream_LDADD =
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_LDADD =
tests_bench_grow_SOURCES = tests/bench/grow.c
tests_bench_grow_LDADD = $(AGW_LIBS)
tests_bench_micro_SOURCES = tests/bench/micro.c
tests_bench_micro_LDADD = $(AGW_LIBS)
EXTRA_DIST += tests/bench/run tests/bench/mcp_server.py tests/bench/scale tests/bench/sdk tests/bench/questions.sql tests/bench/wrk.lua

# BENCH=quick takes a minute. Needs wrk, lighttpd and nginx.
bench: agent-gateway agwctl $(bench_programs)
	$(srcdir)/tests/bench/run '$(abs_builddir)'
.PHONY: bench
CLEANFILES += bench.json scale.json
