# SPDX-License-Identifier: MIT
"""GET /tools and its refresh: a changed tools.yaml counts in every worker, a broken one changes
nothing and is told with its place, and the file may be watched."""
import fcgi
from gateway import KEYS
from procs import wait_until

ADMIN = KEYS["admin"]
ONE = {"name": "one", "provider": "http", "url": "http://127.0.0.1:1/", "description": "The first.",
       "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
TWO = {"name": "two", "provider": "http", "url": "http://127.0.0.1:1/?key=hidden-in-the-url",
       "headers": {"Authorization": "Bearer ${AGW_TEST_TOOL_TOKEN}"}}
TOKEN = {"AGW_TEST_TOOL_TOKEN": "hidden-in-a-header"}


def tools_of(gateway, path="/tools", method="GET"):
    answer = fcgi.call(gateway.socket, method, path, ADMIN)
    assert answer.status == 200, answer.body
    return {entry["name"]: entry for entry in answer.json()["tools"]}


def text_of(tools):
    return {"version": 1, "tools": tools}


def test_a_refresh_counts_everywhere(make):
    gateway = make.gateway(tools={"tools": [ONE]}, environment=TOKEN)
    assert set(tools_of(gateway)) == {"one"}
    tool, = tools_of(gateway)["one"]["tools"]
    assert tool == {"name": "one", "function": "one", "description": "The first.",
                    "schema": ONE["schema"]}
    gateway.write("tools", text_of([ONE, TWO]))
    assert set(tools_of(gateway)) == {"one"}
    assert set(tools_of(gateway, "/admin/tools/refresh", "POST")) == {"one", "two"}
    for _ in range(20):  # whichever worker answers
        assert set(tools_of(gateway, "/admin/tools")) == {"one", "two"}
    shown = fcgi.call(gateway.socket, "GET", "/tools", ADMIN).body.decode()
    assert "hidden-in" not in shown


def test_a_keyword_that_is_not_checked_is_an_error_with_its_place(make):
    gateway = make.gateway(tools={"tools": [ONE]})
    gateway.write("tools", "version: 1\ntools:\n  - name: one\n    provider: http\n"
                           "    url: http://127.0.0.1:1/\n    schema:\n      type: object\n"
                           "      unevaluatedProperties: false\n")
    answer = fcgi.call(gateway.socket, "POST", "/tools/refresh", ADMIN)
    assert answer.status == 422
    error, = answer.json()["errors"]
    assert error["file"].endswith("tools.yaml")
    assert (error["line"], error["column"]) == (8, 30)
    assert "unevaluatedProperties" in error["message"]
    assert tools_of(gateway)["one"]["tools"][0]["description"] == "The first."


def test_a_watched_file_is_taken_up(make):
    gateway = make.gateway(tools={"tools": [ONE]},
                           environment={"GATEWAY_TOOL_AUTO_RELOAD": "true", **TOKEN})

    def taken_up():
        if set(tools_of(gateway)) == {"two"}:
            return True
        gateway.write("tools", text_of([TWO]))  # again: the watch may begin after the first time
        return False
    wait_until(taken_up, 15, "the new tools")


def test_keys_made_at_run_time_have_rules_of_their_own(make):
    gateway = make.gateway(tools={"tools": [ONE]})

    def may(tool, **terms):
        terms["id"] = f"key{len(terms)}{'-'.join(sorted(terms))}".replace("_", "-")
        made = fcgi.call(gateway.socket, "POST", "/security/keys", ADMIN, terms)
        assert made.status in (200, 201), made.body
        for name in ("allow_tools", "deny_tools"):
            assert made.json()[name] == terms.get(name)
        answer = fcgi.call(gateway.socket, "POST", "/security/preview", ADMIN,
                           {"agent": "mock/ok", "tool": tool, "key_id": terms["id"]})
        decision = answer.json()["tool"]
        return decision["allowed"], decision["list"], decision["rule"]

    assert may("one") == (True, "default.allow_tools", decision_rule(gateway))
    allowed, where, rule = may("one", allow_tools=["two"])
    assert (allowed, where, rule) == (False, "key.allow_tools", None)
    allowed, where, rule = may("one", allow_tools=["*"], deny_tools=["o*"])
    assert (allowed, where) == (False, "key.deny_tools") and rule.startswith("key:")


def decision_rule(gateway):
    """Where what is not written has its place."""
    answer = fcgi.call(gateway.socket, "POST", "/security/preview", ADMIN,
                       {"agent": "mock/ok", "tool": "one", "key_id": "client"})
    return answer.json()["tool"]["rule"]
