# SPDX-License-Identifier: MIT
# Fuzz targets are always built. Without libFuzzer they replay their corpus in `make check`;
# configured with --enable-fuzzers, `make fuzz FUZZ_SECONDS=60` runs each of them.
fuzz_targets = tests/fuzz/fuzz_audit tests/fuzz/fuzz_config tests/fuzz/fuzz_glob \
  tests/fuzz/fuzz_template tests/fuzz/fuzz_json tests/fuzz/fuzz_mcphttp \
  tests/fuzz/fuzz_mcpstdio tests/fuzz/fuzz_records tests/fuzz/fuzz_schema \
  tests/fuzz/fuzz_answer tests/fuzz/fuzz_sse tests/fuzz/fuzz_terminal \
  tests/fuzz/fuzz_turn tests/fuzz/fuzz_typed tests/fuzz/fuzz_uri \
  tests/fuzz/fuzz_catalog
check_PROGRAMS += $(fuzz_targets)
tests_fuzz_fuzz_audit_SOURCES = tests/fuzz/fuzz_audit.c
tests_fuzz_fuzz_glob_SOURCES = tests/fuzz/fuzz_glob.c
tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz_config.c
tests_fuzz_fuzz_template_SOURCES = tests/fuzz/fuzz_template.c
tests_fuzz_fuzz_answer_SOURCES = tests/fuzz/fuzz_answer.c
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c
tests_fuzz_fuzz_mcphttp_SOURCES = tests/fuzz/fuzz_mcphttp.c \
  tests/lib/mcp_consume.c tests/lib/mcp_consume.h
tests_fuzz_fuzz_mcphttp_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_fuzz_fuzz_mcpstdio_SOURCES = tests/fuzz/fuzz_mcpstdio.c \
  tests/lib/mcp_consume.c tests/lib/mcp_consume.h
tests_fuzz_fuzz_mcpstdio_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_fuzz_fuzz_records_SOURCES = tests/fuzz/fuzz_records.c
tests_fuzz_fuzz_turn_SOURCES = tests/fuzz/fuzz_turn.c
tests_fuzz_fuzz_typed_SOURCES = tests/fuzz/fuzz_typed.c
tests_fuzz_fuzz_uri_SOURCES = tests/fuzz/fuzz_uri.c
tests_fuzz_fuzz_schema_SOURCES = tests/fuzz/fuzz_schema.c
tests_fuzz_fuzz_sse_SOURCES = tests/fuzz/fuzz_sse.c
tests_fuzz_fuzz_terminal_SOURCES = tests/fuzz/fuzz_terminal.c
tests_fuzz_fuzz_catalog_SOURCES = tests/fuzz/fuzz_catalog.c
.PHONY: fuzz
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/fuzz tests/fuzz/replay.c

if FUZZERS
tests_fuzz_fuzz_audit_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_glob_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_config_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_template_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_answer_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_json_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_mcphttp_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_mcpstdio_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_records_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_turn_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_typed_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_uri_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_schema_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_sse_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_terminal_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
tests_fuzz_fuzz_catalog_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer

FUZZ_SECONDS = 60
FUZZ_JOBS = 2
fuzz: $(fuzz_targets)
	printf '%s\n' $(fuzz_targets) | \
	  xargs -P $(FUZZ_JOBS) -I '{}' $(srcdir)/tests/fuzz/fuzz '{}' $(FUZZ_SECONDS)
else
tests_fuzz_fuzz_audit_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_glob_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_config_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_template_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_answer_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_json_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_mcphttp_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_mcpstdio_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_records_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_turn_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_typed_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_uri_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_schema_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_sse_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_terminal_SOURCES += tests/fuzz/replay.c
tests_fuzz_fuzz_catalog_SOURCES += tests/fuzz/replay.c
TESTS += $(fuzz_targets)
endif
