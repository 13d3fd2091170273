# SPDX-License-Identifier: MIT
"""Whoever saw a byte of a 2xx has a committed audit row, whatever is killed; the chain and
the database hold; requests that a death cut off get closed."""
import asyncio
import contextlib
import os
import random
import signal
import time

import pytest

from gateway import KEYS
from procs import is_running, wait_until
from wire import chat, new_id, request, stream

CLIENT = KEYS["client"]


async def _load(port, seconds, seen):
    """Sixteen clients that go on whatever happens to their requests."""
    end = time.monotonic() + seconds

    async def one(number):
        while time.monotonic() < end:
            tag = new_id("load")
            model = ("mock/ok", "mock/chunks-5-100", "echo/echo", "mock/forbidden")[number % 4]
            seen[tag] = await stream(port, CLIENT, model, request_id=tag,
                                     stream_it=number % 2 == 0)
    await asyncio.gather(*[one(number) for number in range(16)])


def _check(gateway, seen, port):
    got = [tag for tag, one in seen.items() if one.status and 200 <= one.status < 300]
    assert len(got) > 20, len(got)
    recorded = {row["request_id"] for row in gateway.sql(
        "SELECT DISTINCT request_id FROM audit_event")}
    assert [tag for tag in got if tag not in recorded] == []
    assert gateway.sql("PRAGMA integrity_check")[0]["integrity_check"] == "ok"
    answer = request(port, "GET", "/security/audit/verify", key=KEYS["admin"], timeout=60)
    assert answer.status == 200 and answer.json()["ok"] is True, answer
    # [DONE] only after the end row. The HTTP body's own end may be missing: a worker can die
    # between the two.
    for tag, one in seen.items():
        if one.body.endswith(b"data: [DONE]\n\n"):
            assert gateway.outcome(tag) == "completed"


def _all_closed(gateway):
    return not gateway.sql(
        "SELECT request_uid FROM audit_event GROUP BY request_uid HAVING request_uid IS NOT"
        " NULL AND max(outcome IS NOT NULL) = 0")


@pytest.mark.alone
@pytest.mark.parametrize("name", ["lighttpd", "nginx"])
def test_T27_kill_workers_at_random_under_load(make, name):
    gateway = make.gateway(gateway={"workers": 3})
    port = make.server(gateway, name).port
    seen, kills = {}, 0

    async def run():
        nonlocal kills
        load = asyncio.create_task(_load(port, 6, seen))
        while not load.done():
            await asyncio.sleep(random.uniform(0.05, 0.4))
            workers = gateway.workers()
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(random.choice(workers), signal.SIGKILL)
                    kills += 1
        await load
    asyncio.run(run())
    assert kills > 10
    wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 5, "service")
    gateway.wait_ready()
    wait_until(lambda: _all_closed(gateway), 10, "outcome of every request")
    _check(gateway, seen, port)


@pytest.mark.alone
def test_T28_kill_everything_at_once_under_load(make):
    """Supervisor and workers die together, as in a power cut without its disk effects."""
    gateway = make.gateway(gateway={"workers": 2})
    port = make.server(gateway).port
    seen = {}

    async def run():
        load = asyncio.create_task(_load(port, 5, seen))
        for _ in range(3):
            await asyncio.sleep(1)
            family = gateway.family()
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            gateway.process.wait()
            wait_until(lambda: not any(is_running(pid) for pid in family), 5, "deaths")
            gateway.start()  # in this thread: it dies with the one that starts it
        await load
    asyncio.run(run())
    wait_until(lambda: _all_closed(gateway), 10, "outcome of every request")
    _check(gateway, seen, port)


def test_T38_tampering_is_named(make):
    """Edited, deleted and swapped rows break the chain at the right place."""
    import sqlite3
    gateway = make.gateway()
    port = make.server(gateway).port
    for _ in range(10):
        chat(port, CLIENT, "mock/ok")
    verify = lambda: request(port, "GET", "/security/audit/verify", key=KEYS["admin"]).json()
    assert verify()["ok"] is True
    connection = sqlite3.connect(gateway.database, timeout=10, isolation_level=None)
    try:
        connection.execute("UPDATE audit_event SET key_id = 'somebody' WHERE seq = 5")
    except sqlite3.Error:
        # A trigger forbids it: whoever owns the file can take that away.
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"
                                      " AND tbl_name = 'audit_event'").fetchall():
            connection.execute(f"DROP TRIGGER {row[0]}")
        connection.execute("UPDATE audit_event SET key_id = 'somebody' WHERE seq = 5")
    connection.close()
    verdict = verify()
    assert verdict["ok"] is False and verdict["bad_seq"] == 5 and verdict["problem"]
