# SPDX-License-Identifier: MIT
"""When the audit cannot be written nothing runs and nothing is answered but 503
audit_unavailable; when it can be written again, service returns by itself."""
import contextlib
import os
import shutil
import sqlite3
import subprocess
import time

import pytest

from gateway import KEYS
from procs import wait_until
from wire import chat, new_id, request, stream, together

CLIENT = KEYS["client"]


@pytest.fixture
def small_disk(directory):
    """A file system of 24 MiB; a directory of its own where mounting is not allowed."""
    path = directory / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "tmpfs", path],
                             capture_output=True).returncode == 0
    yield path, mounted
    if mounted:
        subprocess.run(["umount", "-l", path], check=True)


def _fill(path):
    with open(path / "filler", "wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
            file.flush()


def test_T31_full_disk_fails_closed_and_recovers(make, mock, small_disk):
    disk, mounted = small_disk
    assert mounted, "needs a tmpfs of its own (root)"
    gateway = make.gateway(gateway={"database": {"path": str(disk / "gateway.db")},
                                    "audit": {"wait": 1}})
    port = make.server(gateway).port
    assert chat(port, CLIENT, "mock/ok").status == 200
    _fill(disk)

    # What still fits into allocated pages may pass; then it is refused.
    def refused():
        answer = chat(port, CLIENT, "mock/ok")
        return answer if answer.status == 503 else None
    answer = wait_until(refused, 60, "refusal", step=0)
    assert answer.error()["code"] == "audit_unavailable", answer
    assert 1 <= int(answer.header("retry-after")) <= 60
    # From the first failure on, every worker waits for the row before anything runs.
    rids = [new_id("full") for _ in range(6)]
    seen = together(*[stream(port, CLIENT, "mock/ok", request_id=rid, user=rid) for rid in rids])
    assert {one.status for one in seen} == {503}
    # Nothing ran: fail closed means that no provider was asked either.
    assert [rid for rid in rids if mock.requests(tag=rid)] == []
    assert request(port, "GET", "/v1/models", key=CLIENT).status == 503
    assert request(port, "GET", "/health").status == 200
    ready = request(port, "GET", "/ready")
    assert ready.status == 503 and "audit" in str(ready.json())
    assert gateway.events("audit.failed")

    (disk / "filler").unlink()
    wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 10, "recovery")
    wait_until(lambda: request(port, "GET", "/ready").status == 200, 10, "readiness")
    verdict = request(port, "GET", "/security/audit/verify", key=KEYS["admin"]).json()
    assert verdict["ok"] is True
    assert gateway.sql("PRAGMA integrity_check")[0]["integrity_check"] == "ok"


def test_T36_somebody_holds_the_write_lock(make, mock):
    """A bounded wait, then 503; afterwards all is well."""
    gateway = make.gateway(gateway={"audit": {"wait": 1}, "database": {"gate_wait": 1}})
    port = make.server(gateway).port
    connection = sqlite3.connect(gateway.database, isolation_level=None, timeout=10)
    connection.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    answer = chat(port, CLIENT, "mock/ok")
    assert answer.status == 503 and answer.error()["code"] == "audit_unavailable", answer
    assert time.monotonic() - began < 6
    connection.execute("ROLLBACK")
    connection.close()
    wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 10, "recovery")


def test_T36_somebody_holds_the_gate(make):
    gateway = make.gateway(gateway={"audit": {"wait": 1}, "database": {"gate_wait": 1}})
    port = make.server(gateway).port
    gate = str(gateway.database) + ".gate"
    holder = subprocess.Popen(["flock", gate, "sleep", "3"])
    time.sleep(0.2)
    answer = chat(port, CLIENT, "mock/ok")
    holder.wait()
    assert answer.status == 503 and answer.error()["code"] == "audit_unavailable", answer
    wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 10, "recovery")


def test_the_upstreams_answer_is_not_shown_before_the_commit(make, mock, rid):
    """The call may overlap the commit, but its answer waits for the row."""
    gateway = make.gateway(gateway={"audit": {"wait": 2}, "database": {"gate_wait": 5}})
    port = make.server(gateway).port
    assert chat(port, CLIENT, "mock/ok").status == 200
    holder = subprocess.Popen(["flock", str(gateway.database) + ".gate", "sleep", "1"])
    time.sleep(0.2)
    began = time.monotonic()
    seen = together(stream(port, CLIENT, "mock/ok", request_id=rid))[0]
    holder.wait()
    assert seen.status == 200
    assert seen.times[0][0] - began > 0.5


def test_a_broken_database_refuses_to_start(make):
    gateway = make.gateway(start=False)
    gateway.database.write_bytes(b"this is no database, but it is long enough" * 100)
    status, said = gateway.refuses_to_start()
    assert status > 0 and "gateway.db" in said


def test_a_newer_database_refuses_to_start(make):
    gateway = make.gateway()
    gateway.stop()
    connection = sqlite3.connect(gateway.database)
    connection.execute("PRAGMA user_version = 9999")
    connection.commit()
    connection.close()
    status, said = gateway.refuses_to_start()
    assert status > 0 and "gateway.db" in said


def test_a_backup_taken_while_serving_is_whole(make, directory):
    gateway = make.gateway()
    port = make.server(gateway).port
    for _ in range(5):
        chat(port, CLIENT, "mock/ok")
    done = subprocess.run([shutil.which("sqlite3"), gateway.database,
                           f".backup {directory}/copy.db"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    copy = sqlite3.connect(directory / "copy.db")
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert copy.execute("SELECT count(*) FROM audit_event").fetchone()[0] >= 5
    copy.close()
    assert os.path.exists(gateway.database)


@pytest.mark.parametrize("path", ["/v1/models", "/security/overrides", "/agents"])
def test_no_answer_leaves_before_the_commit(make, path):
    """Listings are decisions too: they wait for their row like chats do."""
    gateway = make.gateway(gateway={"audit": {"wait": 2}, "database": {"gate_wait": 5}})
    port = make.server(gateway).port
    assert request(port, "GET", path, key=KEYS["admin"]).status == 200
    holder = subprocess.Popen(["flock", str(gateway.database) + ".gate", "sleep", "1"])
    time.sleep(0.2)
    began = time.monotonic()
    answer = request(port, "GET", path, key=KEYS["admin"])
    took = time.monotonic() - began
    holder.wait()
    assert answer.status == 200 and took > 0.5, (answer, took)
