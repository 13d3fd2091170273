# SPDX-License-Identifier: MIT
"""MCP servers over HTTP that forget, break off, lie or flood: each call ends in one of the
documented ways, in time, no tool runs twice, and the next call is served."""
import json
import time

import pytest

import env
from agwctl import FAILED, FINDING, FINE, HOSTILE, Agwctl
from mcp_mock import McpMock
from mcp_scene import McpScene
from mcp_servers import http_entry
from procs import wait_until

PLAIN = {"era": "legacy", "answer": "json", "tools": [], "epoch": None, "forget": None,
         "lost": None, "page": None, "cursor": None, "tools_call": "ok", "tools_list": "ok",
         "initialize": "ok"}


@pytest.fixture(scope="module")
def served(session_dir, mock):
    hostile = McpMock(session_dir / "hostile", **PLAIN).start()
    scene = McpScene(session_dir / "mcphost", mock, [
        http_entry("h", hostile.url), http_entry("hasty", hostile.url, timeout=2)])
    for name in ("h", "hasty"):
        scene.wait_offers(name, {"echo", "fails"})
    yield scene, hostile
    scene.stop()
    hostile.stop()


@pytest.fixture
def scene(served):
    return served[0]


@pytest.fixture
def hostile(served):
    served[1].behave(**PLAIN)
    yield served[1]
    served[1].behave(**PLAIN)


# What the server does with a call: how that ends, a part of what the model is told, and how
# often the tool may have run.
CALLS = {
    "ok": ("ok", None, 1),
    "strangers-first": ("ok", None, 1),
    "notes-first": ("ok", None, 1),
    "asks-first": ("ok", None, 1),
    "twice": ("ok", None, 1),
    "cut-1": ("ok", None, 1),
    "cut-3": ("ok", None, 1),
    "huge": ("unavailable", "", 1),
    "deep": ("unavailable", "", 1),
    "not-json": ("unavailable", "", 1),
    "binary": ("unavailable", "", 1),
    "wrong-id": ("unavailable", "", 1),
    "text-id": ("unavailable", "", 1),
    "both": ("unavailable", "both", 1),
    "neither": ("unavailable", "", 1),
    "bare": ("unavailable", "", 1),
    "batch": ("unavailable", "", 1),
    "scalar": ("unavailable", "", 1),
    "no-object": ("unavailable", "", 1),
    "no-content": ("failed", "content", 1),
    "error": ("failed", "it went wrong", 1),
    "error-evil": ("failed", "", 1),
    "error-bare": ("unavailable", "", 1),
    "input": ("failed", "input", 1),
    "type-unknown": ("failed", "kind", 1),
    "flood": ("unavailable", "", 1),
    "status-500": ("unavailable", "500", 0),
    "status-403": ("unavailable", "403", 0),
    "status-200": ("unavailable", "", 0),
    "redirect": ("unavailable", "", 0),
    "reset": ("unavailable", "", 1),
    "wrong-type": ("unavailable", "", 1),
    "half": ("unavailable", "", 1),
    "no-answer": ("unavailable", "", 1),
    "cut-bare": ("unavailable", "", 1),
    "cut-lost": ("unavailable", "", 1),
}


@pytest.mark.parametrize("answer", ["json", "sse"])
@pytest.mark.parametrize("way", CALLS)
def test_calls(scene, hostile, rid, way, answer):
    expected, part, runs = CALLS[way]
    hostile.behave(tools_call=way, answer=answer)
    begun = time.monotonic()
    said, = scene.results(["h.echo", {"message": rid}], request_id=rid)
    assert time.monotonic() - begun < 25 * env.SLOW
    assert scene.invocations(rid) == [("h.echo", expected)], said
    assert said == rid if expected == "ok" else part in said
    assert len(said) < 3000
    assert len(hostile.runs(rid)) == runs
    hostile.behave(tools_call="ok")
    assert scene.results(["h.echo", {"message": f"{rid}-after"}]) == [f"{rid}-after"]
    assert len(hostile.runs(rid)) == runs and len(hostile.runs(f"{rid}-after")) == 1


@pytest.mark.parametrize("answer", ["json", "sse"])
@pytest.mark.parametrize("way", ["never", "drip"])
def test_what_never_ends_is_ended(scene, hostile, rid, way, answer):
    hostile.behave(tools_call=way, answer=answer)
    said, = scene.results(["hasty.echo", {"message": rid}], request_id=rid)
    assert scene.invocations(rid) == [("hasty.echo", "timeout")] and "time" in said
    assert len(hostile.runs(rid)) == 1
    wait_until(lambda: any(one["message"].get("params", {}).get("requestId") is not None
                           for one in hostile.seen("notifications/cancelled")),
               30 * env.SLOW, "word to the server that it need not go on")


def test_what_a_server_asks_is_refused_and_a_ping_is_answered(scene, hostile, rid):
    hostile.behave(tools_call="asks-first")
    assert scene.results(["h.echo", {"message": rid}]) == [rid]

    def answers():
        found = {one["message"].get("id"): one["message"] for one in hostile.seen()
                 if "method" not in one["message"] and "id" in one["message"]}
        return found if {"ask-1", "ask-2", 1} <= set(found) else None
    found = wait_until(answers, 30 * env.SLOW, "answers to the server's requests")
    assert found["ask-1"]["error"]["code"] == found[1]["error"]["code"] == -32601
    assert found["ask-2"]["result"] == {}


# -- sessions ---------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", ["json", "sse"])
@pytest.mark.parametrize("lost", [404, 400])
def test_a_lost_session_is_begun_again_once(scene, hostile, rid, lost, answer):
    assert scene.results(["h.echo", {"message": "warm"}]) == ["warm"]
    before = len(hostile.seen("initialize"))
    hostile.behave(epoch=time.monotonic(), lost=lost, answer=answer)
    said = scene.results(*[["h.echo", {"message": f"{rid}-{n}"}] for n in range(8)],
                         request_id=rid)
    assert said == [f"{rid}-{n}" for n in range(8)]
    assert all(len(hostile.runs(f"{rid}-{n}")) == 1 for n in range(8))
    # A session for each of two workers and two entries, not one for each of the calls.
    assert 1 <= len(hostile.seen("initialize")) - before <= 4


@pytest.mark.parametrize("lost", [404, 400])
def test_a_server_that_always_forgets_is_given_up(scene, hostile, rid, lost):
    hostile.behave(forget=True, lost=lost)
    before = len(hostile.seen("tools/call"))
    said, = scene.results(["h.echo", {"message": rid}], request_id=rid)
    assert scene.invocations(rid) == [("h.echo", "unavailable")] and "ession" in said
    assert len(hostile.runs(rid)) == 0
    assert len(hostile.seen("tools/call")) - before == 2


def test_each_request_has_the_session_and_the_version(scene, hostile, rid):
    assert scene.results(["h.echo", {"message": rid}]) == [rid]
    for one in hostile.seen():
        if one["message"].get("method") in ("tools/call", "tools/list",
                                            "notifications/initialized"):
            headers = one["headers"]
            if "_meta" not in one["message"].get("params", {}):
                assert headers["mcp-session-id"].startswith("session-")
                assert headers["mcp-protocol-version"] == "2025-11-25"


# -- lists ------------------------------------------------------------------------------------

def test_a_change_that_a_server_tells_is_taken_up(scene, hostile, rid):
    hostile.behave(tools=["fresh"], tools_call="notes-first")

    def known():
        scene.results(["h.echo", {"message": rid}])  # whichever worker: each is told
        return all("fresh" in scene.offers("h") for _ in range(8))
    wait_until(known, 50 * env.SLOW, "the new tool", step=0.2)
    assert scene.results(["h.fresh", {}]) == ["fresh ran"]


LISTS = {
    "ok": (FINE, ""), "notes-first": (FINE, ""), "strangers-first": (FINE, ""),
    "asks-first": (FINE, ""), "huge": (FAILED, ""), "deep": (FAILED, ""),
    "not-json": (FAILED, ""), "binary": (FAILED, ""), "wrong-id": (FAILED, ""),
    "batch": (FAILED, ""), "scalar": (FAILED, ""), "no-object": (FAILED, ""),
    "no-content": (FAILED, ""), "both": (FAILED, ""), "neither": (FAILED, ""),
    "error": (FAILED, "it went wrong"), "error-evil": (FAILED, ""), "flood": (FAILED, ""),
    "status-500": (FAILED, "500"), "status-403": (FAILED, "403"), "redirect": (FAILED, ""),
    "reset": (FAILED, ""), "wrong-type": (FAILED, ""), "half": (FAILED, ""),
    "no-answer": (FAILED, ""), "never": (FAILED, "in time"), "drip": (FAILED, "in time"),
}


@pytest.fixture
def lone(directory):
    made = McpMock(directory / "lone").start()
    yield made
    made.stop()


@pytest.mark.parametrize("method", ["initialize", "tools_list"])
@pytest.mark.parametrize("way", LISTS)
def test_a_probe_says_what_is_wrong(lone, method, way):
    expected, part = LISTS[way]
    if method == "initialize" and way in ("no-content", "no-object"):
        part = ""
    lone.behave(**{method: way})
    begun = time.monotonic()
    answer = Agwctl().run("tools", "mcp-probe", lone.url, "--timeout", "4", status=expected)
    assert time.monotonic() - begun < 30 * env.SLOW
    assert part in answer.stderr and len(answer.stderr) < 3000
    assert bool(answer.stderr.strip()) is (expected == FAILED)


@pytest.mark.parametrize("answer", ["json", "sse"])
def test_a_list_of_many_pages(lone, answer):
    names = [f"tool-{number}" for number in range(200)]
    lone.behave(tools=names, page=7, answer=answer)
    report = Agwctl().json("tools mcp-probe", lone.url)
    assert [tool["name"] for tool in report["tools"]] == ["echo", "fails", *names]


@pytest.mark.parametrize("cursor, most", [("repeated", 5), ("endless", 2000)])
def test_a_list_without_an_end_is_refused(lone, cursor, most):
    lone.behave(cursor=cursor, page=1)
    answer = Agwctl().run("tools", "mcp-probe", lone.url, status=FAILED)
    assert "no end" in answer.stderr and len(lone.seen("tools/list")) < most


def test_nothing_that_a_server_says_drives_a_terminal(lone):
    """Agwctl.run() looks at each answer."""
    lone.behave(tools=[HOSTILE + "name"], tools_call="error-evil")
    shown = Agwctl().run("tools", "mcp-probe", lone.url, "--call", status=FINDING).stdout
    assert "owned" in shown
    lone.behave(tools_list="error-evil")
    Agwctl().run("tools", "mcp-probe", lone.url, status=FAILED)


def test_what_is_wrong_with_a_list_is_shown_to_administrators(scene, hostile, directory):
    broken = McpMock(directory / "broken", tools_list="error").start()
    try:
        scene.rewrite([*scene.gateway.tools["tools"], http_entry("broken", broken.url)])
        entry = wait_until(lambda: next((found for found in [scene.tools()["broken"]]
                                         if found["diagnostics"]), None),
                           30 * env.SLOW, "a diagnostic")
        assert "it went wrong" in json.dumps(entry) and not entry["available"]
        broken.behave(tools_list="ok")
        scene.wait_offers("broken", {"echo", "fails"})
        assert scene.results(["broken.echo", {"message": "well"}]) == ["well"]
    finally:
        scene.rewrite(scene.gateway.tools["tools"])
        broken.stop()
