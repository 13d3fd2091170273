# SPDX-License-Identifier: MIT
"""What agents in JavaScript do inside the real sandbox: the sample, tools of the gateway, MCP
servers and clients of their own, processes that end, hang, flood, or look around."""
import json
import pathlib
import shutil
import tempfile
import time

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
"""
OWN = """
import OpenAI from "openai";
import { Agent, MCPServerStdio, run } from "@openai/agents";
import { useGatewayTool } from "agent_gateway";
const server = new MCPServerStdio({ name: "notes", command: process.execPath,
  args: [new URL("server.mjs", import.meta.url).pathname] });
export const noted = new Agent({ name: "Noted", mcpServers: [server] });
export const counting = new Agent({ name: "Counting", tools: [useGatewayTool("calculate")] });
export const client = { run: ({ messages }) =>
  new OpenAI().chat.completions.create({ model: "scripted", messages }) };
export const loop = { run: async ({ input }) => run(new Agent({ name: "Inner" }), input) };
"""
HOSTILE = """
import fs from "node:fs";
import net from "node:net";
import { spawnSync } from "node:child_process";

function trial(act) {
  try {
    return String(act());
  } catch (error) {
    return `refused ${error.code ?? error.message}`;
  }
}

export const abort = { run: () => process.abort() };
export const busy = { run: () => { for (;;); } };
export const flood = { run() {
  for (let i = 0; i < 100000; i++) console.log("x".repeat(1000));
  return "flooded";
} };
export const long = { run: () => "x".repeat(20 << 20) };
export const memory = { run() {
  const kept = [];
  for (;;) kept.push(Buffer.alloc(32 << 20, 1));
} };
export const heap = { run() {
  const kept = [];
  for (;;) kept.push(new Array(1 << 20).fill(kept.length));
} };
export const curious = { async run({ input }) {
  const { folder, port } = JSON.parse(input);
  const connected = await new Promise((resolve) => {
    net.connect(port, "127.0.0.1").on("connect", () => resolve("connected"))
      .on("error", (error) => resolve(`refused ${error.code}`));
  });
  const fetched = await fetch(`http://127.0.0.1:${port}/v1/models`).then(() => "fetched",
    (error) => `refused ${error.cause?.code}`);
  return {
    connected,
    fetched,
    shadow: trial(() => fs.readFileSync("/etc/shadow")),
    database: trial(() => fs.readFileSync(`${folder}/audit.db`)),
    configuration: trial(() => fs.readdirSync(folder)),
    other: trial(() => fs.readdirSync(`${folder}/agents/Poet`)),
    written: trial(() => fs.writeFileSync(new URL("agent.mjs", import.meta.url), "")),
    child: trial(() => spawnSync("/bin/cat", ["/etc/shadow"]).stdout),
    environment: Object.keys(process.env).filter((name) => /KEY|SECRET|GATEWAY/.test(name)),
  };
} };
"""


@pytest.fixture(scope="module")
def stage():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    for name, files in (("Own", {"agent.mjs": OWN, "server.mjs": SERVER}),
                        ("Hostile", {"agent.mjs": HOSTILE})):
        (directory / name).mkdir()
        for file, text in files.items():
            (directory / name / file).write_text(text)
    stage = sdk_stage.Stage(directory, {
        "Poet": env.SOURCE / "agents/Poet", "Own": directory / "Own",
        "Hostile": directory / "Hostile"}, tools={"tools": [CALCULATE]})
    try:
        stage.wait_for("default/poet", "default/own-loop", "default/hostile-curious")
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(directory)


def ask(stage, agent, script=(), text="Hello"):
    stage.upstream.play(list(script))
    answer = stage.client().chat.completions.create(
        model=agent, messages=[{"role": "user", "content": text}], timeout=sdk_stage.LONG)
    assert not stage.upstream.failures, stage.upstream.failures
    return answer.choices[0].message.content


def works(stage):
    assert ask(stage, "default/poet", [
        {"tool_calls": [{"name": "find_rhymes", "arguments": {"word": "night"}}]},
        {"content": "The light is bright.", "when": {"last": "bright"}}]) == "The light is bright."


def test_poet(stage):
    works(stage)
    assert stage.gateway.wait_event("tool.invoke", tool="find_rhymes", status="ok")


def test_an_mcp_server_of_the_agents_own(stage):
    assert ask(stage, "default/own-noted", [
        {"tool_calls": [{"name": "read_note", "arguments": {"name": "a"}}]},
        {"content": "Read.", "when": {"last": "note a"}}]) == "Read."
    assert stage.gateway.wait_event("tool.invoke", tool="read_note", status="ok")


def test_a_tool_of_the_gateway(stage):
    assert ask(stage, "default/own-counting", [
        {"tool_calls": [{"name": "calculate", "arguments": {"expression": "6 * 7"}}]},
        {"content": "42.", "when": {"last": "42"}}]) == "42."
    done = stage.gateway.wait_event("tool.invoke", tool="calculate", status="ok")
    assert done["source"] == "sdk"


@pytest.mark.parametrize("agent", ["default/own-client", "default/own-loop"])
def test_clients_and_runs_of_the_agents_own(stage, agent):
    assert ask(stage, agent, [{"content": "Fine.", "when": {"last": "Hello"}}]) == "Fine."


# Who takes all memory may be hung as well before it has it.
@pytest.mark.parametrize("agent, status", [("abort", {502}), ("memory", {500}),
                                           ("heap", {502, 504}), ("long", {500})])
def test_what_ends_a_process_or_a_run_ends_no_other(stage, agent, status):
    with pytest.raises(openai.APIStatusError) as failed:
        again(lambda: ask(stage, f"default/hostile-{agent}"))
    assert failed.value.status_code in status, failed.value
    works(stage)


def test_a_busy_loop_is_ended_and_the_module_comes_back(stage):
    began = time.monotonic()
    with pytest.raises(openai.APIStatusError) as failed:
        again(lambda: ask(stage, "default/hostile-busy"))
    assert failed.value.status_code == 504, failed.value
    assert time.monotonic() - began < 60 * env.SLOW
    works(stage)


def test_endless_output(stage):
    assert again(lambda: ask(stage, "default/hostile-flood")) == "flooded"
    works(stage)


def again(act):
    """A module whose process was just ended is started after a while."""
    end = time.monotonic() + sdk_stage.LONG
    while True:
        try:
            return act()
        except openai.APIStatusError as error:
            if error.status_code != 503 or time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_a_module_that_looks_around_sees_nothing(stage):
    seen = json.loads(again(lambda: ask(stage, "default/hostile-curious", (), json.dumps({
        "folder": str(stage.root.parent), "port": int(stage.server.url.rpartition(":")[2])}))))
    for name in ("connected", "fetched", "shadow", "database", "configuration", "other", "written"):
        assert seen[name].startswith("refused"), seen
    assert "root:" not in seen["child"]
    assert seen["environment"] == ["OPENAI_API_KEY"]
