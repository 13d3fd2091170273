# SPDX-License-Identifier: MIT
"""agwctl key: what it changes holds in the running gateway at once, and it needs none."""
import concurrent.futures
import re

import pytest

import fcgi
from agwctl import FAILED, FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS, Gateway

SECRET = re.compile(r"^agw_[0-9A-Za-z]{36}$")


def ask(gateway, secret, agent="mock/ok"):
    return fcgi.chat(gateway.socket, secret, agent).status


@pytest.fixture(scope="module")
def served(session_dir, mock):
    with Gateway(session_dir / "ctlkeys", mock) as gateway:
        yield gateway


def test_a_key_from_create_to_revoke(served, ctl):
    made = ctl.run("key", "create", "ci", "--description", "Build server", "--allow",
                   "mock/*,echo/echo", "--deny", "mock/json", "--rate", "1000", "--expires", "+90d",
                   "--requests-per-day", "5000")
    secret = made.stdout.strip()
    assert SECRET.match(secret) and made.lines() == [secret], made  # nothing but the secret
    assert "only this once" in made.stderr and secret not in made.stderr
    assert ask(served, secret) == 200
    assert ask(served, secret, "mock/json") == 403
    rotated = ctl.json("key rotate", "ci", "--overlap", "600")
    assert rotated["rotated_by"].startswith("cli:") and rotated["overlap_ends_at"]
    assert ask(served, secret) == ask(served, rotated["secret"]) == 200
    last = ctl.run("key", "rotate", "ci", "--overlap", "0")
    assert "has ended" in last.stderr
    assert [ask(served, one) for one in (secret, rotated["secret"], last.stdout.strip())] == [
        401, 401, 200]
    listed = {key["id"]: key for key in ctl.json("key list")["keys"]}
    assert listed["ci"]["budget"] == {"requests_per_day": 5000, "tokens_per_day": None}
    assert listed["ci"]["allow_agents"] == ["mock/*", "echo/echo"]
    assert listed["client"]["origin"] == "file" and listed["ci"]["origin"] == "database"
    gone = ctl.json("key revoke", "ci")
    assert gone["revoked_by"] == listed["ci"]["created_by"]
    assert ask(served, last.stdout.strip()) == 401
    rows = served.sql("SELECT kind, key_id, process FROM audit_event WHERE place = 'key:ci' AND"
                      " kind LIKE 'key.%' ORDER BY seq")
    assert [row["kind"] for row in rows] == ["key.created", "key.rotated", "key.rotated",
                                             "key.revoked"]
    assert all(row["key_id"].startswith("cli:") and row["process"] for row in rows)
    assert fcgi.call(served.socket, "GET", "/security/audit/verify",
                     KEYS["admin"]).json()["ok"] is True
    assert served.has_secret(secret, rotated["secret"]) == []


def test_list_filters(served, ctl):
    ctl.run("key", "create", "brief", "--expires", "+1d", "--roles", "client,auditor")
    ctl.run("key", "create", "gone")
    ctl.run("key", "revoke", "gone")

    def ids(*words):
        return {key["id"] for key in ctl.json("key list", *words)["keys"]}
    assert ids("--health", "expiring") == {"brief"}
    assert ids("--key", "brief") == {"brief"}
    assert "gone" not in ids() and "gone" in ids("--all") and "gone" in ids("--health", "revoked",
                                                                            "--all")
    assert "brief" not in ids("--origin", "file")
    text = ctl.run("key", "list", "--key", "brief")
    assert "client,auditor" in text.stdout and "expiring" in text.stdout
    assert ctl.run("key", "list", "--key", "nobody").stdout == "There is no such key.\n"
    assert ctl.json("key list", "--key", HOSTILE)["keys"] == []
    shown = ctl.terminal("key", "list")
    assert "\x1b[" in shown and "brief" in shown
    ctl.run("key", "revoke", "brief")


BAD = [
    (["create"], USAGE, "ID"), (["create", "Upper"], USAGE, "'id'"),
    (["create", HOSTILE], USAGE, "'id'"), (["create", "x", "--roles", "root"], USAGE, "'roles'"),
    (["create", "x", "--roles", ""], USAGE, "'roles'"),
    (["create", "x", "--allow", "a" * 300], USAGE, "'allow_agents'"),
    (["create", "x", "--allow", HOSTILE], USAGE, "'allow_agents'"),
    (["create", "x", "--description", HOSTILE], USAGE, "'description'"),
    (["create", "x", "--rate", "-1"], USAGE, "rate"),
    (["create", "x", "--expires", "-1d"], USAGE, "future"),
    (["create", "x", "--expires", "soon"], USAGE, "expires"),
    (["create", "client"], FINDING, "security.yaml"),
    (["rotate", "client"], FINDING, "security.yaml"),
    (["revoke", "client"], FINDING, "security.yaml"),
    (["rotate", "nobody"], FINDING, "no key 'nobody'"),
    (["revoke", HOSTILE], FINDING, "no key"),
    (["rotate", "x", "--overlap", "2592001"], USAGE, "overlap"),
    (["revoke"], USAGE, "ID"), (["revoke", "a", "b"], USAGE, "many"),
]


@pytest.mark.parametrize("words,status,said", BAD, ids=[str(n) for n in range(len(BAD))])
def test_bad_calls_change_nothing(served, ctl, words, status, said):
    before = served.sql("SELECT count(*) AS n FROM api_key")
    answer = ctl.run("key", *words, status=status)
    assert said in answer.stderr and answer.stdout == "", answer
    assert served.sql("SELECT count(*) AS n FROM api_key") == before


def test_an_empty_list_means_nothing(served, ctl):
    made = ctl.json("key create", "mute", "--allow", "")
    assert made["allow_agents"] == []
    assert ask(served, made["secret"]) == 403
    again = ctl.run("key", "create", "mute", status=FINDING)
    assert "already a key 'mute'" in again.stderr
    ctl.run("key", "revoke", "mute")
    assert "was revoked at 20" in ctl.run("key", "revoke", "mute", status=FINDING).stderr


def test_it_works_without_a_gateway_and_with_a_broken_file(make, directory):
    gateway = make.gateway()
    ctl = Agwctl(gateway)
    secret = ctl.run("key", "create", "night").stdout.strip()
    assert gateway.stop() == 0
    gateway.write("security", "nonsense: [")
    ctl.run("key", "revoke", "night")
    # The database alone is enough; its mirror knows the keys of the file.
    bare = Agwctl(None, "--database", gateway.database)
    assert "security.yaml" in bare.run("key", "revoke", "client", status=FINDING).stderr
    other = bare.run("key", "create", "day").stdout.strip()
    gateway.write("security", gateway.security)
    gateway.start()
    assert ask(gateway, secret) == 401 and ask(gateway, other) == 200
    nothing = Agwctl(None, "--database", directory / "none.db")
    nothing.run("key", "create", "x", status=FAILED)
    assert not (directory / "none.db").exists()


def test_many_at_once(served, ctl):
    """Writers of several processes: each key once, the chain whole."""
    def work(number):
        ctl.run("key", "create", f"many-{number}")
        ctl.run("key", "rotate", f"many-{number}")
        ctl.run("key", "revoke", f"many-{number}")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(work, range(8)))) == 8  # a failure of one is raised here
    rows = served.sql("SELECT count(*) AS n FROM audit_event WHERE place LIKE 'key:many-%' AND"
                      " kind LIKE 'key.%'")
    assert rows == [{"n": 24}]
