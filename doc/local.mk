# SPDX-License-Identifier: MIT
# Installed with their folders, so that the links in them hold.
nobase_dist_doc_DATA = README.md NEWS LICENSE \
  doc/API.md doc/ARCHITECTURE.md doc/AUDIT.md doc/DROPIN-AGENTS.md doc/HACKING.md doc/TESTING.md \
  doc/OPERATIONS.md doc/PERFORMANCE.md doc/RUNNER.md doc/TOOLS.md doc/UPSTREAMS.md doc/WEBSERVERS.md
