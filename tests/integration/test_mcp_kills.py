# SPDX-License-Identifier: MIT
"""kill -9 of MCP servers and of the gateway's processes in mid-call, and configurations that
change meanwhile: a clear failure or an unfinished row, no process stays behind, no tool runs
twice, and what did not change keeps its session."""
import json
import os
import signal
import socket
import threading
import time

import pytest

import env
import wire
from gateway import KEYS
from mcp_mock import McpMock
from mcp_scene import McpScene
from mcp_servers import http_entry, stdio_entry
from procs import is_running, wait_until

TOOLS = {"echo", "fails"}
# Agents that may use "*" want a tool to be there.
SPARE = http_entry("spare", "http://127.0.0.1:9/mcp")


class Rig:
    """A gateway with a server over HTTP ("h") and one that it starts ("s")."""

    def __init__(self, directory, mock, workers=1, drain=15, **stdio):
        self.http = McpMock(directory / "http").start()
        self.stdio = McpMock(directory / "stdio", **stdio)
        self.entries = [http_entry("h", self.http.url),
                        stdio_entry("s", self.stdio.argv(), write=[self.stdio.state])]
        self.scene = McpScene(directory / "g", mock, self.entries, gateway={
            "workers": workers, "timeouts": {"drain": drain}})
        self.gateway = self.scene.gateway
        for name in ("h", "s"):
            self.scene.wait_offers(name, TOOLS, times=4)

    def server(self, entry):
        return self.http if entry == "h" else self.stdio

    def begin(self, entry, message, ms=20000):
        """A chat with a call that takes a while; returns once the tool runs."""
        call = Call(self.scene, [f"{entry}.echo", {"message": message, "ms": ms}], message)
        wait_until(lambda: self.server(entry).runs(message), 60 * env.SLOW, "run of the tool")
        return call

    def served(self, entry, tag):
        """Until a call is answered again."""
        count = 0

        def answered():
            nonlocal count
            count += 1
            return self.scene.results([f"{entry}.echo", {"message": f"{tag}-{count}"}]) \
                == [f"{tag}-{count}"]
        wait_until(answered, 60 * env.SLOW, f"an answer through {entry}", step=0.2)

    def stop(self):
        self.scene.stop()
        self.http.stop()


class Call(threading.Thread):
    def __init__(self, scene, call, request_id):
        super().__init__(daemon=True)
        self.scene, self.call, self.request_id = scene, call, request_id
        self.said = self.failure = None
        self.start()

    def run(self):
        try:
            self.said = self.scene.results(self.call, request_id=self.request_id)
        except (AssertionError, OSError, ValueError) as failure:
            self.failure = failure

    def end(self):
        self.join(100 * env.SLOW)
        assert not self.is_alive()
        return self.said


@pytest.fixture
def rig(directory, mock):
    made = Rig(directory, mock)
    yield made
    made.stop()
    assert made.stdio.programs() == [] == made.stdio.programs("child")


@pytest.mark.parametrize("entry", ["h", "s"])
def test_T28_a_killed_server(rig, rid, entry):
    call = rig.begin(entry, rid)
    begun = time.monotonic()
    if entry == "h":
        rig.http.kill()
    else:
        victim, = rig.stdio.programs()
        os.kill(victim, signal.SIGKILL)
    said, = call.end()
    assert time.monotonic() - begun < 15 * env.SLOW  # not only at the end of its time
    assert said != rid and rig.scene.invocations(rid) == [(f"{entry}.echo", "unavailable")]
    if entry == "h":
        assert rig.scene.results(["h.echo", {"message": "while it is gone"}])[0]
        rig.http.start()
    rig.served(entry, f"{rid}-after")
    assert len(rig.server(entry).runs(rid)) == 1
    if entry == "s":
        fresh, = rig.stdio.programs()
        assert fresh != victim
        assert rig.scene.tools()["s"]["restarts"] == 1


@pytest.mark.parametrize("entry", ["h", "s"])
@pytest.mark.parametrize("times", [12])
def test_T28_a_server_killed_again_and_again(rig, rid, entry, times):
    """Calls go on while the server dies: none runs twice, and each ends."""
    calls = []
    for number in range(times):
        batch = [Call(rig.scene, [f"{entry}.echo", {"message": f"{rid}-{number}-{one}",
                                                    "ms": 30}], f"{rid}-{number}-{one}")
                 for one in range(3)]
        calls += batch
        wait_until(lambda batch=batch: not all(call.is_alive() for call in batch) or
                   rig.server(entry).runs(batch[0].request_id), 60 * env.SLOW, "a run")
        if entry == "h":
            rig.http.kill()
            rig.http.start()
        else:
            for pid in rig.stdio.programs():
                os.kill(pid, signal.SIGKILL)
    for call in calls:
        assert len(call.end()) == 1, call.failure
        (_, status), = rig.scene.invocations(call.request_id)
        runs = len(rig.server(entry).runs(call.request_id))
        assert status in ("ok", "unavailable")
        assert runs == 1 if status == "ok" else runs <= 1
    rig.served(entry, f"{rid}-after")


@pytest.mark.parametrize("entry", ["h", "s"])
def test_T28_a_killed_worker(rig, rid, entry):
    call = rig.begin(entry, rid, ms=4000)
    old = rig.stdio.programs()
    victims = rig.gateway.kill_workers()
    assert call.end() is None and call.failure
    wait_until(lambda: not any(is_running(pid) for pid in old), 30 * env.SLOW,
               "end of the worker's server")
    rig.gateway.restarted(victims, timeout=30)
    rig.served(entry, f"{rid}-after")
    assert rig.scene.invocations(rid, unfinished=True) == [(f"{entry}.echo", "unfinished")]
    assert len(rig.server(entry).runs(rid)) == 1
    assert len(rig.stdio.programs()) == 1


def test_T28_a_killed_gateway_leaves_nothing(directory, mock, rid):
    rig = Rig(directory, mock, workers=2, drain=2, before="stay child")
    try:
        rig.begin("s", rid)
        wait_until(lambda: len(rig.stdio.programs()) == len(rig.stdio.programs("child")) == 2,
                   60 * env.SLOW, "servers of both workers")
        programs = rig.stdio.programs() + rig.stdio.programs("child")
        family = rig.gateway.family()
        os.kill(rig.gateway.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in family + programs),
                   60 * env.SLOW, "end of all processes")
    finally:
        rig.stop()
    assert rig.stdio.programs() == [] == rig.stdio.programs("child")


# lighttpd tells of it with the next ping of a stream, nginx at once.
@pytest.mark.parametrize("stream, name", [(True, "lighttpd"), (False, "nginx")])
@pytest.mark.parametrize("entry", ["h", "s"])
def test_a_client_that_leaves_ends_the_call(rig, rid, entry, stream, name):
    body = json.dumps(wire.chat_body("mock/agent", stream=stream, text=json.dumps(
        [[f"{entry}_echo", {"message": rid, "ms": 20000}]]))).encode()
    rig.scene.serve(name)
    with socket.create_connection(("127.0.0.1", rig.scene.server.port)) as sock:
        sock.sendall(wire.build("POST", "/v1/chat/completions", [
            ("Authorization", f"Bearer {KEYS['client']}"), ("X-Request-Id", rid),
            ("Content-Type", "application/json")], body))
        wait_until(lambda: rig.server(entry).runs(rid), 60 * env.SLOW, "run of the tool")
    assert rig.scene.invocations(rid) == [(f"{entry}.echo", "cancelled")]
    assert rig.gateway.outcome(rid) == "client_gone"
    wait_until(lambda: rig.server(entry).seen("notifications/cancelled"), 30 * env.SLOW,
               "notifications/cancelled")
    rig.served(entry, f"{rid}-after")
    assert len(rig.server(entry).runs(rid)) == 1


# -- configurations that change ---------------------------------------------------------------

def test_what_did_not_change_keeps_session_and_process(rig, rid):
    rig.served("h", f"{rid}-h")
    rig.served("s", f"{rid}-s")
    begun, programs = len(rig.http.seen("initialize")), rig.stdio.programs()
    extra = http_entry("more", rig.http.url, method="echo")
    rig.scene.rewrite([*rig.entries, extra])
    assert rig.scene.results(["more", {"message": rid}]) == [rid]
    rig.served("h", f"{rid}-h2")
    rig.served("s", f"{rid}-s2")
    assert rig.stdio.programs() == programs and len(programs) == 1
    assert len(rig.http.seen("initialize")) == begun + 1  # of the new entry
    assert len(rig.stdio.seen("initialize")) == 1


def test_what_changed_begins_anew(rig, rid):
    old, = rig.stdio.programs()
    rig.scene.rewrite([rig.entries[0], {**rig.entries[1], "timeout": 25}])
    rig.served("s", rid)
    wait_until(lambda: not is_running(old), 30 * env.SLOW, "end of the old process")
    assert len(rig.stdio.programs()) == 1


def test_what_is_gone_ends(rig, rid):
    rig.served("h", rid)
    session = rig.http.seen("tools/call")[-1]["headers"]["mcp-session-id"]
    rig.scene.rewrite([SPARE])
    wait_until(lambda: not rig.stdio.programs(), 30 * env.SLOW, "end of the process")
    wait_until(lambda: any(one["headers"].get("mcp-session-id") == session
                           for one in rig.http.seen(http="DELETE")), 30 * env.SLOW,
               "end of the session")
    assert set(rig.scene.tools()) == {"spare"}


@pytest.mark.parametrize("entry", ["h", "s"])
def test_a_call_outlives_its_configuration(rig, rid, entry):
    call = rig.begin(entry, rid, ms=3000)
    rig.scene.rewrite([SPARE])
    assert call.end() == [rid] and len(rig.server(entry).runs(rid)) == 1
    wait_until(lambda: not rig.stdio.programs(), 30 * env.SLOW, "end of the process")


def test_a_broken_file_changes_nothing(rig, rid):
    programs = rig.stdio.programs()
    rig.gateway.write("tools", "version: 1\ntools: [{name: s}]\n")
    rig.gateway.reload()
    rig.served("s", rid)
    assert rig.stdio.programs() == programs
