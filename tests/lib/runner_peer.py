# SPDX-License-Identifier: MIT
"""Plays agw-runner and gateway for a module host: its control channel, runs, scripted models.

The host is a program; nothing of it is imported here, so that the hosts of all languages can be
asked the same. A script says what the model answers (tests/cases/hosts/).
"""
import array
import contextlib
import itertools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time

import env

LINE_MAX = 16 << 20
LONG = 60 * env.SLOW
HELLO = {"t": "hello", "v": 1}


class Gone(Exception):
    """The other side has closed the connection."""


class Lines:
    """JSON lines over a socket, blocking, one thread."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def send(self, message, fd=None):
        """-> False when the other side has closed: what it said before that can still be read."""
        line = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if fd is None:
                self.sock.sendall(line)
                return True
            sent = self.sock.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                               array.array("i", [fd]))])
            self.sock.sendall(line[sent:])
            return True
        return False

    def receive(self, timeout=LONG):
        """The next message; Gone, or TimeoutError."""
        end = time.monotonic() + timeout
        while True:
            line = self.read_line(end, timeout)
            message = json.loads(line)
            assert isinstance(message, dict), line[:200]
            if self.is_for_us(message):
                return message

    @staticmethod
    def is_for_us(message):
        assert isinstance(message.get("t"), str), message
        return True

    def read_line(self, end, timeout):
        searched = 0
        while (at := self.buffer.find(b"\n", searched)) < 0:
            searched = len(self.buffer)
            assert searched <= LINE_MAX, "the host wrote a line over the limit"
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError(f"no message within {timeout} s")
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Gone
            self.buffer += data
        line = bytes(self.buffer[:at])
        del self.buffer[:at + 1]
        return line


class Channel(Lines):
    """As Node.js has it for its children: a descriptor is acknowledged before the next is sent."""

    def __init__(self, sock):
        super().__init__(sock)
        self.kept = []
        self.acknowledged = True

    def is_for_us(self, message):
        if message.get("cmd") == "NODE_HANDLE_ACK":
            self.acknowledged = True
            return False
        return super().is_for_us(message)

    def receive(self, timeout=LONG):
        return self.kept.pop(0) if self.kept else super().receive(timeout)

    def send(self, message, fd=None):
        if fd is None:
            super().send(message)
            return
        self.acknowledged = False
        super().send({"cmd": "NODE_HANDLE", "type": "net.Socket", "msg": message}, fd)
        end = time.monotonic() + LONG
        while not self.acknowledged:
            with contextlib.suppress(TimeoutError):
                self.kept.append(super().receive(0.01))
            assert time.monotonic() < end, "the host did not acknowledge a connection"


class Host:
    """A host process with its control channel on descriptor 3."""

    lines = Lines
    environment = {}

    def __init__(self, argv, directory, environment=None):
        ours, theirs = socket.socketpair()
        self.directory = pathlib.Path(directory)
        self.stderr_path = self.directory / f"host-{id(self):x}.stderr"
        number = theirs.fileno()

        def prepare():
            os.dup2(number, 3)

        with open(self.stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                [str(word) for word in argv], cwd=directory, stdin=subprocess.DEVNULL,
                stdout=stderr, stderr=stderr, preexec_fn=prepare, pass_fds=(3, number),
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(directory),
                     "TMPDIR": str(directory), **self.environment, **(environment or {})},
                start_new_session=True)
        theirs.close()
        self.control = self.lines(ours)
        self.logs, self.catalog = [], None
        self.numbers = iter(range(1, 1 << 30))
        self.lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.control.sock.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def expect(self, kind, timeout=LONG):
        """The next message of that kind; log messages before it are kept."""
        end = time.monotonic() + timeout
        while True:
            try:
                message = self.control.receive(max(0.01, end - time.monotonic()))
            except Gone:
                raise AssertionError(f"the host is gone before {kind}: {self.stderr()}") from None
            if message["t"] == kind:
                return message
            assert message["t"] == "log", message
            self.logs.append(message)

    def start(self, path, root=None, exports=("agent", "build_agent"), **more):
        """hello, hello, load. -> catalog."""
        self.hello = self.expect("hello")
        self.control.send({**HELLO, "limits": {}})
        self.control.send({"t": "load", "path": str(path), "exports": list(exports),
                           "root": str(root or pathlib.Path(path).parent.parent),
                           "defaults": {"model": "scripted"}, **more})
        self.catalog = self.expect("catalog")
        return self.catalog

    def send_connection(self, fd):
        self.control.send({"t": "conn", "id": next(self.numbers)}, fd)

    def open(self):
        """-> the gateway's end of a run connection."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)  # as the runner makes it
        with self.lock:
            self.send_connection(theirs.fileno())
        theirs.close()
        return ours

    def ping(self, timeout=LONG):
        with self.lock:
            self.control.send({"t": "ping", "n": 7})
            pong = self.expect("pong", timeout)
        assert pong["n"] == 7
        return pong


class NodeHost(Host):
    lines = Channel
    environment = {"NODE_CHANNEL_FD": "3", "NODE_CHANNEL_SERIALIZATION_MODE": "json"}


# ---- what models say ----

_ids = itertools.count()


def completion(reply):
    message = {"role": "assistant", "content": reply.get("content")}
    if reply.get("refusal"):
        message["refusal"] = reply["refusal"]
    if reply.get("tool_calls"):
        message["tool_calls"] = tool_calls(reply)
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000,
            "model": "scripted", "usage": usage(reply),
            "choices": [{"index": 0, "message": message, "logprobs": None,
                         "finish_reason": finish_reason(reply)}]}


def usage(reply):
    prompt, output = reply.get("usage", [10, 5])
    return {"prompt_tokens": prompt, "completion_tokens": output,
            "total_tokens": prompt + output}


def finish_reason(reply):
    return reply.get("finish_reason") or ("tool_calls" if reply.get("tool_calls") else "stop")


def tool_calls(reply):
    return [{"id": call.get("id", f"call_{next(_ids)}"), "type": "function", "function": {
        "name": call["name"], "arguments": call["arguments"] if isinstance(
            call.get("arguments"), str) else json.dumps(call.get("arguments", {}))}}
        for call in reply["tool_calls"]]


def chunks(reply, with_usage):
    """The same as a stream, in small pieces."""
    def chunk(delta, reason=None, **more):
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
                "model": "scripted", "choices": [
                    {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}],
                **more}

    yield chunk({"role": "assistant", "content": ""})
    for name in ("content", "refusal"):
        text = reply.get(name) or ""
        for at in range(0, len(text), 4):
            yield chunk({name: text[at:at + 4]})
    for index, call in enumerate(tool_calls(reply) if reply.get("tool_calls") else []):
        function = call["function"]
        yield chunk({"tool_calls": [{"index": index, "id": call["id"], "type": "function",
                                     "function": {"name": function["name"], "arguments": ""}}]})
        for at in range(0, len(function["arguments"]), 7):
            yield chunk({"tool_calls": [{"index": index, "function": {
                "arguments": function["arguments"][at:at + 7]}}]})
    yield chunk({}, finish_reason(reply))
    if with_usage:
        yield {**chunk({}), "choices": [], "usage": usage(reply)}


def contains(whole, part):
    """Whether `part` is in `whole`: members of objects, items of lists at their place."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            name in whole and contains(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(
            map(contains, whole, part))
    return whole == part


def when_matches(body, when):
    """`system`, `last`: a part of the first and the last message's text; else as contains()."""
    when = dict(when or {})
    texts = {"system": body["messages"][0], "last": body["messages"][-1]}
    for name, message in texts.items():
        if name in when and when.pop(name) not in json.dumps(message, ensure_ascii=False):
            return False
    return contains(body, when)


class Model:
    """Answers from a list, each once, the first that fits; `repeat` ones again and again."""

    def __init__(self, script):
        self.left = list(script or [])
        self.lock = threading.Lock()

    def reply(self, body):
        with self.lock:
            for index, reply in enumerate(self.left):
                if when_matches(body, reply.get("when")):
                    if not reply.get("repeat"):
                        del self.left[index]
                    return reply
        raise AssertionError(f"the script has no answer for {json.dumps(body)[:2000]}")


class Run:
    """The gateway's side of one run, played to its end by play()."""

    def __init__(self, host, scenario, stream=False, **more):
        self.scenario, self.stream = scenario, stream
        self.lines = Lines(host.open())
        self.model = Model(scenario.get("model"))
        self.verdicts = scenario.get("verdicts") or {}
        self.results = scenario.get("results") or {}
        self.requests, self.checks, self.done, self.calls = [], [], [], []
        self.turns = []       # of the requests: whether they are turns of the run itself
        self.deltas, self.logs, self.cancelled, self.unknown = [], [], [], []
        self.beats, self.hello, self.last = 0, None, None
        self.more = more
        self.before = {}      # kind of message -> function that sees it first

    def close(self):
        self.lines.sock.close()

    def begin(self):
        scenario = self.scenario
        self.lines.send({**HELLO, "limits": {
            "max_line": LINE_MAX, "max_turns": 20, "heartbeat_ms": 200,
            **scenario.get("limits", {})}, "gateway_tools": scenario.get("gateway_tools", {})})
        self.lines.send({
            "t": "run.start", "run": "run-1",
            "agent": {"path": "agent", "attr": scenario.get("attr", "agent")},
            "model": scenario.get("run_model", "scripted"),
            "model_given": scenario.get("model_given", False),
            "messages": scenario.get("messages", [{"role": "user", "content": "Hello"}]),
            "params": scenario.get("params", {}), "stream": self.stream,
            "max_turns": scenario.get("max_turns", 10), "deadline_ms": 60000,
            "context": {"request_id": "req-1", "key_id": "key-1", "agent": "default/test",
                        "user": "alice", "metadata": {}}, **self.more})

    def play(self, timeout=LONG):
        """Until run.done or run.error, or Gone. -> that message."""
        self.begin()
        return self.go_on(timeout)

    def go_on(self, timeout=LONG):
        end = time.monotonic() + timeout
        while self.last is None:
            self.take(self.lines.receive(max(0.01, end - time.monotonic())))
        return self.last

    def until(self, condition, timeout=LONG):
        end = time.monotonic() + timeout
        while not condition():
            self.take(self.lines.receive(max(0.01, end - time.monotonic())))

    def take(self, message):
        kind = message["t"]
        if kind in self.before and self.before[kind](message):
            return
        handler = getattr(self, "on_" + kind.replace(".", "_"), None)
        if handler is None:
            self.unknown.append(message)
        else:
            handler(message)

    def text(self, field="content"):
        return "".join(delta.get(field, "") for delta in self.deltas)

    # ---- what the host says ----

    def on_hello(self, message):
        assert message["v"] == 1, message
        self.hello = message

    def on_hb(self, _):
        self.beats += 1

    def on_log(self, message):
        self.logs.append(message)

    def on_event(self, _):
        pass

    def on_delta(self, message):
        self.deltas.append(message)

    def on_run_done(self, message):
        self.last = message

    on_run_error = on_run_done

    def on_llm_cancel(self, message):
        self.cancelled.append(message["id"])

    def on_llm_request(self, message):
        assert message["api"] == "chat/completions", message
        body = message["body"]
        self.requests.append(body)
        self.turns.append(message.get("main"))
        reply = self.model.reply(body)
        if reply.get("silent"):
            return
        if "error" in reply and "after" not in reply:
            self.lines.send({"t": "llm.error", "id": message["id"],
                             "status": reply["error"]["status"],
                             "headers": reply["error"].get("headers", {}),
                             "body": {"error": reply["error"]["body"]}})
        elif not body.get("stream"):
            if "error" in reply:
                reply = {"error": reply["error"]}
                self.lines.send({"t": "llm.error", "id": message["id"], "status": 502,
                                 "headers": {}, "body": {"error": reply["error"]["body"]}})
                return
            self.lines.send({"t": "llm.response", "id": message["id"], "status": 200,
                             "headers": {"content-type": "application/json"},
                             "body": completion(reply)})
        else:
            self.stream_reply(message["id"], reply, body)

    def stream_reply(self, number, reply, body):
        self.lines.send({"t": "llm.head", "id": number, "status": 200, "headers": {}})
        with_usage = (body.get("stream_options") or {}).get("include_usage")
        for index, chunk in enumerate(chunks(reply, with_usage)):
            if index == reply.get("after", reply.get("hang_after", -1)):
                break
            self.lines.send({"t": "llm.chunk", "id": number, "data": chunk})
        if "hang_after" in reply:
            return
        if "after" in reply:
            self.lines.send({"t": "llm.error", "id": number, "status": reply["error"]["status"],
                             "headers": {}, "body": {"error": reply["error"]["body"]}})
        else:
            self.lines.send({"t": "llm.end", "id": number})

    def on_tool_check(self, message):
        self.checks.append(message)
        verdict = self.verdicts.get(message["name"], {"allow": True})
        self.lines.send({"t": "tool.verdict", "id": message["id"], **verdict})

    def on_tool_done(self, message):
        self.done.append(message)

    def on_tool_call(self, message):
        self.calls.append(message)
        result = self.results.get(message["name"], {"ok": False, "error": "no such tool"})
        self.lines.send({"t": "tool.result", "id": message["id"], **result})
