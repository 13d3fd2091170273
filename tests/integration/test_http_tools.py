# SPDX-License-Identifier: MIT
"""HTTP tools through lighttpd: what their server gets of what a model says, what the model is told
of each answer, and that a client that leaves ends the call."""
import http.server
import json
import socket
import threading

import pytest

import env
import wire
from gateway import KEYS, agent
from procs import wait_until

PATIENCE = 30 * env.SLOW
TOKEN = "canary-tool-token-77aa01"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.seen.append((self.requestline, dict(self.headers), body))
        kind = self.path.split("?")[0].split("/")[1]
        if kind == "slow":
            self.wait_for_the_end()
            return
        status, content_type, data = {
            "missing": (404, "application/json", b'{"detail": "no such ticket"}'),
            "broken": (500, "text/html", b"<h1>Oh</h1>" * 500),
            "moved": (307, "text/plain", b"elsewhere"),
            "empty": (204, None, b""),
            "image": (200, "image/png", b"\x89PNG" + bytes(2000)),
            "long": (200, "text/plain", "ü".encode() * 40000),
            "quote": (200, "text/plain", self.headers.get("Authorization", "").encode()),
        }.get(kind, (200, "application/json", json.dumps({"did": self.path}).encode()))
        self.send_response(status)
        if content_type:
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
        if status == 307:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/do")
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def wait_for_the_end(self):
        """Of the connection, by whoever called."""
        self.connection.settimeout(PATIENCE)
        try:
            while self.connection.recv(4096):
                pass
            self.server.left.append(self.requestline)
        except (TimeoutError, ConnectionError):
            self.server.left.append(self.requestline)
        self.close_connection = True

    def log_message(self, *words):
        pass


class ToolServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        self.seen, self.left, self.connections = [], [], 0
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


def schema(**types):
    return {"type": "object", "required": list(types),
            "properties": {name: {"type": kind} for name, kind in types.items()}}


def tools(port):
    def tool(name, path, **more):
        return {"name": name, "provider": "http", "url": f"http://127.0.0.1:{port}/{path}",
                "allow_private": True, "timeout": 60, **more}
    plain = ["missing", "broken", "moved", "empty", "image", "long", "slow"]
    return [tool(name, name) for name in plain] + [
        tool("get", "get/{id}/end?k={key}", method="GET",
             headers={"X-Language": "{language}", "Authorization": "Bearer ${TOOL_TOKEN}"},
             schema={"type": "object", "required": ["id", "key"], "properties": {
                 "id": {"type": "string"}, "key": {"type": "string"},
                 "language": {"type": "string"}, "rest": {}}}),
        tool("put", "put/{id}", method="PUT", schema=schema(id="string")),
        tool("delete", "delete/{id}", method="DELETE", schema=schema(id="integer")),
        tool("post", "do"), tool("late", "slow", timeout=0.5),
        tool("quote", "quote", headers={"Authorization": "Bearer ${TOOL_TOKEN}"})]


class Scene:
    def __init__(self, make):
        self.server = ToolServer()
        self.gateway = make.gateway(
            gateway={"workers": 1}, tools={"tools": tools(self.server.server_port)},
            agents={"agents": [agent("tester", model="calls-as-told", tools=["*"])]},
            upstreams={"upstreams": [
                {"name": "mock", "provider": "openai-compatible",
                 "base_url": make.mock.base_url(), "api_key_env": "AGW_TEST_UPSTREAM_KEY"}]},
            environment={"TOOL_TOKEN": TOKEN})
        self.port = make.server(self.gateway, "lighttpd").port

    def body(self, *calls):
        return {"model": "mock/tester",
                "messages": [{"role": "user", "content": json.dumps(calls)}]}

    def call(self, *calls, request_id=None):
        """The result of each [tool, arguments]."""
        headers = [("X-Request-Id", request_id)] if request_id else []
        answer = wire.request(self.port, "POST", "/v1/chat/completions", headers,
                              self.body(*calls), KEYS["client"], PATIENCE)
        assert answer.status == 200, answer
        return json.loads(answer.json()["choices"][0]["message"]["content"])

    def one(self, tool, arguments=None, **options):
        return self.call([tool, arguments or {}], **options)[0]


@pytest.fixture
def scene(make):
    scene = Scene(make)
    yield scene
    scene.server.close()


def test_what_the_server_gets(scene, rid):
    hostile = "a/../b?x=1&y#z%2f\\é"
    assert "'.' or '..'" in scene.one("get", {"id": hostile, "key": "k"})
    assert scene.server.seen == []
    hostile = "a/b?x=1&y#z%2f\\é"
    scene.one("get", {"id": hostile, "key": "&k=2#", "language": "de", "rest": [1, "x y"]},
              request_id=rid)
    line, headers, body = scene.server.seen.pop()
    assert line == ("GET /get/a%2Fb%3Fx%3D1%26y%23z%252f%5C%C3%A9/end?k=%26k%3D2%23&rest=1"
                    "&rest=x%20y HTTP/1.1")
    assert headers["X-Language"] == "de" and headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["x-request-id"] == rid and body == b""
    scene.one("get", {"id": "1", "key": ""})
    line, headers, _ = scene.server.seen.pop()
    assert line == "GET /get/1/end?k= HTTP/1.1" and "X-Language" not in headers
    scene.one("put", {"id": "x", "a": {"b": [1.5, None, "é"]}, "c": True})
    line, headers, body = scene.server.seen.pop()
    assert line == "PUT /put/x HTTP/1.1" and headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"a": {"b": [1.5, None, "é"]}, "c": True}
    scene.one("delete", {"id": 7})
    assert scene.server.seen.pop()[0] == "DELETE /delete/7 HTTP/1.1"
    scene.one("post")
    assert scene.server.seen.pop()[2] == b"{}"


@pytest.mark.parametrize("arguments", [
    {"id": "..", "key": "k"}, {"id": ".", "key": "k"}, {"id": "", "key": "k"},
    {"id": "x/..", "key": "k"}, {"id": "%2e%2e", "key": "k"}, {"id": "x\r\nHost: y", "key": "k"},
    {"id": "x", "key": "k", "language": "de\r\nX-Admin: 1"}, {"id": ["x"], "key": "k"}, {}])
def test_what_would_leave_its_place_is_not_sent(scene, rid, arguments):
    scene.one("get", arguments, request_id=rid)
    assert scene.server.seen == []
    wait_until(lambda: scene.gateway.sql(
        "SELECT * FROM tool_invocations WHERE request_id = ? AND status = 'invalid'", rid),
        PATIENCE, "row")


def test_what_the_model_is_told(scene):
    results = dict(zip(
        ["post", "missing", "broken", "moved", "empty", "image", "long", "late", "quote"],
        scene.call(*[[name, {}] for name in ["post", "missing", "broken", "moved", "empty",
                                             "image", "long", "late", "quote"]])))
    assert results["post"] == '{"did": "/do"}'
    assert results["missing"] == ('The tool \'missing\' failed: HTTP status 404: '
                                  '{"detail": "no such ticket"}')
    assert results["broken"].startswith("The tool 'broken' failed: HTTP status 500: <h1>Oh</h1>")
    assert len(results["broken"]) < 1100
    assert "redirect 307, which is not followed" in results["moved"]
    assert results["empty"] == "(Done: HTTP status 204, without content.)"
    assert results["image"] == "(The answer is 2004 bytes of image/png, which is no text.)"
    assert results["long"] == "ü" * 32768
    assert results["late"].startswith("The tool 'late' did not answer within ")
    assert "quotes a credential" in results["quote"]
    # The redirect was not followed: /do was asked for once, by "post".
    assert [line.split()[1] for line, _, _ in scene.server.seen].count("/do") == 1
    assert scene.gateway.has_secret(TOKEN) == []


def test_connections_are_used_again(scene):
    for _ in range(10):
        scene.one("post")
    assert len(scene.server.seen) == 10
    assert scene.server.connections <= 3, "each call makes a connection"  # slow machines


# Of those who wait for JSON, only nginx says at once that they left.
@pytest.mark.parametrize("web_server, stream", [("lighttpd", True), ("nginx", False)])
def test_a_client_that_leaves_ends_the_call(make, scene, rid, web_server, stream):
    port = scene.port if web_server == "lighttpd" else make.server(scene.gateway, web_server).port
    body = json.dumps({**scene.body(["slow", {}]), "stream": stream}).encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(wire.build("POST", "/v1/chat/completions", [
            ("Authorization", f"Bearer {KEYS['client']}"), ("X-Request-Id", rid),
            ("Content-Type", "application/json")], body))
        wait_until(lambda: scene.server.seen, PATIENCE, "call of the tool")
    wait_until(lambda: scene.server.left, PATIENCE, "end of the tool's connection")
    wait_until(lambda: scene.gateway.sql(
        "SELECT * FROM tool_invocations WHERE request_id = ? AND status = 'cancelled'", rid),
        PATIENCE, "row")
    assert scene.gateway.outcome(rid, timeout=30) == "client_gone"
    assert len(scene.server.seen) == 1


def test_metrics_and_log(scene, rid):
    scene.one("post", request_id=rid)
    scene.one("missing")
    text = wire.request(scene.port, "GET", "/metrics", key=KEYS["admin"]).body.decode()
    name = "agent_gateway_tool_invocations_total"
    for tool, status in (("post", "ok"), ("missing", "failed")):
        assert any(line.startswith(name) and f'tool="{tool}"' in line and
                   f'status="{status}"' in line and 'provider="http"' in line and
                   line.endswith(" 1") for line in text.splitlines()), text
    event = scene.gateway.wait_event("tool.invoke", request_id=rid)
    assert event["tool"] == "post" and event["provider"] == "http"
    assert event["status"] == "ok" and "arguments" not in event
