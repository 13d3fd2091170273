# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/util/arena.c src/util/arena.h \
  src/util/buf.c src/util/buf.h \
  src/util/clock.c src/util/clock.h \
  src/util/crew.c src/util/crew.h \
  src/util/err.c src/util/err.h \
  src/util/folder.c src/util/folder.h \
  src/util/futex.c src/util/futex.h \
  src/util/glob.c src/util/glob.h \
  src/util/json_limits.c src/util/json_limits.h \
  src/util/json_memory.c src/util/json_memory.h \
  src/util/json_schema.c src/util/json_schema.h \
  src/util/json_schema_check.c \
  src/util/json_schema_node.c src/util/json_schema_node.h \
  src/util/json_schema_pattern.c src/util/json_schema_pattern.h \
  src/util/json_schema_place.c src/util/json_schema_place.h \
  src/util/json_text.c src/util/json_text.h \
  src/util/log.c src/util/log.h \
  src/util/permit.c src/util/permit.h \
  src/util/proc.c src/util/proc.h \
  src/util/secret.c src/util/secret.h \
  src/util/sha.c src/util/sha.h \
  src/util/shm.c src/util/shm.h \
  src/util/template.c src/util/template.h

unit_tests += \
  tests/unit/test_util_arena \
  tests/unit/test_util_buf \
  tests/unit/test_util_clock \
  tests/unit/test_util_crew \
  tests/unit/test_util_err \
  tests/unit/test_util_folder \
  tests/unit/test_util_futex \
  tests/unit/test_util_glob \
  tests/unit/test_util_json_limits \
  tests/unit/test_util_json_memory \
  tests/unit/test_util_json_schema \
  tests/unit/test_util_json_text \
  tests/unit/test_util_log \
  tests/unit/test_util_permit \
  tests/unit/test_util_proc \
  tests/unit/test_util_secret \
  tests/unit/test_util_sha \
  tests/unit/test_util_shm \
  tests/unit/test_util_template
tests_unit_test_util_arena_SOURCES = tests/unit/test_util_arena.c
tests_unit_test_util_buf_SOURCES = tests/unit/test_util_buf.c
tests_unit_test_util_clock_SOURCES = tests/unit/test_util_clock.c
tests_unit_test_util_crew_SOURCES = tests/unit/test_util_crew.c
tests_unit_test_util_crew_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_create
tests_unit_test_util_err_SOURCES = tests/unit/test_util_err.c
tests_unit_test_util_folder_SOURCES = tests/unit/test_util_folder.c
tests_unit_test_util_futex_SOURCES = tests/unit/test_util_futex.c
tests_unit_test_util_glob_SOURCES = tests/unit/test_util_glob.c
tests_unit_test_util_json_limits_SOURCES = tests/unit/test_util_json_limits.c
tests_unit_test_util_json_memory_SOURCES = tests/unit/test_util_json_memory.c
tests_unit_test_util_json_schema_SOURCES = tests/unit/test_util_json_schema.c
tests_unit_test_util_json_text_SOURCES = tests/unit/test_util_json_text.c
tests_unit_test_util_log_SOURCES = tests/unit/test_util_log.c
tests_unit_test_util_permit_SOURCES = tests/unit/test_util_permit.c
tests_unit_test_util_proc_SOURCES = tests/unit/test_util_proc.c
tests_unit_test_util_secret_SOURCES = tests/unit/test_util_secret.c
tests_unit_test_util_secret_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=free,--wrap=malloc,--wrap=realloc
tests_unit_test_util_sha_SOURCES = tests/unit/test_util_sha.c
tests_unit_test_util_sha_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=EVP_MD_fetch
tests_unit_test_util_shm_SOURCES = tests/unit/test_util_shm.c
tests_unit_test_util_template_SOURCES = tests/unit/test_util_template.c
