# SPDX-License-Identifier: MIT
"""A host of Python modules without any SDK, for tests of the runner (GATEWAY_HOSTS).

The module's file is executed. Each of its globals that is a mapping with "fake" is an agent: what
it has as "fake" is the text it answers, or a function that is called with the connection and the
message `run.start`. `on_hello` and `on_ping` of the module may misbehave.
"""
import json
import os
import socket
import sys
import threading
import time
import traceback

CONTROL = socket.socket(fileno=3)
runs, draining = 0, False


def send(connection, message):
    connection.sendall(json.dumps(message).encode() + b"\n")


def load(message):
    """-> the module's globals, the message `catalog`."""
    path, scope, diagnostics, exports = message["path"], {"__name__": "agent"}, [], []
    try:
        with open(path) as file:
            exec(compile(file.read(), path, "exec"), scope)  # noqa: S102
    except SyntaxError as problem:
        diagnostics = [{"kind": "import", "severity": "error", "message": str(problem),
                        "path": path, "line": problem.lineno}]
    except Exception as problem:  # noqa: BLE001
        line = traceback.extract_tb(problem.__traceback__)[-1].lineno
        diagnostics = [{"kind": "import", "severity": "error", "message": repr(problem),
                        "path": path, "line": line}]
    else:
        exports = [{"attr": name, "kind": "agent", "name": value.get("name", name),
                    "model": value.get("model"), "tools": value.get("tools", []),
                    "handoffs": value.get("handoffs", [])}
                   for name, value in scope.items()
                   if isinstance(value, dict) and "fake" in value]
    return scope, {"t": "catalog", "gateway": scope.get("__gateway__", {}),
                   "doc": scope.get("__doc__"), "exports": exports,
                   "diagnostics": diagnostics + scope.get("diagnostics", [])}


def run(connection, scope):
    global runs
    try:
        send(connection, {"t": "hello", "v": 1, "lang": "python", "sdk": "none",
                          "pid": os.getpid()})
        for line in connection.makefile("rb"):
            message = json.loads(line)
            if message["t"] == "run.start":
                answer = scope[message["agent"]["attr"]]["fake"]
                if callable(answer):
                    answer = answer(connection, message)
                if answer is not None:
                    send(connection, {"t": "run.done", "output": answer, "usage": None,
                                      "finish_reason": "stop"})
                    return
    finally:
        runs -= 1
        connection.close()
        if draining and runs == 0:
            os._exit(0)


def receive():
    """Messages with the descriptors that came with them."""
    data, fds = b"", []
    while True:
        while b"\n" not in data:
            more, got, _, _ = socket.recv_fds(CONTROL, 65536, 8)
            if not more:
                return
            data += more
            fds += got
        line, _, data = data.partition(b"\n")
        message = json.loads(line)
        yield message, fds.pop(0) if message["t"] == "conn" else None


def main():
    global runs, draining
    scope = {}
    threading.stack_size(512 << 10)  # stacks count as memory
    send(CONTROL, {"t": "hello", "v": 1, "lang": "python", "sdk": "none", "pid": os.getpid()})
    for message, fd in receive():
        kind = message["t"]
        if kind == "load":
            scope, catalog = load(message)
            send(CONTROL, catalog)
        elif kind == "conn":
            runs += 1
            connection = socket.socket(fileno=fd)
            scope["was_blocking"] = os.get_blocking(fd)
            connection.setblocking(True)
            threading.Thread(target=run, args=(connection, scope), daemon=True).start()
        elif kind == "ping":
            if "on_ping" in scope:
                scope["on_ping"]()
            send(CONTROL, {"t": "pong", "n": message["n"], "runs": runs, "rss": 1 << 20})
        elif kind in ("drain", "shutdown"):
            draining = True
            if runs == 0 or kind == "shutdown":
                sys.exit(0)
    while runs > 0:
        time.sleep(0.01)


main()
