# SPDX-License-Identifier: MIT
"""A model provider that misbehaves on request.

Speaks enough of OpenAI's Chat Completions over HTTP/1.1 to stand in for a provider. What it
does is scripted by the model's name (see SCRIPTS), so that a test names the behaviour it
needs in agents.yaml and no state has to be set up. The first path element is the "site":
several upstreams can point to one mock and are told apart in its records.

    POST /<site>/v1/chat/completions     GET /<site>/v1/models
    GET  /_mock/requests?tag=T&site=S    what was asked, newest last; tag = the body's "user"
    POST /_mock/behave {"site", "model", "script"}   script null = by the name again
    POST /_mock/turns {"model", "turns"}   models "turns-..." : what each request gets, in turn
    GET  /_mock/stats                    {"active", "peak", "total"}

Each record says when the call arrived, when it ended, and whether the caller left before
the answer was complete ("cancelled"). Only the standard library is used.
"""
import asyncio
import functools
import json
import re
import socket
import struct
import sys
import time
import urllib.parse
import zlib

TEXT = ["Hello", " from", " the", " mock", "."]
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
CREATED = 1700000000

records = []
overrides = {}
turns = {}
stats = {"active": 0, "peak": 0, "total": 0}


class Gone(Exception):
    """The caller left."""


class Call:
    """One request and the means to answer it."""

    def __init__(self, writer, record, body):
        self.writer, self.record, self.body = writer, record, body
        self.stream = bool(body.get("stream"))
        self.keep_alive = True
        self.chunk_number = 0

    async def send(self, data):
        if self.record["cancelled"]:
            raise Gone
        try:
            self.writer.write(data if isinstance(data, bytes) else data.encode())
            await self.writer.drain()
        except (ConnectionError, OSError):
            self.record["cancelled"] = True
            raise Gone from None

    async def head(self, status, content_type, length=None, extra=()):
        lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", *extra]
        if length is None:
            self.keep_alive = False
            lines.append("connection: close")
        else:
            lines.append(f"content-length: {length}")
        await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def whole(self, status, value, extra=()):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        await self.head(status, "application/json", len(data), extra)
        await self.send(data)

    async def error(self, status, retry_after=None, message=None):
        extra = [f"retry-after: {retry_after}"] if retry_after is not None else []
        await self.whole(status, {"error": {
            "message": message or f"mock refuses with {status}", "type": "invalid_request_error",
            "param": "messages", "code": "mock_refused"}}, extra)

    def completion(self, content, **more):
        value = {
            "id": "chatcmpl-mock", "object": "chat.completion", "created": CREATED,
            "model": "mock-model", "system_fingerprint": "fp_mock",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                         "message": {"role": "assistant", "content": content,
                                     "refusal": None}}],
            "usage": USAGE}
        value.update(more)
        return value

    async def begin_stream(self):
        await self.head(200, "text/event-stream")

    async def event(self, delta=None, finish=None, usage=None, choices=None):
        value = {
            "id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": CREATED,
            "model": "mock-model", "system_fingerprint": "fp_mock",
            "choices": [{"index": 0, "delta": delta if delta is not None else {},
                         "logprobs": None, "finish_reason": finish}]
            if choices is None else choices}
        if (self.body.get("stream_options") or {}).get("include_usage"):
            value["usage"] = usage
        await self.send(f"data: {json.dumps(value)}\n\n")

    async def end_stream(self, usage=USAGE):
        await self.event({}, finish="stop")
        if (self.body.get("stream_options") or {}).get("include_usage") and usage:
            await self.event(usage=usage, choices=[])
        await self.send("data: [DONE]\n\n")

    async def answer(self, words=None, gap=0.0):
        """The ordinary answer, streamed or not, a word every `gap` seconds."""
        words = TEXT if words is None else words
        if not self.stream:
            await asyncio.sleep(gap * len(words))
            await self.whole(200, self.completion("".join(words)))
            return
        await self.begin_stream()
        await self.event({"role": "assistant", "content": ""})
        for number, word in enumerate(words):
            if gap and number:
                await asyncio.sleep(gap)
            await self.event({"content": word})
        await self.end_stream()

    async def some(self, count):
        """A stream's first `count` words, nothing after."""
        await self.begin_stream()
        await self.event({"role": "assistant", "content": ""})
        for number in range(count):
            await self.event({"content": f"w{number} "})

    def reset(self):
        """Closes with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.keep_alive = False
        self.writer.transport.abort()


async def do_ok(call):
    await call.answer()


async def do_slow(call, ms):
    await asyncio.sleep(int(ms) / 1000)
    await call.answer()


async def do_chunks(call, count, ms):
    await call.answer([f"w{n} " for n in range(int(count))], int(ms) / 1000)


async def do_status(call, status, _=None, retry_after=None):
    await call.error(int(status), retry_after)


async def do_html(call, status):
    data = b"<html><body>Bad things happened at host internal-7</body></html>"
    await call.head(int(status), "text/html", len(data))
    await call.send(data)


async def do_stall(call):
    await asyncio.sleep(3600)


async def do_stall_after(call, count):
    await call.some(int(count))
    await asyncio.sleep(3600)


async def do_drip(call):
    """A byte now and then: never idle for long, never done."""
    if call.stream:
        await call.begin_stream()
    else:
        await call.head(200, "application/json")
    for byte in ": dripping " * 1000:
        await call.send(byte)
        await asyncio.sleep(0.1)


async def do_reset(call):
    call.reset()


async def do_wrong_type(call):
    await do_html(call, 200)


async def do_not_json(call):
    if call.stream:
        await call.begin_stream()
        await call.send("data: {this is not json\n\n")
        return
    await call.head(200, "application/json", 17)
    await call.send("{this is not json")


async def do_not_completion(call):
    if call.stream:
        await call.begin_stream()
        await call.send('data: {"hello": ["world"]}\n\ndata: [DONE]\n\n')
        return
    await call.whole(200, {"hello": ["world"]})


async def do_truncated(call):
    """Promises more bytes than it sends."""
    if call.stream:
        await call.head(200, "text/event-stream", 100000)
        await call.event({"role": "assistant", "content": "half"})
    else:
        data = json.dumps(call.completion("half")).encode()
        await call.head(200, "application/json", len(data) + 1000)
        await call.send(data)
    call.keep_alive = False


async def do_cut(call, count):
    """Dies in the middle of a stream."""
    await call.some(int(count))
    await asyncio.sleep(0.05)
    call.reset()


async def do_silent_end(call, count):
    """Ends a stream in an orderly way, but without finish_reason or [DONE]."""
    await call.some(int(count))


async def do_error_mid_stream(call, count):
    await call.some(int(count))
    await call.send('data: {"error": {"message": "mock broke down", "type": "server_error"}}\n\n')


async def do_big_line(call):
    if not call.stream:
        await call.answer(["x" * (40 << 20)])
        return
    await call.some(1)
    await call.send("data: ")
    for _ in range(40):
        await call.send("x" * (1 << 20))
    await call.send("\n\n")
    await call.end_stream()


async def do_forged(call):
    """Tries to smuggle events, headers and comments through the gateway."""
    evil = 'a\n\ndata: {"forged":1}\n\ndata: [DONE]\n\nb\rdata: {"forged":2}\r\rc\u2028d'
    if not call.stream:
        await call.whole(200, call.completion(evil, forged_top=True))
        return
    await call.begin_stream()
    await call.event({"role": "assistant", "content": ""})
    await call.send(": comment\nevent: forged\nid: 7\nretry: 1\n")
    await call.event({"content": evil})
    await call.send('event: message\rdata: {"id":"chatcmpl-mock","object":"chat.completion.chunk",'
                    '"created":1,"model":"mock-model",\rdata: "choices":[{"index":0,"delta":'
                    '{"content":"two lines"},"finish_reason":null}]}\r\r')
    await call.end_stream()


@functools.cache
def gzip_bomb():
    """100 MiB of zeros, made from one compressed piece: a busy machine takes seconds to
    compress them all, longer than the gateway would wait."""
    pieces, piece = 100, bytes(1 << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(piece) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(pieces):
        checksum = zlib.crc32(piece, checksum)
    header, end = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\x03\0"
    return header + packed * pieces + end + struct.pack("<II", checksum, pieces * len(piece))


async def do_gzip_bomb(call):
    data = gzip_bomb()
    await call.head(200, "text/event-stream" if call.stream else "application/json", len(data),
                    ["content-encoding: gzip"])
    await call.send(data)


async def do_endless(call):
    """Sends for ever."""
    if call.stream:
        await call.begin_stream()
        await call.event({"role": "assistant", "content": ""})
        while True:
            await call.event({"content": "again and again " * 64})
    await call.head(200, "application/json")
    while True:
        await call.send(b" " * 65536)


async def do_mirror(call):
    """The request itself as the answer's text."""
    await call.answer([json.dumps(call.body, sort_keys=True)])


async def do_tools(call):
    """Calls a tool of the client's, its arguments in two pieces; once it has the tool's
    result, answers with it."""
    results = [message["content"] for message in call.body.get("messages", [])
               if message.get("role") == "tool"]
    if results:
        await call.answer(["In Bern: ", *results])
        return
    if not call.stream:
        value = call.completion(None)
        value["choices"][0]["finish_reason"] = "tool_calls"
        value["choices"][0]["message"]["tool_calls"] = [
            {"id": "call_1", "type": "function",
             "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}]
        await call.whole(200, value)
        return
    await call.begin_stream()
    await call.event({"role": "assistant", "content": None, "tool_calls": [
        {"index": 0, "id": "call_1", "type": "function",
         "function": {"name": "weather", "arguments": ""}}]})
    for part in ('{"city":', '"Bern"}'):
        await call.event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    await call.event({}, finish="tool_calls")
    await call.send("data: [DONE]\n\n")


async def do_calls_as_told(call):
    """Makes the calls that the last message of the user names, [[function, arguments]...] as
    JSON; then answers with all results, as JSON."""
    messages = call.body.get("messages", [])
    results = [message["content"] for message in messages if message.get("role") == "tool"]
    if results:
        await call.answer([json.dumps(results)])
        return
    wanted = json.loads([m["content"] for m in messages if m.get("role") == "user"][-1])
    calls = [{"id": f"call_{number}", "type": "function",
              "function": {"name": name, "arguments": json.dumps(arguments)}}
             for number, (name, arguments) in enumerate(wanted)]
    if not call.stream:
        value = call.completion(None)
        value["choices"][0]["finish_reason"] = "tool_calls"
        value["choices"][0]["message"]["tool_calls"] = calls
        await call.whole(200, value)
        return
    await call.begin_stream()
    await call.event({"role": "assistant", "content": None})
    for number, one in enumerate(calls):
        await call.event({"tool_calls": [{"index": number, **one}]})
    await call.event({}, finish="tool_calls")
    await call.send("data: [DONE]\n\n")


async def do_json(call):
    """A structured output."""
    await call.answer(['{"city": "Bern",', ' "degrees": 21}'])


async def do_no_usage(call):
    if not call.stream:
        value = call.completion("no usage")
        del value["usage"]
        await call.whole(200, value)
        return
    await call.begin_stream()
    await call.event({"role": "assistant", "content": "no usage"})
    await call.event({}, finish="stop")
    await call.send("data: [DONE]\n\n")


async def do_bare(call):
    """Leaves out what a sloppy provider leaves out."""
    if not call.stream:
        await call.whole(200, {"choices": [{"message": {"role": "assistant", "content": "bare"},
                                            "finish_reason": "stop"}]})
        return
    await call.begin_stream()
    await call.send('data: {"choices":[{"delta":{"content":"bare"}}]}\n\n')
    await call.send('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
    await call.send("data: [DONE]\n\n")


async def do_leak(call):
    """Puts the credential it was given into its error, as careless providers do."""
    await call.error(400, message="Incorrect API key provided: " +
                     call.record["headers"].get("authorization", "none"))


def pieces_of(message):
    """A message as the deltas of a stream: text by words, arguments in two pieces."""
    found = [{"content": word} for word in re.findall(r"\s*\S+|\s+", message.get("content") or "")]
    for index, call in enumerate(message.get("tool_calls") or []):
        arguments = call["function"].get("arguments", "")
        half = len(arguments) // 2
        found.append({"tool_calls": [{**call, "index": index, "function": {
            **call["function"], "arguments": arguments[:half]}}]})
        if arguments[half:]:
            found.append({"tool_calls": [{"index": index,
                                          "function": {"arguments": arguments[half:]}}]})
    return found


async def do_turns(call, _name):
    """The next of the turns that were given for this model; each tag has its own count. A turn has
    `message` (with `finish_reason` and `usage`), or `status`, or `stall`; with `cut` the
    connection breaks after the message's first piece."""
    mine = [r for r in records if (r["model"], r["tag"]) == (call.body["model"], call.record["tag"])]
    script = turns.get(call.body["model"], [])
    turn = script[len(mine) - 1] if len(mine) <= len(script) else {"status": 599}
    if "status" in turn:
        await call.error(turn["status"])
        return
    if "stall" in turn:
        await asyncio.sleep(turn["stall"])
    message, usage = turn["message"], turn.get("usage", USAGE)
    finish = turn.get("finish_reason", "tool_calls" if message.get("tool_calls") else "stop")
    if not call.stream:
        if turn.get("cut"):  # after its head, or it would be asked again on a new connection
            await call.head(200, "application/json", 1000)
            await asyncio.sleep(0.05)
            call.reset()
            return
        value = call.completion(None, usage=usage)
        value["choices"][0].update(finish_reason=finish, message={
            "role": "assistant", "content": None, "refusal": None, **message})
        await call.whole(200, value)
        return
    await call.begin_stream()
    await call.event({"role": "assistant", "content": ""})
    for piece in pieces_of(message):
        await call.event(piece)
        if turn.get("cut"):
            await asyncio.sleep(0.05)
            call.reset()
            return
    await call.event({}, finish=finish)
    await call.event(usage=usage, choices=[])
    await call.send("data: [DONE]\n\n")


SCRIPTS = [(re.compile(pattern + r"\Z"), action) for pattern, action in [
    (r"ok", do_ok), (r"slow-(\d+)", do_slow), (r"chunks-(\d+)-(\d+)", do_chunks),
    (r"status-(\d+)(-retry-(\d+))?", do_status), (r"html-(\d+)", do_html), (r"stall", do_stall),
    (r"stall-after-(\d+)", do_stall_after), (r"drip", do_drip), (r"reset", do_reset),
    (r"wrong-type", do_wrong_type), (r"not-json", do_not_json),
    (r"not-completion", do_not_completion), (r"truncated", do_truncated),
    (r"cut-(\d+)", do_cut), (r"silent-end-(\d+)", do_silent_end),
    (r"error-after-(\d+)", do_error_mid_stream), (r"big-line", do_big_line),
    (r"forged", do_forged), (r"gzip-bomb", do_gzip_bomb), (r"endless", do_endless),
    (r"mirror", do_mirror), (r"tools", do_tools),
    (r"calls-as-told", do_calls_as_told), (r"json", do_json), (r"no-usage", do_no_usage), (r"bare", do_bare),
    (r"leak", do_leak), (r"turns-(.*)", do_turns)]]


async def run_script(call, site, model):
    name = overrides.get((site, model), overrides.get((site, "*"), model))
    for pattern, action in SCRIPTS:
        match = pattern.match(name)
        if match:
            await action(call, *match.groups())
            return
    await call.error(404, message=f"mock has no script {name}")


async def read_request(reader, first):
    """-> method, target, headers, body; None at the end of the connection."""
    try:
        head = first + await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name.lower()] = value.strip()
        body = b""
        if "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while True:
                size = int((await reader.readuntil(b"\r\n")).strip(), 16)
                body += (await reader.readexactly(size + 2))[:-2]
                if size == 0:
                    break
        return method, target, headers, body
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return None


async def send_plain(writer, value, status=200):
    data = json.dumps(value).encode()
    writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                 % (status, len(data)) + data)
    await writer.drain()


def control(method, url, body):
    query = dict(urllib.parse.parse_qsl(url.query))
    if url.path == "/_mock/requests":
        return [r for r in records
                if all(query.get(field, r[field]) == r[field] for field in ("tag", "site"))]
    if url.path == "/_mock/stats":
        return stats
    if url.path == "/_mock/behave" and method == "POST":
        wish = json.loads(body)
        key = (wish["site"], wish.get("model", "*"))
        if wish["script"] is None:
            overrides.pop(key, None)
        else:
            overrides[key] = wish["script"]
        return {}
    if url.path == "/_mock/turns" and method == "POST":
        wish = json.loads(body)
        turns[wish["model"]] = wish["turns"]
        return {}
    return None


async def answer_chat(reader, writer, site, headers, body):
    """Runs one scripted call while watching whether the caller leaves. -> the byte that was
    read beyond the request, or None when the connection is over."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = {}
    record = {"site": site, "model": parsed.get("model"), "tag": parsed.get("user"),
              "at": time.time(), "ended": None, "cancelled": False, "headers": headers,
              "body": parsed, "bytes": len(body),
              "peer": writer.get_extra_info("peername")[1]}
    records.append(record)
    stats["active"] += 1
    stats["total"] += 1
    stats["peak"] = max(stats["peak"], stats["active"])
    call = Call(writer, record, parsed)
    script = asyncio.create_task(run_script(call, site, str(parsed.get("model"))))
    watch = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait({script, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not script.done() and (watch.exception() or not watch.result()):
            record["cancelled"] = True
            script.cancel()
        try:
            await script
        except (Gone, asyncio.CancelledError):
            record["cancelled"] = True
            return None
        if not call.keep_alive:
            return None
        try:
            return await watch or None
        except ConnectionError:
            return None
    finally:
        watch.cancel()
        stats["active"] -= 1
        record["ended"] = time.time()


async def serve_connection(reader, writer):
    first = b""
    try:
        while True:
            request = await read_request(reader, first)
            if request is None:
                break
            first = b""
            method, target, headers, body = request
            url = urllib.parse.urlsplit(target)
            if url.path.startswith("/_mock/"):
                value = control(method, url, body)
                await send_plain(writer, value, 404 if value is None else 200)
                continue
            site, _, rest = url.path.lstrip("/").partition("/")
            if rest == "v1/models":
                if overrides.get((site, "models")) == "down":
                    await send_plain(writer, {"error": {"message": "down"}}, 503)
                else:
                    await send_plain(writer, {"object": "list", "data": []})
            elif rest == "v1/chat/completions" and method == "POST":
                first = await answer_chat(reader, writer, site, headers, body)
                if first is None:
                    break
            else:
                await send_plain(writer, {"error": {"message": "no such path"}}, 404)
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve_connection, "127.0.0.1", int(sys.argv[1]),
                                        limit=1 << 20, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
