# SPDX-License-Identifier: MIT
"""What the code of modules with an SDK does that it should not, in each of their languages: it
crashes, floods, goes on after its run and wants what the gateway does not have."""
import json
import time

import pytest

import runner_peer
from host_play import answer, each, is_idle, works
from procs import wait_until

HEAD = {"python": """
import asyncio, os, sys, threading, time
from agents import Agent, Runner, SQLiteSession, function_tool
from openai import OpenAI
poet = Agent(name="Poet")
""", "node": """
import OpenAI from "openai";
import { Agent, MCPServerStdio, MemorySession, Runner, run, tool } from "@openai/agents";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
const nothing = z.object({});
export const poet = new Agent({ name: "Poet" });
"""}


@pytest.fixture
def own_host(sdk_host, language):
    """Starts hosts for the text that this language has among some, after its HEAD."""
    return lambda texts, **more: sdk_host(HEAD[language] + texts[language], **more)


# ---- crashes ----

RAISES = {"python": [
    "raise ValueError('private words')", "raise BaseException('private words')", "sys.exit(5)",
    "raise KeyboardInterrupt", "raise asyncio.CancelledError", "raise GeneratorExit",
    "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()", "return 1 / 0",
    "raise type('Odd', (Exception,), {'exceptions': None})()",
    "raise type('Odd', (Exception,), {'exceptions': ['text']})()",
    "return [await asyncio.get_running_loop().run_in_executor(None, sys.exit)]",
], "node": [
    "throw new Error('private words')", "throw 'private words'", "throw null",
    "throw undefined", "throw { name: 'private words' }", "process.exit(5)",
    "throw new DOMException('private words', 'AbortError')", "return null.private",
    "throw Object.assign(new Error('private words'), { stack: 7, status: 200 })",
    "throw Object.defineProperty({}, 'stack', { get() { throw new Error('private'); } })",
    "await Promise.any([])",
]}
# Beside the run: Node.js would end the process.
BESIDE = [
    "setTimeout(() => { throw new Error('private words'); }, 1); await sleep(1e8)",
    "queueMicrotask(() => { throw new Error('private words'); }); await sleep(1e8)",
    "setImmediate(() => process.exit(9)); await sleep(1e8)"]
WHERE = {"python": {
    "run": "class Own_N:\n    async def run(self):\n        BODY\nagent_N = Own_N()\n",
    "instructions": "async def say_N(ctx, agent):\n    BODY\n"
                    "agent_N = Agent(name='A', instructions=say_N)\n",
    "guardrail": "@input_guardrail\nasync def check_N(ctx, agent, input):\n    BODY\n"
                 "agent_N = Agent(name='A', input_guardrails=[check_N])\n",
    "hook": "class Hooks_N(AgentHooks):\n    async def on_start(self, ctx, agent):\n"
            "        BODY\nagent_N = Agent(name='A', hooks=Hooks_N())\n",
}, "node": {
    "run": "export const agent_N = { async run() { BODY } };\n",
    "instructions": "export const agent_N = new Agent({ name: 'A', instructions: "
                    "async () => { BODY } });\n",
    "guardrail": "export const agent_N = new Agent({ name: 'A', inputGuardrails: [{ name: 'g', "
                 "async execute() { BODY } }] });\n",
}}


def test_errors_everywhere(own_host, language):
    raising = [(where, code) for where in WHERE[language] for code in RAISES[language]]
    text = ""
    if language == "node":
        raising += [(where, code) for where in ("run", "instructions") for code in BESIDE]
    else:
        text = "from agents import AgentHooks, input_guardrail\n"
    for number, (where, code) in enumerate(raising):
        text += WHERE[language][where].replace("_N", f"_{number}").replace("BODY", code)
    host = own_host({language: text})
    for number, case in enumerate(raising):
        for stream in (False, True):
            try:
                last, _ = answer(host, stream, attr=f"agent_{number}",
                                 model=[{"content": "Hi", "repeat": True}])
            except TimeoutError:
                raise AssertionError(case) from None
            assert last["t"] == "run.error", (case, stream, last)
            assert last["class"] in ("internal", "user_error"), (case, stream, last)
            assert last["status"] == 500 and "private" not in json.dumps(last), (case, last)
    works(host)


# ---- floods ----

PRINTS = {"python": """
class Own:
    def run(self):
        for _ in range(200):
            print("x" * 100000)
        for _ in range(200000):
            print("short")
        sys.stdout.write("no end" * 100000)
        return "done"
agent = Own()
""", "node": """
export const agent = { run() {
  for (let i = 0; i < 200; i++) console.log("x".repeat(100000));
  for (let i = 0; i < 200000; i++) console.error("short");
  for (let i = 0; i < 100; i++) process.stdout.write("no end".repeat(1000));
  return "done";
} };
"""}


def test_endless_prints_are_cut_and_nothing_breaks(own_host):
    host = own_host(PRINTS)
    last, run = answer(host)
    assert last["output"] == "done"
    assert sum(len(message["message"]) for message in run.logs) < 8 << 20
    assert any("were dropped" in message["message"] for message in run.logs)
    works(host)


LONG_ANSWER = {
    "python": "class Own:\n    def run(self): return 'x' * (20 << 20)\nagent = Own()\n",
    "node": "export const agent = { run: () => 'x'.repeat(20 << 20) };\n",
}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_over_the_limit(own_host, stream):
    host = own_host(LONG_ANSWER)
    last, _ = answer(host, stream)
    assert last["t"] == "run.error" and last["class"] == "internal", str(last)[:500]
    assert "too long" in last["message"]
    works(host)


LONG_QUESTION = {
    "python": "agent = Agent(name='A', instructions='x' * (20 << 20))\n",
    "node": "export const agent = new Agent({ name: 'A', instructions: 'ä'.repeat(10 << 20) });\n",
}


def test_a_question_over_the_limit(own_host):
    host = own_host(LONG_QUESTION)
    last, _ = answer(host)
    assert (last["class"], last["status"], last["code"]) == ("upstream", 413, "request_too_large")
    works(host)


# ---- clients of the agent's own ----

ASKS = {"python": """
class Own:
    def run_sync(self, messages):
        return OpenAI().chat.completions.create(model="own", messages=messages)
agent = Own()
""", "node": """
export const agent = { async run({ messages }) {
  return await new OpenAI().chat.completions.create({ model: "own", messages });
} };
"""}


def test_errors_of_the_upstream_reach_own_clients_at_once(own_host):
    error = {"status": 429, "headers": {"retry-after": "30"},
             "body": {"message": "Slow down.", "type": "rate_limit_error", "code": "slow"}}
    host = own_host(ASKS)
    began = time.monotonic()
    last, run = answer(host, model=[{"error": error, "repeat": True}])
    assert (last["class"], last["status"], last["code"]) == ("upstream", 429, "slow"), last
    assert last["retry_after"] == 30
    # The gateway has retried; a client that does so too would wait for half a minute.
    assert len(run.requests) == 1 and time.monotonic() - began < 25


ASKS_LATER = {"python": """
said = []
class Own:
    def run(self, messages):
        if said:
            return said[0]
        def later():
            time.sleep(0.3)
            try:
                OpenAI().chat.completions.create(model="own", messages=messages)
            except Exception as error:
                said.append(repr(error))
        threading.Thread(target=later).start()
        return ""
agent = Own()
""", "node": """
let said = "";
export const agent = { run({ messages }) {
  if (said) return said;
  setTimeout(async () => {
    try {
      await new OpenAI({ maxRetries: 0 }).chat.completions.create({ model: "x", messages });
    } catch (error) {
      said = `${error.cause ?? error}`;
    }
  }, 300);
  return "";
} };
"""}
TOO_LATE = {"python": ("APIConnectionError", "run has ended"), "node": ("run has ended",)}


def test_code_that_outlives_its_run_can_ask_nothing(own_host, language):
    host = own_host(ASKS_LATER)
    answer(host)
    is_idle(host)
    last = wait_until(lambda: answer(host)[0]["output"], runner_peer.LONG, "answer of the code")
    assert any(text in last for text in TOO_LATE[language]), last


# ---- what the gateway refuses ----

WITH_SESSION = {"python": """
class Own:
    async def run(self, messages):
        return await Runner.run(poet, "Hi", OPTION)
agent = Own()
""", "node": """
export const agent = { run: () => run(poet, "Hi", { OPTION }) };
"""}


@pytest.mark.parametrize("language, name, value", each(
    python=[("session", "=SQLiteSession('s')"), ("conversation_id", "='c'"),
            ("previous_response_id", "='r'")],
    node=[("session", ": new MemorySession()"), ("conversationId", ": 'c'"),
          ("previousResponseId", ": 'r'")]))
def test_sessions_are_refused(own_host, language, name, value):
    host = own_host({language: WITH_SESSION[language].replace("OPTION", name + value)})
    last, _ = answer(host, model=[{"content": "Hi"}])
    assert last["class"] == "user_error" and last["status"] == 500
    assert "keeps no conversations" in last["message"] and name in last["message"]


LOOP = {"python": """
@function_tool
def more() -> str:
    "More."
    return "more"
loop = Agent(name="Loop", tools=[more])
class Own:
    async def run(self, messages):
        return await Runner.run(loop, "Hi", max_turns=1000)
agent = Own()
""", "node": """
const more = tool({ name: "more", description: "", parameters: nothing, execute: () => "more" });
const loop = new Agent({ name: "Loop", tools: [more] });
export const agent = { run: () => new Runner().run(loop, "Hi", { maxTurns: 1000 }) };
"""}


def test_runs_in_runs_are_held_to_the_limits(own_host):
    last, run = answer(own_host(LOOP), limits={"max_turns": 3},
                       model=[{"tool_calls": [{"name": "more"}], "repeat": True}])
    assert last["class"] == "max_turns" and len(run.requests) == 3


APPROVED = {"python": """
@function_tool(needs_approval=True)
def launch() -> str:
    "Launches."
    return "launched"
agent = Agent(name="A", tools=[launch])
""", "node": """
const launch = tool({ name: "launch", description: "", parameters: nothing, needsApproval: true,
  execute: () => "launched" });
export const agent = new Agent({ name: "A", tools: [launch] });
"""}
OPTION = {"python": "needs_approval", "node": "needsApproval"}


def test_a_tool_that_wants_an_approval(own_host, language):
    host = own_host(APPROVED)
    for stream in (False, True):
        last, run = answer(host, stream, model=[{"tool_calls": [{"name": "launch"}]}])
        assert (last["class"], last["status"], last["code"]) == (
            "approval", 500, "approval_required"), last
        assert "the tool launch needs an approval" in last["message"] and not run.checks
        assert f"take {OPTION[language]} away" in last["message"]


# ---- MCP servers of the agent's own ----

# A tool, read_note, that ends the server when it is asked for the note "crash".
SERVER = {"python": {"server.py": """
import os
from mcp.server.mcpserver import MCPServer
server = MCPServer("notes")

@server.tool()
def read_note(name: str) -> str:
    "Reads a note."
    if name == "crash":
        os._exit(1)
    return f"note {name}"

server.run("stdio")
"""}, "node": {"server.mjs": """
import readline from "node:readline";
const tools = [{ name: "read_note", description: "Reads.", inputSchema: { type: "object",
  properties: { name: { type: "string" } }, required: ["name"] } }];
function result({ method, params }) {
  if (method === "initialize") return { protocolVersion: params.protocolVersion,
    capabilities: { tools: {} }, serverInfo: { name: "notes", version: "1" } };
  if (method === "tools/list") return { tools };
  if (params.arguments.name === "crash") process.exit(1);
  return { content: [{ type: "text", text: `note ${params.arguments.name}` }] };
}
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.id !== undefined) console.log(JSON.stringify({ jsonrpc: "2.0", id: message.id,
    result: result(message) }));
});
"""}}
NOTED = {"python": """
from agents.mcp import MCPServerStdio
def server():
    return MCPServerStdio(name="notes", params={"command": sys.executable,
                          "args": [os.path.join(os.path.dirname(__file__), "server.py")]})
""", "node": """
const server = () => new MCPServerStdio({ name: "notes", command: process.execPath,
  args: [new URL("server.mjs", import.meta.url).pathname] });
"""}
AT_ONCE = {
    "python": "agent = Agent(name='A', mcp_servers=[server()])",
    "node": "export const agent = new Agent({ name: 'A', mcpServers: [server()] });",
}
BY_FACTORY = "def build_agent(): return Agent(name='A', mcp_servers=[server()])"
CONNECTED = ("const one = server();\nawait one.connect();\n"
             "export const agent = new Agent({ name: 'A', mcpServers: [one] });")


def noted(own_host, language, code):
    return own_host({language: NOTED[language] + code}, files=SERVER[language])


@pytest.mark.parametrize("language, code", each(
    python=[(AT_ONCE["python"],), (BY_FACTORY,)], node=[(AT_ONCE["node"],), (CONNECTED,)]))
def test_tools_of_own_mcp_servers_are_governed(own_host, language, code):
    host = noted(own_host, language, code)
    attr = "build_agent" if code == BY_FACTORY else "agent"
    model = [{"tool_calls": [{"name": "read_note", "arguments": {"name": "a"}}]},
             {"content": "Done."}]
    for _ in range(2):
        last, run = answer(host, attr=attr, model=model)
        assert last.get("output") == "Done.", (last, run.logs)
        assert [(c["name"], c["module"]) for c in run.checks] == [("read_note", "mcp:notes")]
        assert [done["ok"] for done in run.done] == [True]
        assert "note a" in json.dumps(run.requests[1]["messages"][-1])
    last, run = answer(host, attr=attr, model=model,
                       verdicts={"read_note": {"allow": False, "message": "Not for you."}})
    assert "Not for you." in json.dumps(run.requests[1]["messages"][-1])
    assert not run.done


def test_an_mcp_server_that_dies_is_started_anew(own_host, language):
    host = noted(own_host, language, AT_ONCE[language])

    def note(name):
        return answer(host, model=[
            {"tool_calls": [{"name": "read_note", "arguments": {"name": name}}]},
            {"content": "Back.", "when": {"last": f"note {name}"}},
            {"content": "Gone."}])[0].get("output")

    assert note("a") == "Back."
    note("crash")
    wait_until(lambda: note("b") == "Back.", runner_peer.LONG, "answer of the server")
