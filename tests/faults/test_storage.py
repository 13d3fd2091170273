# SPDX-License-Identifier: MIT
"""The disk fails, fills up or is held by somebody: nothing is answered that is not on record,
and service returns by itself."""
import contextlib
import errno
import sqlite3
import subprocess
import time

import pytest

import invariants
from gateway import KEYS
from procs import wait_until
from scale import count, limit, report
from shim import SYNCS, WRITES
from wire import chat, new_id, request, stream, together

CLIENT = KEYS["client"]


class Probe:
    """Asks whether the gateway serves; counts the refusals, which metrics count as well."""

    def __init__(self, port):
        self.port, self.refused = port, 0

    def status(self):
        status = chat(self.port, CLIENT, "mock/ok").status
        self.refused += status == 503
        return status

    def answers(self, status, timeout=10):
        wait_until(lambda: self.status() == status, timeout, f"answer with status {status}")


FAILURES = [(WRITES, errno.EIO), (SYNCS, errno.EIO), (WRITES | SYNCS, errno.EIO),
            (WRITES, errno.ENOSPC)]


def _ids(failure):
    return {1: "write", 2: "fsync", 3: "both"}[failure[0]] + "-" + errno.errorcode[failure[1]]


@pytest.mark.parametrize("failure", FAILURES, ids=_ids)
def test_T30_failing_disk_is_503_and_recovers(make, mock, shim, failure):
    gateway = make.gateway(environment=shim.environment, gateway={"audit": {"wait": 2}})
    port = make.server(gateway, "lighttpd").port
    probe = Probe(port)
    probe.answers(200)
    shim.refuse_io(failure[0], failure[1])
    rids = [new_id("eio") for _ in range(8)]
    seen = together(*[stream(port, CLIENT, "mock/ok", request_id=rid, stream_it=n % 2 == 0)
                      for n, rid in enumerate(rids)])
    assert {one.status for one in seen} == {503}, [one.body for one in seen]
    assert all(b"audit_unavailable" in one.body for one in seen)
    assert shim.io_failed > 0
    shim.behave()
    began = time.monotonic()
    probe.answers(200)
    wait_until(lambda: request(port, "GET", "/ready").status == 200, 10, "readiness")
    recovery = time.monotonic() - began
    assert gateway.events("worker.exited") == []
    answered = dict(zip(rids, seen))
    figures = invariants.check(gateway, port, answered, least=0, unrecorded=len(rids) + probe.refused)
    report(recovery_ms=round(1000 * recovery), **figures)


@pytest.mark.parametrize("path, role", [("/v1/models", "client"), ("/security/overrides", "admin"),
                                        ("/agents", "auditor")])
def test_T30_a_listing_is_not_answered_without_its_row(make, shim, path, role):
    """The very first request that meets the failure: nobody has been warned yet."""
    gateway = make.gateway(environment=shim.environment, gateway={"audit": {"wait": 2}})
    port = make.server(gateway, "lighttpd").port
    assert request(port, "GET", path, key=KEYS[role]).status == 200
    shim.refuse_io(WRITES | SYNCS, errno.EIO)
    answer = request(port, "GET", path, key=KEYS[role])
    assert answer.status == 503 and answer.error()["code"] == "audit_unavailable", answer
    shim.behave()
    wait_until(lambda: request(port, "GET", path, key=KEYS[role]).status == 200, 10, "recovery")


@pytest.mark.alone
@pytest.mark.timeout(limit(count("AGW_FAULT_IO_SECONDS", 4, 20, 300) * 3))
def test_T30_now_and_then_a_write_or_sync_fails_under_load(make, shim):
    gateway = make.gateway(environment=shim.environment, gateway={"audit": {"wait": 2}})
    port = make.server(gateway, "lighttpd").port
    end = time.monotonic() + count("AGW_FAULT_IO_SECONDS", 4, 20, 300)
    failed = 0
    with invariants.Load(port) as load:
        while time.monotonic() < end:
            for what, every in ((WRITES, 5), (SYNCS, 3), (WRITES | SYNCS, 7)):
                shim.refuse_io(what, errno.EIO, every)
                time.sleep(0.3)
                shim.behave()
                failed += shim.io_failed
                time.sleep(0.3)
    assert failed > 0
    assert gateway.events("worker.exited") == []
    figures = invariants.check(gateway, port, load.seen,
                               unrecorded=load.statuses().get(503, 0))
    statuses = load.statuses()
    assert set(statuses) <= {200, 403, 503}, statuses
    report(failed_calls=failed, refused=statuses.get(503, 0), **figures)


@pytest.fixture
def small_disk(directory):
    path = directory / "disk"
    path.mkdir()
    # The rows that are written between the fills want room, too.
    size = 24 + count("AGW_FAULT_FILLS", 2, 6, 60) // 2
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=0755", "tmpfs", path],
                   check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.alone
@pytest.mark.timeout(limit(count("AGW_FAULT_FILLS", 2, 6, 60) * 60))
def test_T31_disk_fills_up_again_and_again_under_load(make, small_disk):
    gateway = make.gateway(gateway={"database": {"path": str(small_disk / "gateway.db")},
                                    "audit": {"wait": 1}})
    port = make.server(gateway, "lighttpd").port
    probe, filler = Probe(port), small_disk / "filler"
    fills = count("AGW_FAULT_FILLS", 2, 6, 60)
    with invariants.Load(port) as load:
        for _ in range(fills):
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while file.write(b"\0" * 65536) > 0:
                    pass
            probe.answers(503, 180)
            time.sleep(0.5)
            filler.unlink()
            probe.answers(200)
            time.sleep(0.3)
    figures = invariants.check(gateway, port, load.seen,
                               unrecorded=load.statuses().get(503, 0) + probe.refused)
    assert gateway.events("worker.exited") == []
    report(fills=fills, refused=load.statuses().get(503, 0), **figures)


@pytest.mark.alone
def test_T36_write_lock_held_for_10_seconds_under_load(make):
    """Each wait is bounded (gate_wait, audit.wait), the answer 503; then all is well."""
    gateway = make.gateway(gateway={"audit": {"wait": 1}, "database": {"gate_wait": 1}})
    port = make.server(gateway, "lighttpd").port
    probe = Probe(port)
    with invariants.Load(port, models=["mock/ok", "echo/echo"], streams=0.5) as load:
        time.sleep(0.5)
        holder = sqlite3.connect(gateway.database, isolation_level=None, timeout=10)
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(1)
        locked = time.monotonic()
        time.sleep(8)
        waited = time.monotonic()
        holder.execute("ROLLBACK")
        holder.close()
        began = time.monotonic()
        probe.answers(200)
        recovery = time.monotonic() - began
    during = [one for one in load.seen.values() if locked < one.started and one.ended < waited]
    assert during and {one.status for one in during} == {503}
    worst = max(one.ended - one.started for one in during)
    assert worst < 4, worst
    figures = invariants.check(gateway, port, load.seen,
                               unrecorded=load.statuses().get(503, 0) + probe.refused)
    report(refused=len(during), longest_wait_ms=round(1000 * worst),
           recovery_ms=round(1000 * recovery), **figures)
