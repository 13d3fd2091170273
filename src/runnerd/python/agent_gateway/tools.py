# SPDX-License-Identifier: MIT
"""Tools of the gateway for agents: use_gateway_tool() for the SDK, call_gateway_tool() for others."""
import json

from agent_gateway.host.calls import current_run

GATEWAY_TOOL = "_agent_gateway_tool"


def _run():
    run = current_run.get()
    if run is None:
        raise RuntimeError("gateway tools can be called while the agent answers a request")
    return run


def gateway_context():
    """What the gateway says of the request at hand: request_id, key_id, agent, user, metadata."""
    return _run().context


async def call_gateway_tool(name, /, **arguments):
    """Calls a tool of tools.yaml by its name and returns its result; RuntimeError says why not."""
    return await _call(_run(), name, None, arguments)


async def _call(run, name, call_id, arguments):
    answer = await run.ask_once({"t": "tool.call", "name": name, "call_id": call_id,
                                 "args": arguments})
    if not answer.get("ok"):
        raise RuntimeError(str(answer.get("error") or answer.get("content") or "the tool failed"))
    content = answer.get("content")
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def function_name(name):
    """As models see the tools of the gateway: letters, digits, `_` and `-`."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)[:64]


def use_gateway_tool(name, *, name_override=None, description=None):
    """A tool for Agent(tools=[...]) that the gateway runs: an entry of its tools.yaml.

    Description and parameters are the gateway's. Where policy does not allow the tool to who
    asks, the model is not told of it.
    """
    from agents import FunctionTool

    if not isinstance(name, str) or not name:
        raise ValueError("use_gateway_tool() wants the name of a tool of the gateway")

    async def invoke(ctx, arguments):
        try:
            parsed = json.loads(arguments or "{}")
        except ValueError:
            parsed = arguments
        try:
            return await _call(_run(), name, getattr(ctx, "tool_call_id", None), parsed)
        except RuntimeError as error:
            return str(error)

    tool = FunctionTool(name=name_override or function_name(name), description=description or "",
                        params_json_schema={"type": "object", "properties": {}},
                        on_invoke_tool=invoke, strict_json_schema=False)
    setattr(tool, GATEWAY_TOOL, (name, description))
    return tool
