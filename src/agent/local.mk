# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/agent/catalog.c src/agent/catalog.h \
  src/agent/run.c src/agent/run.h \
  src/agent/run_declarative.c src/agent/run_declarative.h
