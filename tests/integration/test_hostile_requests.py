# SPDX-License-Identifier: MIT
"""Requests made to confuse: paths, credentials, headers and bodies that web servers and the
gateway could read differently. Behind every server the identity is the same or the request
is refused, and nothing reaches an agent or an upstream that should not."""
import json
import time

import pytest

from gateway import KEYS, UNKNOWN_KEY
from procs import wait_until
from wire import build, chat, chat_body, new_id, raw, request

CLIENT, ADMIN = KEYS["client"], KEYS["admin"]

# Paths that somebody could read as an endpoint which they are not.
PATHS = [
    "/v1%2fmodels", "/v1%2Fmodels", "//v1/models", "/v1//models", "/v1/../health",
    "/v1/./models", "/health/../security/keys", "/v1/models/..", "/%2e%2e/health",
    "/v1/%2e%2e/health", "/v1/models%00", "/v1/models%00.html", "/v1/models%0a",
    "/v1/models%0d%0aX-Evil:1", "/v1;x=1/models", "/v1/models;x", "/v1\\models",
    "/v1/models%5c", "/v1/models%", "/v1/models%zz", "/v1/models%c0%af", "/%76%31/models",
    "/health%20", "/security/keys/", "/security%2fkeys", "/.//security/keys"]


@pytest.mark.parametrize("path", PATHS)
def test_T10_ambiguous_paths_open_nothing(server, path):
    """Refused, or exactly what the plain path would give; never another endpoint's answer."""
    answer = raw(server.port, build("GET", path, [("Authorization", f"Bearer {CLIENT}")], None))
    # %76%31 is v1, and nothing else.
    assert answer.status in ((200,) if path == "/%76%31/models" else (400, 403, 404)), answer
    assert b"api_keys" not in answer.body and b'"keys"' not in answer.body
    # The header that the encoded line break tried to plant is not there.
    assert not any(name == "x-evil" for name, _ in answer.headers)


@pytest.mark.parametrize("path", ["http://gateway.test/health", "/health?x=/../security/keys",
                                  "/health?%00", "/health#fragment"])
def test_T10_query_and_absolute_form_do_not_matter(server, path):
    answer = raw(server.port, build("GET", path, [], None))
    assert answer.status in (200, 400), answer


def test_T10_no_model_name_opens_a_path(server):
    for model in ("../../security/keys", "mock/ok%00", "mock%2fok", "mock//ok", "mock/../vault",
                  "mock/ok\u0000", "MOCK/OK", "mock/ok ", "*", "mock/*", "'; DROP TABLE x;--"):
        answer = chat(server.port, CLIENT, model)
        assert answer.status in (400, 403, 404), (model, answer)


# -- credentials -----------------------------------------------------------------------------

def _models(port, headers):
    answer = raw(port, build("GET", "/v1/models", headers, None))
    return answer


@pytest.mark.parametrize("headers", [
    [("Authorization", f"Bearer {CLIENT}"), ("X-Api-Key", CLIENT)],
    [("Authorization", f"Bearer {CLIENT}"), ("X-Api-Key", ADMIN)],
    [("X-Api-Key", CLIENT), ("X-Api-Key", ADMIN)],
    [("X-Api-Key", f"{CLIENT}, {ADMIN}")],
    [("X-Api-Key", f"{CLIENT},{CLIENT}")],
    [("Authorization", f"Bearer {CLIENT}"), ("Authorization", f"Bearer {ADMIN}")],
    [("Authorization", f"Bearer {CLIENT}, Bearer {ADMIN}")],
    [("Authorization", f"Basic {CLIENT}")],
    [("Authorization", f"Bearer {CLIENT} {ADMIN}")],
    [("Authorization", "Bearer ")],
    [("Authorization", CLIENT)],
], ids=lambda headers: "+".join(f"{n}={v}"[:40] for n, v in headers).replace(" ", "_"))
def test_T5_exactly_one_credential(server, headers):
    answer = _models(server.port, headers)
    assert answer.status in (400, 401), answer
    if answer.header("content-type").startswith("application/json"):
        assert answer.status == 400, answer
    for secret in (CLIENT, ADMIN):
        assert secret.encode() not in answer.body


def test_T5_underscores_are_not_dashes(server):
    """X_Api_Key: dropped, or the same as X-Api-Key; with another credential refused."""
    alone = _models(server.port, [("X_Api_Key", CLIENT)])
    assert alone.status in (200, 401), alone
    for other in ([("X-Api-Key", CLIENT)], [("Authorization", f"Bearer {CLIENT}")]):
        both = _models(server.port, [*other, ("X_Api_Key", ADMIN)])
        assert both.status in (200, 400), both
        if both.status == 200:  # the server dropped it: the proper one counts
            ids = [model["id"] for model in both.json()["data"]]
            assert "vault/secret-plan" not in ids


@pytest.mark.parametrize("headers", [
    [("Authorization", f"bearer {CLIENT}")], [("Authorization", f"BEARER {CLIENT}")],
    [("X-Api-Key", CLIENT)], [("X-Api-Key", f"  {CLIENT}  ")]])
def test_T5_both_forms_of_one_credential(server, headers):
    assert _models(server.port, headers).status == 200


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-For", "X-Forwarded-User", "X-Real-IP",
                                  "Proxy", "Remote-User", "X-Original-URL", "X-Rewrite-URL",
                                  "X-HTTP-Method-Override", "Forwarded"])
def test_T4_other_headers_have_no_effect(server, name, mock):
    rid = new_id("hdr")
    body = json.dumps(chat_body("mock/forbidden", user=rid)).encode()
    value = "127.0.0.1:9" if name == "Proxy" else "admin.localhost"
    answer = raw(server.port, build("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}"), (name, value)], body))
    assert answer.status == 403, answer
    good = json.dumps(chat_body("mock/ok", user=rid)).encode()
    answer = raw(server.port, build("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}"), (name, value)], good))
    assert answer.status == 200, answer
    assert len(mock.requests(tag=rid)) == 1


def test_T1_injection_in_every_text(nginx, shared, admin_for):
    """SQL in keys, models, paths, reasons: refused or stored as text, nothing else."""
    admin = admin_for(nginx.port)
    count = shared.sql("SELECT count(*) AS n FROM api_key")[0]["n"] if shared.sql(
        "SELECT name FROM sqlite_master WHERE name = 'api_key'") else None
    for text in ("' OR 1=1 --", "'; DELETE FROM audit_event; --", '" OR ""="', "x' UNION SELECT",
                 "%27%20OR%201=1", "\\'; --", "/* */", "' || hex(randomblob(9)) || '"):
        header = text.replace("\n", " ")
        assert _models(nginx.port, [("X-Api-Key", header)]).status in (400, 401)
        assert chat(nginx.port, CLIENT, text).status in (400, 403, 404)
        grant = admin.override("vault/injection", 5, reason=text)
        assert grant.status in (200, 201) and grant.json()["reason"] == text
        assert admin.ask("DELETE", f"/security/overrides/{grant.json()['id']}").status in \
            (200, 204)
    assert shared.sql("PRAGMA integrity_check")[0]["integrity_check"] == "ok"
    if count is not None:
        assert shared.sql("SELECT count(*) AS n FROM api_key")[0]["n"] == count


def test_T13_control_characters_cannot_break_a_log_line(nginx, shared, admin_for, rid):
    evil = 'a\r\n{"event":"forged"}\u001b[31m\u2028\u2029"\\'
    grant = admin_for(nginx.port).override("vault/log", 5, reason=evil)
    assert grant.status in (200, 201), grant
    admin_for(nginx.port).ask("DELETE", f"/security/overrides/{grant.json()['id']}")
    chat(nginx.port, CLIENT, f"mock/{evil}", request_id=rid)
    for line in shared.log_lines():  # each line is JSON by itself
        assert line["event"] != "forged"
    raw_log = shared.log_path.read_bytes()
    assert b"\x1b" not in raw_log and "\u2028".encode() not in raw_log


# -- bodies ----------------------------------------------------------------------------------

def _post(port, body, headers=(), timeout=30):
    return raw(port, build("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}"), ("Content-Type", "application/json"), *headers],
        body), timeout)


@pytest.mark.parametrize("body", [
    b"", b"{", b"null", b"[]", b'"text"', b"{}", b'{"model":1,"messages":[]}', b"\xff\xfe{}",
    b'{"model":"mock/ok","messages":[{"role":"user","content":"a"}],"model":"mock/slow-300"}',
    b'{"model":"mock/ok","messages":[{"role":"user","content":"\xc3\x28"}]}',
    b'{"model":"mock/ok","messages":[{"role":"user","content":"a"}]} trailing',
    b'{"model":"mock/ok","messages":[{"role":"king","content":"a"}]}',
    b'{"model":"mock/ok","messages":[{"role":"user","content":"a"}],"temperature":"hot"}',
    b'{"model":"mock/ok","messages":[{"role":"user","content":"a"}],"n":0}',
    b'{"model":"mock/ok","messages":[{"role":"user","content":"a"}],"stream":"yes"}',
    b'{"model":"mock/ok","messages":[{"role":"user","content":"a"}],"max_tokens":-1}',
    b'{"model":"mock/ok\\u0000","messages":[{"role":"user","content":"a"}]}',
], ids=range(17))
def test_bad_json_and_bad_fields(server, body):
    answer = _post(server.port, body)
    assert answer.status == 400, answer
    error = answer.error()
    assert error["type"] == "invalid_request_error" and error["code"] is None
    assert error["message"]


@pytest.mark.parametrize("field,body", [
    ("messages", {"model": "mock/ok"}), ("model", {"messages": [{"role": "user"}]}),
    ("temperature", chat_body("mock/ok", temperature=3)),
    ("stream_options", chat_body("mock/ok", stream_options={"include_usage": True}))])
def test_param_names_the_field(nginx, field, body):
    answer = request(nginx.port, "POST", "/v1/chat/completions", body=body, key=CLIENT)
    assert answer.status == 400 and answer.error()["param"] == field


BOMBS = {
    "deep arrays": b'{"a":' + b"[" * 200000,
    "deep objects": b'{"a":' * 150000,
    "many tokens": b'{"a":[' + b"{}," * 300000 + b"{}]}",
    "long number": b'{"a":' + b"9" * 900000 + b"}",
    "long key": b'{"' + b"k" * 900000 + b'":1}',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_T16_json_bombs_are_refused_fast(server, shared, bomb):
    began = time.monotonic()
    answer = _post(server.port, BOMBS[bomb])
    assert answer.status == 400, answer
    assert time.monotonic() - began < 3
    assert max(_rss(pid) for pid in shared.workers()) < 400 << 20


def _rss(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def test_T20_limits_of_the_body(server, mock, rid):
    """Up to the limit it passes, one byte more is 413, in the gateway's own words."""
    def sized(size):
        frame = json.dumps(chat_body("mock/ok", text="", user=rid)).encode()
        return json.dumps(chat_body("mock/ok", text="x" * (size - len(frame)),
                                    user=rid)).encode()
    assert len(sized(1 << 20)) == 1 << 20
    assert _post(server.port, sized(1 << 20)).status == 200
    answer = _post(server.port, sized((1 << 20) + 1))
    assert answer.status == 413 and answer.error()["code"] == "request_too_large"
    answer = _post(server.port, sized(8 << 20))
    assert answer.status == 413 and answer.error()["code"] == "request_too_large"
    assert len(mock.requests(tag=rid)) == 1


def test_T20_beyond_the_web_servers_limit(server):
    """40 MiB are refused by the web server itself or by the gateway, quickly."""
    answer = _post(server.port, b" " * (40 << 20))
    assert answer.status == 413, answer


def test_chunked_upload(server, mock, rid):
    data = json.dumps(chat_body("mock/ok", text="x" * 100000, user=rid)).encode()
    pieces = [data[n:n + 7000] for n in range(0, len(data), 7000)]
    coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    answer = _post(server.port, coded, [("Transfer-Encoding", "chunked")])
    assert answer.status == 200, answer
    assert len(mock.request(rid)["body"]["messages"][0]["content"]) == 100000


def test_T20_chunked_upload_without_end_is_capped(server):
    data = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
    answer = _post(server.port, data * 3 + b"0\r\n\r\n", [("Transfer-Encoding", "chunked")])
    assert answer.status == 413, answer


def test_length_and_chunked_together(server):
    """Request smuggling's first step: refused, or read one way only."""
    body = json.dumps(chat_body("mock/ok")).encode()
    coded = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = _post(server.port, coded, [("Transfer-Encoding", "chunked"),
                                        ("Content-Length", str(len(coded)))])
    assert answer.status in (200, 400), answer


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999", "1e3", "0x10"])
def test_bad_content_length(server, length):
    answer = raw(server.port, build("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}"), ("Content-Length", length)], b"{}"))
    assert answer.status in (400, 411, 413), answer


def test_T12_body_shorter_than_announced_calls_no_upstream(server, mock, shared):
    """The client leaves in the middle of its body."""
    import socket
    rid = new_id("short")
    body = json.dumps(chat_body("mock/ok", user=rid)).encode()
    data = build("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}"), ("X-Request-Id", rid),
        ("Content-Length", str(len(body) + 1000))], body)
    with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(3)
        try:
            sock.recv(4096)
        except OSError:
            pass
    time.sleep(0.3)
    assert mock.requests(tag=rid) == []


def test_T20_huge_headers(server):
    answer = _models(server.port, [("X-Api-Key", "x" * 7000)])
    assert answer.status in (400, 401, 431), answer
    answer = _models(server.port, [("X-Large", "x" * 100000), ("X-Api-Key", CLIENT)])
    assert answer.status in (400, 413, 414, 431, 502), answer
    answer = raw(server.port, build("GET", "/health?" + "x" * 7000, [], None))
    assert answer.status in (200, 400, 414), answer


def test_expect_100_continue(server):
    body = json.dumps(chat_body("mock/ok")).encode()
    answer = _post(server.port, body, [("Expect", "100-continue")])
    assert answer.status == 200, answer


def test_T14_keys_are_never_echoed(server, shared):
    for key in (UNKNOWN_KEY, KEYS["expired"], CLIENT):
        answer = chat(server.port, key, "mock/nothing")
        assert key.encode() not in answer.body
    wait_until(lambda: shared.log_lines(), 5, "log")
    assert shared.has_secret(UNKNOWN_KEY, *KEYS.values()) == []
