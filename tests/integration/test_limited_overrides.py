# SPDX-License-Identifier: MIT
"""Temporary grants with a ticket and a number of uses: exactly so many, in all processes."""
import asyncio
import collections
import os
import re
import signal
import time

import pytest

from agwctl import Agwctl
from gateway import KEYS
from procs import wait_until
from wire import chat, request, stream, together

CLIENT, ADMIN = KEYS["client"], KEYS["admin"]
PLAN = "vault/secret-plan"


def _grants(admin, everything=False):
    answer = admin.ask("GET", "/security/overrides" + ("?all=true" if everything else ""))
    assert answer.status == 200
    return {one["id"]: one for one in answer.json()["overrides"]}


def _used_up(gateway, grant):
    gateway.wait_event("agent.security.override.used_up", override_id=grant["id"])


def test_ticket_and_uses_are_kept_and_shown(make, admin_for):
    gateway = make.gateway()
    admin = admin_for(make.server(gateway).port)
    grant = admin.override(PLAN, 600, reason="a try", ticket="OPS-4711", max_uses=2,
                           key_id="client").json()
    assert (grant["ticket"], grant["max_uses"], grant["uses"], grant["state"]) == (
        "OPS-4711", 2, 0, "active")
    plain = admin.override("labs/*", 600).json()
    assert plain["ticket"] is None and plain["max_uses"] is None
    assert chat(admin.port, CLIENT, PLAN).status == 200
    shown = _grants(admin)
    assert (shown[grant["id"]]["uses"], shown[grant["id"]]["state"]) == (1, "active")
    row, = gateway.sql("SELECT ticket, max_uses, uses_left FROM active_overrides WHERE id = ?",
                       grant["id"])
    assert row == {"ticket": "OPS-4711", "max_uses": 2, "uses_left": 1}
    assert gateway.sql("SELECT uses_left FROM active_overrides WHERE id = ?", plain["id"]) == [
        {"uses_left": None}]
    assert chat(admin.port, CLIENT, PLAN).status == 200
    assert chat(admin.port, CLIENT, PLAN).status == 403
    _used_up(gateway, grant)
    shown = _grants(admin)[grant["id"]]
    assert (shown["uses"], shown["state"]) == (2, "used_up") and shown["used_up_at"]
    assert gateway.sql("SELECT id FROM active_overrides WHERE id = ?", grant["id"]) == []
    assert gateway.sql("SELECT state, uses, ticket, max_uses FROM override_history WHERE id = ?",
                       grant["id"]) == [
        {"state": "used_up", "uses": 2, "ticket": "OPS-4711", "max_uses": 2}]
    row, = gateway.audit(kind="override.used_up")
    assert row["override_id"] == grant["id"] and row["key_id"] == "client"
    assert admin.ask("DELETE", f"/security/overrides/{grant['id']}").status == 404
    revoked = admin.ask("DELETE", f"/security/overrides/{plain['id']}").json()
    assert (revoked["state"], revoked["uses"], revoked["revoked_by"]) == ("revoked", 0, "admin")
    assert set(_grants(admin, True)) == {grant["id"], plain["id"]}


def test_looking_takes_no_use(make, admin_for):
    gateway = make.gateway()
    admin = admin_for(make.server(gateway).port)
    grant = admin.override("vault/*", 600, max_uses=1).json()

    def listed():
        models = request(admin.port, "GET", "/v1/models", key=CLIENT).json()["data"]
        return PLAN in {model["id"] for model in models}
    for _ in range(5):
        preview = admin.preview(PLAN, "client").json()
        assert preview["allowed"] and preview["override"]["uses"] == 0
        assert listed()
        # What is refused for another reason takes none either.
        assert chat(admin.port, CLIENT, "vault/nobody").status == 404
        assert chat(admin.port, CLIENT, PLAN, temperature=9).status == 400
    assert chat(admin.port, CLIENT, PLAN).status == 200
    for _ in range(2):  # before it is marked, and after
        preview = admin.preview(PLAN, "client").json()
        assert not preview["allowed"] and "override" not in preview
        step, = [step for step in preview["trace"] if step["rule"] == "override.global"]
        assert step["used_up"] == grant["id"] and not step["matched"]
        assert not listed()
        assert chat(admin.port, CLIENT, PLAN).status == 403
        _used_up(gateway, grant)


def test_the_next_rule_decides_when_it_is_used_up(make, admin_for):
    gateway = make.gateway()
    admin = admin_for(make.server(gateway).port)
    bound = admin.override(PLAN, 300, max_uses=1, key_id="client").json()
    shared = admin.override("vault/*", 600, max_uses=2).json()
    admin.override("mock/ok", 600, max_uses=1)
    seen = [chat(admin.port, CLIENT, PLAN, request_id=f"turn-{n}").status for n in range(4)]
    assert seen == [200, 200, 200, 403]
    by = [gateway.audit(request_id=f"turn-{n}")[0]["override_id"] for n in range(4)]
    assert by == [bound["id"], shared["id"], shared["id"], None]
    # The key's own rule takes over: nothing is refused.
    assert [chat(admin.port, CLIENT, "mock/ok", request_id=f"own-{n}").status
            for n in range(3)] == [200] * 3
    sources = [gateway.audit(request_id=f"own-{n}")[0]["source"] for n in range(3)]
    assert sources == ["override", "api_key", "api_key"]
    text = request(admin.port, "GET", "/metrics", key=ADMIN).body.decode()
    assert re.search(r"^agent_gateway_override_uses_total 4$", text, re.M)
    # Each of them comes out the same when it is explained afterwards.
    for tag in [f"turn-{n}" for n in range(4)] + [f"own-{n}" for n in range(3)]:
        assert Agwctl(gateway).json("explain", "--request", tag)["reproduced"] is True, tag


@pytest.mark.alone
@pytest.mark.parametrize("uses", [1, 50])
def test_exactly_so_many_of_many_at_once(make, admin_for, uses):
    """Through 8 workers and two gateways on one database."""
    one = make.gateway(name="one", gateway={"workers": 8})
    two = make.gateway(name="two", gateway={"database": {"path": str(one.database)}})
    ports = [make.server(gateway, "lighttpd").port for gateway in (one, two)]
    admin = admin_for(ports[0])
    grant = admin.override("vault/*", 600, max_uses=uses).json()
    seen = together(*[stream(ports[n % 2], CLIENT, PLAN, stream_it=n % 2 == 0)
                      for n in range(400)])
    assert collections.Counter(one.status for one in seen) == {200: uses, 403: 400 - uses}
    wait_until(lambda: one.events("agent.security.override.used_up")
               + two.events("agent.security.override.used_up"), 5, "used_up in the log")
    time.sleep(0.6)
    assert len(one.events("agent.security.override.used_up")
               + two.events("agent.security.override.used_up")) == 1
    assert len(one.audit(kind="override.used_up")) == 1
    assert one.sql("SELECT uses, state FROM override_history WHERE id = ?", grant["id"]) == [
        {"uses": uses, "state": "used_up"}]
    # It stays so: after deaths, a restart, and with the shared file lost.
    one.restarted(one.kill_workers())
    assert chat(ports[0], CLIENT, PLAN).status == 403
    for gateway in (one, two):
        assert gateway.stop() == 0
    one.database.with_name(one.database.name + ".shared").unlink()
    for gateway in (one, two):
        gateway.start()
    assert [chat(port, CLIENT, PLAN).status for port in ports] == [403, 403]


def test_uses_survive_a_restart_and_the_loss_of_the_shared_file(make, admin_for):
    gateway = make.gateway()
    admin = admin_for(make.server(gateway).port)
    admin.override("vault/*", 600, max_uses=5)
    passed = 0
    for loss in (False, True, False):
        for _ in range(1 if loss else 2):
            passed += chat(admin.port, CLIENT, PLAN).status == 200
        assert gateway.stop() == 0
        if loss:
            gateway.database.with_name(gateway.database.name + ".shared").unlink()
        gateway.start()
    assert passed == 5
    assert chat(admin.port, CLIENT, PLAN).status == 403


@pytest.mark.alone
def test_kill_9_in_the_middle_never_grants_more(make, admin_for):
    uses = 60
    gateway = make.gateway(gateway={"workers": 4})
    port = make.server(gateway, "lighttpd").port
    grant = admin_for(port).override("vault/*", 600, max_uses=uses).json()
    seen = []
    for turn in range(6):
        async def burst():
            tasks = [asyncio.create_task(stream(port, CLIENT, PLAN, leave_after=20))
                     for _ in range(30)]
            await asyncio.sleep(0.008 + 0.004 * turn)
            workers = gateway.workers()
            if workers:
                os.kill(workers[turn % len(workers)], signal.SIGKILL)
            return await asyncio.gather(*tasks)
        seen += asyncio.run(burst())
        wait_until(lambda: len(gateway.workers()) >= 4, 5, "workers")
    seen += together(*[stream(port, CLIENT, PLAN) for _ in range(uses)])
    assert sum(one.status == 200 for one in seen) <= uses
    assert any(one.status == 403 for one in seen)
    _used_up(gateway, grant)
    assert gateway.sql("SELECT state FROM override_history")[0]["state"] == "used_up"
    assert gateway.sql("SELECT uses FROM override_history")[0]["uses"] <= uses


def test_a_use_that_the_budget_refuses_is_not_taken(make, admin_for):
    gateway = make.gateway(security={"api_keys": [
        {"id": "client", "key": CLIENT, "budget": {"requests_per_day": 1}},
        {"id": "client2", "key": KEYS["client2"]},
        {"id": "admin", "key": ADMIN, "roles": ["client", "admin"]}]})
    admin = admin_for(make.server(gateway).port)
    admin.override("vault/*", 600, max_uses=2)
    assert [chat(admin.port, CLIENT, PLAN).status for _ in range(4)] == [200, 429, 429, 429]
    assert [chat(admin.port, KEYS["client2"], PLAN).status for _ in range(2)] == [200, 403]


@pytest.mark.parametrize("change,param", [
    ({"max_uses": 0}, "max_uses"), ({"max_uses": -1}, "max_uses"),
    ({"max_uses": 1000001}, "max_uses"), ({"max_uses": 1.5}, "max_uses"),
    ({"max_uses": "3"}, "max_uses"), ({"max_uses": True}, "max_uses"),
    ({"max_uses": 10 ** 30}, None), ({"max_uses": [1]}, "max_uses"),
    ({"ticket": ""}, "ticket"), ({"ticket": "x" * 101}, "ticket"), ({"ticket": 4711}, "ticket"),
    ({"ticket": {"id": 1}}, "ticket"), ({"tickets": "x"}, "tickets")],
    ids=lambda value: str(value)[:30])
def test_hostile_bodies(make, admin_for, change, param):
    gateway = make.gateway(gateway={"workers": 1})
    admin = admin_for(make.server(gateway).port)
    answer = admin.override("vault/*", 600, **change)
    assert answer.status == 400, answer
    if param is not None:
        assert answer.error()["param"] == param
    assert _grants(admin, True) == {}


def test_bounds_and_odd_tickets_are_taken(make, admin_for):
    gateway = make.gateway(gateway={"workers": 1})
    admin = admin_for(make.server(gateway).port)
    tickets = ["x" * 100, "é" * 100, "' OR 1=1 --", 'a"b\\c', "line\nbreak", "日本"]
    for ticket in tickets:
        grant = admin.override("vault/*", 600, ticket=ticket, max_uses=1000000)
        assert grant.status == 200 and grant.json()["ticket"] == ticket
    assert admin.override("vault/*", 600, ticket=None, max_uses=None).json()["max_uses"] is None
    assert {one["ticket"] for one in _grants(admin).values()} == {*tickets, None}
    assert chat(admin.port, CLIENT, PLAN).status == 200  # each counts as the trail has it


def test_a_tampered_grant_grants_nothing(make, admin_for):
    import contextlib
    import sqlite3
    gateway = make.gateway(gateway={"workers": 1})
    admin = admin_for(make.server(gateway).port)
    for change in ("max_uses = max_uses + 1", "max_uses = NULL", "ticket = 'OPS-2'"):
        grant = admin.override("vault/*", 600, ticket="OPS-1", max_uses=500000).json()
        assert chat(admin.port, CLIENT, PLAN).status == 200
        with contextlib.closing(sqlite3.connect(gateway.database)) as db:
            db.execute(f"UPDATE override SET {change} WHERE id = ?", (grant["id"],))
            db.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
            db.commit()
        wait_until(lambda: chat(admin.port, CLIENT, PLAN).status == 403, 5, "refusal")
        gateway.wait_event("override.unrecorded")
