# SPDX-License-Identifier: MIT
"""What an agent.py may import from the gateway that serves it."""


def __getattr__(name):
    # Lazy: the SDK takes a second to import, and not every agent uses it.
    if name in __all__:
        from agent_gateway import tools

        return getattr(tools, name)
    raise AttributeError(f"module 'agent_gateway' has no attribute {name!r}")


__all__ = ["call_gateway_tool", "gateway_context", "use_gateway_tool"]
