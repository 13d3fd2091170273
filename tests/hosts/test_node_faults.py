# SPDX-License-Identifier: MIT
"""What agents in JavaScript alone do: to their process, to who waits for them, with clients."""
import json
import re
import time

import pytest

import env
import runner_peer
from host_play import answer, is_idle, works
from mcp_servers import NODE

OWN = """
import OpenAI from "openai";
import { Agent, Runner, run, tool } from "@openai/agents";
import { useGatewayTool, callGatewayTool, gatewayContext } from "agent_gateway";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
const nothing = z.object({});
export const poet = new Agent({ name: "Poet" });
"""


def with_tool(code):
    return OWN + f"""
const own = tool({{ name: "own", description: "", parameters: nothing,
  async execute(args, context, details) {{ {code} }} }});
export const agent = new Agent({{ name: "A", tools: [own] }});
"""


USES_TOOL = [{"tool_calls": [{"name": "own"}]}, {"content": "Done."}]


# ---- the client leaves ----

def test_tools_are_told_with_a_signal(node_host):
    host = node_host(with_tool("""
  console.log("started");
  await new Promise((resolve) => details.signal.addEventListener("abort", resolve));
  console.log("aborted");
"""))
    run = runner_peer.Run(host, {"model": USES_TOOL})
    run.begin()
    run.until(lambda: "started" in str(run.logs))
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    run.go_on()
    run.close()
    while "aborted" not in host.expect("log")["message"]:
        pass


# ---- hangs and crashes ----

def test_waiting_does_not_stop_the_heartbeat(node_host):
    host = node_host(with_tool("await sleep(2000); return 'ok';"))
    run = runner_peer.Run(host, {"model": USES_TOOL})
    run.begin()
    run.until(lambda: run.checks)
    run.beats = 0
    run.until(lambda: run.done)
    assert run.beats >= 4
    assert run.go_on()["output"] == "Done."
    run.close()


@pytest.mark.parametrize("code", ["process.kill(process.pid, 'SIGKILL')", "process.abort()"])
def test_a_module_that_ends_its_process(node_host, code):
    host = node_host(with_tool(code))
    with pytest.raises(runner_peer.Gone):
        answer(host, model=USES_TOOL)
    assert host.process.wait(30) < 0


def test_a_hook_that_fails(node_host):
    host = node_host(OWN + """
export const agent = new Agent({ name: "A" });
agent.on("agent_start", () => { throw new Error("private words"); });
""")
    for stream in (False, True):
        last, _ = answer(host, stream, model=[{"content": "Hi", "repeat": True}])
        assert last["t"] == "run.error" and "private" not in json.dumps(last)
    works(host)


def test_what_nobody_handles_ends_no_other_run(node_host):
    host = node_host(OWN + """
Promise.reject(new Error("early"));
setTimeout(() => { throw new Error("later"); }, 50);
export const agent = { run() { Promise.reject(new Error("beside")); return "ok"; } };
""")
    last, run = answer(host)
    assert last["output"] == "ok"
    works(host)
    seen = " ".join(message["message"] for message in host.logs)
    while not all(word in seen for word in ("early", "later")):
        seen += host.expect("log")["message"]


@pytest.mark.parametrize("code", ["process.exit(3)", "process.exitCode = 3; return 'x'",
                                  "process.send?.({ cmd: 'NODE_x' });"])
def test_what_would_end_the_process_ends_nothing(node_host, code):
    host = node_host(with_tool(code))
    for _ in range(3):
        assert answer(host, model=USES_TOOL)[0]["output"] == "Done."


# ---- floods ----

def test_who_does_not_read_is_waited_for(node_host):
    host = node_host(OWN + """
export const agent = { async *run() { for (;;) yield "x".repeat(1 << 20); } };
""")
    before = host.ping()["rss"]
    run = runner_peer.Run(host, {}, True)
    run.begin()
    run.until(lambda: run.deltas)
    seen = []
    end = time.monotonic() + 2
    while time.monotonic() < end:
        seen.append(host.ping()["rss"] - before)
        time.sleep(0.1)
    assert max(seen) < 200 << 20, seen
    run.close()
    is_idle(host)
    works(host)


@pytest.mark.parametrize("text", [
    "\\0", "\\ud800", "\\\\u0000 \\\\\\0", "ends\\ud83d", "\\u0001\\x7f"])
def test_what_json_lines_cannot_say_is_replaced(node_host, text):
    host = node_host(OWN + f"export const agent = {{ run: () => '{text}' }};\n")
    for stream in (False, True):
        last, run = answer(host, stream)
        said = text.encode().decode("unicode_escape")
        assert last["output"] == re.sub("[\\0\\ud800-\\udfff]", "\ufffd", said)
        assert not stream or run.text() == last["output"]


# ---- many ----

def test_memory_does_not_grow_with_runs(node_host):
    """What is in use once the collector has been made to work: it works when it wants to, so the
    size of the process says little."""
    host = node_host(with_tool("return 'ok';") + """
import v8 from "node:v8";
import vm from "node:vm";
v8.setFlagsFromString("--expose-gc");
const collect = vm.runInNewContext("gc");
export const heap = { run() { collect(); collect();
  const { heapUsed, external } = process.memoryUsage(); return String(heapUsed + external); } };
""")

    def in_use_after(count):
        for _ in range(count):
            assert answer(host, model=USES_TOOL)[0]["output"] == "Done."
        return int(answer(host, attr="heap", model=[])[0]["output"])

    before = in_use_after(500)
    grown = in_use_after(500) - before
    assert grown < 500 * 1500, grown  # what stays of a run that nobody forgets is 4 KB


# ---- clients of the agent's own ----

ASK = "await new OpenAI(OPTIONS).chat.completions.create({ model: 'own', messages, MORE })"
CLIENTS = {
    "Plain": (f"async run({{ messages }}) {{ return {ASK}; }}", "Fine."),
    "Streamed": (f"async *run({{ messages }}) {{ for await (const chunk of {ASK}) "
                 "yield chunk.choices[0]?.delta.content ?? ''; }".replace("MORE", "stream: true"),
                 "Fine."),
    "Nested": ("async run({ input }) { return run(poet, input); }", "Fine."),
    "Raw": ("""async run({ messages }) {
      const reply = await fetch(new Request(`${process.env.OPENAI_BASE_URL}/chat/completions`,
        { method: "POST", body: JSON.stringify({ messages }) }));
      return (await reply.json()).choices[0].message.content + " " + reply.status; }""",
            "Fine. 200"),
    "Url": ("""async run({ messages }) {
      const url = new URL(`${process.env.OPENAI_BASE_URL}/chat/completions`);
      const reply = await fetch(url, { method: "post", body: Buffer.from(JSON.stringify(
        { messages })) });
      return (await reply.json()).choices[0].message.content; }""", "Fine."),
    "Elsewhere": ("async run() { try { await new OpenAI().models.list(); } catch (error) { "
                  "return `${error.status}`; } }", "404"),
    "Junk": ("""async run() {
      const reply = await fetch(`${process.env.OPENAI_BASE_URL}/chat/completions`,
        { method: "POST", body: "[1]" });
      return `${reply.status}`; }""", "400"),
    "Patient": (f"async run({{ messages }}) {{ try {{ {ASK}; }} catch (error) {{ "
                "return error.constructor.name; } }".replace(
                    "OPTIONS", "{ timeout: 300, maxRetries: 0 }"), "APIConnectionTimeoutError"),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_clients_that_agents_build_themselves(node_host, name):
    code, output = CLIENTS[name]
    code = code.replace("OPTIONS", "").replace("MORE", "")
    host = node_host(f"{OWN}\nexport const agent = {{ {code} }};\n")
    model = [{"silent": True}] if name == "Patient" else [{"content": "Fine."}]
    for stream in (False, True):
        last, run = answer(host, stream, model=model)
        assert last.get("output") == output, (last, run.logs)
        assert bool(run.cancelled) == (name == "Patient")


# ---- what the gateway refuses ----

def test_the_model_is_the_gateways(node_host):
    host = node_host(OWN + """
const runner = new Runner({ model: "of-the-runner" });
const other = new Agent({ name: "Other", model: "gpt-4o" });
const ask = tool({ name: "own", description: "", parameters: nothing,
  async execute() { await run(other, "x"); await runner.run(poet, "y"); return "ok"; } });
export const agent = new Agent({ name: "A", model: "gpt-5", tools: [ask,
  other.asTool({ toolName: "other", toolDescription: "" })] });
""")
    last, run = answer(host, run_model="chosen", model_given=True, model=[
        {"tool_calls": [{"name": "own"}]}, {"content": "1"}, {"content": "2"},
        {"tool_calls": [{"name": "other", "arguments": {"input": "z"}}]}, {"content": "3"},
        {"content": "Done."}])
    assert last["output"] == "Done.", last
    assert [body["model"] for body in run.requests] == [
        "chosen", "chosen", "of-the-runner", "chosen", "chosen", "chosen"]


def test_a_failing_agent_in_a_tool_is_a_failing_tool(node_host):
    host = node_host(OWN + """
const inner = new Agent({ name: "Inner", instructions: () => { throw new Error("inner words"); } });
export const agent = new Agent({ name: "A", tools: [
  inner.asTool({ toolName: "inner", toolDescription: "" })] });
""")
    last, run = answer(host, model=[
        {"tool_calls": [{"name": "inner", "arguments": {"input": "x"}}]}, {"content": "Done."}])
    assert last["output"] == "Done."
    assert [(done["name"], done["ok"]) for done in run.done] == [("inner", False)]
    assert any("inner words" in message["message"] for message in run.logs)


def test_tools_of_the_gateway_without_the_sdk(node_host):
    host = node_host("""
import { callGatewayTool, gatewayContext } from "agent_gateway";
export const agent = { async run() {
  const text = await callGatewayTool("files.read", { path: "a" });
  return `${text} for ${gatewayContext().user}`;
} };
""")
    last, run = answer(host, results={"files.read": {"ok": True, "content": "words"}})
    assert last["output"] == "words for alice"
    assert run.calls[0]["args"] == {"path": "a"}
    last, run = answer(host, results={"files.read": {"ok": False, "error": "not yours"}})
    assert last["class"] == "internal" and "not yours" in json.dumps(run.logs)


# ---- the runner ----

def test_a_node_that_is_too_old(directory):
    path = directory / "agent.mjs"
    path.write_text("export const agent = { run() {} };\n")
    old = directory / "old.mjs"
    old.write_text("import module from 'node:module';\nmodule.registerHooks = undefined;\n")
    script = env.SOURCE / "src/runnerd/node/host.mjs"
    with runner_peer.NodeHost([NODE, "--import", old, script], directory) as host:
        catalog = host.start(path)
    assert catalog["exports"] == []
    assert catalog["diagnostics"][0]["kind"] == "dependency"
    assert "22.15 or newer" in catalog["diagnostics"][0]["message"]
