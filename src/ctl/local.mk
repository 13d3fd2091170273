# SPDX-License-Identifier: MIT
sbin_PROGRAMS += agwctl
agwctl_SOURCES = src/ctl/main.c
agwctl_LDADD = $(AGW_LIBS)

libagw_a_SOURCES += \
  src/ctl/audit.h \
  src/ctl/call.c src/ctl/call.h \
  src/ctl/cmd_access.c \
  src/ctl/cmd_audit.c \
  src/ctl/cmd_audit_export.c \
  src/ctl/cmd_audit_nightly.c \
  src/ctl/cmd_audit_prune.c \
  src/ctl/cmd_audit_query.c \
  src/ctl/cmd_config.c \
  src/ctl/cmd_db.c src/ctl/db.h \
  src/ctl/cmd_db_restore.c \
  src/ctl/cmd_doctor.c src/ctl/doctor.h \
  src/ctl/cmd_explain.c \
  src/ctl/cmd_hash_key.c \
  src/ctl/cmd_key.c \
  src/ctl/cmd_override.c \
  src/ctl/cmd_replay.c \
  src/ctl/cmd_tools.c \
  src/ctl/cmd_tools_probe.c \
  src/ctl/cmd_usage.c \
  src/ctl/command.h \
  src/ctl/commands.c src/ctl/commands.h \
  src/ctl/complete.c src/ctl/complete.h \
  src/ctl/context.c src/ctl/context.h \
  src/ctl/csv.c src/ctl/csv.h \
  src/ctl/explain.h src/ctl/explain_audited.c src/ctl/explain_document.c \
  src/ctl/explain_show.c \
  src/ctl/doctor_host.c \
  src/ctl/doctor_runner.c \
  src/ctl/doctor_store.c \
  src/ctl/findings.c src/ctl/findings.h \
  src/ctl/help.c src/ctl/help.h \
  src/ctl/knock.c src/ctl/knock.h \
  src/ctl/hook.c src/ctl/hook.h \
  src/ctl/nightly.c src/ctl/nightly.h src/ctl/nightly_report.h \
  src/ctl/nightly_keys.c \
  src/ctl/nightly_state.c src/ctl/nightly_state.h \
  src/ctl/nightly_trail.c \
  src/ctl/nightly_text.c src/ctl/nightly_text.h \
  src/ctl/output.c src/ctl/output.h \
  src/ctl/past.c src/ctl/past.h \
  src/ctl/progress.c src/ctl/progress.h \
  src/ctl/scratch.c src/ctl/scratch.h \
  src/ctl/replay.c src/ctl/replay.h src/ctl/replay_flips.c \
  src/ctl/table.c src/ctl/table.h \
  src/ctl/when.c src/ctl/when.h

dist_man_MANS += doc/man/agwctl.8

# One for each command's --json output.
schemas = \
  doc/schemas/agwctl-access.json \
  doc/schemas/agwctl-config-check.json \
  doc/schemas/agwctl-config-diff.json \
  doc/schemas/agwctl-db-backup.json \
  doc/schemas/agwctl-db-check.json \
  doc/schemas/agwctl-db-migrate.json \
  doc/schemas/agwctl-db-restore.json \
  doc/schemas/agwctl-doctor.json \
  doc/schemas/agwctl-explain.json \
  doc/schemas/agwctl-audit-export.json \
  doc/schemas/agwctl-audit-head.json \
  doc/schemas/agwctl-audit-nightly.json \
  doc/schemas/agwctl-audit-prune.json \
  doc/schemas/agwctl-audit-query.json \
  doc/schemas/agwctl-audit-verify.json \
  doc/schemas/agwctl-hash-key.json \
  doc/schemas/agwctl-key-create.json \
  doc/schemas/agwctl-key-list.json \
  doc/schemas/agwctl-key-revoke.json \
  doc/schemas/agwctl-key-rotate.json \
  doc/schemas/agwctl-override-create.json \
  doc/schemas/agwctl-override-list.json \
  doc/schemas/agwctl-override-revoke.json \
  doc/schemas/agwctl-replay.json \
  doc/schemas/agwctl-tools-call.json \
  doc/schemas/agwctl-tools-list.json \
  doc/schemas/agwctl-tools-mcp-probe.json \
  doc/schemas/agwctl-tools-test.json \
  doc/schemas/agwctl-usage.json
schemasdir = $(docdir)/doc/schemas
dist_schemas_DATA = $(schemas)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = contrib/completion/agwctl

unit_tests += tests/unit/test_ctl_commands tests/unit/test_ctl_output tests/unit/test_ctl_when
tests_unit_test_ctl_commands_SOURCES = tests/unit/test_ctl_commands.c $(read_file)
tests_unit_test_ctl_commands_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_ctl_output_SOURCES = tests/unit/test_ctl_output.c
tests_unit_test_ctl_when_SOURCES = tests/unit/test_ctl_when.c

unit_tests += tests/unit/test_ctl_nightly
tests_unit_test_ctl_nightly_SOURCES = tests/unit/test_ctl_nightly.c \
  tests/lib/build_config.c tests/lib/build_config.h $(store_fixture) $(inject)
tests_unit_test_ctl_nightly_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_ctl_nightly_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps) -Wl,--wrap=nanosleep
