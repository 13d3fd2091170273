# SPDX-License-Identifier: MIT
"""agwctl access lists exactly what clients can call, also as of a moment of the past, and its
CSV cannot make a spreadsheet run anything."""
import csv
import io
import json

import pytest

import fcgi
from agwctl import CONTROL, USAGE, Agwctl
from gateway import KEYS, agent
from test_agwctl_explain import call, now

FORMULA = "=cmd/[a-z]*"  # a pattern may begin like a formula
HOSTILE_ID = "-2"


@pytest.fixture(scope="module")
def reviewed(session_dir, mock):
    from gateway import Gateway, default_security
    keys = default_security()["api_keys"]
    keys[0]["allow_agents"] = ["mock/ok", FORMULA, "-2*", "+1*"]
    keys.append({"id": HOSTILE_ID, "key": "sk-test-hostile-id-1", "allow_agents": ["@*", "echo/*"]})
    instance = Gateway(session_dir / "access", mock, security={"api_keys": keys},
                       agents={"agents": [agent("ok"), agent("echo", "echo", "echo", "echo-1"),
                                          agent("closed-door", "labs"),
                                          agent("open-door", "labs"),
                                          agent("tooled", kind="sdk", module="a.b:c"),
                                          agent("1", "-2", model="ok")]})
    instance.start()
    instance.before = now(instance)
    call(instance, "POST", "/security/override",
         {"agent": "labs/*", "ttl_seconds": 300, "key_id": "client2", "reason": "review"})
    yield instance
    instance.stop()


@pytest.fixture
def ctl(reviewed):
    return Agwctl(None, "--config", reviewed.conf / "gateway.yaml")


def test_it_is_what_clients_see(reviewed, ctl):
    entries = ctl.json("access")["entries"]
    for key in [*KEYS, HOSTILE_ID]:
        secret = KEYS.get(key, "sk-test-hostile-id-1")
        answer = fcgi.call(reviewed.socket, "GET", "/v1/models", secret)
        seen = [model["id"] for model in answer.json()["data"]] if answer.status == 200 else []
        assert sorted(seen) == sorted(one["agent"] for one in entries if one["key_id"] == key)
    assert all(one["may_call"] for one in entries)


def test_all_of_it(reviewed, ctl):
    document = ctl.json("access", "--all")
    assert len(document["entries"]) == (len(KEYS) + 1) * 6
    why = {(one["key_id"], one["agent"]): one for one in document["entries"]}
    assert why["expired", "mock/ok"]["answer"] == "invalid_api_key"
    assert why["auditor", "mock/ok"]["answer"] == "role_required"
    assert why["admin", "mock/tooled"]["answer"] == "model_not_found"
    assert why["narrow", "mock/ok"]["answer"] == "agent_denied"
    granted = why["client2", "labs/closed-door"]
    assert (granted["source"], granted["pattern"]) == ("override", "labs/*")
    assert granted["override_expires_at"] and granted["rule"].startswith("ovr_")


def test_filters(ctl):
    entries = ctl.json("access", "--key", "client2", "--agent", "labs/closed-door")["entries"]
    assert [(one["key_id"], one["agent"]) for one in entries] == [("client2", "labs/closed-door")]
    assert ctl.json("access", "--key", "nobody")["entries"] == []
    assert "No key may call any agent" in ctl.run("access", "--key", "nobody").stdout


def test_as_of_a_time(reviewed, ctl):
    def labs(*words):
        return [one["agent"] for one in ctl.json("access", "--key", "client2", *words)["entries"]
                if one["source"] == "override"]
    assert labs() == ["labs/closed-door", "labs/open-door"]
    assert labs("--at", reviewed.before) == [] and labs("--at", "+301s") == []
    assert labs("--at", "+200s") != []
    assert labs("--files") == labs()


def test_csv(ctl):
    answer = ctl.run("access", "--csv", "--all")
    rows = list(csv.reader(io.StringIO(answer.stdout)))
    assert rows[0][:3] == ["key_id", "agent", "may_call"]
    assert {len(row) for row in rows} == {9}
    cells = [cell for row in rows for cell in row if cell]
    assert not any(cell[0] in "=+-@\t\r" for cell in cells)
    assert "'-2" in cells and "'-2*" in cells
    assert len(rows) - 1 == len(ctl.json("access", "--all")["entries"])


def test_text(ctl):
    text = ctl.run("access").stdout
    assert text.splitlines()[0].split()[:3] == ["KEY", "AGENT", "MAY"]
    shown = ctl.terminal("access", "--key", "client2")
    assert CONTROL.search(shown.replace("\r\n", "\n")), "colours on a terminal"
    assert len(text.splitlines()) - 1 == len(ctl.json("access")["entries"])


def test_json_is_one_document(ctl):
    text = ctl.run("access", "--json", "--key", "nobody").stdout
    assert json.loads(text)["entries"] == []


@pytest.mark.parametrize("words", [["--csv", "--json"], ["--at", "x"], ["x"],
                                   ["--at", "-1h", "--files"], ["--key"]])
def test_usage(ctl, words):
    ctl.run("access", *words, status=USAGE)
