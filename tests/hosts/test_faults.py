# SPDX-License-Identifier: MIT
"""Runs that are cancelled, hang or break the wire, in each language: all others live on."""
import concurrent.futures
import json
import time

import pytest

import env
import runner_peer
from host_play import answer, beats_while, held, is_idle, respond, works

HANGING = {"content": "Roses are red.", "hang_after": 3}
with_sdk = pytest.mark.parametrize("any_language", ["python", "node"])


@pytest.mark.parametrize("any_language", ["python", "native"])
def test_a_connection_that_did_not_arrive_is_told(scenes):
    scenes.control.send({"t": "conn", "id": 4711})  # Node.js itself says so: NODE_HANDLE_NACK
    assert scenes.expect("lost")["id"] == 4711
    works(scenes)


# ---- the client leaves ----

@pytest.mark.parametrize("stream", [False, True])
def test_cancelling_ends_run_and_model_call(scenes, stream):
    reply = HANGING if stream else {"silent": True}
    run = runner_peer.Run(scenes, {"attr": "poet", "model": [reply]}, stream)
    run.begin()
    run.until(lambda: run.requests and (run.deltas or not stream))
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    last = run.go_on()
    assert (last["t"], last["class"], last["status"]) == ("run.error", "cancelled", 499), last
    with pytest.raises(runner_peer.Gone):
        run.until(lambda: len(run.cancelled) > 1)
    assert len(run.cancelled) == 1
    run.close()
    is_idle(scenes)
    works(scenes)


@pytest.mark.parametrize("stream, after", [
    (False, "requests"), (True, "requests"), (True, "deltas")])
def test_closing_the_connection_is_cancelling(scenes, stream, after):
    reply = HANGING if stream else {"silent": True}
    run = runner_peer.Run(scenes, {"attr": "poet", "model": [reply]}, stream)
    run.begin()
    run.until(lambda: getattr(run, after))
    run.close()
    is_idle(scenes)
    works(scenes)


@with_sdk
def test_a_tool_that_does_not_want_to_be_cancelled_is_not_waited_for(scenes):
    run = runner_peer.Run(scenes, {"attr": "blocking", "model": [
        {"tool_calls": [{"name": "stubborn"}]}]})
    run.begin()
    run.until(lambda: run.checks)
    run.lines.send({"t": "run.cancel", "reason": "client_gone"})
    assert run.go_on(20 * env.SLOW)["class"] == "cancelled"
    run.close()
    is_idle(scenes)


def test_the_deadline_ends_a_run(scenes):
    works(scenes)  # what comes at the first run alone is done, and the model is asked in time
    run = runner_peer.Run(scenes, {"attr": "poet", "model": [{"silent": True}]}, deadline_ms=500)
    last = run.play()
    assert (last["class"], last["status"], last["code"]) == ("cancelled", 504, "timeout")
    with pytest.raises(runner_peer.Gone):
        run.until(lambda: len(run.cancelled) > len(run.requests))
    assert len(run.cancelled) == len(run.requests)
    run.close()


def test_a_connection_that_is_closed_unused(scenes):
    for _ in range(20):
        scenes.open().close()
    is_idle(scenes)
    works(scenes)


@with_sdk
def test_a_busy_loop_stops_the_heartbeat(scenes):
    run = runner_peer.Run(scenes, {"attr": "blocking", "model": [
        {"tool_calls": [{"name": "blocks", "arguments": {"seconds": 2}}]}, {"content": "Ok."}]})
    times = beats_while(run, lambda: run.checks, lambda: run.done)
    assert not [at for at in times if 0.5 < at < 1.9], times
    assert run.go_on()["output"] == "Ok."
    run.close()


# ---- what is not the wire ----

@pytest.mark.parametrize("junk", [b"no json\n", b"[1]\n", b"\xff\xfe\n", b"{" * 100000 + b"\n",
                                  b"x" * (17 << 20)])
def test_what_is_not_the_wire_ends_the_run_alone(scenes, junk):
    run = runner_peer.Run(scenes, {"attr": "poet", "model": [{"silent": True}]})
    run.begin()
    run.until(lambda: run.requests)
    try:
        run.lines.sock.sendall(junk)
    except ConnectionError:
        pass
    with pytest.raises(runner_peer.Gone):
        run.go_on()
    is_idle(scenes)
    works(scenes)


def test_unknown_messages_and_fields_are_ignored(scenes):
    run = runner_peer.Run(scenes, {"attr": "poet", "model": [{"content": "Hi"}]}, odd=[1])
    run.lines.send({"t": "news", "of": "tomorrow"})
    run.lines.send({"t": "llm.chunk", "id": 77, "data": {}})
    assert run.play()["output"] == "Hi"
    run.close()


def test_another_version_of_the_wire(scenes):
    lines = runner_peer.Lines(scenes.open())
    lines.send({"t": "hello", "v": 2})
    while (message := lines.receive())["t"] != "run.error":
        assert message["t"] == "hello"
    assert message["code"] == "wire_version"
    lines.sock.close()
    is_idle(scenes)


# ---- many ----

@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_runs_at_once(scenes, stream):
    def one(index):
        scenario = {"messages": [{"role": "user", "content": f"I am {index}."}], "model": [
            {"tool_calls": [{"name": "add", "arguments": {"a": index, "b": 1000}}]},
            {"content": f"It is {index + 1000}.", "when": {"last": str(index + 1000)}}]}
        run = runner_peer.Run(scenes, scenario, stream)
        last = run.play(120)
        run.close()
        assert f"I am {index}." in json.dumps(run.requests[1])
        return last["output"]

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(one, range(100))) == [f"It is {n + 1000}." for n in range(100)]
    is_idle(scenes)


@with_sdk
def test_pong(scenes):
    pong = scenes.ping()
    assert pong["runs"] == 0 and 20 << 20 < pong["rss"] < 1 << 30


def test_a_stream_ends_with_its_last_chunk(scenes):
    # A client that waits a tenth of a second, each time, before it uses a connection again.
    def seconds():
        began = time.monotonic()
        answer(scenes, True, attr="poet", model=[{"content": "Fine."}])
        return time.monotonic() - began

    assert min(seconds() for _ in range(30)) < 0.09 * env.SLOW


# ---- the end of the process ----

POET = {
    "python": "from agents import Agent\nagent = Agent(name='A')\n",
    "node": 'import { Agent } from "@openai/agents";\n'
            "export const agent = new Agent({ name: 'A' });\n",
}


def test_drain_lets_runs_end_and_takes_no_more(sdk_host, language):
    host = sdk_host(POET[language])
    run, number = held(host)
    host.control.send({"t": "drain"})
    late = runner_peer.Run(host, {})
    with pytest.raises(runner_peer.Gone):
        late.play()
    assert host.ping()["runs"] == 1
    respond(run, number, "Last.")
    assert run.go_on()["output"] == "Last."
    assert host.process.wait(runner_peer.LONG) == 0


# Something of the module's own goes on for ever.
BUSY = {
    "python": "import threading, time\nfrom agents import Agent\n"
              "threading.Thread(target=time.sleep, args=[1000]).start()\n"
              "agent = Agent(name='A')\n",
    "node": "setInterval(() => {}, 1000);\nexport const agent = { run() {} };\n",
}


@pytest.mark.parametrize("how", ["drain", "shutdown", "gone", "term"])
def test_the_end_of_an_idle_host(sdk_host, language, how):
    host = sdk_host(BUSY[language])
    if how == "gone":
        host.control.sock.close()
    elif how == "term":
        host.process.terminate()
    else:
        host.control.send({"t": how})
    assert host.process.wait(runner_peer.LONG) == 0
