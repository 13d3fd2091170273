# SPDX-License-Identifier: MIT
"""What agents in Python and JavaScript do inside the real sandbox: samples, tools of the gateway,
MCP servers, clients, loops and threads of their own; and what policy makes of their tools."""
import openai
import pytest

import env
import sdk_stage

pytestmark = pytest.mark.xdist_group("sdk_inside")  # they share the stage
PYTHON = {"server.py": """
from mcp.server.mcpserver import MCPServer
server = MCPServer("notes")

@server.tool()
def read_note(name: str) -> str:
    "Reads a note."
    return f"note {name}"

server.run("stdio")
""", "agent.py": """
import os, sys, threading
from openai import OpenAI
from agents import Agent, Runner
from agents.mcp import MCPServerStdio
from agent_gateway import use_gateway_tool

noted = Agent(name="Noted", mcp_servers=[MCPServerStdio(name="notes", params={
    "command": sys.executable,
    "args": [os.path.join(os.path.dirname(__file__), "server.py")]})])
unnoted = noted.clone(name="Unnoted")
counting = Agent(name="Counting", tools=[use_gateway_tool("calculate")])

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

client, loop = Threaded(), OwnLoop()
"""}
NODE = {"server.mjs": """
import readline from "node:readline";
function result({ method, params }) {
  if (method === "initialize") return { protocolVersion: params.protocolVersion,
    capabilities: { tools: {} }, serverInfo: { name: "notes", version: "1" } };
  if (method === "tools/list") return { tools: [{ name: "read_note", description: "Reads.",
    inputSchema: { type: "object", properties: { name: { type: "string" } } } }] };
  return { content: [{ type: "text", text: `note ${params.arguments.name}` }] };
}
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.id !== undefined) console.log(JSON.stringify({ jsonrpc: "2.0", id: message.id,
    result: result(message) }));
});
""", "agent.mjs": """
import OpenAI from "openai";
import { Agent, MCPServerStdio, run } from "@openai/agents";
import { useGatewayTool } from "agent_gateway";
const server = new MCPServerStdio({ name: "notes", command: process.execPath,
  args: [new URL("server.mjs", import.meta.url).pathname] });
export const noted = new Agent({ name: "Noted", mcpServers: [server] });
export const unnoted = noted.clone({ name: "Unnoted" });
export const counting = new Agent({ name: "Counting", tools: [useGatewayTool("calculate")] });
export const client = { run: ({ messages }) =>
  new OpenAI().chat.completions.create({ model: "scripted", messages }) };
export const loop = { run: async ({ input }) => run(new Agent({ name: "Inner" }), input) };
"""}


@pytest.fixture(scope="module")
def stage():
    with sdk_stage.staged({
            "SampleAgent": env.SOURCE / "agents/SampleAgent", "Poet": env.SOURCE / "agents/Poet",
            "labs/Planner": env.SOURCE / "agents/labs/Planner", "Python": PYTHON, "Node": NODE},
            ["default/sampleagent", "travel/planner", "default/poet", "default/python-loop",
             "default/node-loop"],
            tools={"tools": [sdk_stage.CALCULATE]},
            security={"default": {"tool_rules": [
                {"agents": ["default/sampleagent"], "deny_tools": ["add_days"]},
                {"agents": ["default/*-unnoted"], "deny_tools": ["read_note"]}]}}) as one:
        yield one


@pytest.fixture(params=["python", "node"])
def lang(request):
    return request.param


def ask(stage, agent, script, text="Hello", stream=False):
    stage.upstream.play(script)
    answer = stage.client().chat.completions.create(
        model=agent, messages=[{"role": "user", "content": text}], stream=stream,
        timeout=sdk_stage.LONG)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in answer) if stream else \
        answer.choices[0].message.content
    assert not stage.upstream.failures, stage.upstream.failures
    return text


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
    done = stage.gateway.wait_event("tool.invoke", tool="calculate", agent="travel/planner")
    assert done["status"] == "ok" and done["source"] == "sdk"
    with pytest.raises(openai.BadRequestError) as refused:
        ask(stage, "travel/planner", [{"content": "Sure.", "repeat": True}], "Please book it")
    assert refused.value.code == "content_filter"


def test_poet(stage):
    assert ask(stage, "default/poet", [
        {"tool_calls": [{"name": "find_rhymes", "arguments": {"word": "night"}}]},
        {"content": "The light is bright.", "when": {"last": "bright"}}]) == "The light is bright."
    assert stage.gateway.wait_event("tool.invoke", tool="find_rhymes", status="ok")


@pytest.mark.parametrize("attr, status, told", [("noted", "ok", "note a"),
                                                ("unnoted", "denied", "not allowed")])
def test_an_mcp_server_of_the_agents_own(stage, lang, attr, status, told):
    """What it offers is governed as all tools are."""
    agent = f"default/{lang}-{attr}"
    assert ask(stage, agent, [
        {"tool_calls": [{"name": "read_note", "arguments": {"name": "a"}}]},
        {"content": "Read.", "when": {"last": told}}], stream=True) == "Read."
    assert stage.gateway.wait_event("tool.invoke", tool="read_note", agent=agent)["status"] == \
        status
    assert bool(stage.upstream.requests[0].get("tools")) == (status == "ok")


def test_a_tool_of_the_gateway(stage, lang):
    agent = f"default/{lang}-counting"
    assert ask(stage, agent, [
        {"tool_calls": [{"name": "calculate", "arguments": {"expression": "6 * 7"}}]},
        {"content": "42.", "when": {"last": "42"}}]) == "42."
    done = stage.gateway.wait_event("tool.invoke", tool="calculate", agent=agent)
    assert done["status"] == "ok" and done["source"] == "sdk"


@pytest.mark.parametrize("attr", ["client", "loop"])
def test_clients_and_loops_of_the_agents_own(stage, lang, attr):
    assert ask(stage, f"default/{lang}-{attr}", [
        {"content": "Fine.", "when": {"last": "Hello"}}]) == "Fine."
