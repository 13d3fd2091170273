# SPDX-License-Identifier: MIT
"""agwctl config check and config diff."""
import copy
import datetime

from agwctl import FAILED, FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS, UPSTREAM_SECRET, agent


def by(changes, thing, name):
    found = [c for c in changes if c["object"] == thing and c["id"] == name]
    assert len(found) == 1, changes
    return found[0]


def fields(change):
    return {f["field"]: f for f in change["fields"]}


def quiet(gateway):
    """Configuration files without anything to warn of."""
    gateway.security["api_keys"] = [
        {"id": "client", "hashed_key": "sha256:" + "ab" * 32, "roles": ["client"]}]
    gateway.write_all()
    for path in gateway.conf.iterdir():
        path.chmod(0o640)


# --- check ----------------------------------------------------------------------------------

def test_check_of_what_is_fine(make):
    gateway = make.gateway(start=False)
    quiet(gateway)
    ctl = Agwctl(gateway)
    report = ctl.json("config check", "--strict")
    assert report["valid"] and report["errors"] == report["warnings"] == []
    assert report["counts"]["keys"] == 1 and report["counts"]["upstreams"] == 4
    assert "fine" in ctl.run("config", "check").stdout
    assert not gateway.database.exists()  # offline: nothing is made


def test_check_tells_all_errors_at_once_with_places(make):
    gateway = make.gateway(start=False)
    gateway.write("agents", "version: 1\nagents:\n  - {name: x, upstream: nowhere}\n  - {nme: y}\n")
    gateway.write("security", "version: 1\napi_keys:\n  - {id: a, key: two words}\n")
    gateway.write("upstreams", "version: 2\nupstreams: []\n")
    report = Agwctl(gateway).json("config check", status=FINDING)
    assert not report["valid"] and report["counts"] is None
    files = {error["file"].rsplit("/", 1)[1] for error in report["errors"]}
    assert files == {"agents.yaml", "security.yaml", "upstreams.yaml"}
    assert all(error["line"] >= 1 for error in report["errors"])
    text = Agwctl(gateway).run("config", "check", status=FINDING).stdout
    assert len(text.splitlines()) == len(report["errors"]) + len(report["warnings"])
    assert f"{gateway.conf}/agents.yaml:4:6: unknown option 'nme', did you mean 'name'?" in text


def test_check_warns(make):
    gateway = make.gateway(start=False)
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=3)
    gateway.security["api_keys"] += [
        {"id": "soon", "key": "sk-expiring-soon", "expires_at": soon.strftime("%Y-%m-%dT%H:%M:%SZ")}]
    gateway.write_all()
    (gateway.conf / "security.yaml").chmod(0o644)
    ctl = Agwctl(gateway)
    report = ctl.json("config check")  # warnings alone are no finding
    assert report["valid"]
    told = [(w["subject"], w["message"]) for w in report["warnings"]]
    assert any(s.endswith("/security.yaml") and "every user" in m for s, m in told)
    assert any(s == "key client" and "plaintext" in m for s, m in told)
    assert any(s == "key expired" and "has expired" in m for s, m in told)
    assert any(s == "key soon" and "expires soon" in m for s, m in told)
    ctl.run("config", "check", "--strict", status=FINDING)
    shown = ctl.run("config", "check")
    assert not any(secret in shown.stdout + shown.stderr for secret in KEYS.values())


def test_check_of_bad_and_hostile_files(make, directory):
    missing = Agwctl(None, "--config", directory / "none.yaml")
    report = missing.json("config check", status=FINDING)
    assert "No such file" in report["errors"][0]["message"]
    assert report["errors"][0]["line"] is None
    (directory / "folder.yaml").mkdir()
    Agwctl(None, "--config", directory / "folder.yaml").run("config", "check", status=FINDING)
    gateway = make.gateway(start=False)
    for text in ("\x00", "a: &x [*x]", "[" * 100, "version: 1\n" + "é" * 100 + ": 1\n",
                 'version: "\\e]0;owned\\a\\u202e"\n', "a: !!python/object:os.system x"):
        gateway.write("security", text)
        assert Agwctl(gateway).json("config check", status=FINDING)["errors"]
        Agwctl(gateway).run("config", "check", status=FINDING)  # looks for control characters
    named = directory / f"x{HOSTILE}".replace("/", "")
    Agwctl(None, "--config", named).run("config", "check", status=FINDING)
    Agwctl(None, "--config", named).json("config check", status=FINDING)
    broken = str(directory) + b"/\xff\xfe".decode("utf-8", "surrogateescape")
    Agwctl(None, "--config", broken).json("config check", status=FINDING)
    Agwctl(gateway).run("config", "check", "more", status=USAGE)


# --- diff -----------------------------------------------------------------------------------

def test_diff(make):
    gateway = make.gateway(gateway={"workers": 1})
    ctl = Agwctl(gateway)
    report = ctl.json("config diff")
    assert not report["different"] and report["changes"] == []
    assert set(report["components"].values()) == {"same"}
    assert "The files are those of generation 1." in ctl.run("config", "diff").stdout

    before = copy.deepcopy(gateway.security)
    keys = gateway.security["api_keys"]
    keys[0].update(allow_agents=["mock/ok"], key="sk-another-secret-of-client")
    removed = keys.pop(1)
    keys.append({"id": "fresh", "key": "sk-fresh-key-secret", "roles": ["auditor"]})
    gateway.security["default"]["rate_limit"]["per_minute"] = 7
    gateway.security["default"]["namespace_defaults"]["mock"] = {"allow_agents": ["mock/*"]}
    gateway.agents["agents"] = [a for a in gateway.agents["agents"] if a["name"] != "echo"]
    gateway.agents["agents"].append(agent("added", instructions="Line\none"))
    gateway.upstreams["upstreams"][0]["headers"] = {"X-Secret": "header-secret-value"}
    gateway.upstreams["upstreams"][0]["weight"] = 1  # the default, written down
    gateway.gateway["threads"]["max"] = 200
    gateway.gateway["stream"]["heartbeat"] = 2
    gateway.write_all()
    gateway.write("tools", "# a comment\nversion: 1\ntools: []\n")

    report = ctl.json("config diff", status=FINDING)
    assert report["generation"] == 1 and report["different"]
    assert report["components"] == {"gateway": "changed", "agents": "changed",
                                    "upstreams": "changed", "tools": "text",
                                    "security": "changed"}
    changes = report["changes"]
    client = by(changes, "key", "client")
    assert client["change"] == "changed"
    assert fields(client)["allow_agents"]["before"] is None
    assert fields(client)["allow_agents"]["after"] == ["mock/ok"]
    assert fields(client)["key"] == {"field": "key", "before": None, "after": None,
                                     "hidden": True, "restart": False}
    assert by(changes, "key", removed["id"])["change"] == "removed"
    fresh = by(changes, "key", "fresh")
    assert fresh["change"] == "added" and fields(fresh)["roles"]["after"] == ["auditor"]
    assert by(changes, "namespace", "mock")["change"] == "added"
    assert by(changes, "agent", "echo/echo")["change"] == "removed"
    assert fields(by(changes, "agent", "mock/added"))["instructions"]["after"] == "Line\none"
    options = {f["field"]: f for c in changes if c["object"] == "options" for f in c["fields"]}
    assert options["threads.max"]["before"] == 300 and options["threads.max"]["after"] == 200
    assert options["threads.max"]["restart"] and not options["stream.heartbeat"]["restart"]
    assert options["default.rate_limit.per_minute"]["after"] == 7
    mock = fields(by(changes, "upstream", "mock"))
    assert set(mock) == {"headers"} and mock["headers"]["hidden"]

    answers = [ctl.run("config", "diff", status=FINDING), ctl.run("config", "diff", "--json",
                                                                  status=FINDING)]
    assert "+ security: key fresh" in answers[0].lines()
    assert "    threads.max: 300 -> 200 (at the next start)" in answers[0].lines()
    secrets = [*KEYS.values(), UPSTREAM_SECRET, "sk-fresh-key-secret", "header-secret-value",
               "sk-another-secret-of-client"]
    for answer in answers:
        assert not any(secret in answer.stdout + answer.stderr for secret in secrets)
        for key in before["api_keys"]:  # nor what the database has in their place
            assert "sha256" not in answer.stdout, key

    gateway.reload()
    report = ctl.json("config diff")
    assert report["generation"] == 2 and not report["different"]


def test_diff_by_meaning(make):
    gateway = make.gateway(gateway={"workers": 1})
    text = (gateway.conf / "security.yaml").read_text()
    gateway.write("security", "# a comment\n" + text.replace("per_minute: 2\n", "per_minute: '2'\n"))
    ctl = Agwctl(gateway)
    report = ctl.json("config diff")
    assert report["components"]["security"] == "text" and not report["different"]
    assert "only comments or spelling" in ctl.run("config", "diff").stdout


def test_diff_fails_clearly(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    ctl = Agwctl(gateway)
    other = directory / "other"
    other.mkdir()
    for path in gateway.conf.iterdir():
        (other / path.name).write_text(path.read_text())
    stranger = Agwctl(None, "--config", other / "gateway.yaml", environment=gateway.environment)
    assert "no gateway was ever started" in stranger.run("config", "diff", status=FAILED).stderr
    gateway.write("agents", "agents: [")
    assert "config check" in ctl.run("config", "diff", status=FAILED).stderr
    gateway.write("security", "a: &x [*x]")
    assert "config check" in ctl.run("config", "diff", status=FAILED).stderr
    gateway.write("gateway", "[")
    ctl.run("config", "diff", status=FAILED)
    (directory / "no.db").write_text("this is no database, however long it may be" * 100)
    Agwctl(gateway, "--database", directory / "no.db").run("config", "diff", status=FAILED)
    answer = Agwctl(gateway, "--database", directory / "missing.db").run("config", "diff",
                                                                         status=FAILED)
    assert "No such file" in answer.stderr and not (directory / "missing.db").exists()


def test_diff_shows_hostile_values_harmlessly(make):
    gateway = make.gateway(gateway={"workers": 1})
    name = "\x1b]0;owned\x07\u202e"
    gateway.agents["agents"][0]["display_name"] = "Echo"
    text = (gateway.conf / "agents.yaml").read_text().replace(
        "display_name: Echo", 'display_name: "\\e]0;owned\\a\\u202e"')
    gateway.write("agents", text)
    ctl = Agwctl(gateway)
    answer = ctl.run("config", "diff", status=FINDING)
    assert "owned" in answer.stdout
    report = ctl.json("config diff", status=FINDING)
    assert fields(by(report["changes"], "agent", "echo/echo"))["display_name"]["after"] == name
