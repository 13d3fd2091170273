# SPDX-License-Identifier: MIT
"""The program as operators run it: on its own socket, started by lighttpd, socket-activated;
draining, restarts, crashed workers, overload, kept connections."""
import collections
import os
import pathlib
import signal
import socket
import threading
import time

import pytest

import env
from gateway import KEYS
from procs import children, descendants, is_running, wait_until
from webserver import NAMES, WebServer
from wire import chat, new_id, request, stream, together

CLIENT = KEYS["client"]


def test_own_socket_has_the_mode_and_goes_away(make):
    gateway = make.gateway(gateway={"socket": {"mode": "0640"}})
    assert gateway.socket.stat().st_mode & 0o777 == 0o640
    family = gateway.family()
    assert len(family) >= 3
    assert gateway.stop() == 0
    assert not gateway.socket.exists()
    assert not any(is_running(pid) for pid in family)


def test_a_stale_socket_file_is_replaced(make):
    gateway = make.gateway()
    os.kill(gateway.process.pid, signal.SIGKILL)
    wait_until(lambda: not gateway.process.running(), 5, "death")
    gateway.start()
    assert chat(make.server(gateway).port, CLIENT, "mock/ok").status == 200


def test_a_living_gateways_socket_is_not_taken_away(make):
    gateway = make.gateway()
    port = make.server(gateway).port
    status, said = gateway.refuses_to_start()
    assert status > 0 and "fcgi.sock" in said
    assert chat(port, CLIENT, "mock/ok").status == 200


def test_workers_die_with_a_killed_supervisor(make):
    gateway = make.gateway()
    workers = gateway.workers()
    os.kill(gateway.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(is_running(pid) for pid in workers), 10, "end of the workers")


def test_started_by_lighttpd(directory, make):
    """bin-path: the socket comes on descriptor 0; nothing is left when lighttpd ends."""
    gateway = make.gateway(mode="hosted", start=False)

    def bin_path(text):
        old = '#"bin-path" => "/usr/local/sbin/agent-gateway ' \
              '--config /etc/agent-gateway/gateway.yaml",'
        assert old in text
        new = f'"bin-path" => "{env.GATEWAY} --config {gateway.conf}/gateway.yaml",'
        text = text.replace(old, new)
        for option in ('"max-procs" => 1,', '"kill-signal" => 15,'):
            assert "#" + option in text
            text = text.replace("#" + option, option)
        return text
    os.environ["AGW_TEST_UPSTREAM_KEY"] = gateway.environment["AGW_TEST_UPSTREAM_KEY"]
    try:
        server = WebServer(gateway.directory, gateway.socket, "lighttpd", edit=bin_path)
    finally:
        del os.environ["AGW_TEST_UPSTREAM_KEY"]
    make.made.append(server)
    wait_until(lambda: request(server.port, "GET", "/health").status == 200, 10, "health")
    assert chat(server.port, CLIENT, "mock/ok").status == 200
    seen = together(*[stream(server.port, CLIENT, "mock/chunks-5-100") for _ in range(20)])
    assert {one.content() for one in seen} == {"w0 w1 w2 w3 w4 "}
    family = descendants(server.process.pid)
    assert len(family) >= 3
    server.stop()
    wait_until(lambda: not any(is_running(pid) for pid in family), 20, "end of the gateway")


def test_socket_activation_restart_loses_no_request(make):
    """The service manager holds the socket: what arrives during a restart waits."""
    gateway = make.gateway(mode="activated")
    port = make.server(gateway, "lighttpd").port
    assert chat(port, CLIENT, "mock/ok").status == 200
    stop, statuses = threading.Event(), []

    def load():
        while not stop.is_set():
            statuses.append(chat(port, CLIENT, "mock/ok").status)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        assert gateway.process.stop() == 0
        gateway.start()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}, collections.Counter(statuses)
    assert len(statuses) > 10
    assert gateway.socket.exists()  # not ours to remove


@pytest.mark.parametrize("name", NAMES)
def test_sigterm_drains(make, name):
    """Streams that run are finished; the program ends well, with every outcome on record."""
    gateway = make.gateway()
    port = make.server(gateway, name).port
    tags = [new_id("drain") for _ in range(8)]
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(together(*[
        stream(port, CLIENT, "mock/chunks-20-100", request_id=tag) for tag in tags])))
    thread.start()
    wait_until(lambda: len(gateway.events("agent.security.decision")) >= 8, 5, "eight streams")
    time.sleep(0.5)
    assert gateway.stop() == 0
    thread.join()
    for one in seen:
        assert one.status == 200 and one.complete and one.payloads()[-1] == "[DONE]", one.body
    assert {gateway.outcome(tag) for tag in tags} == {"completed"}


def test_drain_has_an_end(make):
    gateway = make.gateway(gateway={"timeouts": {"drain": 1}})
    port = make.server(gateway).port
    tag = new_id("late")
    thread = threading.Thread(target=lambda: together(
        stream(port, CLIENT, "mock/chunks-40-250", request_id=tag)))
    thread.start()
    wait_until(lambda: gateway.events("agent.security.decision"), 5, "stream")
    began = time.monotonic()
    gateway.stop()
    assert time.monotonic() - began < 5
    thread.join()
    gateway.start()
    # What the drain cut off has an outcome, too, at the latest after the next start.
    assert gateway.outcome(tag) in ("internal", "client_gone", "completed")


def test_crashed_worker_is_back_within_a_second(make):
    gateway = make.gateway(gateway={"workers": 3})
    port = make.server(gateway, "lighttpd").port
    for signum in (signal.SIGKILL, signal.SIGABRT):
        victims = gateway.workers()
        began = time.monotonic()
        os.kill(victims[0], signum)
        gateway.restarted(victims[:1])
        assert time.monotonic() - began < 1 * env.SLOW
        assert chat(port, CLIENT, "mock/ok").status == 200
    assert children(gateway.process.pid)


def test_others_keep_serving_while_a_worker_dies(make):
    gateway = make.gateway(gateway={"workers": 3})
    port = make.server(gateway).port
    statuses = []
    for round_ in range(6):
        os.kill(gateway.workers()[0], signal.SIGKILL)
        statuses += [chat(port, CLIENT, "mock/ok").status for _ in range(5)]
    # A connection that the dead worker had taken may be lost; those after it are not.
    assert statuses.count(200) >= len(statuses) - 6, statuses


@pytest.mark.parametrize("name", NAMES)
def test_T40_killed_mid_stream_never_looks_complete(make, name):
    gateway = make.gateway(gateway={"workers": 1})
    port = make.server(gateway, name).port
    tag = new_id("killed")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(together(
        stream(port, CLIENT, "mock/chunks-40-250", request_id=tag))[0]))
    thread.start()
    wait_until(lambda: gateway.events("agent.security.decision", request_id=tag), 5, "stream")
    time.sleep(0.6)
    victims = gateway.kill_workers()
    thread.join()
    assert seen[0].status == 200 and b"w1 " in seen[0].body
    assert b"[DONE]" not in seen[0].body
    gateway.restarted(victims)
    assert gateway.outcome(tag) == "internal"  # closed as unfinished by the next worker


def test_T21_overload_is_answered_at_once(make):
    """Past threads.max: 503 with Retry-After immediately, the others are served."""
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 2, "max": 10}})
    port = make.server(gateway).port
    seen = together(*[stream(port, CLIENT, "mock/chunks-20-100") for _ in range(30)])
    counts = collections.Counter(one.status for one in seen)
    assert counts == {200: 10, 503: 20}, counts
    for one in seen:
        if one.status == 503:
            assert one.ended - one.started < 1
            assert 1 <= int(one.header("retry-after")) <= 60
            assert b'"overloaded"' in one.body
        else:
            assert one.payloads()[-1] == "[DONE]"
    assert chat(port, CLIENT, "mock/ok").status == 200
    rows = gateway.sql("SELECT count(*) AS n FROM audit_event WHERE outcome = 'overloaded'")
    assert rows[0]["n"] == 20


def test_kept_connections_do_not_occupy_threads(make):
    """nginx keeps FastCGI connections open; idle ones must not starve new requests."""
    def keep(text):
        text = text.replace("fcgi.sock max_fails=0;", "fcgi.sock max_fails=0; keepalive 64;")
        return text.replace("fastcgi_pass agent_gateway;",
                            "fastcgi_pass agent_gateway; fastcgi_keep_conn on;")
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 2, "max": 8}})
    kept = make.server(gateway, "nginx", edit=lambda text: keep(
        text.replace("/run/agent-gateway/fcgi.sock max_fails=0",
                     "/run/agent-gateway/fcgi.sock max_fails=0")))
    seen = together(*[stream(kept.port, CLIENT, "mock/ok") for _ in range(8)])
    assert {one.status for one in seen} == {200}
    other = make.server(gateway, "lighttpd")
    began = time.monotonic()
    seen = together(*[stream(other.port, CLIENT, "mock/ok") for _ in range(8)])
    assert {one.status for one in seen} == {200} and time.monotonic() - began < 3
    for _ in range(30):
        assert chat(kept.port, CLIENT, "mock/ok").status == 200


def test_T11_garbage_on_the_socket_hurts_nobody(make):
    gateway = make.gateway()
    port = make.server(gateway).port
    for data in (b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", os.urandom(3000), b"\x01",
                 b"\x01\x01\x00\x01\xff\xff\x00\x00" + b"x" * 70000,
                 b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                 b"\x01\x04\x00\x01\x00\x10\x00\x00\xff\xff\xff\xff\xff\xff\xff\xffAAAAAAAA"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(gateway.socket))
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                sock.recv(100)
            except OSError:
                pass
        wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 3, "service")


def test_idle_connections_cost_no_thread(make):
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 2, "max": 6},
                                    "timeouts": {"read": 60}})
    port = make.server(gateway).port
    idle = []
    try:
        for _ in range(50):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(gateway.socket))
            idle.append(sock)
        assert chat(port, CLIENT, "mock/ok").status == 200
        threads = len(list(pathlib.Path(f"/proc/{gateway.workers()[0]}/task").iterdir()))
        assert threads < 20
    finally:
        for sock in idle:
            sock.close()


def test_T45_no_descriptor_or_thread_is_left_behind(make):
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 4, "max": 100,
                                                              "idle": 1}})
    port = make.server(gateway).port
    pid = gateway.workers()[0]

    def open_files():
        return len(os.listdir(f"/proc/{pid}/fd"))

    def burst():
        together(*[stream(port, CLIENT, "mock/chunks-5-100") for _ in range(60)],
                 *[stream(port, CLIENT, "mock/stall", leave_after=0.3) for _ in range(20)],
                 *[stream(port, CLIENT, "mock/cut-3") for _ in range(20)])
    counts = []
    for _ in range(5):
        burst()
        time.sleep(1.2 * env.SLOW)
        counts.append(open_files())
    # Warm connections to the upstream are kept, so the number may rise at first, with the
    # greatest number of calls at once; it must not go on rising.
    assert counts[-1] <= max(counts[:3]) + 10, counts
    time.sleep(1.5)
    assert len(os.listdir(f"/proc/{pid}/task")) < 40


def test_log_rotation(make):
    """Rename, SIGUSR1: all processes write to the new file."""
    gateway = make.gateway()
    port = make.server(gateway).port
    chat(port, CLIENT, "mock/ok")
    old = gateway.log_path.with_suffix(".1")
    gateway.log_path.rename(old)
    gateway.signal(signal.SIGUSR1)
    wait_until(gateway.log_path.exists, 5, "new log")

    def only_the_new_one_grows():
        before = old.stat().st_size, gateway.log_path.stat().st_size
        for _ in range(10):
            chat(port, CLIENT, "mock/ok")
        after = old.stat().st_size, gateway.log_path.stat().st_size
        return before[0] == after[0] and before[1] < after[1]
    wait_until(only_the_new_one_grows, 5, "rotation in all processes")


def test_T34_few_descriptors_are_503_and_recover(make):
    """Descriptors run out: refused or waiting, never a crash, and then service as before."""
    gateway = make.gateway(start=False, gateway={"workers": 1})
    real = gateway.argv()
    gateway.argv = lambda: ["prlimit", "--nofile=64:64", *real]
    gateway.start()
    port = make.server(gateway).port
    worker = gateway.workers()
    seen = together(*[stream(port, CLIENT, "mock/chunks-5-100") for _ in range(100)])
    statuses = {one.status for one in seen}
    assert statuses <= {200, 502, 503}, statuses
    for one in seen:
        if one.status == 200 and one.complete and b"[DONE]" not in one.body:
            assert b'"error"' in one.body
    wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 10, "recovery")
    assert gateway.workers() == worker  # it did not die


@pytest.mark.parametrize("name", NAMES)
def test_T18_slow_senders(make, name):
    """lighttpd and nginx read a request whole before the gateway hears of it. Apache passes
    it on as it comes, so there the time limit of mod_reqtimeout gives the threads back."""
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 2, "max": 8}})
    port = make.server(gateway, name, edit=lambda text: text.replace(
        "body=30,MinRate=500", "body=2,MinRate=500")).port
    head = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT}"
            "\r\nContent-Length: 1000\r\n\r\n{\"model\":").encode()
    slow = []
    try:
        for _ in range(200):
            sock = socket.create_connection(("127.0.0.1", port), 10)
            sock.sendall(head)
            slow.append(sock)
        if name == "apache":  # which has fewer threads than there are slow senders: they go in turn
            wait_until(lambda: [chat(port, CLIENT, "mock/ok").status for _ in range(10)]
                       == [200] * 10, 60, "end of the slow senders")
        began = time.monotonic()
        statuses = [chat(port, CLIENT, "mock/ok").status for _ in range(10)]
        assert statuses == [200] * 10 and time.monotonic() - began < 3
    finally:
        for sock in slow:
            sock.close()
    assert chat(port, CLIENT, "mock/ok").status == 200
