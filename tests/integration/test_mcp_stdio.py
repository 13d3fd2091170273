# SPDX-License-Identifier: MIT
"""MCP servers that the gateway starts: what they say that they should not, how they begin and
how they end, the sandbox, changed lists."""
import time

import pytest

import env
from mcp_mock import McpMock
from mcp_scene import McpScene
from mcp_servers import stdio_entry
from procs import wait_until

PLAIN = {"era": "legacy", "tools": [], "tools_call": "ok", "tools_list": "ok", "before": None,
         "announce": None}


@pytest.fixture(scope="module")
def served(session_dir, mock):
    program = McpMock(session_dir / "stdio", **PLAIN)
    scene = McpScene(session_dir / "mcpstdio", mock, [
        stdio_entry("s", program.argv(), write=[program.state], timeout=3)],
        gateway={"workers": 1})
    scene.wait_offers("s", {"echo", "fails"}, times=1)
    yield scene, program
    scene.stop()
    wait_until(lambda: not program.programs(), 30 * env.SLOW, "end of the servers")


@pytest.fixture
def scene(served):
    return served[0]


@pytest.fixture
def program(served):
    served[1].behave(**PLAIN)
    yield served[1]
    served[1].behave(**PLAIN)


CALLS = {
    "ok": ("ok", "", 1),
    "strangers-first": ("ok", "", 1),
    "notes-first": ("ok", "", 1),
    "asks-first": ("ok", "", 1),
    "twice": ("ok", "", 1),
    "stderr": ("ok", "", 1),
    "flood": ("ok", "", 1),
    "huge": ("unavailable", "", 1),
    "deep": ("unavailable", "", 1),
    "not-json": ("unavailable", "", 1),
    "binary": ("unavailable", "", 1),
    "neither": ("unavailable", "", 1),
    "bare": ("unavailable", "", 1),
    "batch": ("unavailable", "", 1),
    "no-object": ("unavailable", "", 1),
    "error-bare": ("unavailable", "", 1),
    "both": ("unavailable", "both", 1),
    "no-content": ("failed", "content", 1),
    "error": ("failed", "it went wrong", 1),
    "input": ("failed", "input", 1),
    "type-unknown": ("failed", "kind", 1),
    "wrong-id": ("timeout", "time", 1),
    "text-id": ("timeout", "time", 1),
    "scalar": ("timeout", "time", 1),
    "never": ("timeout", "time", 1),
    "drip": ("timeout", "time", 1),
    "half": ("unavailable", "", 1),
    "exit": ("unavailable", "", 1),
    "exit-before": ("unavailable", "", 0),
}


def wait_served(scene, tag):
    """Until a call is answered: the server may be between two lives."""
    wait_until(lambda: scene.results(["s.echo", {"message": tag}]) == [tag], 60 * env.SLOW,
               "an answer of the server", step=0.2)


@pytest.mark.parametrize("way", CALLS)
def test_calls(scene, program, rid, way):
    expected, part, runs = CALLS[way]
    wait_served(scene, f"{rid}-before")
    program.behave(tools_call=way)
    begun = time.monotonic()
    said, = scene.results(["s.echo", {"message": rid}], request_id=rid)
    assert time.monotonic() - begun < 20 * env.SLOW
    assert scene.invocations(rid) == [("s.echo", expected)], said
    assert said == rid if expected == "ok" else part in said
    assert len(said) < 3000
    program.behave(tools_call="ok")
    wait_served(scene, f"{rid}-after")
    assert len(program.runs(rid)) == runs


def test_who_is_not_answered_is_told_that_it_is_over(scene, program, rid):
    wait_served(scene, f"{rid}-before")
    program.behave(tools_call="never")
    scene.results(["s.echo", {"message": rid}])
    asked = [one["message"]["id"] for one in program.seen("tools/call")
             if one["message"]["params"]["arguments"].get("message") == rid]
    wait_until(lambda: [one for one in program.seen("notifications/cancelled")
                        if one["message"]["params"]["requestId"] in asked],
               30 * env.SLOW, "notifications/cancelled")


def test_a_changed_list_is_taken_up(scene, program, rid):
    wait_served(scene, rid)
    program.behave(tools=["fresh"], announce=rid)
    scene.wait_offers("s", {"echo", "fails", "fresh"}, times=1, timeout=40)
    assert scene.results(["s.fresh", {}]) == ["fresh ran"]
    program.behave(tools=[], announce=f"{rid}-2")
    scene.wait_offers("s", {"echo", "fails"}, times=1, timeout=40)


def test_many_calls_share_one_program(scene, program, rid):
    wait_served(scene, f"{rid}-before")
    said = scene.results(*[["s.echo", {"message": f"{rid}-{n}", "ms": 100}] for n in range(16)])
    assert said == [f"{rid}-{n}" for n in range(16)]
    assert len(program.programs()) == 1
    pid, = {run["pid"] for n in range(16) for run in program.runs(f"{rid}-{n}")}
    assert pid > 0


def test_what_it_writes_to_stderr_is_in_the_log(scene, program, rid):
    wait_served(scene, f"{rid}-before")
    program.behave(tools_call="stderr")
    assert scene.results(["s.echo", {"message": rid}]) == [rid]
    line = scene.gateway.wait_event("tool.server.stderr", 30)
    assert line["tool"] == "s" and "noise" in line["text"]
    assert len(scene.gateway.events("tool.server.stderr")) < 1000


@pytest.mark.parametrize("before", ["garbage", "stay child", ""])
def test_how_it_begins(mock, directory, before):
    """Words before the first message do no harm; and whatever it does to stay, it goes."""
    program = McpMock(directory / "one", before=before)
    scene = McpScene(directory / "s", mock, [
        stdio_entry("s", program.argv(), write=[program.state])], gateway={"workers": 1})
    try:
        scene.wait_offers("s", {"echo", "fails"}, times=1)
        assert scene.results(["s.echo", {"message": "hi"}]) == ["hi"]
        wait_until(lambda: len(program.programs("child")) == ("child" in before), 30 * env.SLOW,
                   "its child")
        assert len(program.programs()) == 1
        shown = scene.tools()["s"]
        assert shown["state"] == "running" and shown["pid"] and shown["sandbox"]
    finally:
        scene.stop()
    assert program.programs() == program.programs("child") == []


@pytest.mark.parametrize("argv, part", [(["/nonexistent/server"], "nonexistent"),
                                        (["/bin/false"], "status 1"), (["/bin/true"], "ended")])
def test_what_is_no_server_is_said(mock, directory, argv, part):
    scene = McpScene(directory / "s", mock, [stdio_entry("s", argv, timeout=5)],
                     gateway={"workers": 1})
    try:
        wait_until(lambda: part in "".join(scene.tools()["s"]["diagnostics"]), 60 * env.SLOW,
                   f"a diagnostic with {part!r}")
        assert not scene.tools()["s"]["available"]
        status, content = scene.call("s", message="x")
        assert status in ("invalid", "unavailable") and content
    finally:
        scene.stop()


def test_a_server_that_will_not_start_is_not_started_all_the_time(mock, directory):
    program = McpMock(directory / "one", before="exit")
    scene = McpScene(directory / "s", mock, [
        stdio_entry("s", program.argv(), write=[program.state], timeout=5)],
        gateway={"workers": 1})
    try:
        wait_until(lambda: scene.gateway.events("tool.server.stderr"), 60 * env.SLOW, "its words")
        for _ in range(30):
            scene.results(["s.echo", {"message": "x"}])
        time.sleep(3)
        restarts = scene.tools()["s"]["restarts"]
        assert restarts < 12
        program.behave(before=None)
        scene.wait_offers("s", {"echo", "fails"}, times=1, timeout=100)
        assert scene.results(["s.echo", {"message": "well"}]) == ["well"]
    finally:
        scene.stop()
