# SPDX-License-Identifier: MIT
sql_migrations = sql/0001_initial.sql sql/0002_kind_index.sql \
  sql/0003_shadow_decisions.sql sql/0004_audit_anchor.sql \
  sql/0005_runtime_keys.sql sql/0006_limited_overrides.sql \
  sql/0007_usage_day_number.sql sql/0008_tool_invocations.sql \
  sql/0009_key_tools.sql sql/0010_dropin_problems.sql
sql_queries = \
  sql/queries/configuration-changes.sql \
  sql/queries/denied-today.sql \
  sql/queries/failed-upstreams.sql \
  sql/queries/keys-needing-care.sql \
  sql/queries/overrides-used.sql \
  sql/queries/request-by-id.sql \
  sql/queries/shadow-rules.sql \
  sql/queries/slowest-requests.sql \
  sql/queries/tokens-per-key-and-day.sql \
  sql/queries/tool-calls.sql \
  sql/queries/top-agents.sql \
  sql/queries/unfinished-requests.sql \
  sql/queries/why-denied.sql

libagw_a_SOURCES += \
  src/store/audit_anchor.c src/store/audit_anchor.h \
  src/store/audit_chain.c src/store/audit_chain.h \
  src/store/audit_export.c src/store/audit_export.h \
  src/store/audit_head.c src/store/audit_head.h \
  src/store/audit_decisions.c src/store/audit_decisions.h \
  src/store/audit_open.c \
  src/store/audit_prune.c src/store/audit_prune.h \
  src/store/audit_query.c \
  src/store/audit_rows.c src/store/audit_rows.h \
  src/store/audit_verify.c src/store/audit_verify.h \
  src/store/backup.c src/store/backup.h \
  src/store/configurations.c src/store/configurations.h \
  src/store/db.c src/store/db.h \
  src/store/dropin_problems.c src/store/dropin_problems.h \
  src/store/errors_ring.c src/store/errors_ring.h \
  src/store/gate.c src/store/gate.h \
  src/store/inspect.c src/store/inspect.h \
  src/store/keys.c src/store/keys.h src/store/keys_row.h \
  src/store/keys_change.c src/store/keys_read.c \
  src/store/metrics.c src/store/metrics.h src/store/metrics_region.h \
  src/store/metrics_text.c \
  src/store/migrate.c src/store/migrate.h \
  src/store/nightly_facts.c src/store/nightly_facts.h \
  src/store/now.c src/store/now.h \
  src/store/owner.c src/store/owner.h \
  src/store/overrides.c src/store/overrides.h \
  src/store/store.c src/store/store.h \
  src/store/usage.c src/store/usage.h
nodist_libagw_a_SOURCES = src/store/migrations_sql.c

CLEANFILES += src/store/migrations_sql.c src/store/migrations_sql.c.tmp
src/store/migrations_sql.c: $(sql_migrations) src/store/embed_sql.awk
	$(AM_V_at)$(MKDIR_P) src/store
	$(AM_V_GEN)$(AWK) -f $(srcdir)/src/store/embed_sql.awk \
	  $(sql_migrations:%=$(srcdir)/%) > $@.tmp && mv $@.tmp $@

EXTRA_DIST += src/store/embed_sql.awk $(sql_migrations) $(sql_queries)

store_fixture = tests/lib/store_fixture.c tests/lib/store_fixture.h

unit_tests += tests/unit/test_store_audit_rows
tests_unit_test_store_audit_rows_SOURCES = tests/unit/test_store_audit_rows.c $(store_fixture)
tests_unit_test_store_audit_rows_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_dropin_problems
tests_unit_test_store_dropin_problems_SOURCES = tests/unit/test_store_dropin_problems.c \
  $(store_fixture)
tests_unit_test_store_dropin_problems_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_store
tests_unit_test_store_store_SOURCES = tests/unit/test_store_store.c $(store_fixture)
tests_unit_test_store_store_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_overrides
tests_unit_test_store_overrides_SOURCES = tests/unit/test_store_overrides.c $(store_fixture)
tests_unit_test_store_overrides_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_keys
tests_unit_test_store_keys_SOURCES = tests/unit/test_store_keys.c $(store_fixture)
tests_unit_test_store_keys_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_runtime_keys
tests_unit_test_store_runtime_keys_SOURCES = tests/unit/test_store_runtime_keys.c \
  $(store_fixture)
tests_unit_test_store_runtime_keys_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_metrics
tests_unit_test_store_metrics_SOURCES = tests/unit/test_store_metrics.c $(store_fixture)
tests_unit_test_store_metrics_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_views
tests_unit_test_store_views_SOURCES = tests/unit/test_store_views.c $(store_fixture)
tests_unit_test_store_views_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

# Sends the calls of libraries to tests/lib/inject.c.
inject = tests/lib/inject.c tests/lib/inject.h
inject_wraps = -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=json_array \
  -Wl,--wrap=json_object,--wrap=json_string,--wrap=json_dumps,--wrap=sqlite3_prepare_v2 \
  -Wl,--wrap=sqlite3_prepare_v3,--wrap=sqlite3_step,--wrap=sqlite3_exec \
  -Wl,--wrap=sqlite3_column_text,--wrap=EVP_MD_fetch,--wrap=EVP_MD_CTX_new \
  -Wl,--wrap=EVP_DigestInit_ex2,--wrap=EVP_DigestUpdate,--wrap=EVP_DigestFinal_ex \
  -Wl,--wrap=secret_random_hex,--wrap=pthread_create,--wrap=fopen,--wrap=fdopen,--wrap=fflush \
  -Wl,--wrap=fdatasync,--wrap=ftruncate,--wrap=rename,--wrap=read,--wrap=gethostname \
  -Wl,--wrap=shm_region,--wrap=fclose,--wrap=open

unit_tests += tests/unit/test_store_audit_failures
tests_unit_test_store_audit_failures_SOURCES = tests/unit/test_store_audit_failures.c \
  $(store_fixture) $(inject)
tests_unit_test_store_audit_failures_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_store_audit_failures_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_store_audit_decisions
tests_unit_test_store_audit_decisions_SOURCES = tests/unit/test_store_audit_decisions.c \
  $(store_fixture) $(inject)
tests_unit_test_store_audit_decisions_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_store_audit_decisions_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)

unit_tests += tests/unit/test_store_audit_prune
tests_unit_test_store_audit_prune_SOURCES = tests/unit/test_store_audit_prune.c $(store_fixture)
tests_unit_test_store_audit_prune_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_audit_tamper
tests_unit_test_store_audit_tamper_SOURCES = tests/unit/test_store_audit_tamper.c $(store_fixture)
tests_unit_test_store_audit_tamper_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_store_audit_trail
tests_unit_test_store_audit_trail_SOURCES = tests/unit/test_store_audit_trail.c \
  $(store_fixture) $(inject)
tests_unit_test_store_audit_trail_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_store_audit_trail_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
