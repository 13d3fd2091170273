# SPDX-License-Identifier: MIT
"""A runner and its module hosts, played by the test itself: what they say is up to the test, and
may be against all rules.

`hosts` maps the id of an agent to a function that is called with the Run, in a thread of its own;
what it returns is of no matter, and the connection is closed after it unless `keep` is set.
"""
import array
import contextlib
import json
import os
import socket
import threading

import env
from procs import wait_until
from runner_peer import Gone, Lines

LONG = 60 * env.SLOW
RUN = "run of "  # how the threads that play runs are called


def played():
    """The runs that still are under way, by agent."""
    return [one.name for one in threading.enumerate() if one.name.startswith(RUN)]


def agent(id, **more):
    namespace, name = id.split("/")
    return {"id": id, "namespace": namespace, "name": name, "display_name": name.title(),
            "description": f"Is {name}.", "lang": "python", "module": f"{namespace}.{name}.agent",
            "path": f"/agents/{namespace}/{name}/agent.py", "attr": "agent", "model": "ok",
            "upstream": "mock", "available": True, "problem": None, "tools": ["own"],
            "handoffs": [], "loaded_at": 1, **more}


class Run:
    """The host's end of one run."""

    def __init__(self, sock, id):
        self.sock, self.id, self.lines, self.keep = sock, id, Lines(sock), False
        self.seen = []

    def send(self, kind, **fields):
        """Gone when the other side has closed, so that what talks without end ends then."""
        if not self.lines.send({"t": kind, **fields}):
            raise Gone(kind)

    def raw(self, data):
        """As send(), for what is no message."""
        try:
            self.sock.sendall(data)
        except OSError as problem:
            raise Gone(problem) from problem

    def receive(self, *kinds, timeout=LONG, **fields):
        """The next message of one of these kinds and with these fields; Gone at the end."""
        for index, message in enumerate(self.seen):
            if (not kinds or message["t"] in kinds) and fields.items() <= message.items():
                return self.seen.pop(index)
        while True:
            message = self.lines.receive(timeout)
            if (not kinds or message["t"] in kinds) and fields.items() <= message.items():
                return message
            self.seen.append(message)

    def greet(self):
        """As all hosts begin. -> hello, run.start"""
        self.send("hello", v=1, lang="python", sdk="fake", pid=os.getpid())
        self.hello, self.start = self.receive("hello"), self.receive("run.start")
        return self

    def done(self, output="done", **more):
        self.send("run.done", **{"output": output, "usage": None, "finish_reason": "stop", **more})

    def error(self, kind, status=500, code=None, message="It failed.", **more):
        self.send("run.error", **{"class": kind, "status": status, "code": code,
                                  "message": message, **more})

    def ask_model(self, id=1, **body):
        self.send("llm.request", id=id, api="chat/completions", body={
            "messages": [{"role": "user", "content": "hi"}], "model": "ok", **body})
        return self

    def check(self, name, id=1, **more):
        """-> the verdict."""
        self.send("tool.check", id=id, name=name, call_id=f"call_{id}", args="{}", **more)
        return self.receive("tool.verdict", id=id)

    def ended(self, timeout=LONG):
        """What came before the other side closed."""
        seen = list(self.seen)
        with contextlib.suppress(Gone):
            while True:
                seen.append(self.lines.receive(timeout))
        return seen


class FakeRunner:
    def __init__(self, path, hosts=None, version=1, errors=(), **more):
        self.path, self.version, self.errors = str(path), version, list(errors)
        self.hosts, self.more = dict(hosts or {}), more
        self.agents = [agent(id) for id in self.hosts]
        self.runs, self.kills, self.refreshes, self.refusals = [], [], 0, {}
        self.failures, self.clients, self.generation = [], [], 0
        self.lock, self.listener, self.silent = threading.Lock(), None, False
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(16)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """As when it is killed: every gateway sees the end."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            clients, self.clients = self.clients, []
        for client in clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                with self.lock:
                    self.clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def listing(self):
        self.generation += 1
        return {"t": "agents", "generation": self.generation, "agents": self.agents,
                "errors": self.errors, "watch": {"state": "started", "reason": None},
                "sandbox": {"seccomp": "applied"}, "modules": [], **self.more}

    def publish(self):
        """Sends the list to every gateway."""
        with self.lock:
            for client in self.clients:
                with contextlib.suppress(OSError):
                    client.sendall(json.dumps(self.listing()).encode() + b"\n")

    def _serve(self, client):
        lines = Lines(client)
        with contextlib.suppress(Gone, OSError, TimeoutError):
            while self.silent:
                lines.receive(3600)
            with self.lock:
                lines.send({"t": "hello", "v": self.version, "pid": os.getpid()})
                lines.send(self.listing())
            while True:
                self._answer(lines, client, lines.receive(3600))
        client.close()

    def _answer(self, lines, client, message):
        kind = message["t"]
        if kind == "open":
            self._open(lines, client, message)
        elif kind == "refresh":
            self.refreshes += 1
            with self.lock:
                lines.send(self.listing())
                lines.send({"t": "refreshed", "id": message["id"]})
        elif kind == "kill":
            self.kills.append(message)

    def _open(self, lines, client, message):
        refusal = self.refusals.get(message["agent"])
        if refusal == "ignore":
            return
        if refusal:
            with self.lock:
                lines.send({"t": "refused", "id": message["id"], **refusal})
            return
        ours, theirs = socket.socketpair()
        line = json.dumps({"t": "opened", "id": message["id"], "process": 4711}).encode() + b"\n"
        with self.lock:
            client.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                     array.array("i", [theirs.fileno()]))])
        theirs.close()
        run = Run(ours, message["agent"])
        self.runs.append(run)
        threading.Thread(target=self._play, args=(run,), name=RUN + run.id, daemon=True).start()

    def _play(self, run):
        try:
            self.hosts[run.id](run)
        except (Gone, OSError) as problem:
            run.gone = problem
        except Exception as problem:  # noqa: BLE001 the test looks at them
            self.failures.append(f"{run.id}: {problem!r}")
        if not run.keep:
            run.sock.close()

    def wait_runs(self, count):
        wait_until(lambda: len(self.runs) >= count, LONG, f"{count} runs")
        return self.runs[-1]
