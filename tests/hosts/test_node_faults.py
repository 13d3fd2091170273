# SPDX-License-Identifier: MIT
"""Runs that are cancelled, hang, crash, flood and lie: the Node.js host and other runs live on."""
import concurrent.futures
import json
import re
import time

import pytest

import env
import runner_peer
from host_play import answer, is_idle, works
from mcp_servers import NODE
from procs import wait_until

OWN = """
import OpenAI from "openai";
import { Agent, MCPServerStdio, Runner, run, tool } from "@openai/agents";
import { useGatewayTool, callGatewayTool, gatewayContext } from "agent_gateway";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
const nothing = z.object({});
export const poet = new Agent({ name: "Poet" });
"""


def with_tool(code, options=""):
    return OWN + f"""
const own = tool({{ name: "own", description: "", parameters: nothing, {options}
  async execute(args, context, details) {{ {code} }} }});
export const agent = new Agent({{ name: "A", tools: [own] }});
"""


USES_TOOL = [{"tool_calls": [{"name": "own"}]}, {"content": "Done."}]


# ---- the client leaves ----

@pytest.mark.parametrize("stream", [False, True])
def test_cancelling_ends_run_and_model_call(node_scenes, stream):
    reply = {"content": "Roses are red.", "hang_after": 3} if stream else {"silent": True}
    run = runner_peer.Run(node_scenes, {"attr": "poet", "model": [reply]}, stream)
    run.begin()
    run.until(lambda: run.requests and (run.deltas or not stream))
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    last = run.go_on()
    assert (last["t"], last["class"], last["status"]) == ("run.error", "cancelled", 499), last
    with pytest.raises(runner_peer.Gone):
        run.until(lambda: len(run.cancelled) > 1)
    assert len(run.cancelled) == 1
    run.close()
    is_idle(node_scenes)
    works(node_scenes)


@pytest.mark.parametrize("stream", [False, True])
def test_closing_the_connection_is_cancelling(node_scenes, stream):
    reply = {"content": "Roses are red.", "hang_after": 3} if stream else {"silent": True}
    run = runner_peer.Run(node_scenes, {"attr": "poet", "model": [reply]}, stream)
    run.begin()
    run.until(lambda: run.requests)
    run.close()
    is_idle(node_scenes)
    works(node_scenes)


def test_a_tool_that_does_not_want_to_be_cancelled_is_not_waited_for(node_scenes):
    run = runner_peer.Run(node_scenes, {"attr": "blocking", "model": [
        {"tool_calls": [{"name": "stubborn"}]}]})
    run.begin()
    run.until(lambda: run.checks)
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    assert run.go_on(20)["class"] == "cancelled"
    run.close()
    is_idle(node_scenes)


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


def test_the_deadline_ends_a_run(node_scenes):
    run = runner_peer.Run(node_scenes, {"attr": "poet", "model": [{"silent": True}]},
                          deadline_ms=300)
    last = run.play()
    assert (last["class"], last["status"], last["code"]) == ("cancelled", 504, "timeout")
    run.close()


def test_a_connection_that_is_closed_unused(node_scenes):
    for _ in range(20):
        node_scenes.open().close()
    is_idle(node_scenes)
    works(node_scenes)


# ---- hangs and crashes ----

def test_a_busy_loop_stops_the_heartbeat(node_scenes):
    run = runner_peer.Run(node_scenes, {"attr": "blocking", "model": [
        {"tool_calls": [{"name": "blocks", "arguments": {"seconds": 2}}]}, {"content": "Ok."}]})
    times = []
    run.before["hb"] = lambda _: times.append(time.monotonic())
    run.begin()
    run.until(lambda: run.checks)
    start = time.monotonic()
    run.until(lambda: run.done)
    assert not [at for at in times if 0.5 < at - start < 1.9], times
    assert run.go_on()["output"] == "Ok."
    run.close()


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


RAISES = ["throw new Error('private words')", "throw 'private words'", "throw null",
          "throw undefined", "throw { name: 'private words' }", "process.exit(5)",
          "throw new DOMException('private words', 'AbortError')", "return null.private",
          "throw Object.assign(new Error('private words'), { stack: 7, status: 200 })",
          "throw Object.defineProperty({}, 'stack', { get() { throw new Error('private'); } })",
          "await Promise.any([])"]
# Beside the run: Node.js would end the process.
BESIDE = ["setTimeout(() => { throw new Error('private words'); }, 1); await sleep(1e8)",
          "queueMicrotask(() => { throw new Error('private words'); }); await sleep(1e8)",
          "setImmediate(() => process.exit(9)); await sleep(1e8)"]
WHERE = {
    "run": "export const agent_N = { async run() { BODY } };\n",
    "instructions": "export const agent_N = new Agent({ name: 'A', instructions: "
                    "async () => { BODY } });\n",
    "guardrail": "export const agent_N = new Agent({ name: 'A', inputGuardrails: [{ name: 'g', "
                 "async execute() { BODY } }] });\n",
}
RAISING = [(where, code) for where in WHERE for code in RAISES] + \
    [(where, code) for where in ("run", "instructions") for code in BESIDE]


def test_errors_everywhere(node_host):
    text = OWN
    for number, (where, code) in enumerate(RAISING):
        text += WHERE[where].replace("_N", f"_{number}").replace("BODY", code)
    host = node_host(text)
    for number, case in enumerate(RAISING):
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

def test_endless_prints_are_cut_and_nothing_breaks(node_host):
    host = node_host(OWN + """
export const agent = { run() {
  for (let i = 0; i < 200; i++) console.log("x".repeat(100000));
  for (let i = 0; i < 200000; i++) console.error("short");
  for (let i = 0; i < 100; i++) process.stdout.write("no end".repeat(1000));
  return "done";
} };
""")
    last, run = answer(host)
    assert last["output"] == "done"
    assert sum(len(message["message"]) for message in run.logs) < 8 << 20
    assert any("were dropped" in message["message"] for message in run.logs)
    works(host)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_over_the_limit(node_host, stream):
    host = node_host(OWN + "export const agent = { run: () => 'x'.repeat(20 << 20) };\n")
    last, run = answer(host, stream)
    assert last["t"] == "run.error" and last["class"] == "internal", str(last)[:500]
    assert "too long" in last["message"]
    works(host)


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


def test_a_question_over_the_limit(node_host):
    host = node_host(OWN + "export const agent = new Agent({ name: 'A', "
                           "instructions: 'ä'.repeat(10 << 20) });\n")
    last, _ = answer(host)
    assert (last["class"], last["status"], last["code"]) == ("upstream", 413, "request_too_large")
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


@pytest.mark.parametrize("junk", [b"no json\n", b"[1]\n", b"\xff\xfe\n", b"{" * 100000 + b"\n",
                                  b"x" * (17 << 20)])
def test_what_is_not_the_wire_ends_the_run_alone(node_scenes, junk):
    run = runner_peer.Run(node_scenes, {"attr": "poet", "model": [{"silent": True}]})
    run.begin()
    run.until(lambda: run.requests)
    try:
        run.lines.sock.sendall(junk)
    except ConnectionError:
        pass
    with pytest.raises(runner_peer.Gone):
        run.go_on()
    is_idle(node_scenes)
    works(node_scenes)


def test_unknown_messages_and_fields_are_ignored(node_scenes):
    run = runner_peer.Run(node_scenes, {"attr": "poet", "model": [{"content": "Hi"}]}, odd=[1])
    run.lines.send({"t": "news", "of": "tomorrow"})
    run.lines.send({"t": "llm.chunk", "id": 77, "data": {}})
    assert run.play()["output"] == "Hi"
    run.close()


def test_another_version_of_the_wire(node_scenes):
    lines = runner_peer.Lines(node_scenes.open())
    lines.send({"t": "hello", "v": 2})
    while (message := lines.receive())["t"] != "run.error":
        pass
    assert message["code"] == "wire_version"
    lines.sock.close()
    is_idle(node_scenes)


# ---- many ----

@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_runs_at_once(node_scenes, stream):
    def one(index):
        scenario = {"messages": [{"role": "user", "content": f"I am {index}."}], "model": [
            {"tool_calls": [{"name": "add", "arguments": {"a": index, "b": 1000}}]},
            {"content": f"It is {index + 1000}.", "when": {"last": str(index + 1000)}}]}
        run = runner_peer.Run(node_scenes, scenario, stream)
        last = run.play(120)
        run.close()
        assert f"I am {index}." in json.dumps(run.requests[1])
        return last["output"]

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(one, range(100))) == [f"It is {n + 1000}." for n in range(100)]
    is_idle(node_scenes)


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


def test_errors_of_the_upstream_reach_own_clients_at_once(node_host):
    host = node_host(OWN + "export const agent = { async run({ messages }) { return "
                           f"{ASK.replace('OPTIONS', '').replace('MORE', '')}; }} }};\n")
    error = {"status": 429, "headers": {"retry-after": "30"},
             "body": {"message": "Slow down.", "type": "rate_limit_error", "code": "slow"}}
    began = time.monotonic()
    last, run = answer(host, model=[{"error": error, "repeat": True}])
    assert (last["class"], last["status"], last["code"]) == ("upstream", 429, "slow"), last
    assert last["retry_after"] == 30
    # The gateway has retried; a client that does so too would wait for half a minute.
    assert len(run.requests) == 1 and time.monotonic() - began < 25


def test_code_that_outlives_its_run_can_ask_nothing(node_host):
    host = node_host(OWN + """
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
""")
    answer(host)
    is_idle(host)
    last = wait_until(lambda: answer(host)[0]["output"], 60, "answer of the timer")
    assert "run has ended" in last, last


# ---- what the gateway refuses ----

@pytest.mark.parametrize("option", ["session: new MemorySession()", "conversationId: 'c'",
                                    "previousResponseId: 'r'"])
def test_sessions_are_refused(node_host, option):
    host = node_host(OWN + f"""
import {{ MemorySession }} from "@openai/agents";
export const agent = {{ run: () => run(poet, "Hi", {{ {option} }}) }};
""")
    last, _ = answer(host, model=[{"content": "Hi"}])
    assert last["class"] == "user_error" and last["status"] == 500
    assert "keeps no conversations" in last["message"] and option.split(":")[0] in last["message"]


def test_runs_in_runs_are_held_to_the_limits(node_host):
    host = node_host(with_tool("return 'more';").replace("agent = new", "loop = new") + """
export const agent = { run: () => new Runner().run(loop, "Hi", { maxTurns: 1000 }) };
""")
    last, run = answer(host, limits={"max_turns": 3},
                       model=[{"tool_calls": [{"name": "own"}], "repeat": True}])
    assert last["class"] == "max_turns" and len(run.requests) == 3


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


def test_a_tool_that_wants_an_approval(node_host):
    host = node_host(with_tool("return 'launched';", "needsApproval: true,"))
    for stream in (False, True):
        last, run = answer(host, stream, model=USES_TOOL)
        assert (last["class"], last["status"], last["code"]) == (
            "approval", 500, "approval_required"), last
        assert "the tool own needs an approval" in last["message"] and not run.checks
        assert "take needsApproval away" in last["message"]


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


# ---- MCP servers of the agent's own ----

SERVER = """
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
"""


NOTED = """
const server = () => new MCPServerStdio({ name: "notes", command: process.execPath,
  args: [new URL("server.mjs", import.meta.url).pathname] });
"""


def test_an_mcp_server_that_dies_is_started_anew(node_host):
    host = node_host(OWN + NOTED + "export const agent = new Agent({ name: 'A', "
                                   "mcpServers: [server()] });\n", files={"server.mjs": SERVER})

    def note(name):
        return answer(host, model=[{"tool_calls": [{"name": "read_note",
                                                    "arguments": {"name": name}}]},
                                   {"content": "Back.", "when": {"last": f"note {name}"}},
                                   {"content": "Gone."}])[0].get("output")

    assert note("a") == "Back."
    note("crash")
    wait_until(lambda: note("b") == "Back.", runner_peer.LONG, "answer of the server")


@pytest.mark.parametrize("code", [
    "export const agent = new Agent({ name: 'A', mcpServers: [server()] });",
    "const one = server();\nawait one.connect();\n"
    "export const agent = new Agent({ name: 'A', mcpServers: [one] });"])
def test_tools_of_own_mcp_servers_are_governed(node_host, code):
    host = node_host(OWN + NOTED + code, files={"server.mjs": SERVER})
    model = [{"tool_calls": [{"name": "read_note", "arguments": {"name": "a"}}]},
             {"content": "Done."}]
    for _ in range(2):
        last, run = answer(host, model=model)
        assert last.get("output") == "Done.", (last, run.logs)
        assert [(c["name"], c["module"]) for c in run.checks] == [("read_note", "mcp:notes")]
        assert [done["ok"] for done in run.done] == [True]
        assert "note a" in json.dumps(run.requests[1]["messages"][-1])
    last, run = answer(host, model=model,
                       verdicts={"read_note": {"allow": False, "message": "Not for you."}})
    assert "Not for you." in json.dumps(run.requests[1]["messages"][-1])
    assert not run.done


# ---- the runner ----

def test_drain_lets_runs_end_and_takes_no_more(node_host):
    host = node_host(OWN + "export const agent = poet;\n")
    run = runner_peer.Run(host, {"model": [{"silent": True}]})
    numbers = []
    run.before["llm.request"] = lambda message: numbers.append(message["id"])
    run.begin()
    run.until(lambda: numbers)
    host.control.send({"t": "drain"})
    late = runner_peer.Run(host, {})
    with pytest.raises(runner_peer.Gone):
        late.play()
    assert host.ping()["runs"] == 1
    run.lines.send({"t": "llm.response", "id": numbers[0], "status": 200, "headers": {},
                    "body": runner_peer.completion({"content": "Last."})})
    assert run.go_on()["output"] == "Last."
    assert host.process.wait(30) == 0


@pytest.mark.parametrize("how", ["drain", "shutdown", "gone", "term"])
def test_the_end_of_an_idle_host(node_host, how):
    host = node_host("setInterval(() => {}, 1000);\nexport const agent = { run() {} };\n")
    if how == "gone":
        host.control.sock.close()
    elif how == "term":
        host.process.terminate()
    else:
        host.control.send({"t": how})
    assert host.process.wait(30) == 0


def test_pong(node_scenes):
    pong = node_scenes.ping()
    assert pong["runs"] == 0 and 20 << 20 < pong["rss"] < 1 << 30


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


# ---- what it costs ----

def test_a_stream_ends_with_its_last_chunk(node_scenes):
    def seconds():
        scenario = {"attr": "poet", "model": [{"content": "Fine."}]}
        run = runner_peer.Run(node_scenes, scenario, True)
        began = time.monotonic()
        run.play()
        run.close()
        return time.monotonic() - began

    assert min(seconds() for _ in range(30)) < 0.09 * env.SLOW
