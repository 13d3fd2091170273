# SPDX-License-Identifier: MIT
sql_migrations = sql/0001_initial.sql
sql_queries =

libagw_a_SOURCES += \
  src/store/audit_chain.c src/store/audit_chain.h \
  src/store/audit_open.c \
  src/store/audit_query.c \
  src/store/audit_rows.c src/store/audit_rows.h \
  src/store/audit_verify.c \
  src/store/configurations.c src/store/configurations.h \
  src/store/db.c src/store/db.h \
  src/store/errors_ring.c src/store/errors_ring.h \
  src/store/gate.c src/store/gate.h \
  src/store/keys.c src/store/keys.h \
  src/store/metrics.c src/store/metrics.h src/store/metrics_region.h \
  src/store/metrics_text.c \
  src/store/migrate.c src/store/migrate.h \
  src/store/now.c src/store/now.h \
  src/store/overrides.c src/store/overrides.h \
  src/store/store.c src/store/store.h
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
