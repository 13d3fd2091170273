# SPDX-License-Identifier: MIT
"""HTTP/1.1 by hand: says exactly what a test wants said, and notes when bytes arrive."""
import asyncio
import json
import os
import select
import socket
import time


def new_id(prefix="t"):
    """A request id that finds the request again in log and audit."""
    return f"{prefix}-{os.urandom(6).hex()}"


class Answer:
    def __init__(self, status, headers, body, complete):
        self.status, self.headers, self.body = status, headers, body
        self.complete = complete  # whether the end of the body was marked

    def header(self, name):
        """The value; None when absent; an error when given twice."""
        found = [value for key, value in self.headers if key == name.lower()]
        assert len(found) <= 1, f"{name} given {len(found)} times"
        return found[0] if found else None

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The error object, which must have the four keys of the protocol and no others."""
        value = self.json()
        assert set(value) == {"error"}, value
        assert set(value["error"]) == {"message", "type", "param", "code"}, value
        return value["error"]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:500]!r}>"


def build(method, target, headers, body):
    """`headers` is a list of pairs: order, case and repetition stay as given."""
    names = [name.lower() for name, _ in headers]
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in names:
        lines.append("Host: gateway.test")
    if "connection" not in names:
        lines.append("Connection: close")
    if body is None and method in ("POST", "PUT", "PATCH"):
        body = b""  # lighttpd wants the length of nothing, too
    if body is not None and "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def parse_head(data):
    lines = data.decode("latin-1").split("\r\n")
    pairs = [line.split(":", 1) for line in lines[1:] if line]
    return (int(lines[0].split(" ")[1]),
            [(name.strip().lower(), value.strip()) for name, value in pairs])


class BodyReader:
    """Takes the transfer coding off; `complete` says whether the end was marked."""

    def __init__(self, headers, method="GET", status=200):
        fields = dict(headers)
        self.chunked = fields.get("transfer-encoding", "").lower() == "chunked"
        length = fields.get("content-length")
        self.left = None if length is None else int(length)
        if method == "HEAD" or status in (204, 304):
            self.chunked, self.left = False, 0
        self.buffer, self.complete = b"", not self.chunked and self.left == 0

    def feed(self, data):
        if not self.chunked:
            if self.left is not None:
                self.left -= len(data)
                self.complete = self.left <= 0
            return data
        self.buffer += data
        out = b""
        while not self.complete:
            line, end, rest = self.buffer.partition(b"\r\n")
            if not end:
                break
            size = int(line.split(b";")[0], 16)
            if size == 0:
                self.complete = True
            elif len(rest) < size + 2:
                break
            else:
                out += rest[:size]
                self.buffer = rest[size + 2:]
        return out

    def end(self):
        """At the connection's end: a body without length or chunks is complete then."""
        if not self.chunked and self.left is None:
            self.complete = True


def _send_and_listen(sock, data, timeout):
    """Sends `data` and returns what has come by then or by the answer's first bytes: a server
    may refuse a body before it has read it."""
    view, end = memoryview(data), time.monotonic() + timeout
    while view:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server neither reads nor answers")
        readable, writable, _ = select.select([sock], [sock], [], left)
        if readable:
            return sock.recv(65536)
        if writable:
            try:
                view = view[sock.send(view[:262144]):]
            except (BrokenPipeError, ConnectionResetError):
                break  # the answer may be there all the same
    return b""


def raw(port, data, timeout=20, method="GET"):
    """Sends `data`, reads one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout) as sock:
        sock.settimeout(timeout)
        received = _send_and_listen(sock, data, timeout)
        status = 100
        while status == 100:  # "100 Continue" announces the answer proper
            while b"\r\n\r\n" not in received:
                piece = sock.recv(65536)
                if not piece:
                    raise ConnectionError(f"closed after {received!r}")
                received += piece
            head, _, rest = received.partition(b"\r\n\r\n")
            status, headers = parse_head(head)
            received = rest
        reader = BodyReader(headers, method, status)
        body = reader.feed(rest)
        while not reader.complete:
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                break
            if not piece:
                reader.end()
                break
            body += reader.feed(piece)
        return Answer(status, headers, body, reader.complete)


def request(port, method, target, headers=(), body=None, key=None, timeout=20):
    """One request; dict bodies become JSON."""
    headers = list(headers.items() if isinstance(headers, dict) else headers)
    if key is not None:
        headers.append(("Authorization", f"Bearer {key}"))
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        headers.append(("Content-Type", "application/json"))
    return raw(port, build(method, target, headers, body), timeout, method)


def chat_body(model, stream=False, text="hi", **more):
    value = {"model": model, "messages": [{"role": "user", "content": text}]}
    if stream:
        value["stream"] = True
    value.update(more)
    return value


def chat(port, key, model, stream=False, request_id=None, timeout=30, headers=(), **more):
    headers = list(headers)
    if request_id:
        headers.append(("X-Request-Id", request_id))
    return request(port, "POST", "/v1/chat/completions", headers,
                   chat_body(model, stream, **more), key, timeout)


def frames(body):
    """The events of a stream, strictly: each is one `data:` line. -> payload texts; comments
    are left out."""
    text = body.decode()
    assert text.endswith("\n\n") or not text, f"stream ends within a frame: {text[-80:]!r}"
    found = []
    for block in text.split("\n\n")[:-1]:
        if block.startswith(":"):
            assert "\n" not in block, block
            continue
        assert block.startswith("data: ") and "\n" not in block and "\r" not in block, block
        found.append(block[len("data: "):])
    return found


class Stream:
    """What one client of many saw of a streamed answer."""

    def __init__(self):
        self.status, self.headers, self.body = None, [], b""
        self.times, self.error, self.complete = [], None, False
        self.started = self.ended = None

    def payloads(self):
        return frames(self.body)

    def content(self):
        return "".join(
            choice["delta"].get("content") or ""
            for payload in self.payloads() if payload != "[DONE]"
            for choice in json.loads(payload).get("choices", []))

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)


async def stream(port, key, model, leave_after=None, leave_when=None, request_id=None,
                 method_body=None, stream_it=True, headers=(), **more):
    """Runs one streamed request. Leaves after `leave_after` seconds, or once the body holds
    `leave_when`; otherwise reads to the end."""
    seen = Stream()
    seen.started = time.monotonic()
    headers = [("Authorization", f"Bearer {key}"), ("Content-Type", "application/json"),
               *headers]
    if request_id:
        headers.append(("X-Request-Id", request_id))
    body = json.dumps(method_body or chat_body(model, stream_it, **more)).encode()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        seen.error = error
        return seen
    try:
        writer.write(build("POST", "/v1/chat/completions", headers, body))
        await asyncio.wait_for(_read_stream(reader, seen, leave_when), leave_after)
    except asyncio.TimeoutError:
        pass
    except (ConnectionError, asyncio.IncompleteReadError, OSError) as error:
        seen.error = error
    finally:
        seen.ended = time.monotonic()
        writer.close()
    return seen


async def _read_stream(reader, seen, leave_when):
    head = await reader.readuntil(b"\r\n\r\n")
    seen.status, seen.headers = parse_head(head[:-4])
    body = BodyReader(seen.headers)
    while not body.complete:
        piece = await reader.read(65536)
        if not piece:
            body.end()
            break
        data = body.feed(piece)
        seen.body += data
        seen.times.append((time.monotonic(), data.count(b"data: ")))
        if leave_when and leave_when in seen.body:
            return
    seen.complete = body.complete


def together(*coroutines):
    """Runs all of them at once in one thread."""
    async def run():
        return await asyncio.gather(*coroutines)
    return asyncio.run(run())
