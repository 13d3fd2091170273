# SPDX-License-Identifier: MIT
libagw_a_SOURCES += \
  src/agent/catalog.c src/agent/catalog.h \
  src/agent/run_sdk.c src/agent/run_sdk.h \
  src/agent/sdk_answer.c src/agent/sdk_calls.c src/agent/sdk_error.c \
  src/agent/sdk_handover.c src/agent/sdk_listen.c src/agent/sdk_model.c src/agent/sdk_run.h \
  src/agent/sdk_start.c src/agent/sdk_tools.c src/agent/sdk_turn.c \
  src/agent/hop_usage.c src/agent/hop_usage.h \
  src/agent/run.c src/agent/run.h \
  src/agent/run_declarative.c src/agent/run_declarative.h \
  src/agent/run_declarative_body.c \
  src/agent/tool_loop.c src/agent/tool_loop.h \
  src/agent/tool_round.c src/agent/tool_round.h \
  src/agent/tool_turn.c src/agent/tool_turn.h \
  src/agent/toolbox.c src/agent/toolbox.h src/agent/toolbox_owner.c \
  src/agent/turn_call.c src/agent/turn_call.h

unit_tests += tests/unit/test_agent
tests_unit_test_agent_SOURCES = tests/unit/test_agent.c \
  tests/lib/build_config.c tests/lib/build_config.h tests/lib/yaml_cases.c tests/lib/yaml_cases.h
tests_unit_test_agent_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
EXTRA_DIST += tests/cases/agent/bodies.yaml

fine_tool = tests/lib/fine_tool.c tests/lib/fine_tool.h
loop_scene = tests/lib/chat_fixture.c tests/lib/chat_fixture.h \
  tests/lib/mock_http.c tests/lib/mock_http.h \
  tests/lib/build_config.c tests/lib/build_config.h tests/lib/loop_scene.c tests/lib/loop_scene.h \
  $(fine_tool)
unit_tests += tests/unit/test_agent_tool_loop
tests_unit_test_agent_tool_loop_SOURCES = tests/unit/test_agent_tool_loop.c $(loop_scene)
tests_unit_test_agent_tool_loop_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib

unit_tests += tests/unit/test_agent_tool_memory
tests_unit_test_agent_tool_memory_SOURCES = tests/unit/test_agent_tool_memory.c \
  tests/lib/build_config.c tests/lib/build_config.h $(fine_tool) $(inject)
tests_unit_test_agent_tool_memory_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_agent_tool_memory_LDFLAGS = $(AM_LDFLAGS) $(inject_wraps) -Wl,--wrap=chat_call

EXTRA_DIST += \
  tests/cases/tools/chained.yaml \
  tests/cases/tools/clash.yaml \
  tests/cases/tools/client-tool-result.yaml \
  tests/cases/tools/client-tool.yaml \
  tests/cases/tools/cut-off.yaml \
  tests/cases/tools/denied.yaml \
  tests/cases/tools/failing.yaml \
  tests/cases/tools/hand-over.yaml \
  tests/cases/tools/hop-limit-silent.yaml \
  tests/cases/tools/hop-limit.yaml \
  tests/cases/tools/malformed-arguments.yaml \
  tests/cases/tools/mixed.yaml \
  tests/cases/tools/no-call.yaml \
  tests/cases/tools/one-by-one.yaml \
  tests/cases/tools/parallel.yaml \
  tests/cases/tools/response-format.yaml \
  tests/cases/tools/several-choices.yaml \
  tests/cases/tools/single.yaml \
  tests/cases/tools/timing-out.yaml \
  tests/cases/tools/tool-choice-named.yaml \
  tests/cases/tools/tool-choice-none.yaml \
  tests/cases/tools/tool-choice-required.yaml \
  tests/cases/tools/unknown-function.yaml \
  tests/cases/tools/unreachable.yaml \
  tests/cases/tools/upstream-dies-later.yaml \
  tests/cases/tools/upstream-fails-later.yaml

sdk_scene = tests/lib/sdk_scene.c tests/lib/sdk_scene.h \
  tests/lib/build_config.c tests/lib/build_config.h $(fine_tool) $(inject)
sdk_scene_wraps = $(inject_wraps) -Wl,--wrap=link_open -Wl,--wrap=link_report_hang \
  -Wl,--wrap=chat_call
unit_tests += tests/unit/test_agent_sdk tests/unit/test_agent_sdk_tools
tests_unit_test_agent_sdk_SOURCES = tests/unit/test_agent_sdk.c $(sdk_scene)
tests_unit_test_agent_sdk_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_agent_sdk_LDFLAGS = $(AM_LDFLAGS) $(sdk_scene_wraps)
tests_unit_test_agent_sdk_tools_SOURCES = tests/unit/test_agent_sdk_tools.c $(sdk_scene)
tests_unit_test_agent_sdk_tools_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/lib
tests_unit_test_agent_sdk_tools_LDFLAGS = $(AM_LDFLAGS) $(sdk_scene_wraps)
