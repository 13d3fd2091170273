# SPDX-License-Identifier: MIT
"""The import path that earlier agents use; the code is in agent_gateway."""
