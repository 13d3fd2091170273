# SPDX-License-Identifier: MIT
"""MCP servers over HTTP that forget, break off, lie or flood: each call ends in one of the
documented ways, in time, no tool runs twice, and the next call is served."""
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
MODERN = {**PLAIN, "era": "modern"}


@pytest.fixture(scope="module")
def served(session_dir, mock):
    hostile = McpMock(session_dir / "hostile", **PLAIN).start()
    modern = McpMock(session_dir / "hostile-modern", **MODERN).start()
    scene = McpScene(session_dir / "mcphost", mock, [
        http_entry("h", hostile.url), http_entry("hasty", hostile.url, timeout=2),
        http_entry("m", modern.url)])
    for name in ("h", "hasty", "m"):
        scene.wait_offers(name, {"echo", "fails"})
    yield scene, hostile, modern
    scene.stop()
    hostile.stop()
    modern.stop()


@pytest.fixture
def scene(served):
    return served[0]


@pytest.fixture
def hostile(served):
    served[1].behave(**PLAIN)
    yield served[1]
    served[1].behave(**PLAIN)


@pytest.fixture
def modern(served):
    served[2].behave(**MODERN)
    yield served[2]
    served[2].behave(**MODERN)


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
# There streams are not taken up again.
MODERN_CALLS = {**CALLS, "cut-1": ("unavailable", "", 1), "cut-3": ("unavailable", "", 1)}


def one_call(scene, server, entry, rid, way, answer, calls):
    expected, part, runs = calls[way]
    server.behave(tools_call=way, answer=answer)
    begun = time.monotonic()
    said, = scene.results([f"{entry}.echo", {"message": rid}], request_id=rid)
    assert time.monotonic() - begun < 25 * env.SLOW
    assert scene.invocations(rid) == [(f"{entry}.echo", expected)], said
    assert said == rid if expected == "ok" else part in said
    assert len(said) < 3000
    assert len(server.runs(rid)) == runs
    server.behave(tools_call="ok")
    assert scene.results([f"{entry}.echo", {"message": f"{rid}-after"}]) == [f"{rid}-after"]
    assert len(server.runs(rid)) == runs and len(server.runs(f"{rid}-after")) == 1


@pytest.mark.parametrize("answer", ["json", "sse"])
@pytest.mark.parametrize("way", CALLS)
def test_calls(scene, hostile, rid, way, answer):
    one_call(scene, hostile, "h", rid, way, answer, CALLS)


@pytest.mark.parametrize("answer", ["json", "sse"])
@pytest.mark.parametrize("way", MODERN_CALLS)
def test_calls_of_the_stateless_era(scene, modern, rid, way, answer):
    one_call(scene, modern, "m", rid, way, answer, MODERN_CALLS)
    assert not modern.seen("initialize") and not modern.seen(http="GET")


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
    answer = Agwctl().run("tools", "mcp-probe", lone.url, "--timeout",
                          "2" if way in ("never", "drip") else "30", status=expected)
    assert time.monotonic() - begun < 25 * env.SLOW
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


def test_a_stream_is_taken_up_where_it_broke(lone):
    lone.behave(tools_call="cut-3", answer="sse")
    Agwctl().run("tools", "mcp-probe", lone.url, "--call", status=FINDING)  # one says it fails
    taken_up = [one["headers"] for one in lone.seen(http="GET")]
    assert len(taken_up) == 6 and len(lone.runs()) == 2
    assert [headers["last-event-id"] for headers in taken_up] == [
        f"stream-{call}/{place}" for call in (0, 1) for place in (0, 2, 1)]


def test_what_changes_nothing_is_asked_again_and_nothing_else_is(lone):
    lone.behave(tools=["read-it"], tools_call=["reset", "reset", "reset", "ok"])
    report = Agwctl().json("tools mcp-probe", lone.url, "--call", status=FINDING)
    ended = {tool["name"]: tool["call"]["status"] for tool in report["tools"]}
    assert ended == {"echo": "unavailable", "fails": "unavailable", "read-it": "ok"}
    assert [run["tool"] for run in lone.runs()] == ["echo", "fails", "read-it", "read-it"]


def test_a_token_is_sent_with_every_message(lone, directory):
    environment = {"AGW_TEST_TOKEN": "hidden-in-the-environment", "PATH": "/usr/bin:/bin"}
    answer = Agwctl(environment=environment).run("tools", "mcp-probe", lone.url, "--bearer-env",
                                                 "AGW_TEST_TOKEN")
    assert "hidden" not in answer.stdout + answer.stderr
    assert {one["headers"].get("authorization") for one in lone.seen()} == {
        "Bearer hidden-in-the-environment"}


def test_no_tools_are_a_diagnostic(lone):
    lone.behave(tools_list="no-tools")
    report = Agwctl().json("tools mcp-probe", lone.url)
    assert report["tools"] == [] and "no tools" in "".join(report["diagnostics"])


def test_nothing_that_a_server_says_drives_a_terminal(lone):
    """Agwctl.run() looks at each answer."""
    lone.behave(tools=[HOSTILE + "name"], tools_call="error-evil")
    shown = Agwctl().run("tools", "mcp-probe", lone.url, "--call", status=FINDING).stdout
    assert "owned" in shown
    lone.behave(tools_list="error-evil")
    Agwctl().run("tools", "mcp-probe", lone.url, status=FAILED)


def test_what_is_wrong_with_a_list_is_shown_to_administrators(scene, hostile, directory):
    broken = McpMock(directory / "broken", tools_list="error").start()
    tools = [*scene.gateway.tools["tools"], http_entry("broken", broken.url)]

    def shown(part):
        scene.rewrite(tools)  # asks anew in the worker that answers
        entry = scene.tools()["broken"]
        return entry if part in "".join(entry["diagnostics"]) else None
    try:
        entry = wait_until(lambda: shown("it went wrong"), 30 * env.SLOW, "a diagnostic")
        assert not entry["available"] and entry["tools"] == []
        broken.behave(tools_list="no-tools")
        wait_until(lambda: shown("no tools"), 30 * env.SLOW, "another diagnostic")
        broken.behave(tools_list="ok")
        wait_until(lambda: scene.results(["broken.echo", {"message": "well"}]) == ["well"]
                   or shown("never"), 30 * env.SLOW, "its tools")
    finally:
        scene.rewrite(scene.gateway.tools["tools"])
        broken.stop()
