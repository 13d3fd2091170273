# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/sandbox/calls.c src/sandbox/sandbox.h \
  src/sandbox/files.c \
  src/sandbox/limits.c \
  src/sandbox/privileges.c \
  src/sandbox/report.c src/sandbox/report.h \
  src/sandbox/spaces.c \
  src/sandbox/tmp.c
