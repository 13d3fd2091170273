# SPDX-License-Identifier: MIT
"""agwctl override: what it changes holds in the running gateway at once, and it needs none."""
import concurrent.futures

import pytest

import fcgi
from agwctl import FAILED, FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS, Gateway
from procs import wait_until

PLAN = "vault/secret-plan"


def ask(gateway, agent=PLAN, key="client"):
    return fcgi.chat(gateway.socket, KEYS[key], agent).status


@pytest.fixture(scope="module")
def served(session_dir, mock):
    with Gateway(session_dir / "ctloverrides", mock) as gateway:
        yield gateway


def ids(ctl, *words):
    return [one["id"] for one in ctl.json("override list", *words)["overrides"]]


def test_from_create_to_revoke(served, ctl):
    assert ask(served) == 403
    made = ctl.json("override create", "--agent", PLAN, "--ttl", "1h", "--reason", "a try",
                    "--ticket", "OPS-4711", "--key", "client")
    assert made["created_by"].startswith("cli:") and made["uses"] == 0
    assert (made["ticket"], made["key_id"], made["max_uses"]) == ("OPS-4711", "client", None)
    assert ask(served) == 200 and ask(served, key="client2") == 403
    listed, = ctl.json("override list", "--agent", PLAN)["overrides"]
    assert (listed["uses"], listed["state"]) == (1, "active")
    text = ctl.run("override", "list")
    assert made["id"] in text.stdout and "OPS-4711" in text.stdout and "active" in text.stdout
    gone = ctl.json("override revoke", made["id"])
    assert (gone["revoked_by"], gone["uses"]) == (made["created_by"], 1)
    assert ask(served) == 403
    again = ctl.run("override", "revoke", made["id"], status=FINDING)
    assert "no active override" in again.stderr
    assert made["id"] not in ids(ctl) and made["id"] in ids(ctl, "--all")
    rows = served.sql("SELECT kind, key_id, process FROM audit_event WHERE override_id = ? AND"
                      " kind LIKE 'override.%' ORDER BY seq", made["id"])
    assert [row["kind"] for row in rows] == ["override.created", "override.revoked"]
    assert rows[0]["key_id"] == made["created_by"] and all(row["process"] for row in rows)
    assert fcgi.call(served.socket, "GET", "/security/audit/verify",
                     KEYS["admin"]).json()["ok"] is True


def test_uses_are_counted_and_end_it(served, ctl):
    said = ctl.run("override", "create", "--agent", "vault/*", "--ttl", "90", "--max-uses", "2")
    grant = said.stdout.split(":")[0]
    assert "every key may call vault/* until" in said.stdout and "2 times at most" in said.stdout
    assert [ask(served) for _ in range(4)] == [200, 200, 403, 403]
    wait_until(lambda: served.events("agent.security.override.used_up", override_id=grant), 5,
               "used_up")
    shown, = [one for one in ctl.json("override list")["overrides"] if one["id"] == grant]
    assert (shown["state"], shown["uses"]) == ("used_up", 2) and shown["used_up_at"]
    assert "2 of 2" in ctl.run("override", "list").stdout
    ctl.run("override", "revoke", grant, status=FINDING)
    assert "\x1b[" in ctl.terminal("override", "list")


def test_list_filters(served, ctl):
    bound = ctl.json("override create", "--agent", "labs/closed-*", "--ttl", "10m", "--key",
                     "narrow")["id"]
    shared = ctl.json("override create", "--agent", "assistant", "--ttl", "600")
    assert shared["pattern"] == "default/assistant"  # a bare name is spelled out
    assert bound in ids(ctl, "--key", "narrow") and shared["id"] in ids(ctl, "--key", "narrow")
    assert bound not in ids(ctl, "--key", "client")
    assert ids(ctl, "--agent", "labs/closed-door") == [bound]
    assert ctl.run("override", "list", "--agent", "no/body").stdout == \
        "There is no such override.\n"
    assert ids(ctl, "--agent", HOSTILE) == []
    for one in (bound, shared["id"]):
        ctl.run("override", "revoke", one)


A = ["--agent", "vault/*"]
T = ["--ttl", "60"]
BAD = [
    (["create"], USAGE, "--agent"), (["create", *A], USAGE, "--ttl"),
    (["create", *A, "--ttl", "0"], USAGE, "'ttl_seconds'"),
    (["create", *A, "--ttl", "-5"], USAGE, "--ttl"),
    (["create", *A, "--ttl", "soon"], USAGE, "--ttl"),
    (["create", *A, "--ttl", ""], USAGE, "--ttl"),
    (["create", *A, "--ttl", "9" * 60], USAGE, "--ttl"),
    (["create", *A, "--ttl", "86400"], USAGE, "86399"),
    (["create", *A, "--ttl", "1w"], USAGE, "86399"),
    (["create", *A, "--ttl", "2026-11-26"], USAGE, "--ttl"),
    (["create", *A, *T, "--max-uses", "0"], USAGE, "max-uses"),
    (["create", *A, *T, "--max-uses", "1000001"], USAGE, "max-uses"),
    (["create", *A, *T, "--max-uses", "many"], USAGE, "max-uses"),
    (["create", *A, *T, "--ticket", ""], USAGE, "'ticket'"),
    (["create", *A, *T, "--ticket", "x" * 101], USAGE, "'ticket'"),
    (["create", *A, *T, "--reason", "x" * 501], USAGE, "'reason'"),
    (["create", *A, *T, "--key", "nobody"], USAGE, "no key 'nobody'"),
    (["create", *A, *T, "--key", HOSTILE], USAGE, "no key"),
    (["create", "--agent", "", *T], USAGE, "'agent'"),
    (["create", "--agent", "nobody", *T], USAGE, "no single agent"),
    (["create", "--agent", HOSTILE, *T], USAGE, "control characters"),
    (["create", "--agent", "a" * 2000, *T], USAGE, "'agent'"),
    (["create", *A, *T, "more"], USAGE, "more"),
    (["revoke"], USAGE, "ID"), (["revoke", "nothing"], FINDING, "no active override"),
    (["revoke", HOSTILE], FINDING, "no active override"),
    (["revoke", "' OR 1=1 --"], FINDING, "no active override"),
]


@pytest.mark.parametrize("words,status,said", BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_calls_change_nothing(served, ctl, words, status, said):
    before = served.sql("SELECT count(*) AS n FROM override")
    answer = ctl.run("override", *words, status=status)
    assert said in answer.stderr and answer.stdout == "", answer
    assert served.sql("SELECT count(*) AS n FROM override") == before


def test_odd_texts_are_kept_and_shown_harmlessly(served, ctl):
    for ticket in (HOSTILE, "' OR 1=1 --", "日本", "x" * 100):
        made = ctl.json("override create", *A, *T, "--ticket", ticket, "--reason", ticket)
        assert made["ticket"] == ticket
        ctl.run("override", "list")  # says so itself when a control character comes through
        ctl.run("override", "revoke", made["id"])


def test_a_reason_may_be_required(make):
    gateway = make.gateway(security={"default": {"override_require_reason": True}})
    ctl = Agwctl(gateway)
    assert "'reason' is required" in ctl.run("override", "create", *A, *T, status=USAGE).stderr
    ctl.run("override", "create", *A, *T, "--reason", "so")
    assert ask(gateway) == 200


def test_it_works_without_a_gateway(make, directory):
    gateway = make.gateway()
    ctl = Agwctl(gateway)
    assert gateway.stop() == 0
    grant = ctl.json("override create", *A, "--ttl", "10m", "--max-uses", "2")["id"]
    gateway.start()
    assert [ask(gateway) for _ in range(3)] == [200, 200, 403]
    second = ctl.json("override create", *A, "--ttl", "10m")["id"]
    assert ask(gateway) == 200
    assert gateway.stop() == 0
    ctl.run("override", "revoke", second)
    gateway.start()
    assert ask(gateway) == 403
    assert set(ids(ctl, "--all")) == {grant, second}
    nothing = Agwctl(None, "--config", gateway.conf / "gateway.yaml", "--database",
                     directory / "none.db", environment=gateway.environment)
    nothing.run("override", "create", *A, *T, status=FAILED)
    nothing.run("override", "list", status=FAILED)
    assert not (directory / "none.db").exists()


def test_many_at_once(served, ctl):
    """Each grant and its end is once in the trail, whoever else writes."""
    def work(number):
        made = ctl.json("override create", *A, *T, "--ticket", f"many-{number}")
        ctl.run("override", "revoke", made["id"])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(work, range(8)))) == 8  # a failure of one is raised here
    rows = served.sql("SELECT state, count(*) AS n FROM override_history WHERE ticket LIKE"
                      " 'many-%' GROUP BY 1")
    assert rows == [{"state": "revoked", "n": 8}]
