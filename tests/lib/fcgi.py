# SPDX-License-Identifier: MIT
"""A FastCGI client by hand, in the web server's place: says exactly what a test wants said."""
import json
import socket
import struct

from wire import Answer, chat_body, parse_head

BEGIN, END, PARAMS, STDIN, STDOUT = 1, 3, 4, 5, 6


def record(kind, data=b"", request=1):
    return struct.pack(">BBHHBx", 1, kind, request, len(data), 0) + data


def stream_of(kind, data, request=1):
    """`data` in records, ended by an empty one."""
    pieces = [data[n:n + 65535] for n in range(0, len(data), 65535)]
    return b"".join(record(kind, piece, request) for piece in pieces) + record(kind, b"", request)


def params(pairs):
    def length(n):
        return bytes([n]) if n < 128 else struct.pack(">I", n | 1 << 31)
    coded = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    return b"".join(length(len(n)) + length(len(v)) + n + v for n, v in coded)


def request_bytes(method, target, headers=(), body=b"", length=None):
    """`length` is what CONTENT_LENGTH says, when it is not the truth."""
    pairs = [("REQUEST_METHOD", method), ("REQUEST_URI", target), ("SCRIPT_NAME", target),
             ("QUERY_STRING", target.partition("?")[2]), ("SERVER_PROTOCOL", "HTTP/1.1"),
             ("REMOTE_ADDR", "127.0.0.1"),
             ("CONTENT_LENGTH", str(len(body) if length is None else length))]
    pairs += [("HTTP_" + name.upper().replace("-", "_"), value) for name, value in headers]
    return record(BEGIN, struct.pack(">HB5x", 1, 0)) + stream_of(PARAMS, params(pairs)) + \
        stream_of(STDIN, body)


def read_answer(sock):
    """-> Answer; None when the connection ends before a status has come."""
    out, ended = b"", False

    def exactly(count):
        data = b""
        while len(data) < count:
            piece = sock.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
    try:
        while not ended:
            _, kind, _, size, padding = struct.unpack(">BBHHBx", exactly(8))
            data = exactly(size + padding)[:size]
            if kind == STDOUT:
                out += data
            ended = kind == END
    except (EOFError, ConnectionError):
        pass
    head, found, body = out.partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.decode("latin-1").split("\r\n")
    status = next((line[8:] for line in lines if line.lower().startswith("status: ")), "200")
    _, headers = parse_head(f"X {status.split()[0]}\r\n".encode() + head)
    return Answer(int(status.split()[0]), headers, body, ended)


def connect(path, timeout=30):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(timeout)
    sock.connect(str(path))
    return sock


def call(path, method, target, key=None, body=None, headers=(), length=None, timeout=30):
    """One request on a connection of its own; TimeoutError when nothing comes."""
    headers = list(headers)
    if key is not None:
        headers.append(("Authorization", f"Bearer {key}"))
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
    with connect(path, timeout) as sock:
        try:
            sock.sendall(request_bytes(method, target, headers, body or b"", length))
        except BrokenPipeError:  # answered before everything was read
            pass
        return read_answer(sock)


def chat(path, key, model, stream=False, request_id=None, timeout=30, **more):
    headers = [("X-Request-Id", request_id)] if request_id else []
    return call(path, "POST", "/v1/chat/completions", key, chat_body(model, stream, **more),
                headers, timeout=timeout)
