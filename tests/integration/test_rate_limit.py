# SPDX-License-Identifier: MIT
"""A limit of N lets N requests pass: exactly, however many processes and clients there are."""
import asyncio
import collections
import time

import pytest

from gateway import KEYS
from procs import wait_until
from wire import chat, request, stream, together


@pytest.mark.alone
def test_exactly_100_of_1000_pass(make):
    gateway = make.gateway(gateway={"workers": 8}, security={"api_keys": [
        {"id": "client", "key": KEYS["client"], "roles": ["client"],
         "rate_limit": {"per_minute": 100}},
        {"id": "admin", "key": KEYS["admin"], "roles": ["admin"]}]})
    port = make.server(gateway).port

    async def flood():
        gate = asyncio.Semaphore(1000)
        async def one():
            async with gate:
                return await stream(port, KEYS["client"], "echo/echo", stream_it=False)
        return await asyncio.gather(*[one() for _ in range(1000)])

    seen = asyncio.run(flood())
    counts = collections.Counter(one.status for one in seen)
    assert counts == {200: 100, 429: 900}, (counts, {one.error for one in seen})
    # An end row follows its answer.
    wait_until(lambda: gateway.sql("SELECT count(*) AS n FROM audit_event WHERE outcome IS"
                                   " NOT NULL")[0]["n"] >= 1000, 10, "1000 outcomes")
    rows = gateway.sql("SELECT outcome, count(*) AS n FROM audit_event WHERE outcome IN"
                       " ('completed', 'rate_limited') GROUP BY outcome")
    assert {row["outcome"]: row["n"] for row in rows} == {"completed": 100, "rate_limited": 900}
    refused = next(one for one in seen if one.status == 429)
    assert 1 <= int(refused.header("retry-after")) <= 60
    # Deaths of workers do not give anything back.
    gateway.restarted(gateway.kill_workers())
    assert chat(port, KEYS["client"], "echo/echo").status == 429


def test_headers_count_down(make):
    gateway = make.gateway(security={"api_keys": [
        {"id": "client", "key": KEYS["client"], "rate_limit": {"per_minute": 3}}]})
    port = make.server(gateway).port
    for left in (2, 1, 0):
        answer = chat(port, KEYS["client"], "mock/ok")
        assert answer.status == 200
        assert answer.header("x-ratelimit-limit-requests") == "3"
        assert answer.header("x-ratelimit-remaining-requests") == str(left)
        assert answer.header("x-ratelimit-reset-requests").endswith("s")
    answer = chat(port, KEYS["client"], "mock/ok")
    assert answer.status == 429
    assert answer.error()["code"] == "rate_limit_exceeded"
    assert answer.error()["type"] == "requests"
    assert answer.header("x-ratelimit-remaining-requests") == "0"
    assert 1 <= int(answer.header("retry-after")) <= 60


def test_two_gateways_on_one_database_share_the_limit(make):
    security = {"api_keys": [
        {"id": "client", "key": KEYS["client"], "rate_limit": {"per_minute": 10}}]}
    one = make.gateway(name="one", security=security)
    two = make.gateway(name="two", security=security,
                       gateway={"database": {"path": str(one.database)}})
    ports = [make.server(gateway).port for gateway in (one, two)]
    seen = together(*[stream(ports[n % 2], KEYS["client"], "mock/ok") for n in range(40)])
    assert collections.Counter(one.status for one in seen) == {200: 10, 429: 30}


def test_the_administrators_surface_is_not_limited_away(make, admin_for):
    """Who is out of requests can still be helped."""
    gateway = make.gateway(security={"default": {"rate_limit": {"per_minute": 1}}})
    port = make.server(gateway).port
    admin = admin_for(port)
    statuses = [admin.ask("GET", "/security/overrides").status for _ in range(5)]
    assert statuses == [200] * 5
    assert request(port, "GET", "/health").status == 200


@pytest.mark.xdist_group("a minute of waiting")
def test_the_window_ends(make):
    """After the reset that the headers announce, requests pass again."""
    gateway = make.gateway(security={"api_keys": [
        {"id": "client", "key": KEYS["client"], "rate_limit": {"per_minute": 1}}]})
    port = make.server(gateway).port
    assert chat(port, KEYS["client"], "mock/ok").status == 200
    refused = chat(port, KEYS["client"], "mock/ok")
    assert refused.status == 429
    text = refused.header("x-ratelimit-reset-requests")
    left = float(text[:-2]) / 1000 if text.endswith("ms") else float(text[:-1])
    assert 50 < left <= 60
    time.sleep(left + 1)
    assert chat(port, KEYS["client"], "mock/ok").status == 200
