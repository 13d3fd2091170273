# SPDX-License-Identifier: MIT
"""sdk_adapter.gateway_tools.use_gateway_tool is agent_gateway.use_gateway_tool."""
from agent_gateway.tools import call_gateway_tool, use_gateway_tool

__all__ = ["call_gateway_tool", "use_gateway_tool"]
