# SPDX-License-Identifier: MIT
"""An MCP server that misbehaves on request, over HTTP or over its standard streams.

    mcp_mock.py http STATE PORT     prints its port on 127.0.0.1
    mcp_mock.py stdio STATE

STATE is a directory, so that what was seen outlives any kill -9:
    behave.json   how to behave, read anew for each message; written by McpMock.behave()
    seen.jsonl    what came in: {"pid", "http", "headers", "message"}, pid in its namespace
    runs.jsonl    what tools ran: {"pid", "tool", "arguments"}

Keys of behave.json:
    METHOD        what to do with it ("tools/call": "cut"), see WAYS; a list: one time after
                  another, the last for good
    era           "legacy" (default) "modern" "both"
    answer        "json" (default) "sse": how HTTP answers
    sessions      false: HTTP without sessions
    epoch         sessions of another epoch are forgotten
    forget        true: every session is forgotten when a tool is called
    lost          404 (default) or 400: how HTTP says that a session is unknown
    tools         names of further tools, after TOOLS
    page          tools in a page of tools/list; "cursor": "ok" "repeated" "endless"
    announce      each change is told as notifications/tools/list_changed: by stdio, and on the
                  streams that clients hold open
    before        stdio, at start: "exit" "garbage" "stay" (ignores SIGTERM and the end of its
                  input) "child" (starts a process of its own, which stays)

Only the standard library is used.
"""
import contextlib
import fcntl
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

LEGACY, MODERN = "2025-11-25", "2026-07-28"
VERSION = "io.modelcontextprotocol/protocolVersion"


def tool(name, **properties):
    """One whose name begins with "read" says that it changes nothing."""
    return {"name": name, "description": f"The tool {name}.", "inputSchema": {
        "type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}},
        "annotations": {"readOnlyHint": name.startswith("read")}}


TOOLS = [tool("echo", message="string", ms="integer"), tool("fails")]


def reply(message, result):
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}


def refusal(message, code, text, **data):
    error = {"code": code, "message": text, **({"data": data} if data else {})}
    return {"jsonrpc": "2.0", "id": message.get("id"), "error": error}


def note(method, **params):
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def text_result(text, **more):
    return {"content": [{"type": "text", "text": text}], **more}


def deep(depth):
    return ('{"jsonrpc":"2.0","id":%d,"result":' + '{"a":' * depth + "1" + "}" * depth + "}")


# What comes instead of an ordinary answer: each a list of messages, dicts or raw text.
WAYS = {
    "ok": lambda m, r: [r],
    "huge": lambda m, r: [reply(m, text_result("x" * (24 << 20)))],
    "deep": lambda m, r: [deep(100000) % m["id"]],
    "not-json": lambda m, r: ['{"jsonrpc":"2.0","id":1,"result":{nonsense'],
    "binary": lambda m, r: [b'{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text",'
                            b'"text":"a\xff\xfeb"}],"tools":[]}}' % m["id"]],
    "wrong-id": lambda m, r: [{**r, "id": m["id"] + 1000}],
    "text-id": lambda m, r: [{**r, "id": str(m["id"])}],
    "strangers-first": lambda m, r: [reply({"id": 987654}, text_result("of a stranger")),
                                     reply({"id": "x"}, text_result("of another")), r],
    "notes-first": lambda m, r: [
        note("message", level="info", data="working"),
        note("progress", progressToken=m["id"], progress=1, total=2),
        note("tools/list_changed"), note("unheard/of"), r],
    "asks-first": lambda m, r: [{"jsonrpc": "2.0", "id": "ask-1", "method": "roots/list"},
                                {"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage",
                                 "params": {"messages": [], "maxTokens": 1}},
                                {"jsonrpc": "2.0", "id": "ask-2", "method": "ping"}, r],
    "twice": lambda m, r: [r, reply(m, text_result("a second answer"))],
    "both": lambda m, r: [{**r, "error": {"code": 1, "message": "and an error"}}],
    "neither": lambda m, r: [{"jsonrpc": "2.0", "id": m["id"]}],
    "bare": lambda m, r: [{"id": m["id"], "result": r.get("result")}],
    "batch": lambda m, r: [[r]],
    "scalar": lambda m, r: ['"hello"'],
    "no-tools": lambda m, r: [reply(m, {**r.get("result", {}), "tools": []})],
    "no-object": lambda m, r: [reply(m, [1, 2])],
    "no-content": lambda m, r: [reply(m, {"content": "text", "tools": "many"})],
    "error": lambda m, r: [refusal(m, -32000, "it went wrong")],
    "error-evil": lambda m, r: [refusal(m, -32000, "\x1b[2J\r\nx: y\u202e" + "e" * 100000)],
    "error-bare": lambda m, r: [{"jsonrpc": "2.0", "id": m["id"], "error": "no"}],
    "input": lambda m, r: [reply(m, {"resultType": "input_required", "inputRequests": {"q": {
        "method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {
            "type": "object", "properties": {}}}}}})],
    "type-unknown": lambda m, r: [reply(m, {"resultType": "riddle", "content": []})],
    "flood": lambda m, r: [note("message", level="info", data="again")] * 20000 + [r],
}
# Before these a tool does not run.
REFUSING = re.compile(r"status-\d+|redirect|exit-before")


class Server:
    """What both transports share."""

    def __init__(self, state):
        self.state = pathlib.Path(state)
        self.lock = threading.Lock()

    def append(self, name, value):
        with open(self.state / name, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(value) + "\n")

    def behave(self):
        return json.loads((self.state / "behave.json").read_text())

    def see(self, message, http=None, headers=None):
        """Takes a message down. -> how to treat it"""
        with self.lock:
            self.append("seen.jsonl", {"pid": os.getpid(), "http": http, "headers": headers,
                                       "message": message})
            behave = self.behave()
            method = message.get("method") if isinstance(message, dict) else None
            ways = behave.get(method, "ok")
            if isinstance(ways, str):
                return behave, ways
            lines = (self.state / "seen.jsonl").read_bytes()[behave["since"]:].splitlines()
            count = sum(json.loads(line)["message"].get("method") == method for line in lines
                        if b'"method"' in line)
            return behave, ways[min(count, len(ways)) - 1]

    def answer(self, message, behave, way):
        """The messages that go back, in the way that WAYS says."""
        ordinary = self.ordinary(message, behave)
        if way in WAYS:
            return WAYS[way](message, ordinary)
        return [ordinary]

    def ordinary(self, message, behave):
        method, params = message["method"], message.get("params") or {}
        modern = VERSION in (params.get("_meta") or {})
        if modern and behave["era"] == "legacy":
            return refusal(message, -32601, "Method not found")
        if not modern and behave["era"] == "modern":
            return refusal(message, -32022, "Unsupported protocol version", supported=[MODERN])
        extra = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if modern else {}
        if method == "server/discover":
            return reply(message, {"supportedVersions": [MODERN], "capabilities": {"tools": {}},
                                   **extra})
        if method == "initialize":
            return reply(message, {
                "protocolVersion": behave.get("version") or LEGACY,
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": {"name": "mcp-mock", "version": "1"}})
        if method == "tools/list":
            return reply(message, {**self.page(params, behave), **extra})
        if method == "tools/call":
            return reply(message, {**extra, **self.run(params)})
        if method == "ping":
            return reply(message, {})
        return refusal(message, -32601, "Method not found")

    def page(self, params, behave):
        tools = TOOLS + [tool(name) for name in behave["tools"]]
        size = behave.get("page") or len(tools)
        start = int(params.get("cursor") or 0)
        page = {"tools": tools[start:start + size]}
        if behave.get("cursor") == "repeated":
            return {"tools": tools[:size], "nextCursor": "0"}
        if behave.get("cursor") == "endless":
            return {"tools": [tool(f"tool-{start}")], "nextCursor": str(start + 1)}
        if start + size < len(tools):
            page["nextCursor"] = str(start + size)
        return page

    def run(self, params):
        name, arguments = params.get("name"), params.get("arguments") or {}
        self.append("runs.jsonl", {"pid": os.getpid(), "tool": name, "arguments": arguments})
        time.sleep(arguments.get("ms", 0) / 1000)
        if name == "fails":
            return text_result("it fails as it should", isError=True)
        return text_result(arguments.get("message") or f"{name} ran")


def encode(message):
    if isinstance(message, bytes):
        return message
    return message.encode() if isinstance(message, str) else json.dumps(message).encode()


# -- standard streams -------------------------------------------------------------------------

class Stdio(Server):
    def __init__(self, state):
        super().__init__(state)
        self.out = threading.Lock()

    def put(self, *messages):
        with self.out:
            for message in messages:
                sys.stdout.buffer.write(encode(message) + b"\n")
            sys.stdout.buffer.flush()

    def begin(self, behave):
        before = behave.get("before", "").split()
        if "exit" in before:
            print("mcp-mock: I will not start", file=sys.stderr)
            sys.exit(3)
        if "child" in before:
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)",
                              str(self.state), "child"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
        if "stay" in before:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if "garbage" in before:
            self.put("Starting server...", "", b"\xff\xfe\0", "{", "[]", note("message", data="hi"))

    def announce(self):
        told = self.behave().get("announce")
        while True:
            time.sleep(0.05)
            with contextlib.suppress(OSError, ValueError):
                now = self.behave().get("announce")
                if now != told:
                    told = now
                    self.put(note("tools/list_changed"))

    def treat(self, message, behave, way):
        if way == "exit-before":
            os._exit(3)
        if way == "never":
            self.ordinary(message, behave)
            return
        messages = self.answer(message, behave, way)
        if way == "exit":
            os._exit(3)
        if way == "half":
            data = encode(messages[0])
            sys.stdout.buffer.write(data[:len(data) // 2])
            sys.stdout.buffer.flush()
            os._exit(0)
        if way == "stderr":
            for _ in range(2000):
                print("noise " * 200, file=sys.stderr)
        if way == "drip":
            self.drip(encode(messages[0]))
        else:
            self.put(*messages)

    def drip(self, data):
        with self.out:
            for at in range(len(data)):
                sys.stdout.buffer.write(data[at:at + 1])
                sys.stdout.buffer.flush()
                time.sleep(0.1)

    def main(self):
        self.begin(self.behave())
        threading.Thread(target=self.announce, daemon=True).start()
        for line in sys.stdin.buffer:
            message = json.loads(line)
            behave, way = self.see(message)
            if "method" in message and "id" in message:
                threading.Thread(target=self.treat, args=(message, behave, way),
                                 daemon=True).start()
        while "stay" in self.behave().get("before", ""):
            time.sleep(1)


# -- HTTP -------------------------------------------------------------------------------------

class Http(Server):
    def __init__(self, state):
        super().__init__(state)
        self.sessions, self.streams = {}, {}

    def main(self, port):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.mcp = self
        print(server.server_address[1], flush=True)
        server.serve_forever()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def mcp(self):
        return self.server.mcp

    def log_message(self, *_):
        pass

    def seen_headers(self):
        return {name.lower(): value for name, value in self.headers.items()}

    def whole(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, **headers):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.close_connection = True

    def event(self, message, number=None):
        head = f"id: {number}\n".encode() if number is not None else b""
        body = b"".join(b"data: " + line + b"\n" for line in encode(message).split(b"\n"))
        self.wfile.write(head + b"event: message\n" + body + b"\n")

    # Sessions: whether the request may go on; otherwise it has been answered.
    def in_session(self, message, behave):
        if behave["era"] == "modern" or behave.get("sessions") is False:
            return True
        if VERSION in ((message.get("params") or {}).get("_meta") or {}):
            if behave["era"] == "both":
                return True
            self.whole(400, encode(refusal(message, -32000, "Bad Request: no session")))
            return False
        if message.get("method") == "initialize":
            return True
        epoch = self.mcp.sessions.get(self.headers.get("mcp-session-id"))
        forgotten = behave.get("forget") and message.get("method") == "tools/call"
        if epoch is not None and epoch == behave.get("epoch", 0) and not forgotten:
            return True
        if behave.get("lost", 404) == 400:
            self.whole(400, encode(refusal(message, -32000, "Bad Request: No valid session")))
        else:
            self.whole(404, encode(refusal(message, -32001, "Session not found")))
        return False

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        message = json.loads(body)
        behave, way = self.mcp.see(message, "POST", self.seen_headers())
        if self.path != "/mcp":
            self.whole(200, encode(reply(message, text_result("from elsewhere"))))
        elif self.refuse(way) or not self.in_session(message, behave):
            pass
        elif "method" not in message or "id" not in message:
            self.whole(202)
        else:
            self.treat(message, behave, way)

    def refuse(self, way):
        if way == "redirect":
            self.whole(307, location="/elsewhere")
        elif way.startswith("status-"):
            self.whole(int(way[7:]), b"<html>no\n", "text/html")
        elif way == "exit-before":
            os._exit(3)
        return bool(REFUSING.fullmatch(way))

    def treat(self, message, behave, way):
        headers = {}
        if message["method"] == "initialize" and behave.get("sessions") is not False:
            session = f"session-{os.getpid()}-{len(self.mcp.sessions)}"
            self.mcp.sessions[session] = behave.get("epoch", 0)
            headers["mcp_session_id"] = session
        if way == "never":
            self.mcp.ordinary(message, behave)
            time.sleep(3600)
        messages = self.mcp.answer(message, behave, way)
        if way == "exit":
            os._exit(3)
        if way == "reset":
            self.close_connection = True
        elif way.startswith("cut"):
            self.cut(messages[-1], way, headers)
        elif way == "wrong-type":
            self.whole(200, encode(messages[0]), "text/plain", **headers)
        elif way == "half":
            self.half(encode(messages[0]))
        elif way == "drip":
            self.drip(encode(messages[0]))
        elif way == "no-answer":
            self.stream(**headers)
            self.wfile.write(b": nothing\n\n")
        elif behave["answer"] == "sse" or len(messages) > 1:
            self.stream(**headers)
            for each in messages:
                self.event(each)
        else:
            status = 400 if messages[0] and isinstance(messages[0], dict) and messages[0].get(
                "error", None) and way == "ok" and behave["era"] != "legacy" else 200
            self.whole(status, encode(messages[0]), **headers)

    def cut(self, message, way, headers):
        """cut-N: the stream and its first N-1 resumptions break; the answer waits. cut-lost:
        nobody knows the stream later. cut-bare: it has no ids to resume by."""
        self.stream(**headers)
        if way == "cut-bare":
            self.event(note("message", level="info", data="working"))
            return
        name = f"stream-{len(self.mcp.streams)}"
        if way != "cut-lost":
            self.mcp.streams[name] = [message, int(way.partition("-")[2] or 1)]
        self.wfile.write(f"id: {name}/0\nretry: 20\ndata:\n\n".encode())

    def half(self, data):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data) + 100))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2])
        self.close_connection = True

    def drip(self, data):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        for at in range(len(data)):
            self.wfile.write(data[at:at + 1])
            time.sleep(0.5)

    def do_GET(self):  # noqa: N802
        behave, _ = self.mcp.see({}, "GET", self.seen_headers())
        last = self.headers.get("last-event-id")
        if last:
            self.resume(last.partition("/")[0])
            return
        if not behave.get("listen") or behave["era"] == "modern":
            self.whole(405)
            return
        if not self.in_session({}, behave):
            return
        self.stream()
        self.wfile.flush()
        told = behave.get("announce")
        while True:
            time.sleep(0.05)
            with contextlib.suppress(OSError, ValueError):
                now = self.mcp.behave().get("announce")
            if now != told:
                told = now
                self.event(note("tools/list_changed"))

    def resume(self, name):
        stream = self.mcp.streams.get(name)
        if stream is None:
            self.whole(404)
            return
        stream[1] -= 1
        self.stream()
        if stream[1] > 0:
            self.wfile.write(f"id: {name}/{stream[1]}\nretry: 20\ndata:\n\n".encode())
        else:
            self.event(stream[0], f"{name}/last")

    def do_DELETE(self):  # noqa: N802
        self.mcp.see({}, "DELETE", self.seen_headers())
        self.mcp.sessions.pop(self.headers.get("mcp-session-id"), None)
        self.whole(200)


# -- for tests --------------------------------------------------------------------------------

class McpMock:
    """Starts it, or says how to, and reads what it wrote."""

    def __init__(self, directory, **behave):
        self.state = pathlib.Path(directory)
        self.state.mkdir()
        self.process = self.port = None
        self.now = {"era": "legacy", "answer": "json", "tools": []}
        self.behave(**behave)

    def behave(self, **changes):
        """Keys with None are removed; a method is written as tools_call."""
        for name, value in changes.items():
            name = name.replace("_", "/") if name in (
                "tools_call", "tools_list", "server_discover") else name
            self.now[name] = value
            if value is None:
                del self.now[name]
        seen = self.state / "seen.jsonl"
        self.now["since"] = seen.stat().st_size if seen.exists() else 0
        fresh = self.state / "behave.new"
        fresh.write_text(json.dumps(self.now))
        fresh.rename(self.state / "behave.json")

    def argv(self):
        return [sys.executable, __file__, "stdio", str(self.state)]

    def start(self):
        """Over HTTP, on the port it had before if it is started again: one that no outgoing
        connection takes meanwhile."""
        from procs import Process, free_port
        for _ in range(5):  # somebody else may take it between look and use
            port = self.port or free_port()
            self.process = Process([sys.executable, __file__, "http", self.state, str(port)],
                                   self.state, "mcp-mock", capture_stdout=True)
            if self.process.popen.stdout.readline():
                self.port = port
                return self
            self.process.stop()
        raise AssertionError(self.process.stderr())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/mcp"

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stop()

    def stop(self):
        if self.process:
            self.process.stop()

    def _lines(self, name):
        path = self.state / name
        data = path.read_bytes() if path.exists() else b""
        return [json.loads(line) for line in data[:data.rfind(b"\n") + 1].splitlines()]

    def seen(self, method=None, http=None):
        return [line for line in self._lines("seen.jsonl")
                if (method is None or line["message"].get("method") == method)
                and (http is None or line["http"] == http)]

    def runs(self, message=None):
        """What tools did, all of it or what had the argument `message`."""
        return [line for line in self._lines("runs.jsonl")
                if message in (None, line["arguments"].get("message"))]

    def programs(self, word="stdio"):
        """Process ids of its running servers (or of their children, with word "child"), not of
        what has started them."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                program = os.readlink(path / "exe")
                if os.fsencode(self.state) in words and word.encode() in words \
                        and not program.endswith("agw-exec"):
                    found.append(int(path.name))
        return sorted(found)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        Stdio(sys.argv[2]).main()
    else:
        Http(sys.argv[2]).main(int(sys.argv[3]))
