# SPDX-License-Identifier: MIT
"""Reload is atomic and seen by every worker; a broken file keeps the running policy, and says
file:line:column in the answer, the log and the list of errors; at start it refuses with the
same text."""
import signal

import pytest
import yaml

import env
from gateway import KEYS, UPSTREAM_SECRET, agent, merge
from procs import wait_until
from wire import chat


GOOD = """\
version: 1
default:
  allow_agents: ["mock/*"]
api_keys:
  - id: client
    key: {client}
  - id: admin
    key: {admin}
    roles: [client, admin]
    rate_limit: {{per_minute: 0}}
""".format(**KEYS)

# kind of error -> what security.yaml becomes, line:column that must be named
BROKEN = {
    "syntax": (GOOD.replace('["mock/*"]', '["mock/*"'), None),
    "tab": (GOOD.replace("  allow_agents", "\tallow_agents"), "3:"),
    "unknown key": (GOOD.replace("allow_agents", "alow_agents"), "3:3"),
    "wrong type": (GOOD.replace('["mock/*"]', "everything"), "3:17"),
    "duplicate key": (GOOD.replace("default:", "version: 1\ndefault:"), "2:1"),
    "out of range": (GOOD.replace("default:\n", "default:\n  rate_limit: {per_minute: -5}\n"),
                     "3:28"),
    "not a number": (GOOD.replace("default:\n", "default:\n  rate_limit: {per_minute: many}\n"),
                     "3:28"),
    "required key missing": (GOOD.replace("  - id: admin\n    key", "  - key"), "7:5"),
    "duplicate id": (GOOD.replace("id: admin", "id: client"), "7:5"),
    "duplicate secret": (GOOD.replace(KEYS["admin"], KEYS["client"]), "7:5"),
    "both forms of a secret": (GOOD + "    hashed_key: \"sha256:" + "0" * 64 + "\"\n", None),
    "bad hash": (GOOD.replace(f"key: {KEYS['admin']}", "hashed_key: sha256:123"), "8:17"),
    "unknown role": (GOOD.replace("[client, admin]", "[client, root]"), "9:21"),
    "bad time": (GOOD + "    expires_at: tomorrow\n", "11:17"),
    "no keys": ("version: 1\napi_keys: []\n", None),
    "empty file": ("", None),
    "alias": (GOOD.replace("allow_agents: [", "allow_agents: &a [") +
              "    allow_agents: *a\n", "11:19"),
    "bomb": ("version: 1\nx: " + "[" * 100000, None),
    "wrong version": (GOOD.replace("version: 1", "version: 7"), "1:10"),
    "not UTF-8": (GOOD.replace("mock/*", "\udcff"), None),
    "control character": (GOOD.replace("mock/*", "mo\x01ck"), None),
}


def _write(gateway, text):
    path = gateway.conf / "security.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


def _problems(answer):
    """The message of a refused reload; the list beside it must say the same."""
    value = answer.json()
    message = value["error"]["message"]
    assert value["error"]["code"] == "config_rejected" and answer.status == 422, answer
    for problem in value["errors"]:
        line = "{file}:{line}:{column}: {message}".format(**problem).replace(":0:0:", ":")
        assert line in message or len(message) > 900, (line, message)
    return message


def _place(text, place):
    """Whether some line of `text` names security.yaml and the place."""
    wanted = "security.yaml:" + (place or "")
    return wanted in text


@pytest.fixture(scope="module")
def reloading(session_dir, mock):
    from gateway import Gateway
    from webserver import WebServer
    instance = Gateway(session_dir / "reload", mock, gateway={"workers": 3})
    _write(instance, GOOD)
    with instance, WebServer(instance.directory, instance.socket, "nginx") as web:
        instance.port = web.port
        yield instance


@pytest.mark.parametrize("kind", BROKEN)
def test_T7_broken_policy_keeps_the_old_one(reloading, admin_for, kind):
    gateway, admin = reloading, admin_for(reloading.port)
    text, place = BROKEN[kind]
    _write(gateway, GOOD)
    assert admin.ask("POST", "/security/refresh").status == 200
    generation = _generation(gateway, admin)
    rejected = len(gateway.events("config.rejected"))

    _write(gateway, text)
    answer = admin.ask("POST", "/security/refresh")
    message = _problems(answer)
    assert _place(message, place), message
    # Nobody runs anything new: all workers answer as before.
    assert {chat(gateway.port, KEYS["admin"], "mock/ok").status for _ in range(9)} == {200}
    assert _generation(gateway, admin) == generation

    events = gateway.events("config.rejected")[rejected:]
    assert events and any(_place(str(event), place) for event in events), events
    errors = admin.ask("GET", "/admin/agents/errors")
    assert _place(errors.body.decode(), place)
    assert errors.body == admin.ask("GET", "/agents/errors").body or errors.status == 200
    for secret in (KEYS["admin"], KEYS["client"]):
        assert secret not in message and secret not in errors.body.decode()
    assert gateway.has_secret(KEYS["admin"], KEYS["client"]) == []


def _generation(gateway, admin):
    line = [line for line in admin.ask("GET", "/metrics").body.decode().splitlines()
            if line.startswith("agent_gateway_config_generation ")]
    return float(line[0].split()[1])


@pytest.mark.parametrize("kind", BROKEN)
def test_T7_broken_policy_refuses_to_start_with_the_same_text(reloading, make, admin_for, kind):
    text, place = BROKEN[kind]
    gateway = make.gateway(start=False)
    _write(gateway, text)
    status, said = gateway.refuses_to_start()
    assert status > 0
    assert _place(said, place), said
    assert not gateway.socket.exists()

    _write(reloading, text)
    message = _problems(admin_for(reloading.port).ask("POST", "/security/refresh"))
    for line in message.splitlines():
        if "security.yaml" in line:
            assert line.partition("security.yaml")[2].strip() in said, (line, said)


def test_all_errors_at_once(reloading, admin_for):
    text = GOOD.replace("allow_agents", "alow_agents").replace("[client, admin]", "[root]") + \
        "    expires_at: never\n"
    _write(reloading, text)
    message = _problems(admin_for(reloading.port).ask("POST", "/security/refresh"))
    for place in ("security.yaml:3:3", "security.yaml:9:", "security.yaml:11:"):
        assert place in message, message


def test_T7_missing_file(reloading, admin_for):
    (reloading.conf / "security.yaml").unlink()
    answer = admin_for(reloading.port).ask("POST", "/security/refresh")
    assert "security.yaml" in _problems(answer)
    assert chat(reloading.port, KEYS["client"], "mock/ok").status == 200
    _write(reloading, GOOD)


@pytest.mark.parametrize("how", ["SIGHUP", "endpoint"])
def test_new_policy_is_seen_by_every_worker(make, admin_for, how):
    gateway = make.gateway(gateway={"workers": 4})
    port = make.server(gateway).port
    admin = admin_for(port)
    for denied in (True, False, True):
        gateway.security["default"]["deny_agents"] = ["mock/ok"] if denied else []
        gateway.write("security", gateway.security)
        if how == "SIGHUP":
            gateway.reload()
        else:
            answer = admin.ask("POST", "/security/refresh")
            assert answer.status == 200
        statuses = {chat(port, KEYS["client"], "mock/ok").status for _ in range(24)}
        assert statuses == {403 if denied else 200}
    assert len(gateway.events("config.reloaded")) >= 3


def test_refresh_lists_the_keys(reloading, admin_for):
    _write(reloading, GOOD)
    value = admin_for(reloading.port).ask("POST", "/security/refresh").json()
    rows = value if isinstance(value, list) else value.get("data", value.get("keys"))
    assert {row["key_id"] for row in rows} == {"client", "admin"}
    for row in rows:
        assert {"key_id", "allow_agents", "rate_limit_per_minute", "expires_at"} <= set(row)
        assert "key" not in row and "hash" not in str(row)


def test_removed_key_is_refused_at_once(make, admin_for):
    gateway = make.gateway(gateway={"workers": 4})
    port = make.server(gateway).port
    assert chat(port, KEYS["client2"], "mock/ok").status == 200
    gateway.security["api_keys"] = [key for key in gateway.security["api_keys"]
                                    if key["id"] != "client2"]
    gateway.write("security", gateway.security)
    assert admin_for(port).ask("POST", "/security/refresh").status == 200
    assert {chat(port, KEYS["client2"], "mock/ok").status for _ in range(16)} == {401}


@pytest.mark.parametrize("component", ["agents", "upstreams"])
@pytest.mark.parametrize("prefix", ["", "/admin"])
def test_other_components_reload_and_refuse(make, admin_for, component, prefix):
    gateway = make.gateway()
    port = make.server(gateway).port
    admin = admin_for(port)
    if component == "agents":
        changed = merge(gateway.agents, {
            "agents": gateway.agents["agents"] + [agent("brand-new", model="ok")]})
    else:
        changed = gateway.upstreams
        changed["upstreams"][0]["weight"] = 5
    gateway.write(component, changed)
    answer = admin.ask("POST", f"{prefix}/{component}/refresh")
    assert answer.status == 200, answer
    if component == "agents":
        assert {chat(port, KEYS["client"], "mock/brand-new").status for _ in range(8)} == {200}

    gateway.write(component, yaml.safe_dump(changed) + "surplus: 1\n")
    answer = admin.ask("POST", f"{prefix}/{component}/refresh")
    assert f"{component}.yaml:" in _problems(answer)
    assert chat(port, KEYS["client"], "mock/ok").status == 200
    errors = admin.ask("GET", "/admin/agents/errors").body.decode()
    assert f"{component}.yaml:" in errors


def test_agent_with_unknown_upstream_is_refused(make, admin_for):
    gateway = make.gateway()
    port = make.server(gateway).port
    gateway.write("agents", merge(gateway.agents, {
        "agents": gateway.agents["agents"] + [agent("lost", upstream="nowhere")]}))
    assert "nowhere" in _problems(admin_for(port).ask("POST", "/agents/refresh"))


def test_T7_broken_gateway_yaml_refuses_to_start(make):
    gateway = make.gateway(start=False)
    gateway.write("gateway", yaml.safe_dump(gateway.gateway) + "wokers: 3\n")
    status, said = gateway.refuses_to_start()
    assert status > 0 and "gateway.yaml:" in said and "wokers" in said


def test_reload_under_load_fails_no_request(make, admin_for):
    """Each request sees one truth: the old or the new configuration, never a mixture."""
    import threading
    gateway = make.gateway()
    port = make.server(gateway, "lighttpd").port
    stop, statuses = threading.Event(), []

    def load():
        while not stop.is_set():
            statuses.append(chat(port, KEYS["client"], "mock/ok").status)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(10):
        gateway.security["default"]["rate_limit"]["per_minute"] = 100000 + n
        gateway.write("security", gateway.security)
        gateway.reload()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200} and len(statuses) > 20


def test_environment_overrides(make):
    other = make.gateway(start=False, name="other")
    gateway = make.gateway(name="over", environment={
        "GATEWAY_SECURITY_CONFIG": str(other.conf / "security.yaml"),
        "GATEWAY_LOG_LEVEL": "debug"})
    other.security["default"]["deny_agents"] = ["mock/*"]
    other.write("security", other.security)
    gateway.reload()
    port = make.server(gateway).port
    assert chat(port, KEYS["client"], "mock/ok").status == 403


def test_secret_from_the_environment_reaches_the_upstream_only(make, mock, rid):
    gateway = make.gateway()
    port = make.server(gateway).port
    assert chat(port, KEYS["client"], "mock/ok", user=rid).status == 200
    seen = mock.request(rid)["headers"]
    assert seen["authorization"] == f"Bearer {UPSTREAM_SECRET}"
    assert KEYS["client"] not in str(seen)
    assert gateway.has_secret(UPSTREAM_SECRET) == []


def test_missing_variable_is_named(make):
    gateway = make.gateway(start=False)
    gateway.environment.pop("AGW_TEST_UPSTREAM_KEY")
    status, said = gateway.refuses_to_start()
    assert status > 0 and "AGW_TEST_UPSTREAM_KEY" in said and "upstreams.yaml:" in said


def test_sighup_with_a_broken_file_is_reported(make, admin_for):
    gateway = make.gateway()
    port = make.server(gateway).port
    _write(gateway, BROKEN["unknown key"][0])
    gateway.signal(signal.SIGHUP)
    event = gateway.wait_event("config.rejected")
    assert _place(str(event), "3:3"), event
    wait_until(lambda: _place(
        admin_for(port).ask("GET", "/admin/agents/errors").body.decode(), "3:3"), 5, "error")
    assert chat(port, KEYS["client"], "mock/ok").status == 200


def test_check_says_what_a_start_would_say(make):
    gateway = make.gateway(start=False)
    gateway.argv = lambda: [env.GATEWAY, "--config", gateway.conf / "gateway.yaml", "--check"]
    status, said = gateway.refuses_to_start()
    assert status == 0, said
    assert not gateway.database.exists()
    _write(gateway, BROKEN["unknown key"][0])
    status, said = gateway.refuses_to_start()
    assert status == 1 and _place(said, "3:3")


def test_changed_agents_are_read_by_themselves_if_wished(make):
    gateway = make.gateway(environment={"GATEWAY_AGENT_AUTO_RELOAD": "1"})
    port = make.server(gateway).port
    assert chat(port, KEYS["client"], "mock/brand-new").status == 404
    gateway.write("agents", merge(gateway.agents, {
        "agents": gateway.agents["agents"] + [agent("brand-new", model="ok")]}))
    wait_until(lambda: chat(port, KEYS["client"], "mock/brand-new").status == 200, 10,
               "the new agent")
    gateway.write("agents", "version: 1\nagents: [\n")
    gateway.wait_event("config.rejected")
    assert chat(port, KEYS["client"], "mock/brand-new").status == 200
