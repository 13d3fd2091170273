# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/tools/arguments.h \
  src/tools/invoke.h \
  src/tools/tool.c src/tools/tool.h \
  src/tools/toolset.h

unit_tests += tests/unit/test_tools_tool
tests_unit_test_tools_tool_SOURCES = tests/unit/test_tools_tool.c
