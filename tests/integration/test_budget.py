# SPDX-License-Identifier: MIT
"""What a key may use up in a day: exactly so many requests, however many processes there are,
and whatever dies."""
import asyncio
import collections
import os
import re
import signal
import time

import openai
import pytest

from gateway import KEYS
from procs import wait_until
from wire import chat, request, stream, together

CLIENT, ADMIN = KEYS["client"], KEYS["admin"]


@pytest.fixture(autouse=True)
def _not_at_midnight():
    """These tests take seconds; a day that ends in between would be a budget more."""
    left = 86400 - time.time() % 86400
    if left < 60:
        time.sleep(left + 1)


def _security(budget, **more):
    return {"api_keys": [{"id": "client", "key": CLIENT, "budget": budget, **more},
                         {"id": "client2", "key": KEYS["client2"]},
                         {"id": "admin", "key": ADMIN, "roles": ["client", "admin"],
                          "allow_agents": ["*"]}]}


def _flood(ports, many, model="echo/echo"):
    async def run():
        return await asyncio.gather(*[stream(ports[n % len(ports)], CLIENT, model,
                                             stream_it=n % 3 == 0) for n in range(many)])
    return asyncio.run(run())


def _statuses(seen):
    return collections.Counter(one.status for one in seen)


def _ran(gateway, key="client"):
    return gateway.sql("SELECT count(*) AS n FROM audit_event WHERE kind = 'decision' AND"
                       " key_id = ?", key)[0]["n"]


@pytest.mark.alone
def test_exactly_the_budget_of_1000_passes_through_8_workers_and_two_gateways(make):
    security = _security({"requests_per_day": 300})
    one = make.gateway(name="one", security=security, gateway={"workers": 8})
    two = make.gateway(name="two", security=security,
                       gateway={"database": {"path": str(one.database)}})
    ports = [make.server(gateway, "lighttpd").port for gateway in (one, two)]
    seen = _flood(ports, 1000)
    assert _statuses(seen) == {200: 300, 429: 700}, {one.error for one in seen}
    wait_until(lambda: one.sql("SELECT count(*) AS n FROM audit_event WHERE outcome IS NOT"
                               " NULL")[0]["n"] >= 1000, 10, "1000 outcomes")
    rows = one.sql("SELECT kind, outcome, substr(reason, 1, 18) AS reason, count(*) AS n FROM"
                   " audit_event WHERE outcome IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 2")
    assert [(row["kind"], row["outcome"], row["reason"], row["n"]) for row in rows] == [
        ("end", "completed", None, 300),
        ("refusal", "rate_limited", "insufficient_quota", 700)]
    text = request(ports[0], "GET", "/metrics", key=ADMIN).body.decode()
    assert re.search(r'^agent_gateway_denied_total\{reason="insufficient_quota"\} 700$', text,
                     re.M)
    # Nothing brings it back: a death, a restart, the loss of the shared file.
    one.restarted(one.kill_workers())
    assert chat(ports[0], CLIENT, "echo/echo").status == 429
    for gateway in (one, two):
        assert gateway.stop() == 0
    one.database.with_name(one.database.name + ".shared").unlink()
    for gateway in (one, two):
        gateway.start()
    assert _statuses(_flood(ports, 40)) == {429: 40}
    assert chat(ports[0], KEYS["client2"], "echo/echo").status == 200


def test_the_refusal(make):
    gateway = make.gateway(security=_security({"requests_per_day": 1}))
    port = make.server(gateway).port
    assert chat(port, CLIENT, "mock/ok").status == 200
    answer = chat(port, CLIENT, "mock/ok", request_id="over-budget")
    assert answer.status == 429
    assert answer.header("x-should-retry") == "false"
    assert answer.header("retry-after") is None
    error = answer.error()
    assert (error["type"], error["code"], error["param"]) == (
        "insufficient_quota", "insufficient_quota", None)
    tomorrow = time.strftime("%Y-%m-%dT00:00:00", time.gmtime(time.time() + 86400))
    assert error["message"] == ("The budget of this API key is used up: 1 requests per day. The"
                                f" day ends at {tomorrow}.000Z.")
    row, = gateway.audit(request_id="over-budget")
    assert row["outcome"] == "rate_limited" and row["status"] == 429
    assert row["kind"] == "refusal" and row["decision"] == "allow"
    client = openai.OpenAI(api_key=CLIENT, base_url=f"http://127.0.0.1:{port}/v1")
    before = len(gateway.sql("SELECT seq FROM audit_event"))
    with pytest.raises(openai.RateLimitError) as refusal:
        client.chat.completions.create(model="mock/ok",
                                       messages=[{"role": "user", "content": "hi"}])
    assert refusal.value.code == "insufficient_quota"
    # The client did not try again.
    assert len(gateway.sql("SELECT seq FROM audit_event")) == before + 1
    assert request(port, "GET", "/v1/models", key=CLIENT).status == 200


def test_only_what_runs_costs_anything(make):
    gateway = make.gateway(security=_security({"requests_per_day": 5},
                                              allow_agents=["mock/*"]))
    port = make.server(gateway).port
    for _ in range(4):
        assert chat(port, CLIENT, "echo/echo").status == 403
        assert chat(port, CLIENT, "mock/forbidden").status == 403
        assert chat(port, CLIENT, "mock/nobody").status == 404
        assert chat(port, CLIENT, "mock/ok", temperature=9).status == 400
        assert request(port, "POST", "/v1/chat/completions", key=CLIENT, body=["x"]).status == 400
        assert request(port, "GET", "/v1/models", key=CLIENT).status == 200
        request(port, "POST", "/security/preview", key=ADMIN,
                body={"agent": "mock/ok", "key_id": "client"})
    # What ran counts, also when the provider failed.
    statuses = [chat(port, CLIENT, model).status
                for model in ("mock/ok", "mock/status-500", "mock/ok", "mock/status-400",
                              "mock/ok", "mock/ok")]
    assert statuses == [200, 502, 200, 400, 200, 429]
    assert _ran(gateway) == 5


def test_tokens_are_used_up(make):
    """A request is let run while fewer than the budget are used: the mock reports what it
    likes, so the second is the last."""
    gateway = make.gateway(security=_security({"tokens_per_day": 20}))
    port = make.server(gateway).port
    first = chat(port, CLIENT, "mock/ok")
    used = first.json()["usage"]["total_tokens"]
    passed = 1
    while chat(port, CLIENT, "mock/ok", stream=passed % 2 == 1).status == 200:
        passed += 1
        assert passed < 50
    assert passed == -(-20 // used), (passed, used)
    refused = chat(port, CLIENT, "mock/ok")
    assert "20 tokens per day" in refused.error()["message"]
    day = passed * used
    wait_until(lambda: gateway.sql("SELECT sum(total_tokens) AS n FROM usage_by_key_day WHERE"
                                   " key_id = 'client'")[0]["n"] == day, 5, "every end")
    # Without a report there is nothing to count, and a raised budget counts on.
    gateway.write("security", {**gateway.security, **_security({"tokens_per_day": day + 1})})
    gateway.reload()
    assert [chat(port, CLIENT, "mock/no-usage").status for _ in range(3)] == [200] * 3
    assert chat(port, CLIENT, "mock/ok").status == 200
    assert chat(port, CLIENT, "mock/ok").status == 429
    # From the database it is the same.
    assert gateway.stop() == 0
    gateway.database.with_name(gateway.database.name + ".shared").unlink()
    gateway.start()
    assert chat(port, CLIENT, "mock/ok").status == 429


def test_a_budget_that_is_set_at_noon_knows_the_morning(make):
    """And one that is taken away and set again knows what was used meanwhile."""
    gateway = make.gateway(security=_security({}))
    port = make.server(gateway).port

    def budget(value):
        gateway.write("security", {**gateway.security, **_security(value)})
        gateway.reload()

    def passes(many):
        return [chat(port, CLIENT, "mock/ok").status for _ in range(many)].count(200)
    assert passes(4) == 4
    budget({"requests_per_day": 6})
    assert passes(5) == 2
    budget({"requests_per_day": 0})
    assert passes(3) == 3
    budget({"requests_per_day": 10})
    assert passes(4) == 1
    budget({"requests_per_day": 3})
    assert passes(2) == 0


def test_the_default_holds_for_each_key_by_itself(make):
    gateway = make.gateway(security={
        "default": {"budget": {"requests_per_day": 2}},
        "api_keys": [{"id": "client", "key": CLIENT},
                     {"id": "client2", "key": KEYS["client2"], "budget": {"tokens_per_day": 9999}},
                     {"id": "narrow", "key": KEYS["narrow"], "budget": {"requests_per_day": 0}},
                     {"id": "admin", "key": ADMIN, "roles": ["admin"]}]})
    port = make.server(gateway).port
    for key, wanted in ((CLIENT, 2), (KEYS["client2"], 2), (KEYS["narrow"], 5)):
        statuses = [chat(port, key, "mock/ok").status for _ in range(5)]
        assert statuses == [200] * wanted + [429] * (5 - wanted), key


@pytest.mark.alone
def test_kill_9_in_the_middle_never_lets_more_pass(make):
    """Workers die while requests pass. Each answer that came is one of the budget's; what a
    dead worker had taken is not given out again."""
    limit = 400
    gateway = make.gateway(security=_security({"requests_per_day": limit}),
                           gateway={"workers": 4})
    port = make.server(gateway, "lighttpd").port
    seen, deaths = [], 0
    for turn in range(12):
        async def burst():
            tasks = [asyncio.create_task(stream(port, CLIENT, "mock/ok", leave_after=20))
                     for _ in range(60)]
            await asyncio.sleep(0.01 + 0.004 * turn)
            workers = gateway.workers()
            if workers:
                os.kill(workers[turn % len(workers)], signal.SIGKILL)
            return await asyncio.gather(*tasks)
        seen += asyncio.run(burst())
        deaths += 1
        wait_until(lambda: len(gateway.workers()) >= 4, 5, "workers")
    answered = sum(one.status == 200 for one in seen)
    assert answered <= limit
    assert _ran(gateway) <= limit
    # What is left can be used; what is missing then was taken by the dead.
    rest = together(*[stream(port, CLIENT, "mock/ok") for _ in range(60)])
    more = sum(one.status == 200 for one in rest)
    assert any(one.status == 429 for one in rest)
    assert answered + more <= limit
    assert _ran(gateway) <= limit
    gateway.stop()
    gateway.start()
    assert chat(port, CLIENT, "mock/ok").status == 429


@pytest.mark.parametrize("budget", [
    {"requests_per_day": -1}, {"requests_per_day": 10 ** 9 + 1}, {"tokens_per_day": 1.5},
    {"tokens_per_day": "many"}, {"per_day": 5}, 7, ["a"]], ids=str)
def test_a_bad_budget_keeps_the_old_policy(make, budget):
    gateway = make.gateway(security=_security({"requests_per_day": 1}))
    port = make.server(gateway).port
    gateway.write("security", {**gateway.security, **_security(budget)})
    answer = request(port, "POST", "/security/refresh", key=ADMIN)
    assert answer.status == 422
    assert [chat(port, CLIENT, "mock/ok").status for _ in range(2)] == [200, 429]
