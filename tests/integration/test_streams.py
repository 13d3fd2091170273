# SPDX-License-Identifier: MIT
"""Streams: 200 at once through each web server lose no frame and are not held back anywhere;
clients that leave cancel the model's work and end as client_gone."""
import json
import statistics
import time

import pytest

import strict
from gateway import KEYS
from procs import wait_until
from webserver import NAMES
from wire import chat, frames, new_id, request, stream, together

STREAMS, CHUNKS, GAP = 200, 20, 0.1


@pytest.mark.alone
def test_200_streams_arrive_complete_and_as_they_are_made(server, shared, mock):
    tag = new_id("many")
    started = time.monotonic()
    seen = together(*[stream(server.port, KEYS["client"], "mock/chunks-20-100",
                             request_id=f"{tag}-{n}", user=f"{tag}-{n}")
                      for n in range(STREAMS)])
    took = time.monotonic() - started
    assert [one.error for one in seen if one.error] == []
    assert {one.status for one in seen} == {200}
    wanted = "".join(f"w{n} " for n in range(CHUNKS))
    for one in seen:
        assert one.complete and one.content() == wanted
        assert one.payloads()[-1] == "[DONE]"
        assert one.header("x-accel-buffering") in ("no", None)  # nginx eats it
    strict.check_stream(seen[0].payloads(), "mock/chunks-20-100")
    # Not held back: the frames of a stream arrive spread over its two seconds. A buffering
    # hop would deliver them in one or two pieces.
    spans = [one.times[-1][0] - one.times[0][0] for one in seen]
    assert statistics.median(spans) > 0.75 * CHUNKS * GAP, spans
    assert statistics.median(len(one.times) for one in seen) > CHUNKS / 2
    assert took < 30, took
    outcomes = wait_until(lambda: (rows := shared.sql(
        "SELECT outcome, count(*) AS n FROM audit_event WHERE request_id LIKE ? AND outcome"
        " IS NOT NULL GROUP BY outcome", f"{tag}-%")) and rows[0]["n"] == STREAMS and rows,
        10, "200 outcomes")
    assert [row["outcome"] for row in outcomes] == ["completed"]


@pytest.mark.alone
def test_200_clients_that_leave_cancel_the_upstream(server, shared, mock):
    """Streams flow (a chunk every 250 ms); everybody leaves after the third chunk."""
    tag = new_id("leave")
    together(*[stream(server.port, KEYS["client"], "mock/chunks-40-250", leave_when=b"w2 ",
                      request_id=f"{tag}-{n}", user=f"{tag}-{n}") for n in range(STREAMS)])
    left = time.time()
    mine = wait_until(lambda: (rows := [r for r in mock.requests(site="main")
                                        if (r["tag"] or "").startswith(tag)])
                      and all(r["ended"] for r in rows) and rows, 15, "end of all calls")
    assert len(mine) == STREAMS
    assert all(record["cancelled"] for record in mine)
    late = max(record["ended"] for record in mine) - left
    assert late < 2, f"the last call was cancelled {late:.2f} s after the clients had left"
    rows = wait_until(lambda: (rows := shared.sql(
        "SELECT request_id, outcome FROM audit_event WHERE request_id LIKE ? AND outcome IS"
        " NOT NULL", f"{tag}-%")) and len(rows) == STREAMS and rows, 10, "200 outcomes")
    assert {row["outcome"] for row in rows} == {"client_gone"}


def _gone(shared, mock, tag, limit):
    left = time.time()
    record = mock.wait_ended(tag, limit + 10)
    assert record["cancelled"], record
    assert record["ended"] - left < limit, f"noticed after {record['ended'] - left:.2f} s"
    assert shared.outcome(tag) == "client_gone"


def _patient(make, mock, heartbeat):
    """A gateway that waits long for its upstream, so that only the client's leaving ends a
    silent call."""
    return make.gateway(
        gateway={"stream": {"heartbeat": heartbeat}},
        upstreams={"upstreams": [{
            "name": "mock", "provider": "openai-compatible", "base_url": mock.base_url(),
            "timeout": {"connect": 2, "first_byte": 30, "idle": 30, "total": 60}},
            *({"name": name, "provider": "builtin-echo", "models": ["none"]}
              for name in ("echo", "dead", "refused"))]})


@pytest.mark.parametrize("stream_it", [True, False], ids=["stream", "json"])
def test_T41_nginx_tells_at_once_also_while_the_upstream_is_silent(make, mock, stream_it):
    gateway = _patient(make, mock, heartbeat=10)
    port = make.server(gateway, "nginx").port
    for model in ("mock/stall", "mock/stall-after-2"):
        tag = new_id("silent")
        together(stream(port, KEYS["client"], model, leave_after=0.3, request_id=tag,
                        user=tag, stream_it=stream_it))
        _gone(gateway, mock, tag, 1)


@pytest.mark.parametrize("name", ["lighttpd", "apache"])
def test_T41_others_tell_within_the_heartbeat(make, mock, name):
    """A silent stream sends `: ping` after stream.heartbeat; the failed write tells."""
    gateway = _patient(make, mock, heartbeat=0.5)
    server = make.server(gateway, name)
    for model in ("mock/stall", "mock/stall-after-2"):
        tag = new_id("silent")
        together(stream(server.port, KEYS["client"], model, leave_after=0.3, request_id=tag,
                        user=tag))
        # Two pings at most: the first may only fill the kernel's buffer.
        _gone(gateway, mock, tag, 2)


def test_heartbeat_keeps_a_silent_stream_alive(server):
    """The pings are comments, which clients skip; the answer comes after them."""
    seen = together(stream(server.port, KEYS["client"], "mock/chunks-5-100"),
                    stream(server.port, KEYS["client"], "mock/stall"))
    assert b": ping" not in seen[0].body  # something flowed all the time
    assert seen[1].status == 200 and b": ping\n\n" in seen[1].body
    assert "[DONE]" not in seen[1].payloads()


def test_headers_of_a_stream(server, rid):
    answer = chat(server.port, KEYS["client"], "mock/ok", stream=True, request_id=rid)
    assert answer.header("content-type").startswith("text/event-stream")
    assert "no-" in answer.header("cache-control")
    assert answer.header("x-request-id") == rid
    assert answer.header("x-ratelimit-limit-requests") == "100000"
    assert answer.complete


def test_T15_forged_events_stay_text(server):
    """What an upstream puts into its text or around its frames cannot become an event."""
    answer = chat(server.port, KEYS["client"], "mock/forged", stream=True)
    payloads = frames(answer.body)
    chunks = strict.check_stream(payloads, "mock/forged")
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert '\n\ndata: {"forged":1}' in text and "two lines" in text
    assert b"\r" not in answer.body.split(b"data: [DONE]")[0]
    for word in (b"event:", b"retry:", b"id: 7", b"comment"):
        assert word not in answer.body
    plain = chat(server.port, KEYS["client"], "mock/forged")
    assert "forged_top" not in plain.json()


@pytest.mark.parametrize("model", ["big-line", "gzip-bomb", "endless", "not-json", "truncated",
                                   "not-completion"])
@pytest.mark.parametrize("stream_it", [True, False], ids=["stream", "json"])
def test_T15_broken_answers_are_errors(nginx, shared, model, stream_it, rid):
    answer = chat(nginx.port, KEYS["client"], f"mock/{model}", stream=stream_it, request_id=rid,
                  timeout=60)
    if answer.status == 200:
        assert stream_it, answer
        payloads = frames(answer.body)
        assert "[DONE]" not in payloads
        assert set(json.loads(payloads[-1])) == {"error"}
        assert shared.outcome(rid) == "upstream_cut"
    else:
        assert answer.status == 502 and answer.error()["code"] == "upstream_error"
        assert shared.outcome(rid) == "upstream_error"
    assert len(answer.body) < 16 << 20


@pytest.mark.parametrize("stream_it", [True, False], ids=["stream", "json"])
def test_T19_dripping_upstream_ends_at_the_total_deadline(make, mock, stream_it, rid):
    gateway = make.gateway(upstreams={"upstreams": [
        {"name": name, "provider": "openai-compatible", "base_url": mock.base_url(),
         "timeout": {"connect": 1, "first_byte": 2, "idle": 2, "total": 3},
         "models": [name] if name != "mock" else ["drip"],
         "retry": {"attempts": 0}} for name in ("mock", "dead", "refused", "echo")]})
    server = make.server(gateway)
    began = time.monotonic()
    answer = chat(server.port, KEYS["client"], "mock/drip", stream=stream_it, request_id=rid)
    assert 2.5 < time.monotonic() - began < 4.5
    assert gateway.outcome(rid) == "timeout"
    if answer.status == 200:
        assert "[DONE]" not in frames(answer.body)
    else:
        assert answer.status == 504


def test_T18_a_reader_that_stops_reading_ends(make, mock):
    """Whoever takes nothing for timeouts.write loses the stream, and the thread is free."""
    import socket
    from wire import build, chat_body
    gateway = make.gateway(gateway={"timeouts": {"write": 1}, "workers": 1})
    server = make.server(gateway, "nginx",
                         edit=lambda text: text.replace("send_timeout 60s", "send_timeout 3s"))
    tag = new_id("stuck")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        body = json.dumps(chat_body("mock/endless", True, user=tag)).encode()
        sock.sendall(build("POST", "/v1/chat/completions",
                           [("Authorization", f"Bearer {KEYS['client']}"),
                            ("X-Request-Id", tag)], body))
        record = mock.wait_ended(tag, 20)
        assert record["cancelled"]
        assert gateway.outcome(tag) == "client_gone"


@pytest.mark.parametrize("name", NAMES)
def test_metrics_count_who_left(make, mock, name):
    gateway = make.gateway(gateway={"metrics": {"open": True}})
    server = make.server(gateway, name)
    tag = new_id("count")
    together(*[stream(server.port, KEYS["client"], "mock/chunks-40-250", leave_when=b"w1 ",
                      request_id=f"{tag}{n}") for n in range(5)])
    for n in range(5):
        assert gateway.outcome(f"{tag}{n}") == "client_gone"
    text = request(server.port, "GET", "/metrics").body.decode()
    line = next(line for line in text.splitlines() if line.startswith(
        'agent_gateway_requests_total{') and 'status="client_gone"' in line)
    assert line.endswith(" 5"), line
