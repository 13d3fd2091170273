# SPDX-License-Identifier: MIT
# Hosts of drop-in modules with the real SDKs, each alone: runner and gateway are played.
host_files = \
  tests/hosts/conftest.py tests/hosts/setup \
  tests/hosts/node/package.json tests/hosts/node/package-lock.json \
  tests/hosts/node/Twin/agent.mjs tests/hosts/python/Twin/agent.py tests/hosts/test_transcripts.py \
  tests/hosts/node/Scenes/agent.mjs tests/hosts/node/Scenes/helper.mjs \
  tests/hosts/python/Scenes/agent.py tests/hosts/python/Scenes/helper.py \
  tests/hosts/native/Door/agent.c tests/hosts/native/Faults/agent.c tests/hosts/native/Scenes/agent.c \
  tests/hosts/native/Twin/agent.c \
  tests/hosts/test_faults.py tests/hosts/test_install_agent_deps.py \
  tests/hosts/test_loading.py tests/hosts/test_modules.py \
  tests/hosts/test_native_faults.py tests/hosts/test_native_loading.py \
  tests/hosts/test_node_faults.py tests/hosts/test_node_loading.py \
  tests/hosts/test_node_samples.py \
  tests/hosts/test_python_faults.py tests/hosts/test_python_loading.py \
  tests/hosts/test_python_samples.py tests/hosts/test_scenarios.py

EXTRA_DIST += $(host_files) tests/cases/hosts/scenarios.yaml tests/lib/host_play.py \
  tests/lib/host_scenarios.py tests/lib/runner_peer.py

.PHONY: check-hosts
check-hosts: all
	AGW_BUILD='$(abs_top_builddir)' $(SHELL) $(top_srcdir)/tests/integration/run \
	  $(if $(PYTEST_ARGS),$(PYTEST_ARGS),$(abs_top_srcdir)/tests/hosts)
