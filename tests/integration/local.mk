# SPDX-License-Identifier: MIT
# End-to-end tests with real clients and real web servers. `make check` runs them beside the
# unit tests; AGW_CHECK=unit leaves them out.
integration_files = \
  tests/integration/conftest.py tests/integration/pytest.ini \
  tests/integration/requirements.txt tests/integration/run tests/integration/setup \
  tests/integration/setup-suite \
  tests/integration/test_agree.py \
  tests/integration/test_agwctl.py \
  tests/integration/test_agwctl_access.py \
  tests/integration/test_agwctl_audit.py \
  tests/integration/test_agwctl_config.py \
  tests/integration/test_agwctl_db.py \
  tests/integration/test_agwctl_doctor.py \
  tests/integration/test_agwctl_explain.py \
  tests/integration/test_agwctl_nightly.py \
  tests/integration/test_agwctl_replay.py \
  tests/integration/test_agwctl_override.py \
  tests/integration/test_agwctl_tools.py \
  tests/integration/test_agwctl_usage.py \
  tests/integration/test_audit_unavailable.py \
  tests/integration/test_budget.py \
  tests/integration/test_frameworks.py \
  tests/integration/test_hardening.py \
  tests/integration/test_hostile_requests.py \
  tests/integration/test_http_tools.py \
  tests/integration/test_invariant.py \
  tests/integration/test_json_schema.py \
  tests/integration/test_keys.py \
  tests/integration/test_agwctl_key.py \
  tests/integration/test_limited_overrides.py \
  tests/integration/test_local_tools.py \
  tests/integration/test_mcp_conformance.py \
  tests/integration/test_mcp_everything.py \
  tests/integration/test_mcp_fixtures.py \
  tests/integration/test_mcp_hostile.py \
  tests/integration/test_mcp_kills.py \
  tests/integration/test_mcp_modern.py \
  tests/integration/test_mcp_stdio.py \
  tests/integration/test_metrics.py \
  tests/integration/test_mock.py \
  tests/integration/test_openai_clients.py \
  tests/integration/test_operations_guide.py tests/guide/room tests/guide/systemctl \
  tests/integration/test_processes.py \
  tests/integration/test_procs.py \
  tests/integration/test_rate_limit.py \
  tests/integration/test_reload.py \
  tests/integration/test_runner.py tests/integration/test_runner_attacks.py \
  tests/integration/test_runner_autostart.py \
  tests/integration/test_runner_generations.py \
  tests/integration/test_runner_news.py tests/integration/test_runner_packages.py \
  tests/integration/test_sdk_client_tools.py \
  tests/integration/test_sdk_attacks.py \
  tests/integration/test_sdk_crashes.py tests/integration/test_sdk_drain.py \
  tests/integration/test_sdk_escape.py \
  tests/integration/test_sdk_hostile.py tests/integration/test_sdk_inside.py \
  tests/integration/test_sdk_life.py tests/integration/test_sdk_same.py \
  tests/integration/test_sdk_scenarios.py \
  tests/integration/test_runbook.py \
  tests/integration/test_sandbox.py \
  tests/integration/test_shadow.py \
  tests/integration/test_slow_bodies.py \
  tests/integration/test_sqlite_shell.py \
  tests/integration/test_streams.py \
  tests/integration/test_surface.py \
  tests/integration/test_tool_addresses.py \
  tests/integration/test_tool_loop.py \
  tests/integration/test_tools_surface.py \
  tests/integration/test_upstream_faults.py

integration_lib = \
  tests/lib/activate.py tests/lib/agwctl.py tests/lib/clients.py tests/lib/env.py \
  tests/lib/escapes.c tests/lib/escapes.mjs tests/lib/escapes.py tests/lib/without.py \
  tests/lib/fixtures.py tests/lib/gateway.py tests/lib/guide.py tests/lib/mcp_mock.py \
  tests/lib/mcp_scene.py tests/lib/mcp_servers.py tests/lib/mock.py \
  tests/lib/fake_hosts/node/host.mjs tests/lib/fake_hosts/python/host.py tests/lib/runner.py \
  tests/lib/mock_upstream.py tests/lib/procs.py tests/lib/routes.py tests/lib/scripted_upstream.py \
  tests/lib/fake_runner.py tests/lib/sdk_stage.py tests/lib/strict.py tests/lib/tool_server.py \
  tests/lib/trail.py tests/lib/webserver.py tests/lib/wire.py tests/lib/world.py tests/lib/node/client.mjs tests/lib/node/frameworks.mjs \
  tests/lib/node/package.json tests/lib/node/package-lock.json

mcp_files = \
  tests/mcp/client.mjs tests/mcp/everything.mjs tests/mcp/modern.mjs tests/mcp/package.json \
  tests/mcp/package-lock.json tests/mcp/setup

integration_programs = tests/lib/schema_suite
check_PROGRAMS += $(integration_programs)
tests_lib_schema_suite_SOURCES = tests/lib/schema_suite.c

EXTRA_DIST += $(integration_files) $(integration_lib) $(mcp_files) \
  contrib/apache/agent-gateway.conf contrib/lighttpd/agent-gateway.conf \
  contrib/nginx/agent-gateway.conf

# Random policies, as many as it takes; `make check` is content with 2,000 cases.
.PHONY: check-agree
check-agree: all $(integration_programs)
	AGW_AGREE_CASES=$${AGW_AGREE_CASES:-100000} AGW_BUILD='$(abs_top_builddir)' \
	  $(SHELL) $(top_srcdir)/tests/integration/run -n0 -s tests/integration/test_agree.py

.PHONY: check-integration distclean-integration
check-integration: all $(integration_programs)
	AGW_BUILD='$(abs_top_builddir)' $(SHELL) $(top_srcdir)/tests/integration/run $(PYTEST_ARGS)

# The packages of the test clients, see tests/integration/run.
distclean-local: distclean-integration
distclean-integration:
	rm -rf test-env
