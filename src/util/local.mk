# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/util/arena.c src/util/arena.h \
  src/util/buf.c src/util/buf.h \
  src/util/clock.c src/util/clock.h \
  src/util/err.c src/util/err.h \
  src/util/glob.c src/util/glob.h \
  src/util/json_limits.c src/util/json_limits.h \
  src/util/json_text.c src/util/json_text.h \
  src/util/log.c src/util/log.h \
  src/util/permit.c src/util/permit.h \
  src/util/proc.c src/util/proc.h \
  src/util/secret.c src/util/secret.h \
  src/util/sha.c src/util/sha.h \
  src/util/shm.c src/util/shm.h

unit_tests += tests/unit/test_util_glob
tests_unit_test_util_glob_SOURCES = tests/unit/test_util_glob.c
