# SPDX-License-Identifier: MIT
"""The same agent in each language has the same conversation with its model, request for request."""
import json
import pathlib

import pytest

from host_play import answer

HERE = pathlib.Path(__file__).parent
MODEL = [
    {"content": "Let me look.", "tool_calls": [
        {"id": "call_1", "name": "price", "arguments": {"item": "tea"}},
        {"id": "call_2", "name": "price", "arguments": {"item": "milk"}}]},
    {"tool_calls": [{"id": "call_3", "name": "pay", "arguments": {}}]},
    {"tool_calls": [{"id": "call_4", "name": "price", "arguments": {"item": "bag"}}]},
    {"content": "10 euros, please."},
]
MESSAGES = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hello, what may it be?"},
    {"role": "user", "content": [{"type": "text", "text": "Tea and milk"}]},
]


def tool(definition):
    """Without what each language's schemas add: titles, and that nothing else is allowed."""
    function = definition["function"]
    schema = function["parameters"]
    return [function["name"], function["description"], sorted(schema.get("required", [])),
            {name: {"type": value["type"]} for name, value in schema["properties"].items()}]


def message(given):
    """null and nothing are the same, and so are the spaces in JSON texts that a tool has made."""
    shown = {name: value for name, value in given.items() if value not in (None, [])}
    if shown["role"] == "tool" and shown["content"].startswith("{"):
        shown["content"] = json.loads(shown["content"])
    return shown


def transcript(host, stream, model=MODEL):
    last, run = answer(host, stream, model=model, messages=MESSAGES,
                       params={"temperature": 0.2, "max_tokens": 50})
    requests = [{**body, "messages": [message(one) for one in body["messages"]],
                 "tools": [tool(one) for one in body.get("tools", [])]} for body in run.requests]
    return {
        "requests": [{name: value for name, value in body.items()
                      if value is not None and (name, value) != ("stream", False)}
                     for body in requests],
        "last": {name: last[name] for name in ("t", "output", "finish_reason", "usage")},
        "text": run.text(),
        "checks": sorted(([c["name"], c["module"], c["call_id"], c["args"]]
                          for c in run.checks), key=str),
        "done": [[d["name"], d["ok"]] for d in run.done],
    }


@pytest.mark.parametrize("stream", [False, True])
def test_python_and_javascript_say_the_same(python_host, node_host, stream):
    in_python = transcript(python_host(HERE / "python/Twin"), stream)
    in_javascript = transcript(node_host(HERE / "node/Twin"), stream)
    assert len(in_python["requests"]) == len(MODEL)
    assert in_python["last"]["output"] == "Let me look.\n\n10 euros, please."
    assert in_javascript == in_python


# As most people write a handoff: its name and its description are the SDK's.
PLAIN = """
from agents import Agent, function_tool

@function_tool
def price(item: str) -> str:
    "What an item costs."
    return f"{item}: {len(item)} euros"

till = Agent(name="Till", instructions="You are the till.", tools=[price],
             handoff_description="Takes the money.")
agent = Agent(name="Shop", instructions="You are the shop.", tools=[price], handoffs=[till])
"""


@pytest.mark.parametrize("stream", [False, True])
def test_python_and_c_say_the_same(python_host, native_host, stream):
    model = json.loads(json.dumps(MODEL).replace('"pay"', '"transfer_to_till"'))
    in_python = transcript(python_host(PLAIN), stream, model)
    in_c = transcript(native_host("Twin"), stream, model)
    assert len(in_python["requests"]) == len(MODEL)
    assert in_c == in_python
