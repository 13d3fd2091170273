# SPDX-License-Identifier: MIT
"""What must hold whatever has been injected, checked from the outside: what clients saw against
what the database holds."""
import asyncio
import hashlib
import re
import sqlite3
import threading
import time

from gateway import KEYS
from procs import wait_until
from wire import new_id, request, stream

CLIENT = KEYS["client"]
MODELS = ["mock/ok", "mock/chunks-5-100", "echo/echo", "mock/forbidden", "mock/slow-300"]


class Load:
    """Clients that go on whatever happens to their requests; `seen` is what each saw."""

    def __init__(self, port, clients=12, models=MODELS, streams=0.5, pause=0.0):
        self.port, self.models, self.streams, self.pause = port, models, streams, pause
        self.seen, self.stopping = {}, False
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self._run(clients)), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping = True
        self.thread.join()

    async def _run(self, clients):
        await asyncio.gather(*[self._client(number) for number in range(clients)])

    async def _client(self, number):
        turn = number
        while not self.stopping:
            tag = new_id("load")
            turn += 1
            seen = await stream(self.port, CLIENT, self.models[turn % len(self.models)],
                                request_id=tag, stream_it=turn * 7 % 10 < 10 * self.streams)
            self.seen[tag] = seen
            failed = seen.status is None or seen.status >= 500
            await asyncio.sleep(0.05 if failed else self.pause)

    def statuses(self):
        found = {}
        for one in list(self.seen.values()):
            found[one.status] = found.get(one.status, 0) + 1
        return found


def good(seen):
    """The ids of requests whose client saw any byte of a 2xx."""
    return [tag for tag, one in seen.items() if one.status and 200 <= one.status < 300]


def verify_chain(path):
    """The chain by doc/AUDIT.md, with none of the gateway's code. -> (rows, the first bad
    seq or 0, head)"""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    connection.text_factory = bytes
    before, expected = b"0" * 64, 1
    try:
        for *row, stored in connection.execute("SELECT * FROM audit_event ORDER BY seq"):
            cells = [cell if isinstance(cell, (bytes, type(None))) else str(cell).encode()
                     for cell in row]
            text = b"".join(b"-," if cell is None else b"%d:%s," % (len(cell), cell)
                            for cell in cells)
            digest = hashlib.sha256(before + text).hexdigest().encode()
            if row[0] != expected or row[-1] != before or stored != digest:
                return expected - 1, row[0], before.decode()
            before, expected = stored, expected + 1
    finally:
        connection.close()
    return expected - 1, 0, before.decode()


def open_requests(gateway):
    return gateway.sql(
        "SELECT a.request_uid FROM audit_event a WHERE a.kind IN ('decision', 'access', 'preview')"
        # An index knows the ends by their requests; after a soak there are 100,000s of them.
        " AND NOT EXISTS (SELECT 1 FROM audit_event b WHERE b.request_uid = a.request_uid"
        " AND b.kind = 'end')")


def counted(port):
    """Requests by outcome, and the number in flight, as the metrics have them."""
    answer = request(port, "GET", "/metrics", key=KEYS["auditor"], timeout=30)
    assert answer.status == 200, answer
    text, found = answer.body.decode(), {}
    for status, number in re.findall(
            r'^agent_gateway_requests_total\{.*status="(\w+)".*\} (\d+)', text, re.M):
        found[status] = found.get(status, 0) + int(number)
    inflight = re.search(r"^agent_gateway_inflight_requests (\d+)", text, re.M)
    return found, int(inflight[1])


def audited(gateway):
    return {row["outcome"]: row["n"] for row in gateway.sql(
        "SELECT outcome, count(*) AS n FROM audit_event WHERE outcome IS NOT NULL"
        " GROUP BY outcome")}


def drift(gateway, port):
    """By how many requests the metrics are ahead of the rows, by outcome."""
    metrics, _ = counted(port)
    time.sleep(0.2)
    rows = audited(gateway)
    rows["completed"] = rows.get("completed", 0) - 1  # the scrape's own row came after it
    apart = {name: metrics.get(name, 0) - rows.get(name, 0) for name in {*metrics, *rows}}
    return {name: number for name, number in apart.items() if number != 0}


def check(gateway, port, seen, drift_max=0, unrecorded=0, least=20):
    """All invariants. -> figures for the report. Metrics and rows may be `drift_max` apart
    where processes were killed; where the audit could not be written, `unrecorded` requests may
    have been counted as refused (`internal`, a 503) that no row could tell of."""
    wait_until(lambda: request(port, "GET", "/health").status == 200, 10, "service")
    got = good(seen)
    assert len(got) >= least, f"only {len(got)} of {len(seen)} answered"
    recorded = {row["request_id"] for row in gateway.sql(
        "SELECT DISTINCT request_id FROM audit_event")}
    lost = [tag for tag in got if tag not in recorded]
    assert lost == [], f"answered without a row: {lost}"
    wait_until(lambda: not open_requests(gateway), 15, "end of every request")
    outcomes = {row["request_id"]: row["outcome"] for row in gateway.sql(
        "SELECT request_id, outcome FROM audit_event WHERE outcome IS NOT NULL")}
    for tag, one in seen.items():
        if b"data: [DONE]" in one.body:
            assert outcomes[tag] in ("completed", "internal"), (tag, outcomes[tag])
            assert one.body.endswith(b"data: [DONE]\n\n")
    # The scrape that reports it may count itself.
    wait_until(lambda: counted(port)[1] <= 1, 10, "free slots")
    assert gateway.sql("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    rows, bad, _ = verify_chain(gateway.database)
    assert bad == 0, f"row {bad} does not hold"
    verdict = request(port, "GET", "/security/audit/verify", key=KEYS["admin"], timeout=60)
    assert verdict.status == 200 and verdict.json()["ok"] is True, verdict
    apart = drift(gateway, port)
    if unrecorded > 0:
        assert 0 <= apart.get("internal", 0) <= unrecorded, (apart, unrecorded)
        ahead = {name: number for name, number in apart.items() if name != "internal"}
    else:
        ahead = apart
    total = sum(abs(number) for number in ahead.values())
    assert total <= drift_max, f"metrics and rows are {apart} apart, {drift_max} allowed"
    return {"asked": len(seen), "answered": len(got), "lost": 0, "rows": rows,
            "drift": sum(abs(number) for number in apart.values())}
