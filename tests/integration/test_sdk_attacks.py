# SPDX-License-Identifier: MIT
"""Modules whose process is not what it should be, against the gateway: what they have it hold, ask
for and write down. The runner and the hosts are the test's."""
import json
import time

import pytest

import env
import fcgi
from fake_runner import LONG, FakeRunner, agent
from gateway import KEYS, Gateway, default_upstreams
from procs import wait_until
from wire import new_id

MIB = 1 << 20


@pytest.fixture(scope="module")
def scene(session_dir, mock):
    directory = session_dir / "sdk-attacks"
    directory.mkdir()
    runner = FakeRunner(directory / "runner.sock", {})
    gateway = Gateway(
        directory, mock, gateway={
            "workers": 1, "discovery": {"path": str(directory)},
            "runner": {"socket": runner.path, "run_timeout": 60 * env.SLOW}},
        security={"default": {"allow_agents": ["fake/*"], "deny_tools": ["forbidden"],
                              "local_tools_allowlist": ["fake.*:*"]}},
        upstreams=default_upstreams(mock))
    gateway.runner = runner
    gateway.start()
    yield gateway
    try:
        assert not runner.failures
    finally:
        gateway.stop()
        runner.stop()


def attack(scene, name, function):
    """The answer to a request, and its id."""
    id = f"fake/{name}"
    scene.runner.hosts[id] = function
    scene.runner.agents.append(agent(id, tools=["own"]))
    scene.runner.publish()
    wait_until(lambda: id in {one["id"] for one in fcgi.call(
        scene.socket, "GET", "/v1/models", KEYS["admin"]).json()["data"]}, LONG, id)
    request = new_id()
    return fcgi.chat(scene.socket, KEYS["client"], id, False, timeout=LONG,
                     request_id=request), request


def highest(pid):
    """The most memory that it ever had, in bytes."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def test_one_run_does_not_fill_the_memory(scene):
    """Small on the wire, large in memory, and many at once that wait for a model."""
    errors = []

    def greedy(run):
        run.greet()
        for number in range(1, 61):
            run.ask_model(id=number, model="stall", x=[{}] * 90000)
        for _ in range(60):  # refused, or given up in the end
            errors.append(run.receive("llm.error"))
        run.done("full")
    (worker,) = scene.workers()
    before = highest(worker)
    answer, _ = attack(scene, "greedy", greedy)
    assert answer.json()["choices"][0]["message"]["content"] == "full"
    assert len([e for e in errors if "64 MiB" in e["body"]["error"]["message"]]) > 30
    assert highest(worker) - before < 400 * MIB * env.SLOW  # sanitizers take more, and are slow


def test_a_message_with_more_values_than_any_request_ends_the_run(scene):
    def bomb(run):
        run.greet().ask_model(x=[{}] * 300000)
        run.ended()
    answer, _ = attack(scene, "bomb", bomb)
    assert answer.status == 502


def test_trail_and_log_do_not_grow_with_names_that_are_made_up(scene):
    long = "ä" * (1 * MIB)

    def verbose(run):
        run.greet()
        run.send("tool.check", id=1, name=long, call_id=long, args="{}")
        run.receive("tool.verdict")
        run.send("tool.check", id=3, name="own", call_id=long, args="{}")
        assert run.receive("tool.verdict")["allow"]
        run.send("tool.done", id=3, ok=True)
        run.send("tool.done", id=1, ok=True)
        run.send("tool.call", id=2, name=long, call_id=long, args="{}")
        run.receive("tool.result")
        run.done("said")
    answer, id = attack(scene, "verbose", verbose)
    assert answer.json()["choices"][0]["message"]["content"] == "said"
    rows = wait_until(lambda: len(found := scene.sql(
        "SELECT kind, length(detail) AS size, detail FROM audit_event WHERE request_uid = (SELECT"
        " request_uid FROM audit_event WHERE request_id = ? LIMIT 1) AND kind LIKE 'tool%'",
        id)) >= 4 and found, LONG, "rows")
    assert max(row["size"] for row in rows) < 1500
    assert {json.loads(row["detail"])["tool"][:4] for row in rows} == {"ääää", "own"}
    for event in scene.events("tool.invoke", request_id=id):
        assert event["status"] and "truncated" not in event


def test_what_a_provider_would_run_is_not_offered(scene):
    """It is no function, so no pattern of a list can mean it: MODULE:* does not."""
    seen = []

    def hosted(run):
        run.greet()
        own = {"type": "function", "function": {"name": "own", "parameters": {}}}
        for number, tools in enumerate([
                [own, {"type": "web_search"}, {"type": "mcp", "server_url": "http://x"},
                 {"type": "custom", "custom": {"name": "own"}}, {"function": {}}, {}, 7,
                 {"type": "code_interpreter", "function": {"name": "own"}}],
                [{"type": "web_search"}], {"type": "web_search"}, "web_search"], 1):
            run.ask_model(id=number, model="mirror", tools=tools)
            answer = run.receive("llm.response", "llm.error")
            seen.append(json.loads(answer["body"]["choices"][0]["message"]["content"]))
        run.done("asked")
    answer, _ = attack(scene, "hosted", hosted)
    assert answer.status == 200
    assert [tool["type"] for tool in seen[0]["tools"]] == ["function"]
    assert not any("tools" in body for body in seen[1:])


def test_all_that_is_kept_from_being_served_is_on_record(scene):
    """Not only by a list: also by whose its files are, or by a namespace that it may not enter."""
    problem = {"kind": "security", "severity": "error", "agent": None, "module": "Open.agent",
               "path": "/agents/Open/agent.py", "line": None, "at": 1,
               "message": "/agents/Open/agent.py may be written by everybody"}
    scene.runner.errors = [problem, {**problem, "severity": "warning", "module": "Link.agent"},
                           {**problem, "kind": "validation", "module": "Other.agent"}]
    scene.runner.publish()
    scene.wait_event("agent.dropin.blocked", module="Open.agent")
    scene.wait_event("agent_discovery", module="Other.agent")
    rows = scene.audit(kind="dropin.blocked")
    assert [json.loads(row["detail"])["module"] for row in rows] == ["Open.agent"]
    scene.runner.errors = []
    scene.runner.publish()


def test_many_problems_keep_no_run_waiting(scene):
    """What is new in a list is found in the time that its length takes, not its square."""
    runner = scene.runner
    runner.more["runner"] = {"socket": runner.path, "started_at": 1, "complete": True}
    runner.errors = [{"kind": "runtime", "severity": "warning", "agent": None, "line": None,
                      "module": "labs.Noisy.agent", "path": "/agents/labs/Noisy/agent.py", "at": 1,
                      "message": f"problem number {number} of it"} for number in range(7000)]
    answer, _ = attack(scene, "before", lambda run: run.greet().done("noted"))
    assert answer.status == 200  # each is put down once
    began = time.monotonic()
    answer, _ = attack(scene, "after", lambda run: run.greet().done("known"))
    assert answer.status == 200 and time.monotonic() - began < 4 * env.SLOW
    runner.errors = []
    runner.publish()
