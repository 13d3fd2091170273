# SPDX-License-Identifier: MIT
"""What Python agents do inside the real sandbox: samples, tools of the gateway, MCP servers and
clients of their own, threads; and what policy makes of their tools."""
import pathlib
import shutil
import tempfile

import openai
import pytest

import env
import sdk_stage

CALCULATE = {"name": "calculate", "provider": "local", "timeout": 20,
             "command": [str(env.SOURCE / "agents/tools/calculate")],
             "description": "Works out an expression.",
             "schema": {"type": "object", "properties": {"expression": {"type": "string"}},
                        "required": ["expression"]}}

SERVER = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("notes")

@server.tool()
def read_note(name: str) -> str:
    "Reads a note."
    return f"note {name}"

server.run("stdio")
"""

NOTED = """
import os, sys
from agents import Agent
from agents.mcp import MCPServerStdio
agent = Agent(name="Noted", mcp_servers=[MCPServerStdio(name="notes", params={
    "command": sys.executable,
    "args": [os.path.join(os.path.dirname(__file__), "server.py")]})])
"""

CLIENTS = """
import threading
from openai import OpenAI
from agents import Agent, Runner

class Threaded:
    def run(self, messages):
        said = []
        def ask():
            said.append(OpenAI().chat.completions.create(model="scripted", messages=messages))
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return said[0]

class OwnLoop:
    def run_sync(self, input):
        return Runner.run_sync(Agent(name="Inner"), input)

agent = Threaded()
loop = OwnLoop()
"""


@pytest.fixture(scope="module")
def stage():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    noted = directory / "Noted"
    noted.mkdir()
    (noted / "agent.py").write_text(NOTED)
    (noted / "server.py").write_text(SERVER)
    stage = sdk_stage.Stage(directory, {
        "SampleAgent": env.SOURCE / "agents/SampleAgent",
        "labs/Planner": env.SOURCE / "agents/labs/Planner",
        "Noted": noted, "Clients": CLIENTS}, tools={"tools": [CALCULATE]},
        security={"default": {"tool_rules": [
            {"agents": ["default/sampleagent"], "deny_tools": ["add_days"]}]}})
    try:
        stage.wait_for("default/sampleagent", "travel/planner", "default/noted",
                       "default/clients-loop")
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(directory)


def ask(stage, agent, script, text="Hello"):
    stage.upstream.play(script)
    answer = stage.client().chat.completions.create(
        model=agent, messages=[{"role": "user", "content": text}])
    assert not stage.upstream.failures, stage.upstream.failures
    return answer.choices[0].message.content


def test_a_tool_that_policy_forbids_is_not_shown(stage):
    assert ask(stage, "default/sampleagent", [
        {"tool_calls": [{"name": "days_between", "arguments": {
            "start": "2026-04-05", "end": "2026-12-25"}}]},
        {"content": "264 days.", "when": {"last": "264 days"}}]) == "264 days."
    offered = [tool["function"]["name"] for tool in stage.upstream.requests[0]["tools"]]
    assert offered == ["days_between"]
    # Nor does it run for a model that makes it up.
    assert ask(stage, "default/sampleagent", [
        {"tool_calls": [{"name": "add_days", "arguments": {"start": "2026-01-01", "days": 1}}]},
        {"content": "No.", "when": {"last": "not allowed"}}]) == "No."
    assert [e["status"] for e in stage.gateway.events("tool.invoke", tool="add_days")] == [
        "denied"]


def test_planner_with_a_tool_of_the_gateway(stage):
    assert ask(stage, "travel/planner", [
        {"tool_calls": [{"name": "look_up_place", "arguments": {"name": "Rome"}}]},
        {"tool_calls": [{"name": "transfer_to_budget"}], "when": {"last": "130 euros"}},
        {"tool_calls": [{"name": "calculate", "arguments": {"expression": "3 * 130"}}]},
        {"content": "390 euros.", "when": {"last": "390"}}], "Three days in Rome") == "390 euros."
    done = stage.gateway.wait_event("tool.invoke", tool="calculate", status="ok")
    assert done["agent"] == "travel/planner" and done["source"] == "sdk"
    with pytest.raises(openai.BadRequestError) as refused:
        ask(stage, "travel/planner", [{"content": "Sure.", "repeat": True}], "Please book it")
    assert refused.value.code == "content_filter"


def test_an_mcp_server_of_the_agents_own(stage):
    assert ask(stage, "default/noted", [
        {"tool_calls": [{"name": "read_note", "arguments": {"name": "a"}}]},
        {"content": "Read.", "when": {"last": "note a"}}]) == "Read."
    assert stage.gateway.wait_event("tool.invoke", tool="read_note", status="ok")


@pytest.mark.parametrize("agent", ["default/clients", "default/clients-loop"])
def test_clients_and_loops_of_the_agents_own(stage, agent):
    assert ask(stage, agent, [{"content": "Fine.", "when": {"last": "Hello"}}]) == "Fine."
