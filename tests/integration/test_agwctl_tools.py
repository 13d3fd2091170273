# SPDX-License-Identifier: MIT
"""agwctl tools: what is listed, what is called by which policy, and that it is on record."""
import pytest

import fcgi
from agwctl import FAILED, FINDING, USAGE
from gateway import KEYS, Gateway

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"tools": [
    {"name": "weather", "provider": "http", "url": "http://127.0.0.1:1/", "schema": SCHEMA,
     "description": "Says how the weather is."},
    {"name": "secret", "provider": "http", "url": "http://127.0.0.1:1/"},
    {"name": "program", "provider": "local", "command": ["/bin/cat"]},
]}


@pytest.fixture(scope="module")
def served(session_dir, mock):
    security = {
        "default": {"deny_tools": ["secret"], "tool_rules": [
            {"agents": ["labs/*"], "allow_tools": []}]},
        "api_keys": [{"id": "admin", "key": KEYS["admin"], "roles": ["admin"]},
                     {"id": "narrow", "key": KEYS["narrow"], "allow_tools": ["nothing"]}]}
    with Gateway(session_dir / "ctltools", mock, tools=TOOLS, security=security) as gateway:
        yield gateway


def test_list(ctl):
    entries = {entry["name"]: entry for entry in ctl.json("tools list")["tools"]}
    assert set(entries) == {"weather", "secret", "program"}
    for name, entry in entries.items():
        for tool in entry["tools"]:
            assert tool["name"] == tool["function"] == name
    assert "weather" in ctl.run("tools", "list").stdout


@pytest.mark.parametrize("words, status, text", [
    (["secret"], "denied", "not allowed"),
    (["program"], "denied", "not allowed"),  # local_tools_allowlist is empty
    (["weather", "--agent", "labs/x", "--args", '{"city": "Oslo"}'], "denied", "not allowed"),
    (["weather", "--key", "narrow", "--args", '{"city": "Oslo"}'], "denied", "not allowed"),
    (["weather"], "invalid", "'city' is missing"),
    (["weather", "--args", '{"city": 3}'], "invalid", "/city must be string"),
    (["weather", "--args", "{"], "invalid", "no valid JSON"),
    (["nothing"], "invalid", "no tool"),
])
def test_what_may_not_run_is_said_and_on_record(served, ctl, words, status, text):
    before = served.sql("SELECT count(*) AS n FROM tool_invocations")[0]["n"]
    report = ctl.json("tools call", *words, status=FINDING)
    assert report["status"] == status and text in report["content"]
    row = served.sql("SELECT * FROM tool_invocations ORDER BY seq DESC LIMIT 1")[0]
    assert row["tool"] == words[0] and row["status"] == status and row["caller"] == "agwctl"
    assert served.sql("SELECT count(*) AS n FROM tool_invocations")[0]["n"] == before + 1


def test_usage(ctl):
    ctl.run("tools", "call", status=USAGE)
    ctl.run("tools", "call", "weather", "--key", "nobody", status=FAILED)


def test_an_endless_name_is_cut(ctl):
    assert len(ctl.json("tools call", "x" * 5000, status=FINDING)["content"]) < 300


@pytest.mark.parametrize("tool, agent, allowed, where", [
    ("weather", "echo/echo", True, "default.allow_tools"),
    ("secret", "echo/echo", False, "default.deny_tools"),
    ("program", "echo/echo", False, "default.local_tools_allowlist"),
    ("weather", "labs/any", False, "tool_rules.allow_tools"),
])
def test_previews_say_the_same(served, tool, agent, allowed, where):
    answer = fcgi.call(served.socket, "POST", "/security/preview", KEYS["admin"],
                          {"agent": agent, "tool": tool}).json()["tool"]
    assert answer["name"] == tool and answer["exists"]
    assert answer["allowed"] is allowed and answer["list"] == where
    assert answer["trace"][-1]["rule"] == where


def test_the_endpoint_lists_the_same(served, ctl):
    answer = fcgi.call(served.socket, "GET", "/tools", KEYS["admin"]).json()
    listed = ctl.json("tools list")["tools"]
    assert [entry["name"] for entry in answer["tools"]] == [entry["name"] for entry in listed]
    fresh = fcgi.call(served.socket, "POST", "/tools/refresh", KEYS["admin"]).json()
    assert fresh["tools"] == answer["tools"]
