# SPDX-License-Identifier: MIT
"""Runs that are cancelled, hang, crash, flood and lie: the Python host and its other runs live on."""
import concurrent.futures
import json
import time

import pytest

import runner_peer
from host_play import answer, is_idle, works
from procs import wait_until

OWN = """
import asyncio, sys, threading, time, os
from agents import Agent, Runner, function_tool
"""


# ---- the client leaves ----

@pytest.mark.parametrize("stream", [False, True])
def test_cancelling_ends_run_and_model_call(python_scenes, stream):
    reply = {"content": "Roses are red.", "hang_after": 3} if stream else {"silent": True}
    run = runner_peer.Run(python_scenes, {"attr": "poet", "model": [reply]}, stream)
    run.begin()
    run.until(lambda: run.requests and (run.deltas or not stream))
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    last = run.go_on()
    assert (last["t"], last["class"], last["status"]) == ("run.error", "cancelled", 499), last
    assert len(run.cancelled) == 1
    run.close()
    is_idle(python_scenes)
    works(python_scenes)


@pytest.mark.parametrize("stream", [False, True])
def test_closing_the_connection_is_cancelling(python_scenes, stream):
    reply = {"content": "Roses are red.", "hang_after": 3} if stream else {"silent": True}
    run = runner_peer.Run(python_scenes, {"attr": "poet", "model": [reply]}, stream)
    run.begin()
    run.until(lambda: run.requests)
    run.close()
    is_idle(python_scenes)
    works(python_scenes)


def test_a_tool_that_does_not_want_to_be_cancelled_is_asked_again(python_scenes):
    run = runner_peer.Run(python_scenes, {"attr": "blocking", "model": [
        {"tool_calls": [{"name": "stubborn"}]}]})
    run.begin()
    run.until(lambda: run.checks)
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    assert run.go_on()["class"] == "cancelled"
    run.close()
    is_idle(python_scenes)


def test_the_deadline_ends_a_run(python_scenes):
    run = runner_peer.Run(python_scenes, {"attr": "poet", "model": [{"silent": True}]},
                          deadline_ms=300)
    last = run.play()
    assert (last["class"], last["status"], last["code"]) == ("cancelled", 504, "timeout")
    assert run.cancelled
    run.close()


def test_a_connection_that_is_closed_unused(python_scenes):
    for _ in range(20):
        python_scenes.open().close()
    is_idle(python_scenes)
    works(python_scenes)


# ---- hangs ----

def beats_while(run, began, ended):
    """Times of heartbeats between the two conditions."""
    times = []
    run.before["hb"] = lambda _: times.append(time.monotonic())
    run.begin()
    run.until(began)
    times.clear()
    start = time.monotonic()
    run.until(ended)
    return [at - start for at in times]


def test_a_busy_loop_stops_the_heartbeat(python_scenes):
    run = runner_peer.Run(python_scenes, {"attr": "blocking", "model": [
        {"tool_calls": [{"name": "blocks", "arguments": {"seconds": 2}}]}, {"content": "Ok."}]})
    times = beats_while(run, lambda: run.checks, lambda: run.done)
    assert not [at for at in times if 0.5 < at < 1.9], times
    assert run.go_on()["output"] == "Ok."
    run.close()


def test_tools_that_block_a_thread_do_not(python_host):
    host = python_host(OWN + """
@function_tool
def wait() -> str:
    "Waits."
    time.sleep(2)
    return "ok"
agent = Agent(name="A", tools=[wait])
""")
    run = runner_peer.Run(host, {"model": [{"tool_calls": [{"name": "wait"}]},
                                           {"content": "Ok."}]})
    times = beats_while(run, lambda: run.checks, lambda: run.done)
    assert len(times) >= 4, times
    assert run.go_on()["output"] == "Ok."
    run.close()


BUSY = OWN + """
count = 0
@function_tool
def spin() -> str:
    "Computes."
    global count
    print("begun")
    while True:
        count += 1
@function_tool
def resist() -> str:
    "Computes for hours, and not in Python."
    import hashlib
    print("begun")
    return hashlib.pbkdf2_hmac("sha256", b"word", b"salt", (1 << 31) - 1).hex()
agent = Agent(name="A", tools=[spin, resist])
class Counted:
    def run(self):
        return str(count)
counted = Counted()
"""


def spinning(host, tool):
    run = runner_peer.Run(host, {"model": [{"tool_calls": [{"name": tool}]}]})
    run.begin()
    run.until(lambda: run.logs)
    return run


def test_a_thread_that_computes_ends_with_its_cancelled_run(python_host):
    host = python_host(BUSY)
    runs = [spinning(host, "spin") for _ in range(3)]
    wait_until(lambda: int(answer(host, attr="counted")[0]["output"]) > 0, runner_peer.LONG,
               "busy thread")
    for run in runs:
        run.close()

    def stands_still():
        before = answer(host, attr="counted")[0]["output"]
        time.sleep(0.3)
        return answer(host, attr="counted")[0]["output"] == before

    wait_until(stands_still, runner_peer.LONG, "end of the threads")
    # The threads are whole, and work for others.
    assert answer(host, attr="counted")[0]["t"] == "run.done"


def test_a_thread_that_cannot_be_stopped_ends_the_process(python_host):
    host = python_host(BUSY)
    spinning(host, "resist").close()
    assert host.process.wait(runner_peer.LONG) == 1


def test_a_blocking_client_in_a_coroutine_waits_and_does_not_hang(python_host):
    host = python_host(OWN + """
from openai import OpenAI
client = OpenAI()
class Own:
    async def run(self, messages):
        return client.chat.completions.create(model="m", messages=messages)
agent = Own()
""")
    run = runner_peer.Run(host, {"model": [{"silent": True}]})
    numbers = []
    run.before["llm.request"] = lambda message: numbers.append(message["id"])
    run.begin()
    run.until(lambda: numbers)
    run.beats = 0
    run.until(lambda: run.beats >= 3)
    run.lines.send({"t": "llm.response", "id": numbers[0], "status": 200, "headers": {},
                    "body": runner_peer.completion({"content": "Late."})})
    assert run.go_on()["output"] == "Late."
    run.close()


# ---- crashes ----

def test_a_module_that_ends_its_process(python_host):
    host = python_host(OWN + """
@function_tool
def die() -> str:
    "Dies."
    os._exit(7)
agent = Agent(name="A", tools=[die])
""")
    run = runner_peer.Run(host, {"model": [{"tool_calls": [{"name": "die"}]}]})
    with pytest.raises(runner_peer.Gone):
        run.play()
    assert host.process.wait(30) == 7


RAISES = [
    "raise ValueError('private words')", "raise BaseException('private words')", "sys.exit(5)",
    "raise KeyboardInterrupt", "raise asyncio.CancelledError", "raise GeneratorExit",
    "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()", "return 1 / 0",
    "raise type('Odd', (Exception,), {'exceptions': None})()",
    "raise type('Odd', (Exception,), {'exceptions': ['text']})()",
    "return [await asyncio.get_running_loop().run_in_executor(None, sys.exit)]",
]
WHERE = {
    "run": "class Own_N:\n    async def run(self):\n        BODY\nagent_N = Own_N()\n",
    "instructions": "async def say_N(ctx, agent):\n    BODY\n"
                    "agent_N = Agent(name='A', instructions=say_N)\n",
    "guardrail": "@input_guardrail\nasync def check_N(ctx, agent, input):\n    BODY\n"
                 "agent_N = Agent(name='A', input_guardrails=[check_N])\n",
    "hook": "class Hooks_N(AgentHooks):\n    async def on_start(self, ctx, agent):\n"
            "        BODY\nagent_N = Agent(name='A', hooks=Hooks_N())\n",
}
RAISING = [(where, code) for where in WHERE for code in RAISES]


def test_exceptions_everywhere(python_host):
    text = OWN + "from agents import AgentHooks, input_guardrail\npoet = Agent(name='Poet')\n"
    for number, (where, code) in enumerate(RAISING):
        text += WHERE[where].replace("_N", f"_{number}").replace("BODY", code)
    host = python_host(text)
    for number, case in enumerate(RAISING):
        for stream in (False, True):
            last, _ = answer(host, stream, attr=f"agent_{number}",
                             model=[{"content": "Hi", "repeat": True}])
            assert last["t"] == "run.error", (case, stream, last)
            assert last["class"] in ("internal", "user_error"), (case, stream, last)
            assert last["status"] == 500 and "private words" not in json.dumps(last), (case, last)
    works(host)


def test_children_that_a_module_forks_do_not_keep_its_runs(python_host):
    host = python_host(OWN + """
import multiprocessing
def work(number):
    print("in the child")
    return number * 2
class Own:
    def run(self):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return str(sum(pool.map(work, [1, 2, 3])))
class Orphan:
    def run(self):
        if os.fork() == 0:
            time.sleep(100)
            os._exit(0)
        os._exit(9)
agent = Own()
orphan = Orphan()
poet = Agent(name="Poet")
""")
    assert answer(host)[0]["output"] == "12"
    works(host)
    run = runner_peer.Run(host, {"attr": "orphan"})
    with pytest.raises(runner_peer.Gone):
        run.play(30)


# ---- floods ----

def test_endless_prints_are_cut_and_nothing_breaks(python_host):
    host = python_host(OWN + """
class Own:
    def run(self):
        for _ in range(200):
            print("x" * 100000)
        for _ in range(200000):
            print("short")
        sys.stdout.write("no end" * 100000)
        return "done"
agent = Own()
poet = Agent(name="Poet")
""")
    last, run = answer(host)
    assert last["output"] == "done"
    assert sum(len(message["message"]) for message in run.logs) < 8 << 20
    assert any("were dropped" in message["message"] for message in run.logs)
    works(host)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_over_the_limit(python_host, stream):
    host = python_host(OWN + "class Own:\n    def run(self): return 'x' * (20 << 20)\n"
                             "agent = Own()\npoet = Agent(name='Poet')\n")
    last, run = answer(host, stream)
    assert last["t"] == "run.error" and last["class"] == "internal", str(last)[:500]
    assert "too long" in last["message"]
    works(host)


def test_a_question_over_the_limit(python_host):
    host = python_host(OWN + "agent = Agent(name='A', instructions='x' * (20 << 20))\n"
                             "poet = Agent(name='Poet')\n")
    last, _ = answer(host)
    assert (last["class"], last["status"], last["code"]) == ("upstream", 413, "request_too_large")
    works(host)


@pytest.mark.parametrize("junk", [b"no json\n", b"[1]\n", b"\xff\xfe\n", b"{" * 100000 + b"\n",
                                  b"x" * (17 << 20)])
def test_what_is_not_the_wire_ends_the_run_alone(python_scenes, junk):
    run = runner_peer.Run(python_scenes, {"attr": "poet", "model": [{"silent": True}]})
    run.begin()
    run.until(lambda: run.requests)
    try:
        run.lines.sock.sendall(junk)
    except ConnectionError:
        pass
    with pytest.raises(runner_peer.Gone):
        run.go_on()
    is_idle(python_scenes)
    works(python_scenes)


def test_unknown_messages_and_fields_are_ignored(python_scenes):
    run = runner_peer.Run(python_scenes, {"attr": "poet", "model": [{"content": "Hi"}]}, odd=[1])
    run.lines.send({"t": "news", "of": "tomorrow"})
    run.lines.send({"t": "llm.chunk", "id": 77, "data": {}})
    assert run.play()["output"] == "Hi"
    run.close()


# ---- many ----

@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_runs_at_once(python_scenes, stream):
    def one(index):
        scenario = {"messages": [{"role": "user", "content": f"I am {index}."}], "model": [
            {"tool_calls": [{"name": "add", "arguments": {"a": index, "b": 1000}}]},
            {"content": f"It is {index + 1000}.", "when": {"last": str(index + 1000)}}]}
        run = runner_peer.Run(python_scenes, scenario, stream)
        last = run.play(120)
        run.close()
        assert f"I am {index}." in json.dumps(run.requests[1])
        return last["output"]

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(one, range(100))) == [f"It is {n + 1000}." for n in range(100)]
    is_idle(python_scenes)


def test_memory_does_not_grow_with_runs(python_scenes):
    def some(count):
        for _ in range(count):
            works(python_scenes)
        return python_scenes.ping()["rss"]

    before = some(100)
    # A run keeps some 200 KiB while it lasts: a leak of runs would be tens of MiB.
    assert some(200) - before < 16 << 20


# ---- threads and clients of the agent's own ----

CLIENTS = OWN + """
import concurrent.futures
from openai import AsyncOpenAI, OpenAI

def ask(messages, **more):
    return OpenAI().chat.completions.create(model="own", messages=messages, **more)

def text(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

pool = concurrent.futures.ThreadPoolExecutor(2)

class Plain:
    async def run(self, messages):
        return await AsyncOpenAI().chat.completions.create(model="own", messages=messages)
class Streamed:
    async def run(self, messages):
        stream = await AsyncOpenAI().chat.completions.create(model="own", messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
class Blocking:
    def run_sync(self, messages):
        return ask(messages)
class BlockingStream:
    def run_sync(self, messages):
        return text(ask(messages, stream=True))
class Threaded:
    def run(self, messages):
        said = []
        thread = threading.Thread(target=lambda: said.append(ask(messages)))
        thread.start()
        thread.join()
        return said[0]
class Pooled:
    def run(self, messages):
        return pool.submit(ask, messages).result()
class OwnLoop:
    def run_sync(self, messages):
        return Runner.run_sync(poet, messages[-1]["content"])
class Raw:
    async def run(self, messages):
        import httpx2
        async with httpx2.AsyncClient(base_url=os.environ["OPENAI_BASE_URL"]) as client:
            reply = await client.post("/chat/completions", json={"messages": messages})
            return reply.json()["choices"][0]["message"]["content"] + " " + str(reply.status_code)
class Elsewhere:
    def run_sync(self, messages):
        try:
            return OpenAI().models.list()
        except Exception as error:
            return f"{error.status_code} {error}"
class Patient:
    def run_sync(self, messages):
        try:
            OpenAI(timeout=0.3, max_retries=0).chat.completions.create(model="own", messages=messages)
        except Exception as error:
            return type(error).__name__

poet = Agent(name="Poet")
"""


@pytest.mark.parametrize("name, output", [
    ("Plain", "Fine."), ("Streamed", "Fine."), ("Blocking", "Fine."), ("BlockingStream", "Fine."),
    ("Threaded", "Fine."), ("Pooled", "Fine."), ("OwnLoop", "Fine."), ("Raw", "Fine. 200"),
    ("Elsewhere", None), ("Patient", None)])
def test_clients_that_agents_build_themselves(python_host, name, output):
    host = python_host(f"{CLIENTS}\nagent = {name}()\n")
    model = [{"silent": True}] if name == "Patient" else [{"content": "Fine."}]
    for stream in (False, True):
        last, run = answer(host, stream, model=model)
        if name == "Elsewhere":
            assert last["output"].startswith("404") and "/v1/models" in last["output"], last
        elif name == "Patient":
            assert last["output"] == "APITimeoutError" and run.cancelled, last
        else:
            assert last["output"] == output, (last, run.logs)


def test_errors_of_the_upstream_reach_own_clients_at_once(python_host):
    host = python_host(f"{CLIENTS}\nagent = Blocking()\n")
    error = {"status": 429, "headers": {"retry-after": "30"},
             "body": {"message": "Slow down.", "type": "rate_limit_error", "code": "slow"}}
    began = time.monotonic()
    last, run = answer(host, model=[{"error": error, "repeat": True}])
    assert (last["class"], last["status"], last["code"]) == ("upstream", 429, "slow"), last
    assert last["retry_after"] == 30
    # The gateway has retried; a client that does so too would wait for half a minute.
    assert len(run.requests) == 1 and time.monotonic() - began < 25


def test_threads_belong_to_the_run_that_started_them(python_host):
    host = python_host(f"{CLIENTS}\nagent = Pooled()\nother = Threaded()\n")

    def one(index):
        run = runner_peer.Run(host, {
            "attr": ("agent", "other")[index % 2],
            "messages": [{"role": "user", "content": f"I am {index}."}],
            "model": [{"content": f"You are {index}.", "when": {"last": f"I am {index}."}}]})
        last = run.play(120)
        run.close()
        return last.get("output") or last

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(60))) == [f"You are {n}." for n in range(60)]


def test_a_thread_that_outlives_its_run_can_ask_nothing(python_host):
    host = python_host(CLIENTS + """
said = []
class Own:
    def run(self, messages):
        if said:
            return said[0]
        def later():
            time.sleep(0.3)
            try:
                ask(messages)
            except Exception as error:
                said.append(repr(error))
        threading.Thread(target=later).start()
        return ""
agent = Own()
""")
    answer(host)
    is_idle(host)
    last = wait_until(lambda: answer(host)[0]["output"], 60, "answer of the thread")
    assert "APIConnectionError" in last or "run has ended" in last


# ---- what the gateway refuses ----

@pytest.mark.parametrize("option", ["session=SQLiteSession('s')", "conversation_id='c'",
                                    "previous_response_id='r'"])
def test_sessions_are_refused(python_host, option):
    host = python_host(OWN + f"""
from agents import SQLiteSession
poet = Agent(name="Poet")
class Own:
    async def run(self, messages):
        return await Runner.run(poet, "Hi", {option})
agent = Own()
""")
    last, _ = answer(host, model=[{"content": "Hi"}])
    assert last["class"] == "user_error" and last["status"] == 500
    assert "keeps no conversations" in last["message"] and option.split("=")[0] in last["message"]


def test_runs_in_runs_are_held_to_the_limits(python_host):
    host = python_host(OWN + """
@function_tool
def more() -> str:
    "More."
    return "more"
loop = Agent(name="Loop", tools=[more])
class Own:
    async def run(self, messages):
        return await Runner.run(loop, "Hi", max_turns=1000)
agent = Own()
""")
    last, run = answer(host, limits={"max_turns": 3},
                       model=[{"tool_calls": [{"name": "more"}], "repeat": True}])
    assert last["class"] == "max_turns" and len(run.requests) == 3


def test_a_tool_that_wants_an_approval(python_host):
    host = python_host(OWN + """
@function_tool(needs_approval=True)
def launch() -> str:
    "Launches."
    return "launched"
agent = Agent(name="A", tools=[launch])
""")
    for stream in (False, True):
        last, run = answer(host, stream, model=[{"tool_calls": [{"name": "launch"}]}])
        assert (last["class"], last["status"], last["code"]) == (
            "approval", 500, "approval_required"), last
        assert "the tool launch needs an approval" in last["message"] and not run.checks
        assert "take needs_approval away" in last["message"]


# ---- MCP servers of the agent's own ----

SERVER = """
import sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("notes")

@server.tool()
def crash() -> str:
    "Ends the server."
    import os
    os._exit(1)

@server.tool()
def read_note(name: str) -> str:
    "Reads a note."
    return f"note {name}"

server.run("stdio")
"""


def noted(python_host, directory, code):
    folder = directory / "agents" / "Noted"
    folder.mkdir(parents=True)
    (folder / "server.py").write_text(SERVER)
    (folder / "agent.py").write_text(OWN + """
from agents.mcp import MCPServerStdio
def server():
    return MCPServerStdio(name="notes", params={"command": sys.executable,
                          "args": [os.path.join(os.path.dirname(__file__), "server.py")]})
""" + code)
    return python_host(folder)


@pytest.mark.parametrize("code", [
    "agent = Agent(name='A', mcp_servers=[server()])",
    "def build_agent(): return Agent(name='A', mcp_servers=[server()])"])
def test_tools_of_own_mcp_servers_are_governed(python_host, directory, code):
    host = noted(python_host, directory, code)
    attr = host.catalog["exports"][0]["attr"]
    model = [{"tool_calls": [{"name": "read_note", "arguments": {"name": "a"}}]},
             {"content": "Done."}]
    last, run = answer(host, attr=attr, model=model)
    assert last["output"] == "Done.", (last, run.logs)
    assert [(c["name"], c["module"]) for c in run.checks] == [("read_note", "mcp:notes")]
    assert "note a" in json.dumps(run.requests[1]["messages"][-1])
    last, run = answer(host, attr=attr, model=model,
                       verdicts={"read_note": {"allow": False, "message": "Not for you."}})
    assert "Not for you." in json.dumps(run.requests[1]["messages"][-1])
    assert not run.done


def test_an_mcp_server_that_dies_is_started_anew(python_host, directory):
    host = noted(python_host, directory, "agent = Agent(name='A', mcp_servers=[server()])")
    answer(host, model=[{"tool_calls": [{"name": "crash"}]}, {"content": "Gone."}])

    def is_back():
        last, _ = answer(host, model=[
            {"tool_calls": [{"name": "read_note", "arguments": {"name": "b"}}]},
            {"content": "Back.", "when": {"last": "note b"}}])
        return last.get("output") == "Back."

    wait_until(is_back, runner_peer.LONG, "answer of the server")


def test_what_the_sdk_says_of_an_agent_is_not_for_clients(python_host):
    host = python_host("""
from agents import Agent, HostedMCPTool
def build_agent(context):
    tool = HostedMCPTool(tool_config={"type": "mcp", "server_label": "x", "server_url": "https://x",
                                      "authorization": "a-" + "secret", "require_approval": "never"})
    return Agent(name=context["user"], tools=[tool])
""")
    last, run = answer(host, attr="build_agent", model=[])
    assert (last["class"], last["status"]) == ("user_error", 500)
    assert "a-secret" not in json.dumps(last) and "Hosted tools" in json.dumps(run.logs)


# ---- the runner ----

def test_drain_lets_runs_end_and_takes_no_more(python_host):
    host = python_host("from agents import Agent\nagent = Agent(name='A')\n")
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
def test_the_end_of_an_idle_host(python_host, how):
    host = python_host("import threading, time\nfrom agents import Agent\n"
                       "threading.Thread(target=time.sleep, args=[1000]).start()\n"
                       "agent = Agent(name='A')\n")
    if how == "gone":
        host.control.sock.close()
    elif how == "term":
        host.process.terminate()
    else:
        host.control.send({"t": how})
    assert host.process.wait(30) == 0


def test_pong(python_scenes):
    pong = python_scenes.ping()
    assert pong["runs"] == 0 and 20 << 20 < pong["rss"] < 1 << 30


# ---- what it costs ----

def test_a_stream_ends_with_its_last_chunk(python_scenes):
    # The client of the SDK would wait a tenth of a second, each time, to use a connection again.
    def seconds():
        scenario = {"attr": "poet", "model": [{"content": "Fine."}]}
        run = runner_peer.Run(python_scenes, scenario, True)
        began = time.monotonic()
        run.play()
        run.close()
        return time.monotonic() - began

    assert min(seconds() for _ in range(30)) < 0.09


def test_many_blocking_tools_within_a_limited_address_space(python_host):
    host = python_host(OWN + """
@function_tool
def wait(number: int) -> str:
    "Waits."
    time.sleep(0.2)
    return f"w{number}"
agent = Agent(name="A", tools=[wait])
""", before=["prlimit", f"--as={600 << 20}"])

    def one(index):
        last, _ = answer(host, model=[
            {"tool_calls": [{"name": "wait", "arguments": {"number": index}}]},
            {"content": f"It is {index}.", "when": {"last": f"w{index}"}}])
        return last["output"]

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(one, range(100))) == [f"It is {n}." for n in range(100)]
