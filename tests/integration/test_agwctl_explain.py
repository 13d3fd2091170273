# SPDX-License-Identifier: MIT
"""agwctl explain says what the server decided, decides or would decide, where that is written,
and what would allow it; decisions on record come out the same again, or it says so."""
import json
import shlex
import sqlite3
import time

import pytest

import fcgi
from agwctl import FAILED, FINDING, HOSTILE, USAGE, Agwctl, schema
from gateway import KEYS, UPSTREAM_SECRET, Gateway
from wire import chat_body, new_id

SECURITY = {"default": {"deny_agents": ["mock/forbidden", {"pattern": "echo/*",
                                                           "mode": "shadow"}]}}


@pytest.fixture(scope="module")
def served(session_dir, mock):
    """A gateway whose policy has changed once, with an override in force and one that is over."""
    instance = Gateway(session_dir / "explain", mock, security=SECURITY)
    instance.start()
    call(instance, "POST", "/security/override",
         {"agent": "vault/*", "ttl_seconds": 1, "reason": "was short"})
    instance.short = ask(instance, "client", "vault/secret-plan")
    instance.early = [ask(instance, key, agent) for key, agent in (
        ("client", "mock/ok"), ("client", "mock/forbidden"), ("narrow", "mock/ok"),
        ("client", "echo/echo"), ("client", "no/such"), ("client", "labs/closed-door"),
        ("client", "labs/open-door"))]
    instance.before = now(instance)
    time.sleep(1.1)
    changed = json.loads(json.dumps(instance.security))
    changed["default"]["allow_agents"] = ["echo/*"]
    instance.write("security", changed)
    assert call(instance, "POST", "/security/refresh").status == 200
    call(instance, "POST", "/security/override",
         {"agent": "labs/closed-door", "ttl_seconds": 600, "reason": "incident", "key_id":
          "client"})
    instance.late = [ask(instance, key, agent) for key, agent in (
        ("client", "mock/ok"), ("client", "labs/closed-door"), ("client2", "labs/closed-door"),
        ("client", "vault/secret-plan"), ("admin", "vault/secret-plan"))]
    yield instance
    instance.stop()


def call(gateway, method, path, body=None):
    return fcgi.call(gateway.socket, method, path, KEYS["admin"], body)


def ask(gateway, key, agent):
    request_id = new_id("explain")
    status = fcgi.chat(gateway.socket, KEYS[key], agent, request_id=request_id).status
    return key, agent, request_id, status


def now(gateway):
    time.sleep(0.01)
    text = gateway.sql("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now') AS t")[0]["t"]
    time.sleep(0.01)
    return text


@pytest.fixture
def ctl(served):
    # Not the gateway's environment: its upstreams' secrets are nobody's business here.
    return Agwctl(None, "--config", served.conf / "gateway.yaml")


def test_says_what_the_server_says(served, ctl):
    for key, agent, _, status in served.late:
        told = ctl.json("explain", "--key", key, "--agent", agent)
        assert told["answer"]["status"] == status, told
        preview = call(served, "POST", "/security/preview", {"agent": agent, "key_id": key}).json()
        assert {name: told[name] for name in preview} == preview


def test_the_past_comes_out_the_same(served, ctl):
    for key, agent, request_id, status in [served.short, *served.early, *served.late]:
        told = ctl.json("explain", "--request", request_id)
        assert told["reproduced"] is True and "note" not in told
        assert told["answer"]["status"] == status
        assert told["recorded"]["request_id"] == request_id
        assert (told["key_id"], told["agent"]) == (key, agent)
    generations = {ctl.json("explain", "--request", one[0][2])["generation"]
                   for one in (served.early, served.late)}
    assert generations == {1, 2}


@pytest.mark.parametrize("what, status", [("override", 403), ("key", 401)])
def test_a_change_while_the_body_comes(served, ctl, what, status):
    """A request whose body trickles in is decided by the policy of its last byte."""
    made = call(served, "POST", "/security/keys", {"id": f"slow-{what}", "allow_agents": [],
                                                   "deny_agents": []}).json()
    grant = call(served, "POST", "/security/override",
                 {"agent": "mock/ok", "ttl_seconds": 60, "key_id": made["id"]}).json()
    request_id = new_id("slow")
    body = chat_body("mock/ok")
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    data = fcgi.request_bytes("POST", "/v1/chat/completions", [
        ("Authorization", "Bearer " + made["secret"]), ("X-Request-Id", request_id)], body)
    with fcgi.connect(served.socket) as sock:
        sock.sendall(data[:-24])
        time.sleep(0.3)
        path = f"/security/overrides/{grant['id']}" if what == "override" else \
            f"/security/keys/{made['id']}"
        assert call(served, "DELETE", path).status == 200
        time.sleep(0.05)
        sock.sendall(data[-24:])
        assert fcgi.read_answer(sock).status == status
    if what == "override":
        told = ctl.json("explain", "--request", request_id)
        assert told["reproduced"] is True and told["allowed"] is False
        assert told["recorded"]["decision"] == "deny"


def test_as_of_a_time(served, ctl):
    for key, agent, _, status in served.early:
        told = ctl.json("explain", "--key", key, "--agent", agent, "--at", served.before)
        assert told["answer"]["status"] == status and told["generation"] == 1
    told = ctl.json("explain", "--key", "client", "--agent", "labs/closed-door", "--at",
                    served.before)
    assert (told["allowed"], told["source"]) == (False, "deny")
    told = ctl.json("explain", "--key", "client", "--agent", "labs/closed-door", "--at", "+590s")
    assert (told["allowed"], told["source"]) == (True, "override")
    told = ctl.json("explain", "--key", "client", "--agent", "labs/closed-door", "--at", "+11m")
    assert told["allowed"] is False
    ctl.run("explain", "--key", "client", "--agent", "mock/ok", "--at", "2001-01-01",
            status=FAILED)


def test_a_changed_override_is_said_loudly(served, ctl, directory):
    copy = directory / "copy.db"
    source = sqlite3.connect(served.database)
    target = sqlite3.connect(copy)
    source.backup(target)
    target.execute("UPDATE override SET pattern = 'other/*' WHERE pattern = 'vault/*'")
    target.commit()
    target.execute("PRAGMA journal_mode = WAL")
    target.close()
    source.close()
    other = Agwctl(None, "--config", served.conf / "gateway.yaml", "--database", copy)
    answer = other.run("explain", "--request", served.short[2], status=FINDING)
    assert "COMES OUT OTHERWISE" in answer.stdout
    assert other.json("explain", "--request", served.short[2],
                      status=FINDING)["reproduced"] is False
    assert other.json("explain", "--request", served.late[0][2])["reproduced"] is True


def test_places_are_lines_of_the_file(served, ctl):
    told = ctl.json("explain", "--key", "client", "--agent", "mock/forbidden")
    path, _, line = told["rule"].rpartition(":")
    assert "mock/forbidden" in open(path).read().splitlines()[int(line) - 1]
    assert told["trace"][-1]["line"] == int(line)
    text = ctl.run("explain", "--key", "client", "--agent", "mock/forbidden").stdout
    assert told["rule"] in text and "403 agent_denied" in text


def test_remedies(served, ctl):
    def actions(key, agent):
        return [(one["action"], one["command"]) for one in
                ctl.json("explain", "--key", key, "--agent", agent)["remedies"]]
    assert actions("admin", "mock/ok") == []
    blocked = actions("client", "mock/forbidden")
    assert "remove or narrow 'mock/forbidden' of default.deny_agents" in blocked[0][0]
    assert blocked[1][1] is not None  # and then it needs a grant, for default has none
    granted = actions("client", "vault/secret-plan")
    assert len(granted) == 2 and granted[0][1].startswith("agwctl override create ")
    assert "roles" in actions("auditor", "mock/ok")[0][0]
    assert "expired" in actions("expired", "mock/ok")[0][0]
    assert "no key 'nobody'" in actions("nobody", "mock/ok")[0][0]
    assert "no agent 'no/such'" in actions("admin", "no/such")[0][0]


def test_keys_that_cannot_call(served, ctl):
    for key, status, code in (("expired", 401, "invalid_api_key"),
                              ("auditor", 403, "role_required"),
                              ("nobody", 401, "invalid_api_key")):
        told = ctl.json("explain", "--key", key, "--agent", "echo/echo")
        assert told["answer"] == {"status": status, "code": code}
    assert told["key_exists"] is False and told["trace"] == []


def test_rules_on_trial(served, ctl):
    told = ctl.json("explain", "--key", "client", "--agent", "echo/echo")
    assert told["allowed"] and told["shadow"]["decision"] == "would_deny"
    assert "would_deny by default.deny_agents echo/*" in ctl.run(
        "explain", "--key", "client", "--agent", "echo/echo").stdout


def test_text_of_an_override(ctl):
    text = ctl.run("explain", "--key", "client", "--agent", "labs/closed-door").stdout
    assert "of admin ends" in text and ": incident." in text and "\\n" not in text
    assert "override.key" in text and "decides" in text


def test_bare_names(served, ctl):
    assert ctl.json("explain", "--key", "client", "--agent", "echo")["agent"] == "echo/echo"


def test_files_and_no_database(served, ctl, directory):
    told = ctl.json("explain", "--key", "client", "--agent", "mock/ok", "--files")
    assert told["basis"] == "files" and told["generation"] == 0
    fresh = Gateway(directory / "fresh", served.mock, security=SECURITY)
    answer = Agwctl(None, "--config", fresh.conf / "gateway.yaml").run(
        "explain", "--key", "client", "--agent", "mock/ok")
    assert "never in force" in answer.stderr and "not yet in force" in answer.stdout
    assert not fresh.database.exists()
    Agwctl(None, "--config", fresh.conf / "gateway.yaml").run("explain", "--request", "x",
                                                              status=FAILED)


def test_batch(served, ctl):
    lines = [{"key": key, "agent": agent, "at": served.before}
             for key, agent, _, _ in served.early]
    lines += [{"request": one[2]} for one in served.late]
    told = ctl.json("explain", "--batch", lines=True,
                    stdin="\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert [one["answer"]["status"] for one in told] == \
        [one[3] for one in served.early + served.late]
    assert [one.get("reproduced") for one in told[-5:]] == [True] * 5


def test_batch_lines_that_are_no_questions(served, ctl):
    bad = ["{", "[]", "7", "{}", '{"key": "client"}', '{"key": 1, "agent": "a"}',
           '{"key": "client", "agent": "mock/ok", "at": "soon"}',
           '{"key": "client", "agent": "mock/ok", "agnt": "x"}',
           '{"key": "client", "agent": "mock/ok", "request": "x"}', '{"request": "nobody"}',
           '{"key": "client", "agent": "' + "x" * 70000 + '"}', '{"key":"a","key":"b","agent":"c"}',
           "[" * 5000, "\x00", HOSTILE.replace("\r\n", ""), "\udcff"]
    answer = ctl.run("explain", "--batch", status=None,
                     stdin="\n".join(bad).encode("utf-8", "surrogateescape") +
                     b'\n{"key":"client","agent":"echo/echo"}')
    assert answer.status in (FINDING, FAILED)
    told = [json.loads(line) for line in answer.lines()]
    for one in told:
        schema("explain").validate(one)
    assert ["error" in one for one in told] == [True] * len(bad) + [False]


@pytest.mark.parametrize("words", [
    [], ["--key", "client"], ["--agent", "a/b"], ["--key", "a", "--agent", "b", "--request", "c"],
    ["--request", "a", "--at", "-1h"], ["--batch", "--key", "a"], ["--batch", "--request", "a"],
    ["--key", "a", "--agent", "b", "--at", "soon"],
    ["--key", "a", "--agent", "b", "--at", "-1h", "--files"], ["extra"]])
def test_usage(ctl, words):
    ctl.run("explain", *words, status=USAGE)


def test_hostile_names_are_harmless(ctl):
    ctl.run("explain", "--key", HOSTILE, "--agent", HOSTILE)
    ctl.run("explain", "--key", "client", "--agent", HOSTILE)
    ctl.run("explain", "--request", HOSTILE, status=FAILED)
    told = ctl.json("explain", "--key", "client", "--agent", "x'; rm -rf /; '")
    assert told["answer"]["code"] == "model_not_found"


def test_secrets_stay_secret(served, ctl):
    text = ctl.run("explain", "--key", "client", "--agent", "mock/ok", "--json").stdout
    assert not any(secret in text for secret in [*KEYS.values(), UPSTREAM_SECRET])


def test_a_broken_policy_in_the_files_is_told(directory, mock):
    broken = Gateway(directory / "broken", mock)
    broken.write("security", "version: 1\napi_keys: []\n")
    answer = Agwctl(None, "--config", broken.conf / "gateway.yaml").run(
        "explain", "--key", "a", "--agent", "b", status=FAILED)
    assert "security.yaml:2:11:" in answer.stderr


def test_the_commands_do_what_they_say(served, ctl):
    """Both remedies, run as a shell would, make the refused call an allowed one."""
    told = ctl.json("explain", "--key", "newcomer", "--agent", "vault/secret-plan")
    for _ in range(2):
        words = shlex.split(next(one["command"] for one in told["remedies"] if one["command"]))
        assert words[0] == "agwctl"
        ctl.run(*words[1:])
        told = ctl.json("explain", "--key", "newcomer", "--agent", "vault/secret-plan")
    assert told["answer"]["status"] == 200 and told["source"] == "override"
    assert told["override"]["key_id"] == "newcomer"
