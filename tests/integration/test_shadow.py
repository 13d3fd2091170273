# SPDX-License-Identifier: MIT
"""Rules on trial (mode: shadow) change no answer, and are seen in log, audit, metrics, previews,
the view and the query file."""
import json
import re

import pytest

import env
import fcgi
from agwctl import FINDING, Agwctl
from gateway import KEYS, default_security
from test_sqlite_shell import rows, shell
from wire import new_id

RULES = {"default": {
    "allow_agents": ["mock/*", "echo/*", {"pattern": "vault/*", "mode": "shadow"}],
    "deny_agents": ["mock/forbidden", {"pattern": "echo/*", "mode": "shadow"},
                    {"pattern": "mock/forbidden", "mode": "shadow"}]},
    "api_keys": [{**key, "deny_agents": ["a/b", {"pattern": "mock/*", "mode": "shadow"}]}
                 if key["id"] == "narrow" else key for key in default_security()["api_keys"]]}


@pytest.fixture(scope="module")
def tried(session_dir, mock):
    from gateway import Gateway
    with Gateway(session_dir / "shadow", mock, security=RULES) as instance:
        instance.ids = {}
        for agent in ("echo/echo", "mock/ok", "mock/forbidden", "vault/secret-plan"):
            instance.ids[agent] = new_id("shadow")
            instance.ids[agent, "status"] = fcgi.chat(
                instance.socket, KEYS["client"], agent, request_id=instance.ids[agent]).status
            for _ in range(2):
                fcgi.chat(instance.socket, KEYS["client2"], agent)
        yield instance


def test_answers_are_as_without(tried):
    assert [tried.ids[agent, "status"] for agent in
            ("echo/echo", "mock/ok", "mock/forbidden", "vault/secret-plan")] == \
        [200, 200, 403, 403]


@pytest.mark.parametrize("agent, would, listed, pattern", [
    ("echo/echo", "would_deny", "default.deny_agents", "echo/*"),
    ("vault/secret-plan", "would_allow", "default.allow_agents", "vault/*"),
    ("mock/ok", None, None, None), ("mock/forbidden", None, None, None)])
def test_audit_log_and_preview_tell(tried, agent, would, listed, pattern):
    row = tried.audit(request_id=tried.ids[agent], decision="deny" if would != "would_deny" and
                      agent != "mock/ok" else "allow")[0]
    event = tried.events("agent.security.decision", request_id=tried.ids[agent])[0]
    preview = fcgi.call(tried.socket, "POST", "/security/preview", KEYS["admin"],
                        {"agent": agent, "key_id": "client"}).json()
    if would is None:
        assert row["detail"] is None and "shadow" not in event and preview["shadow"] is None
        return
    place = json.loads(row["detail"])[would].pop("place")
    assert json.loads(row["detail"]) == {would: {"rule": listed, "pattern": pattern,
                                                 "place": place}}
    assert re.fullmatch(r".*security\.yaml:\d+", place)
    text = (tried.conf / "security.yaml").read_text().splitlines()
    assert f"pattern: {pattern}" in text[int(place.rpartition(":")[2]) - 1]
    assert (event["shadow"], event["shadow_list"], event["shadow_pattern"],
            event["shadow_rule"]) == (would, listed, pattern, place)
    assert preview["shadow"] == {"decision": would, "list": listed, "pattern": pattern,
                                 "rule": place}
    assert preview["allowed"] is (would == "would_deny")


def test_metric_counts_requests_that_would_be_denied(tried):
    text = fcgi.call(tried.socket, "GET", "/metrics", KEYS["admin"]).body.decode()
    found = re.findall(r"^agent_gateway_shadow_denied_total\{(.*)\} (\d+)$", text, re.M)
    assert found == [('rule="default.deny_agents echo/*"', "3")]


def test_view_and_query(tried):
    found = rows(tried, "SELECT * FROM shadow_decisions")
    assert len(found) == 6 and {row["kind"] for row in found} == {"decision", "refusal"}
    assert {(row["agent"], row["would"], row["shadow_pattern"]) for row in found} == {
        ("echo/echo", "would_deny", "echo/*"), ("vault/secret-plan", "would_allow", "vault/*")}
    text = (env.SOURCE / "sql" / "queries" / "shadow-rules.sql").read_text()
    answer = json.loads(shell(tried, text, "-json", "-readonly"))
    assert sorted((row["would"], row["requests"], row["keys"]) for row in answer) == [
        ("would_allow", 3, 2), ("would_deny", 3, 2)]


def test_keys_table_shows_what_is_on_trial(tried):
    health = rows(tried, "SELECT deny_agents FROM key_health WHERE id = 'narrow'")
    assert json.loads(health[0]["deny_agents"]) == [
        "a/b", {"pattern": "mock/*", "mode": "shadow"}]


def test_config_diff_sees_the_mode(tried):
    ctl = Agwctl(tried)
    rules = json.loads(json.dumps(tried.security))
    rules["default"]["deny_agents"][1]["mode"] = "enforce"
    tried.write("security", rules)
    changed = ctl.json("config diff", status=FINDING)["changes"]
    assert len(changed) == 1 and "shadow" in json.dumps(changed[0])
    tried.write("security", tried.security)
    assert ctl.json("config diff")["changes"] == []


def test_enforcing_the_rule_denies(tried):
    rules = json.loads(json.dumps(tried.security))
    rules["default"]["deny_agents"][1]["mode"] = "enforce"
    tried.write("security", rules)
    assert fcgi.call(tried.socket, "POST", "/security/refresh", KEYS["admin"]).status == 200
    assert fcgi.chat(tried.socket, KEYS["client"], "echo/echo").status == 403
    rules["default"]["deny_agents"][1]["mode"] = "audit"
    tried.write("security", rules)
    refused = fcgi.call(tried.socket, "POST", "/security/refresh", KEYS["admin"])
    assert refused.status == 422 and "must be one of: enforce, shadow" in refused.body.decode()
