# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/agent/catalog.c src/agent/catalog.h \
  src/agent/hop_usage.c src/agent/hop_usage.h \
  src/agent/run.c src/agent/run.h \
  src/agent/run_declarative.c src/agent/run_declarative.h \
  src/agent/tool_loop.c src/agent/tool_loop.h \
  src/agent/tool_round.c src/agent/tool_round.h \
  src/agent/tool_turn.c src/agent/tool_turn.h \
  src/agent/toolbox.c src/agent/toolbox.h \
  src/agent/turn_call.c src/agent/turn_call.h

unit_tests += tests/unit/test_agent
tests_unit_test_agent_SOURCES = tests/unit/test_agent.c \
  tests/lib/build_config.c tests/lib/build_config.h tests/lib/yaml_cases.c tests/lib/yaml_cases.h
tests_unit_test_agent_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
EXTRA_DIST += tests/cases/agent/bodies.yaml

loop_scene = tests/lib/chat_fixture.c tests/lib/chat_fixture.h \
  tests/lib/mock_http.c tests/lib/mock_http.h \
  tests/lib/build_config.c tests/lib/build_config.h tests/lib/loop_scene.c tests/lib/loop_scene.h
unit_tests += tests/unit/test_agent_tool_loop
tests_unit_test_agent_tool_loop_SOURCES = tests/unit/test_agent_tool_loop.c $(loop_scene)
tests_unit_test_agent_tool_loop_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_agent_tool_memory
tests_unit_test_agent_tool_memory_SOURCES = tests/unit/test_agent_tool_memory.c \
  tests/lib/build_config.c tests/lib/build_config.h $(inject)
tests_unit_test_agent_tool_memory_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_agent_tool_memory_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps)
