# SPDX-License-Identifier: MIT
"""Budgets and uses of grants when days end, clocks jump and processes die: never one more."""
import asyncio
import collections
import random
import time

import pytest

import invariants
from gateway import KEYS
from procs import wait_until
from scale import count, limit, report
from test_kill import Victims
from wire import chat, request, stream

CLIENT, ADMIN = KEYS["client"], KEYS["admin"]
DAY = 86400


def _security(budget):
    return {"api_keys": [{"id": "client", "key": CLIENT, "budget": budget},
                         {"id": "auditor", "key": KEYS["auditor"], "roles": ["auditor"]},
                         {"id": "admin", "key": ADMIN, "roles": ["client", "admin"],
                          "allow_agents": ["*"]}]}


def _at(shim, when):
    shim.clock_ns = int((when - time.time()) * 10 ** 9)


def _noon(days=0):
    """Noon of today or so many days later: no test meets midnight by chance."""
    now = time.time()
    return now - now % DAY + DAY // 2 + days * DAY


def _passes(port, many):
    return [chat(port, CLIENT, "mock/ok").status for _ in range(many)].count(200)


@pytest.mark.parametrize("budget", [{"requests_per_day": 3}, {"tokens_per_day": 21}], ids=str)
@pytest.mark.parametrize("loss", ["running", "restarted", "shared file lost"])
def test_T39_no_day_gives_its_budget_twice(make, shim, budget, loss):
    """A day ends once: clocks that step back bring neither it nor its budget again."""
    _at(shim, _noon())
    gateway = make.gateway(environment=shim.environment, security=_security(budget))
    port = make.server(gateway).port
    # The mock reports seven tokens each time.
    usage = chat(port, CLIENT, "mock/ok").json()["usage"]["total_tokens"]
    a_day = 3 if "requests_per_day" in budget else -(-21 // usage)
    assert _passes(port, a_day + 1) == a_day - 1
    granted = {0: a_day}
    for step, day in enumerate((1, 0, -1, 1, 2, 0, 1, 2, 5, -400, 5)):
        _at(shim, _noon(day))
        if loss != "running":
            time.sleep(1.3)  # the highest time seen is stored with what is written
            chat(port, CLIENT, "mock/forbidden")
            assert gateway.stop() == 0
            if loss == "shared file lost":
                gateway.database.with_name(gateway.database.name + ".shared").unlink()
            gateway.start()
        passed = _passes(port, a_day + 2)
        is_new = day > max(granted)
        assert passed == (a_day if is_new else 0), (step, day, granted)
        if is_new:
            granted[day] = passed
    days = gateway.sql("SELECT ts / 86400000 AS day, count(*) AS n FROM audit_event WHERE kind ="
                       " 'decision' GROUP BY 1")
    assert [row["n"] for row in days] == [a_day] * len(granted)
    report(jumps=11, days=len(granted), passed_twice=0)


def test_T39_midnight_under_load(make, shim):
    """Requests of many processes pass from one day to the next: each day has its budget."""
    budget = 60
    gateway = make.gateway(environment=shim.environment, gateway={"workers": 4},
                           security=_security({"requests_per_day": budget}))
    port = make.server(gateway, "lighttpd").port
    midnight = _noon() + DAY // 2
    _at(shim, midnight - 2)
    until = time.monotonic() + 4

    async def client():
        found = []
        while time.monotonic() < until:
            found.append((await stream(port, CLIENT, "mock/ok", stream_it=False)).status)
            await asyncio.sleep(0.01)
        return found

    async def crowd():
        return sum(await asyncio.gather(*[client() for _ in range(12)]), [])
    statuses = collections.Counter(asyncio.run(crowd()))
    assert statuses[200] == 2 * budget and set(statuses) == {200, 429}, statuses
    days = gateway.sql("SELECT ts / 86400000 AS day, count(*) AS n FROM audit_event WHERE kind ="
                       " 'decision' GROUP BY 1 ORDER BY 1")
    assert days == [{"day": midnight // DAY - 1, "n": budget},
                    {"day": midnight // DAY, "n": budget}]
    report(requests=sum(statuses.values()), passed=2 * budget)


@pytest.mark.alone
@pytest.mark.timeout(limit(count("AGW_FAULT_BUDGET_KILLS", 16, 60, 400) * 4))
def test_T27_killed_processes_never_let_more_pass(make):
    """Workers, supervisor and web server die under load: neither a budget nor a grant is
    exceeded, and what is used up stays so."""
    kills = count("AGW_FAULT_BUDGET_KILLS", 16, 60, 400)
    budget, uses = 40 * kills, 10 * kills
    gateway = make.gateway(mode="activated", gateway={"workers": 3, "timeouts": {"drain": 3}},
                           security=_security({"requests_per_day": budget}))
    server = make.server(gateway, "lighttpd")
    grant = request(server.port, "POST", "/security/override", key=ADMIN, body={
        "agent": "vault/*", "ttl_seconds": 86399, "max_uses": uses}).json()
    victims = Victims(gateway, server)
    models = ["mock/ok", "vault/secret-plan", "mock/forbidden"]

    def used():
        row, = gateway.sql(
            "SELECT count(*) AS n, sum(override_id IS NOT NULL) AS u FROM audit_event WHERE kind"
            " = 'decision' AND key_id = 'client'")
        return row["n"], row["u"] or 0
    with invariants.Load(server.port, models=models) as load:
        for _ in range(kills):
            time.sleep(random.uniform(0.02, 0.25))
            victims.strike()
            assert used()[0] <= budget and used()[1] <= uses
        gateway.wait_ready()
        wait_until(lambda: request(server.port, "GET", "/health").status == 200, 10, "service")

        def is_over():  # by then both are used up, or all but what the dead had taken
            return load.statuses().get(429, 0) > 20
        wait_until(is_over, 60, "end of the budget", step=0.1)
    assert used()[0] <= budget and used()[1] <= uses
    answered = [one for one in load.seen.values() if one.status == 200]
    assert len(answered) <= budget
    assert chat(server.port, CLIENT, "mock/ok").status == 429
    figures = invariants.check(gateway, server.port, load.seen, drift_max=2 * kills)
    ran, by_grant = used()
    report(kills=sum(victims.killed.values()), budget=budget, ran=ran, uses=uses,
           granted=by_grant, over=0, **figures)
    assert grant["max_uses"] == uses
