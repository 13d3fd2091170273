# SPDX-License-Identifier: MIT
# The host of modules in JavaScript: nothing to build.
nodehostdir = $(libexecdir)/agent-gateway/node
dist_nodehost_DATA = \
  src/runnerd/node/agent_gateway.mjs \
  src/runnerd/node/answer.mjs \
  src/runnerd/node/calls.mjs \
  src/runnerd/node/hints.mjs \
  src/runnerd/node/hooks.mjs \
  src/runnerd/node/host.mjs \
  src/runnerd/node/messages.mjs \
  src/runnerd/node/module.mjs \
  src/runnerd/node/outcome.mjs \
  src/runnerd/node/output.mjs \
  src/runnerd/node/packages.mjs \
  src/runnerd/node/run.mjs \
  src/runnerd/node/sdk.mjs \
  src/runnerd/node/serve.mjs \
  src/runnerd/node/transport.mjs \
  src/runnerd/node/wire.mjs
