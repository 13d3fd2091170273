# SPDX-License-Identifier: MIT
"""Threads, forks and clients that agents in Python have of their own, and what they cost."""
import concurrent.futures
import json
import time

import pytest

import runner_peer
from host_play import answer, beats_while, held, respond, works
from procs import wait_until

OWN = """
import asyncio, sys, threading, time, os
from agents import Agent, Runner, function_tool
"""


# ---- hangs ----

def test_tools_that_block_a_thread_do_not_stop_the_heartbeat(python_host):
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
    run, number = held(host)
    run.beats = 0
    run.until(lambda: run.beats >= 3)
    respond(run, number, "Late.")
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


# ---- many ----

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


# ---- what is not for clients ----

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


# ---- what it costs ----

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
