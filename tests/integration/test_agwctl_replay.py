# SPDX-License-Identifier: MIT
"""agwctl replay finds exactly the requests that a proposed security.yaml would decide
otherwise."""
import copy
import time

import pytest
import yaml

import fcgi
from agwctl import FAILED, FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS, Gateway
from test_agwctl_explain import call, now

ASKED = [("client", "mock/ok", 3), ("client2", "mock/ok", 2), ("client", "mock/forbidden", 2),
         ("narrow", "mock/ok", 1), ("narrow", "echo/echo", 4), ("client", "labs/open-door", 1),
         ("admin", "vault/secret-plan", 1), ("client", "vault/secret-plan", 2)]


@pytest.fixture(scope="module")
def used(session_dir, mock):
    instance = Gateway(session_dir / "replay", mock)
    instance.start()
    call(instance, "POST", "/security/override",
         {"agent": "vault/*", "ttl_seconds": 1, "key_id": "client", "reason": "short"})
    for key, agent, count in ASKED:
        for _ in range(count):
            fcgi.chat(instance.socket, KEYS[key], agent)
    instance.middle = now(instance)
    time.sleep(1.1)
    assert fcgi.chat(instance.socket, KEYS["client"], "vault/secret-plan").status == 403
    call(instance, "POST", "/security/preview", {"agent": "mock/ok"})
    yield instance
    instance.stop()


@pytest.fixture
def ctl(used):
    return Agwctl(None, "--config", used.conf / "gateway.yaml")


@pytest.fixture
def propose(used, ctl, directory):
    def run(change, *words, **options):
        security = copy.deepcopy(used.security)
        change(security)
        path = directory / "proposal.yaml"
        path.write_text(yaml.safe_dump(security, sort_keys=False))
        return ctl.json("replay", "--security", path, *words, **options)
    return run


def flips(document):
    return {(one["key_id"], one["agent"]): (one["requests"], one["was"]["decision"],
                                            one["would_be"]["decision"], one["would_be"]["code"])
            for one in document["flips"]}


def test_the_same_policy_flips_nothing(used, propose, ctl):
    document = propose(lambda security: None, "--fail-on-flip")
    assert document["flips"] == [] and document["flipped_requests"] == 0
    assert document["requests"] == sum(count for _, _, count in ASKED) + 1
    assert document["pairs"] == len(ASKED)
    assert "No decision would flip" in ctl.run(
        "replay", "--security", used.conf / "security.yaml").stdout


def test_a_new_denial(propose):
    document = propose(lambda security: security["default"]["deny_agents"].append("mock/ok"),
                       "--fail-on-flip", status=FINDING)
    assert flips(document) == {("client", "mock/ok"): (3, "allow", "deny", "agent_denied"),
                               ("client2", "mock/ok"): (2, "allow", "deny", "agent_denied")}
    one = document["flips"][0]
    assert one["was"]["pattern"] == "mock/*" and one["was"]["source"] == "api_key"
    assert one["would_be"]["pattern"] == "mock/ok" and "proposal.yaml:" in one["would_be"]["rule"]
    assert one["first"] <= one["last"] and document["flipped_requests"] == 5


def test_a_new_grant(propose):
    def change(security):
        security["default"]["deny_agents"] = []
        security["api_keys"][6]["allow_agents"] = ["echo/echo", "mock/*"]
    assert flips(propose(change)) == {("client", "mock/forbidden"): (2, "deny", "allow", None),
                                      ("narrow", "mock/ok"): (1, "deny", "allow", None)}


def test_keys_that_are_gone_or_lose_their_role(propose):
    def change(security):
        del security["api_keys"][0]
        security["api_keys"][0]["roles"] = ["auditor"]
    found = flips(propose(change))
    assert found["client", "mock/ok"] == (3, "allow", "deny", "invalid_api_key")
    assert found["client2", "mock/ok"] == (2, "allow", "deny", "role_required")
    assert ("client", "mock/forbidden") not in found  # refused before, refused after


def test_a_key_that_would_have_expired(used, propose):
    def change(security):
        security["api_keys"][0]["expires_at"] = used.middle
    assert flips(propose(change)) == {}  # what came later was denied anyway
    document = propose(lambda security: security["api_keys"][0].update(
        expires_at="2020-01-01T00:00:00Z"))
    assert flips(document)["client", "mock/ok"][3] == "invalid_api_key"


def test_overrides_count_as_they_were_then(propose):
    """Two requests were allowed by an override that has ended, one came too late."""
    assert ("client", "vault/secret-plan") not in flips(propose(lambda security: None))
    document = propose(lambda security: security["default"]["deny_agents"].append("vault/*"))
    assert flips(document)["client", "vault/secret-plan"] == (2, "allow", "deny", "agent_denied")
    assert document["flips"][0]["was"]["source"] in ("override", "api_key")
    document = propose(lambda security: security["default"]["allow_agents"].append("vault/*"))
    assert flips(document) == {("client", "vault/secret-plan"): (1, "deny", "allow", None)}


def test_rules_on_trial_change_nothing(propose):
    document = propose(lambda security: security["default"]["deny_agents"].append(
        {"pattern": "*", "mode": "shadow"}))
    assert document["flips"] == []


def test_periods_and_filters(used, propose):
    def deny(security):
        security["default"]["deny_agents"].append("*")
    everything = propose(deny)
    assert propose(deny, "--until", "2001-01-01")["requests"] == 0
    assert propose(deny, "--since", used.middle)["requests"] == 1
    assert propose(deny, "--since", "-1h")["requests"] == everything["requests"]
    assert propose(deny, "--until", used.middle)["requests"] == everything["requests"] - 1
    assert propose(deny, "--key", "narrow")["requests"] == 5
    assert propose(deny, "--agent", "mock/ok")["requests"] == 6
    assert propose(deny, "--agent", "mock/ok", "--key", "client")["requests"] == 3
    assert propose(deny, "--key", "client", "--since", used.middle)["requests"] == 1
    assert propose(deny, "--key", HOSTILE)["requests"] == 0
    assert propose(deny, "--agent", "secret-plan")["requests"] == 4  # the bare name


def test_text(used, ctl, directory):
    path = directory / "proposal.yaml"
    path.write_text((used.conf / "security.yaml").read_text().replace("mock/forbidden", "mock/ok"))
    text = ctl.run("replay", "--security", path).stdout
    assert "7 of 17 requests" in text and "agent_denied" not in text
    assert "mock/forbidden" in text and "\\n" not in text


@pytest.mark.parametrize("text, said", [
    ("version: 1\napi_keys: []\n", "proposal.yaml:2:11:"), ("", "proposal.yaml"),
    ("\x00", "control character"), ("a: [", "proposal.yaml:")])
def test_a_broken_proposal(ctl, directory, text, said):
    path = directory / "proposal.yaml"
    path.write_text(text)
    answer = ctl.run("replay", "--security", path, status=FAILED)
    assert said in answer.stderr and answer.stdout == ""


def test_a_proposal_with_the_id_of_a_run_time_key(used, ctl, directory):
    call(used, "POST", "/security/keys", {"id": "ci"})
    text = (used.conf / "security.yaml").read_text() + "- {id: ci, key: sk-test-ci-71}\n"
    path = directory / "proposal.yaml"
    path.write_text(text)
    answer = ctl.run("replay", "--security", path, status=FAILED)
    assert f"proposal.yaml:{len(text.splitlines())}:" in answer.stderr
    assert "'ci' was made at run time" in answer.stderr
    assert call(used, "DELETE", "/security/keys/ci").status == 200
    ctl.run("replay", "--security", path)


def test_what_is_missing(used, ctl, directory, mock):
    ctl.run("replay", "--security", directory / "nothing.yaml", status=FAILED)
    ctl.run("replay", "--security", directory, status=FAILED)
    fresh = Gateway(directory / "fresh", mock)
    Agwctl(None, "--config", fresh.conf / "gateway.yaml").run(
        "replay", "--security", fresh.conf / "security.yaml", status=FAILED)


@pytest.mark.parametrize("words", [[], ["--security"], ["--security", "a", "b"],
                                   ["--security", "a", "--since", "x"]])
def test_usage(ctl, words):
    ctl.run("replay", *words, status=USAGE)


def test_nothing_is_changed(used, propose):
    before = used.sql("SELECT count(*) AS n, max(seq) AS s FROM audit_event")
    generation = used.sql("SELECT count(*) AS n FROM configuration")
    propose(lambda security: security["default"]["deny_agents"].append("*"))
    assert used.sql("SELECT count(*) AS n, max(seq) AS s FROM audit_event") == before
    assert used.sql("SELECT count(*) AS n FROM configuration") == generation
