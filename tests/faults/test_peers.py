# SPDX-License-Identifier: MIT
"""Slow and rude clients and providers: they get what is theirs and cost the others nothing."""
import asyncio
import collections
import json
import os
import time

import pytest

import fcgi
import invariants
from gateway import KEYS, upstream
from procs import wait_until
from scale import count, report
from wire import build, chat, chat_body, frames, new_id, request, stream, together

CLIENT = KEYS["client"]


async def _slow(port, seconds, way):
    """A client that sends (or reads) a byte now and then."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return
    body = json.dumps(chat_body("mock/ok", way == "reads")).encode()
    data = build("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}"), ("Content-Type", "application/json")], body)
    end = time.monotonic() + seconds
    try:
        if way == "body":  # the head at once, the body by bytes
            head, _, data = data.partition(b"\r\n\r\n")
            writer.write(head + b"\r\n\r\n")
        if way == "reads":
            writer.write(data)
            while time.monotonic() < end and await reader.read(20):
                await asyncio.sleep(0.2)
        else:
            for at in range(len(data)):
                if time.monotonic() > end:
                    break
                writer.write(data[at:at + 1])
                await writer.drain()
                await asyncio.sleep(0.5)
    except (ConnectionError, OSError):
        pass
    finally:
        writer.close()


@pytest.mark.alone
@pytest.mark.parametrize("name", ["lighttpd", "apache", "nginx"])
def test_T18_slow_clients_do_not_disturb_others(make, name):
    clients = count("AGW_FAULT_SLOW", 100, 500)
    if name == "apache":  # gives each open connection a thread of its own: limited by design
        clients = min(clients, 100)
    # lighttpd and nginx keep slow bodies to themselves; Apache passes them on as they come, so
    # that each holds a slot for timeouts.read at most.
    slots = 20 if name != "apache" else 60
    gateway = make.gateway(gateway={"workers": 1, "threads": {"max": slots}})
    port = make.server(gateway, name).port
    assert chat(port, CLIENT, "mock/ok").status == 200
    took, statuses = [], []

    async def others():
        await asyncio.sleep(1)
        for _ in range(40):
            seen = await stream(port, CLIENT, "mock/ok", stream_it=False)
            took.append(seen.ended - seen.started)
            statuses.append(seen.status)

    async def run():
        ways = ["head", "body", "reads"]
        await asyncio.gather(others(), *[_slow(port, 5, ways[n % 3]) for n in range(clients)])
    asyncio.run(run())
    assert set(statuses) == {200}, collections.Counter(statuses)
    assert sorted(took)[-3] < 1, sorted(took)[-5:]
    wait_until(lambda: invariants.counted(port)[1] <= 1, 35, "free slots")
    report(slow=clients, others=len(took), worst_ms=round(1000 * max(took)))


def test_T18_slow_peers_on_the_socket_itself(make):
    """Half a record, then silence: after timeouts.read the descriptor is free again."""
    gateway = make.gateway(gateway={"workers": 1, "threads": {"max": 8},
                                    "timeouts": {"read": 1}})
    port = make.server(gateway).port
    data = fcgi.request_bytes("POST", "/v1/chat/completions", [
        ("Authorization", f"Bearer {CLIENT}")], json.dumps(chat_body("mock/ok")).encode())
    peers = []
    try:
        for n in range(100):
            peers.append(fcgi.connect(gateway.socket))
            if n % 4 == 0:  # some say nothing at all
                continue
            peers[-1].sendall(data[:1 + n * (len(data) - 2) // 100])
        # Those that have begun may hold all threads, for `read` at most.
        wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 20, "service")
        pid = gateway.workers()[0]
        import os
        wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 60, 20, "closed connections")
    finally:
        for peer in peers:
            peer.close()
    invariants.check(gateway, port, {}, least=0)


DEADLINES = {"connect": 1, "first_byte": 1, "idle": 1, "total": 2.5}
# behaviour -> the deadline that ends it
ENDLESS = {"stall": 1, "stall-after-2": 1, "drip": 2.5, "reset": 0, "chunks-40-250": 2.5,
           "cut-3": 0.5, "silent-end-3": 0.5, "truncated": 1.5}


@pytest.mark.parametrize("stream_it", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("model", ENDLESS)
def test_T19_each_way_to_hang_ends_at_its_deadline(make, mock, model, stream_it):
    gateway = make.gateway(
        gateway={"workers": 1},
        agents={"agents": [{"name": model, "namespace": "mock", "upstream": "mock",
                            "model": model}]},
        upstreams={"upstreams": [upstream("mock", mock.base_url(), timeout=DEADLINES)]})
    port = make.server(gateway).port
    rid = new_id("hang")
    began = time.monotonic()
    answer = chat(port, CLIENT, f"mock/{model}", stream_it, request_id=rid, user=rid)
    took = time.monotonic() - began
    # A streamed answer may be cut by the total deadline only, a whole one waits for all.
    latest = ENDLESS[model] if stream_it or model != "stall-after-2" else 2.5
    assert took < latest + 1, took
    if answer.status == 200 and stream_it:
        assert "[DONE]" not in frames(answer.body)
        assert "error" in json.loads(frames(answer.body)[-1])
    elif not (answer.status == 200 and model in ("stall-after-2", "cut-3", "silent-end-3")):
        assert answer.status in (502, 504), answer
    assert gateway.outcome(rid) in ("timeout", "upstream_cut", "upstream_error"), answer
    assert mock.wait_ended(rid, 3)
    invariants.check(gateway, port, {}, least=0)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["lighttpd", "nginx"])
def test_T20_huge_requests_leave_memory_bounded(make, name):
    """Many large bodies at once: 413 or 200 each, and the memory goes back."""
    gateway = make.gateway(gateway={"workers": 1})
    port = make.server(gateway, name).port

    def rss():
        with open(f"/proc/{gateway.workers()[0]}/statm") as file:
            return int(file.read().split()[1]) * 4096

    def burst():
        seen = together(*[stream(port, CLIENT, "mock/ok", stream_it=False,
                                 text="x" * ((1 << 20) - 5000 if n % 2 else 3 << 20))
                          for n in range(20)])
        assert collections.Counter(one.status for one in seen) == {200: 10, 413: 10}
    burst()
    before = rss()
    burst()
    burst()
    assert rss() < before + (40 << 20)  # twenty bodies of 1 MiB, twice
    for headers in ([("X-Fill", "y" * 7000)], [(f"X-Fill-{n}", "y" * 60) for n in range(90)]):
        answer = request(port, "GET", "/v1/models", headers, key=CLIENT)
        assert answer.status in (200, 400, 431), answer
    # Headers that no web server would let through, on the socket itself.
    for size in (60000, 300000, 2000000):
        answer = fcgi.call(gateway.socket, "GET", "/v1/models", CLIENT,
                           headers=[("X-Fill", "y" * size)])
        assert answer is None or answer.status in (200, 400, 413, 431), answer
    assert chat(port, CLIENT, "mock/ok").status == 200
    assert gateway.events("worker.exited") == []
    report(rss_mib=rss() >> 20)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["lighttpd", "nginx"])
@pytest.mark.parametrize("workers", [1, 3])
def test_T21_exactly_the_slots_are_served(make, name, workers):
    gateway = make.gateway(gateway={"workers": workers, "threads": {"min": 2, "max": 8}})
    port = make.server(gateway, name).port
    together(*[stream(port, CLIENT, "mock/ok") for _ in range(4)])
    tags = [new_id("slot") for _ in range(60)]
    seen = together(*[stream(port, CLIENT, "mock/chunks-20-100", request_id=tag)
                      for tag in tags])
    counts = collections.Counter(one.status for one in seen)
    assert counts == {200: 8 * workers, 503: 60 - 8 * workers}, counts
    slowest = max(one.ended - one.started for one in seen if one.status == 503)
    assert slowest < 1, slowest
    assert all(one.payloads()[-1] == "[DONE]" for one in seen if one.status == 200)
    figures = invariants.check(gateway, port, {tag: one for tag, one in zip(tags, seen)}, least=1)
    report(served=counts[200], refused=counts[503], slowest_refusal_ms=round(1000 * slowest),
           **figures)


@pytest.mark.alone
def test_T20_large_bodies_and_lines_leave_no_memory_behind(make):
    """Whatever thread had them: what is large goes back to the system, and does not stay in
    the heaps of threads."""
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 4, "max": 40, "idle": 1}})
    port = make.server(gateway).port
    worker = gateway.workers()[0]

    def quiet():
        """KiB, when no thread is left but the few that stay."""
        wait_until(lambda: len(os.listdir(f"/proc/{worker}/task")) <= 9, 10, "end of threads")
        with open(f"/proc/{worker}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

    def small():
        together(*[stream(port, CLIENT, "mock/chunks-5-100") for _ in range(30)])

    small()
    before = quiet()
    for _ in range(4):
        together(*[stream(port, CLIENT, "mock/big-line", leave_after=10) for _ in range(15)],
                 *[stream(port, CLIENT, "mock/ok", stream_it=False, text="x" * 900000)
                   for _ in range(15)])
        small()
    grown = quiet() - before
    assert gateway.workers() == [worker]
    assert grown < 5000, grown
    report(grown_kib=grown)


@pytest.mark.alone
@pytest.mark.parametrize("model", ["big-line", "gzip-bomb", "endless"])
def test_T15_bombs_of_a_provider_leave_memory_bounded(make, model):
    gateway = make.gateway(gateway={"workers": 1})
    port = make.server(gateway).port

    def peak():
        with open(f"/proc/{gateway.workers()[0]}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) << 10
    chat(port, CLIENT, "mock/ok")
    before = peak()
    seen = together(*[stream(port, CLIENT, f"mock/{model}", stream_it=n % 2 == 0,
                             leave_after=20) for n in range(6)])
    for one in seen:
        assert one.status in (200, 502, 504), one.status  # 504: the mock itself was slow
        assert b"[DONE]" not in one.body
    assert peak() - before < 300 << 20, peak()
    invariants.check(gateway, port, {}, least=0)
    report(peak_mib=(peak() - before) >> 20)
