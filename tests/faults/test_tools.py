# SPDX-License-Identifier: MIT
"""kill -9 of local tools, of the server of an HTTP tool, and of workers while tools run (T28):
the model is told, or the row says unfinished; nothing goes on running, and no tool, which
counts its calls itself, runs twice."""
import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import sys
import threading
import time

import pytest

import env
from gateway import KEYS, agent
from procs import Process, is_running, wait_until
from scale import count, limit, report
from wire import new_id, request

PATIENCE = 30 * env.SLOW
HERE = pathlib.Path(__file__).parent
LONG = "600"


def schema():
    return {"type": "object", "required": ["id", "wait"],
            "properties": {name: {"type": "string"} for name in ("id", "wait")}}


class Counter:
    """What tools wrote about themselves."""

    def __init__(self, directory):
        self.folder = directory / "counted"
        self.folder.mkdir()
        self.path = self.folder / "calls"
        self.path.touch()

    def counts(self, what="start"):
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return collections.Counter(line[1] for line in lines if line[0] == what)

    def wait_started(self, name):
        wait_until(lambda: self.counts()[name], PATIENCE, f"start of {name}")


class ToolServer:
    """Its socket outlives it: whoever connects meanwhile is served by the next one."""

    def __init__(self, directory, counter):
        self.directory, self.counter = directory, counter
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.socket.getsockname()[1]
        self.process, self.starts = None, 0
        self.start()

    def start(self):
        self.starts += 1
        self.process = Process(
            [sys.executable, HERE / "counting_server.py", self.socket.fileno(),
             self.counter.path],
            self.directory, f"toolserver-{self.starts}", pass_fds=[self.socket.fileno()])

    def kill(self):
        self.process.send(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.stop()
        self.socket.close()


class Scene:
    def __init__(self, make, directory, web_server="lighttpd", workers=1, wait=LONG):
        self.counter, self.wait = Counter(directory), wait
        self.server = ToolServer(directory, self.counter)
        make.made.append(self.server)
        self.command = str(HERE / "counting-tool")
        self.gateway = make.gateway(
            mode="activated", gateway={"workers": workers, "timeouts": {"drain": 3}},
            security={"default": {"local_tools_allowlist": ["*"]}},
            agents={"agents": [agent("tester", model="calls-as-told", tools=["*"]),
                               agent("ok")]},
            upstreams={"upstreams": [
                {"name": "mock", "provider": "openai-compatible",
                 "base_url": make.mock.base_url(), "api_key_env": "AGW_TEST_UPSTREAM_KEY"}]},
            tools={"tools": [
                {"name": "local", "provider": "local", "timeout": 700, "schema": schema(),
                 "command": [self.command, str(self.counter.path)],
                 "write": [str(self.counter.folder)]},
                {"name": "http", "provider": "http", "timeout": 700, "schema": schema(),
                 "url": f"http://127.0.0.1:{self.server.port}/do", "allow_private": True}]})
        self.web = make.server(self.gateway, web_server)

    def ask(self, tag, *tools, wait=None):
        """One request, in which the model calls each of these tools. -> answer, or None when
        the connection broke"""
        calls = [[tool, {"id": f"{tag}.{tool}", "wait": wait or self.wait}] for tool in tools]
        try:
            return request(self.web.port, "POST", "/v1/chat/completions",
                           [("X-Request-Id", tag)],
                           {"model": "mock/tester", "messages": [
                               {"role": "user", "content": json.dumps(calls)}]},
                           KEYS["client"], 700 * env.SLOW)
        except OSError:
            return None

    def ask_meanwhile(self, tag, *tools):
        """ask() in a thread; returns once the tools run."""
        asked = Asked(self, tag, tools)
        for tool in tools:
            self.counter.wait_started(f"{tag}.{tool}")
        return asked

    def row(self, tag, status):
        """The one row of the request's tool call, once it has this status."""
        rows = wait_until(lambda: self.gateway.sql(
            "SELECT * FROM tool_invocations WHERE request_id = ? AND status = ?", tag, status),
            PATIENCE, f"row of {tag} with {status}")
        assert len(rows) == 1, rows
        return rows[0]

    def processes(self):
        """Those of local tools: agw-exec, the program, and its child."""
        found = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            mine = self.command in words and str(self.counter.path) in words
            if mine or words[:2] == ["sleep", self.wait]:
                pid = int(path.parent.name)
                if is_running(pid):
                    found[pid] = words
        return found

    def program(self):
        """Process id of the local tool itself; its child is called alike until it runs sleep."""
        def alone():
            found = [pid for pid, words in self.processes().items()
                     if words[1:2] == [self.command] and "agw-exec" not in words[0]]
            return found if len(found) == 1 else None
        return wait_until(alone, PATIENCE, "one program")[0]

    def assert_no_orphans(self):
        def gone():
            return not self.processes()
        try:
            wait_until(gone, PATIENCE, "end")
        except AssertionError:
            raise AssertionError(f"go on: {self.processes()}") from None


class Asked:
    def __init__(self, scene, tag, tools):
        self.answer = None
        self.thread = threading.Thread(target=self._ask, args=(scene, tag, tools), daemon=True)
        self.thread.start()

    def _ask(self, scene, tag, tools):
        self.answer = scene.ask(tag, *tools)

    def results(self):
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive() and self.answer is not None
        assert self.answer.status == 200, self.answer
        return json.loads(self.answer.json()["choices"][0]["message"]["content"])


def kill_all(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it went with another
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def scene(make, directory):
    # The child's time tells its processes from those of other tests.
    return Scene(make, directory, wait=f"600.{os.getpid()}{random.randrange(1000)}")


def test_T28_http_tool_server_killed_in_a_call(scene):
    """On a kept connection, and with a new server there at once: a request that is sent again
    would be counted."""
    assert scene.ask(new_id("warm"), "http", wait="0").status == 200
    for _ in range(count("AGW_FAULT_TOOLS", 3, 10)):
        tag = new_id("server")
        asked = scene.ask_meanwhile(tag, "http")
        scene.server.kill()
        scene.server.start()
        assert "went away while it answered" in asked.results()[0]
        scene.row(tag, "unavailable")
        assert scene.ask(new_id("again"), "http", wait="0").status == 200
    assert max(scene.counter.counts().values()) == 1


def test_T28_local_tool_killed_in_a_call(scene):
    for _ in range(count("AGW_FAULT_TOOLS", 3, 10)):
        tag = new_id("program")
        asked = scene.ask_meanwhile(tag, "local")
        os.kill(scene.program(), signal.SIGKILL)
        assert "signal" in asked.results()[0]
        scene.row(tag, "failed")
        scene.assert_no_orphans()
    assert max(scene.counter.counts().values()) == 1
    assert scene.counter.counts("end") == {}


def test_T28_every_process_of_a_local_tool_killed(scene):
    tag = new_id("all")
    asked = scene.ask_meanwhile(tag, "local")
    kill_all(scene.processes())
    assert "local" in asked.results()[0]
    scene.assert_no_orphans()
    assert scene.counter.counts() == {f"{tag}.local": 1}


@pytest.mark.parametrize("tool", ["local", "http"])
def test_T28_worker_killed_in_the_loop(scene, tool):
    for _ in range(count("AGW_FAULT_TOOLS", 2, 10)):
        tag = new_id("worker")
        asked = scene.ask_meanwhile(tag, tool)
        scene.gateway.restarted(scene.gateway.kill_workers(), 30)
        asked.thread.join(PATIENCE)
        assert not asked.thread.is_alive()
        assert asked.answer is None or asked.answer.status >= 500, asked.answer
        scene.row(tag, "unfinished")
        scene.assert_no_orphans()
        after = new_id("after")
        assert scene.ask(after, tool, wait="0").status == 200
        scene.row(after, "ok")
    assert max(scene.counter.counts().values()) == 1


def test_T28_supervisor_killed_in_the_loop(scene):
    tag = new_id("family")
    asked = scene.ask_meanwhile(tag, "local")
    kill_all(scene.gateway.family())
    scene.gateway.process.wait()
    asked.thread.join(PATIENCE)
    assert not asked.thread.is_alive()
    scene.assert_no_orphans()
    scene.gateway.start()
    scene.row(tag, "unfinished")
    assert scene.counter.counts() == {f"{tag}.local": 1}


class Clients:
    """Ask until told to stop; seen: what became of each request."""

    def __init__(self, scene, number):
        self.scene, self.seen, self.stopping = scene, {}, False
        self.threads = [threading.Thread(target=self._go_on, daemon=True) for _ in range(number)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _go_on(self):
        while not self.stopping:
            tag = new_id("load")
            self.seen[tag] = self.scene.ask(tag, "local", "http")
            if self.seen[tag] is None or self.seen[tag].status != 200:
                time.sleep(0.05)


@pytest.mark.alone
@pytest.mark.timeout(limit(600))
@pytest.mark.parametrize("web_server", ["lighttpd", "nginx", "apache"])
def test_T28_kill_loop_with_tools(make, directory, web_server):
    """Whatever dies when: each call that began has its row, which was there before, and began
    once."""
    scene = Scene(make, directory, web_server, workers=2, wait="0.0517")
    kills = collections.Counter()
    with Clients(scene, 4) as clients:
        for _ in range(count("AGW_FAULT_TOOL_KILLS", 8, 40, 400)):
            time.sleep(random.uniform(0.05, 0.5))
            if random.random() < 0.6:
                workers = scene.gateway.workers()
                if workers:
                    victim = random.choice(workers)
                    os.kill(victim, signal.SIGKILL)
                    scene.gateway.restarted([victim], 30)
                    kills["worker"] += 1
            else:
                scene.server.kill()
                scene.server.start()
                kills["server"] += 1
    wait_until(lambda: scene.ask(new_id("last"), "local", "http").status == 200, PATIENCE,
               "service")
    scene.assert_no_orphans()
    started = scene.counter.counts()
    assert len(started) > 20 and max(started.values()) == 1
    rows = collections.Counter((row["request_id"], row["tool"]) for row in scene.gateway.sql(
        "SELECT request_id, tool FROM tool_invocations"))
    assert max(rows.values()) == 1
    unrecorded = [name for name in started if tuple(name.rsplit(".", 1)) not in rows]
    assert unrecorded == []
    good = {tag for tag, answer in clients.seen.items() if answer and answer.status == 200}
    assert good and all((tag, tool) in rows for tag in good for tool in ("local", "http"))
    report(**kills, requests=len(clients.seen), good=len(good), started=len(started),
           unfinished=scene.gateway.sql("SELECT count(*) AS n FROM tool_invocations"
                                        " WHERE status = 'unfinished'")[0]["n"])
