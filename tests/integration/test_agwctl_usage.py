# SPDX-License-Identifier: MIT
"""agwctl usage: what the trail knows of requests, tokens and budgets."""
import time

import pytest

import fcgi
from agwctl import FAILED, HOSTILE, USAGE, Agwctl
from gateway import KEYS, Gateway
from procs import wait_until

CLIENT = KEYS["client"]


@pytest.fixture(autouse=True)
def _not_at_midnight():
    left = 86400 - time.time() % 86400
    if left < 60:
        time.sleep(left + 1)


@pytest.fixture(scope="module")
def served(session_dir, mock):
    security = {
        "default": {"budget": {"tokens_per_day": 100000}},
        "api_keys": [
            {"id": "client", "key": CLIENT, "budget": {"requests_per_day": 3}},
            {"id": "client2", "key": KEYS["client2"], "budget": {"tokens_per_day": 0}},
            {"id": "narrow", "key": KEYS["narrow"]},
            {"id": "admin", "key": KEYS["admin"], "roles": ["admin"]}]}
    with Gateway(session_dir / "ctlusage", mock, security=security) as gateway:
        for key, agents in ((CLIENT, ["mock/ok", "echo/echo", "mock/ok", "mock/ok"]),
                            (KEYS["client2"], ["mock/ok", "vault/secret-plan"])):
            for agent in agents:
                fcgi.chat(gateway.socket, key, agent)
        wait_until(lambda: gateway.sql("SELECT sum(requests) AS n FROM usage_day")[0]["n"] == 6,
                   10, "six ends")
        yield gateway


def test_days_and_budgets(served, ctl):
    report = ctl.json("usage")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    rows = {(row["key_id"], row["agent"]): row for row in report["usage"]}
    assert set(rows) == {("client", "mock/ok"), ("client", "echo/echo"), ("client2", "mock/ok"),
                         ("client2", "vault/secret-plan")}
    assert all(row["day"] == today for row in rows.values())
    assert rows["client", "mock/ok"]["requests"] == 3  # the refused one is among them
    assert rows["client", "mock/ok"]["completed"] == 2
    assert rows["client2", "vault/secret-plan"]["denied"] == 1
    used = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows.values()
               if row["key_id"] == "client")
    budget, = report["budgets"]  # client2 has none, narrow used nothing
    assert budget == {"key_id": "client",
                      "requests": {"budget": 3, "used": 3, "left": 0},
                      "tokens": {"budget": 100000, "used": used, "left": 100000 - used}}
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86400))
    assert report["day_ends_at"] == f"{tomorrow}T00:00:00.000Z"


def test_filters(ctl):
    narrow = ctl.json("usage", "--key", "narrow")
    assert narrow["usage"] == []
    assert narrow["budgets"] == [{"key_id": "narrow", "requests": None, "tokens": {
        "budget": 100000, "used": 0, "left": 100000}}]
    of_agent = ctl.json("usage", "--agent", "echo/echo")
    assert [row["key_id"] for row in of_agent["usage"]] == ["client"]
    assert of_agent["budgets"] == []
    assert ctl.json("usage", "--until", "-1d")["usage"] == []
    assert ctl.json("usage", "--since", "+1d")["usage"] == []
    assert len(ctl.json("usage", "--since", "-1h")["usage"]) == 4
    assert len(ctl.json("usage", "--since", "2020-01-01", "--until", "+1d")["usage"]) == 4
    assert ctl.json("usage", "--key", HOSTILE) == {
        "usage": [], "budgets": [], "day_ends_at": ctl.json("usage")["day_ends_at"]}


def test_tables(ctl):
    text = ctl.run("usage").stdout
    assert "3 of 3" in text and "\n\nBudgets of today, which ends at 20" in text
    assert "Budgets" not in ctl.run("usage", "--agent", "echo/echo").stdout
    assert "unlimited" in ctl.run("usage", "--key", "narrow").stdout
    assert ctl.run("usage", "--key", "client2", "--until", "-1d").stdout == \
        "Nothing was used in that time.\n"
    assert "\x1b[" in ctl.terminal("usage")


@pytest.mark.parametrize("words,said", [
    (["--since", "soon"], "--since"), (["--until", HOSTILE], "--until"), (["--limit", "1"], "limit"),
    (["more"], "more"), (["--keys", "x"], "keys")], ids=str)
def test_bad_calls(ctl, words, said):
    answer = ctl.run("usage", *words, status=USAGE)
    assert said in answer.stderr and answer.stdout == ""


def test_without_a_database(served, directory):
    ctl = Agwctl(None, "--config", served.conf / "gateway.yaml", "--database",
                 directory / "none.db", environment=served.environment)
    assert "no database" in ctl.run("usage", status=FAILED).stderr
