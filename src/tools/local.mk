# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/tools/arguments.c src/tools/arguments.h \
  src/tools/credential.c src/tools/credential.h \
  src/tools/http_answer.c src/tools/http_answer.h \
  src/tools/http_template.c src/tools/http_template.h \
  src/tools/http_tool.c src/tools/http_tool.h \
  src/tools/invoke.c src/tools/invoke.h \
  src/tools/launch.c src/tools/launch.h src/tools/launch_plan.c src/tools/launch_plan.h \
  src/tools/local.c src/tools/local.h \
  src/tools/mcp.c src/tools/mcp.h \
  src/tools/mcp_content.c src/tools/mcp_content.h \
  src/tools/mcp_era.c src/tools/mcp_era.h \
  src/tools/mcp_headers.c src/tools/mcp_headers.h \
  src/tools/mcp_http.c src/tools/mcp_link.h \
  src/tools/mcp_keeper.c src/tools/mcp_keeper.h \
  src/tools/mcp_lines.c src/tools/mcp_lines.h \
  src/tools/mcp_message.c src/tools/mcp_message.h \
  src/tools/mcp_pending.c src/tools/mcp_pending.h \
  src/tools/mcp_session.c src/tools/mcp_session.h \
  src/tools/mcp_stdio.c \
  src/tools/mcp_tools.c src/tools/mcp_tools.h \
  src/tools/mcp_watch.c src/tools/mcp_watch.h \
  src/tools/providers.c \
  src/tools/source.c src/tools/source.h \
  src/tools/tool.c src/tools/tool.h src/tools/tool_list.c \
  src/tools/toolset.c src/tools/toolset.h src/tools/toolset_find.c \
  src/tools/toolset_json.c src/tools/toolset_lists.c src/tools/toolset_state.h

unit_tests += tests/unit/test_tools_tool
tests_unit_test_tools_tool_SOURCES = tests/unit/test_tools_tool.c

unit_tests += tests/unit/test_tools_invoke
tests_unit_test_tools_invoke_SOURCES = tests/unit/test_tools_invoke.c $(store_fixture) \
  tests/lib/build_config.c tests/lib/build_config.h
tests_unit_test_tools_invoke_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_tools_launch
tests_unit_test_tools_launch_SOURCES = tests/unit/test_tools_launch.c
tests_unit_test_tools_launch_CPPFLAGS = $(AM_CPPFLAGS) -DAGW_BUILD_DIR='"$(abs_top_builddir)"'
EXTRA_tests_unit_test_tools_launch_DEPENDENCIES = agw-exec$(EXEEXT)

unit_tests += tests/unit/test_tools_local
tests_unit_test_tools_local_SOURCES = tests/unit/test_tools_local.c $(count_entries)
tests_unit_test_tools_local_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib \
  -DAGW_BUILD_DIR='"$(abs_top_builddir)"'
EXTRA_tests_unit_test_tools_local_DEPENDENCIES = agw-exec$(EXEEXT)

unit_tests += tests/unit/test_tools_http_text
tests_unit_test_tools_http_text_SOURCES = tests/unit/test_tools_http_text.c
EXTRA_DIST += tests/cases/tools_http/requests.json tests/cases/tools_http/answers.json

unit_tests += tests/unit/test_tools_http_tool
tests_unit_test_tools_http_tool_SOURCES = tests/unit/test_tools_http_tool.c \
  tests/lib/mock_http.c tests/lib/mock_http.h
tests_unit_test_tools_http_tool_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_tools_mcp
tests_unit_test_tools_mcp_SOURCES = tests/unit/test_tools_mcp.c $(inject)
tests_unit_test_tools_mcp_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_tools_mcp_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
EXTRA_DIST += tests/cases/mcp/content.json tests/cases/mcp/eras.json \
  tests/cases/mcp/headers.json tests/cases/mcp/lists.json tests/cases/mcp/messages.json

unit_tests += tests/unit/test_tools_mcp_stdio
tests_unit_test_tools_mcp_stdio_SOURCES = tests/unit/test_tools_mcp_stdio.c \
  tests/lib/hang_up.c tests/lib/hang_up.h $(inject)
tests_unit_test_tools_mcp_stdio_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib \
  -DAGW_BUILD_DIR='"$(abs_top_builddir)"'
tests_unit_test_tools_mcp_stdio_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
EXTRA_tests_unit_test_tools_mcp_stdio_DEPENDENCIES = agw-exec$(EXEEXT)

unit_tests += tests/unit/test_tools_mcp_http
tests_unit_test_tools_mcp_http_SOURCES = tests/unit/test_tools_mcp_http.c \
  tests/lib/hang_up.c tests/lib/hang_up.h tests/lib/mock_http.c tests/lib/mock_http.h
tests_unit_test_tools_mcp_http_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_tools_http_memory
tests_unit_test_tools_http_memory_SOURCES = tests/unit/test_tools_http_memory.c $(inject)
tests_unit_test_tools_http_memory_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_tools_http_memory_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
