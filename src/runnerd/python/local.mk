# SPDX-License-Identifier: MIT
# The host of Python modules: nothing to build. host.py finds the packages beside it.
pyhostdir = $(libexecdir)/agent-gateway/python
dist_pyhost_DATA = src/runnerd/python/host.py
pyhost_gatewaydir = $(pyhostdir)/agent_gateway
dist_pyhost_gateway_DATA = \
  src/runnerd/python/agent_gateway/__init__.py \
  src/runnerd/python/agent_gateway/tools.py
pyhost_hostdir = $(pyhost_gatewaydir)/host
dist_pyhost_host_DATA = \
  src/runnerd/python/agent_gateway/host/__init__.py \
  src/runnerd/python/agent_gateway/host/answer.py \
  src/runnerd/python/agent_gateway/host/calls.py \
  src/runnerd/python/agent_gateway/host/control.py \
  src/runnerd/python/agent_gateway/host/hints.py \
  src/runnerd/python/agent_gateway/host/imports.py \
  src/runnerd/python/agent_gateway/host/messages.py \
  src/runnerd/python/agent_gateway/host/module.py \
  src/runnerd/python/agent_gateway/host/outcome.py \
  src/runnerd/python/agent_gateway/host/output.py \
  src/runnerd/python/agent_gateway/host/requirements.py \
  src/runnerd/python/agent_gateway/host/run.py \
  src/runnerd/python/agent_gateway/host/sdk.py \
  src/runnerd/python/agent_gateway/host/serve.py \
  src/runnerd/python/agent_gateway/host/transport.py \
  src/runnerd/python/agent_gateway/host/wire.py
pyhost_adapterdir = $(pyhostdir)/sdk_adapter
dist_pyhost_adapter_DATA = \
  src/runnerd/python/sdk_adapter/__init__.py \
  src/runnerd/python/sdk_adapter/gateway_tools.py
