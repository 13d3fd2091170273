# SPDX-License-Identifier: MIT
"""What is wrong with drop-in agents is told once: in the log, the list of errors, the metrics and
the trail; however often gateways and the runner start anew, and however many gateways there
are."""
import contextlib
import json
import sqlite3

import pytest

import fcgi
from gateway import KEYS, Gateway
from procs import wait_until
from runner import LONG, ask, module

BAD = "agent = {\n  'fake': 'bad'\nthis is no Python\n"


class Scene:
    """A runner, and gateways of one database that it serves."""

    def __init__(self, directory, runner, mock):
        self.directory, self.mock, self.gateways, self.fresh = directory, mock, [], 0
        folder = directory / "runner"
        folder.mkdir()
        self.runner = runner(security={"dropin_module_allowlist": ["*"],
                                       "dropin_module_denylist": ["Evil.*"]})

    def start_gateway(self, name):
        directory = self.directory / name
        gateway = Gateway(
            directory, self.mock, name=name,
            gateway={"workers": 2, "discovery": {"path": str(self.runner.agents)},
                     "database": {"path": str(self.directory / "shared.db")},
                     "runner": {"socket": str(self.runner.socket)}})
        self.gateways.append(gateway)
        return gateway.start()

    def stop(self):
        for gateway in self.gateways:
            gateway.stop()

    def told(self, of):
        """How often each place has told of a module."""
        gateway = self.gateways[0]
        errors = fcgi.call(gateway.socket, "GET", "/admin/agents/errors", KEYS["admin"]).json()
        rows = gateway.sql("SELECT detail FROM audit_event WHERE kind = 'dropin.blocked'")
        return {"log": sum(len(g.events("agent_discovery", "agent.dropin.blocked", module=of))
                           - len(g.events("agent_discovery", module=of, message="found"))
                           for g in self.gateways),
                "errors": len([e for e in errors["errors"] if e["subject"] == of]),
                "audit": len([r for r in rows if json.loads(r["detail"])["module"] == of])}

    def failures(self, kind):
        text = fcgi.call(self.gateways[0].socket, "GET", "/metrics", KEYS["admin"]).body.decode()
        name = f'agent_gateway_dropin_failures_total{{kind="{kind}"}} '
        lines = [line for line in text.splitlines() if line.startswith(name)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0

    def settle(self):
        """Until every gateway has been told of what is new now."""
        self.fresh += 1
        name = f"Fresh{self.fresh}"
        self.runner.put(f"{name}/agent.py", BAD)
        wait_until(lambda: self.told(f"{name}.agent")["errors"], LONG, f"error of {name}")
        for gateway in self.gateways:
            wait_until(lambda g=gateway: f"{name}.agent" in shown(g), LONG, f"{name} everywhere")
        return name


def shown(gateway):
    agents = fcgi.call(gateway.socket, "GET", "/admin/agents", KEYS["admin"]).json()
    return {m["module"] for m in agents["runner"].get("modules", [])}


@pytest.fixture
def scene(directory, runner, mock):
    one = Scene(directory, runner, mock)
    yield one
    one.stop()


ONCE = {"log": 1, "errors": 1, "audit": 0}
BLOCKED = {"log": 1, "errors": 1, "audit": 1}


def test_each_problem_is_told_once_by_all_gateways_together(scene):
    scene.runner.put("Evil/agent.py", module("evil"))
    scene.runner.put("Bad/agent.py", BAD)
    scene.runner.start()
    first, second = scene.start_gateway("g1"), scene.start_gateway("g2")
    scene.settle()
    assert scene.told("Evil.agent") == BLOCKED and scene.told("Bad.agent") == ONCE

    for gateway in (first, second):  # workers that start anew
        gateway.restarted(gateway.kill_workers(), LONG)
    scene.settle()
    assert scene.told("Evil.agent") == BLOCKED and scene.told("Bad.agent") == ONCE

    scene.runner.kill()
    scene.runner.start()
    scene.settle()
    assert scene.told("Evil.agent") == BLOCKED and scene.told("Bad.agent") == ONCE
    assert scene.failures("security") == 1 and scene.failures("import") == 1 + scene.fresh

    first.stop()  # and a gateway that does
    first.start()
    scene.settle()
    assert scene.told("Evil.agent") == BLOCKED and scene.told("Bad.agent") == ONCE


def test_a_block_is_told_again_when_it_is_another_one(scene):
    scene.runner.put("Evil/agent.py", module("evil"))
    scene.runner.start()
    gateway = scene.start_gateway("g1")
    scene.start_gateway("g2")
    scene.settle()
    assert scene.told("Evil.agent") == BLOCKED
    scene.runner.config["security"]["default"]["dropin_module_denylist"] = ["Ev*"]  # another rule
    scene.runner.write()
    with scene.runner.control() as c:
        c.refresh()
    wait_until(lambda: scene.told("Evil.agent")["audit"] == 2, LONG, "second row")
    (scene.runner.agents / "Evil/agent.py").unlink()  # it goes and comes
    wait_until(lambda: "Evil.agent" not in shown(gateway), LONG, "end of the module")
    scene.settle()
    scene.runner.put("Evil/agent.py", module("evil"))
    wait_until(lambda: scene.told("Evil.agent")["audit"] == 3, LONG, "third row")
    scene.settle()
    assert scene.told("Evil.agent") == {"log": 3, "errors": 3, "audit": 3}


def test_the_same_crash_is_told_each_time(scene):
    scene.runner.put("Dies/agent.py", "import os\nagent = {'fake': lambda *_: os._exit(9)}\n")
    scene.runner.start()
    scene.start_gateway("g1")
    with scene.runner.control() as c:
        c.wait_agents("default/dies")
        for crashes in range(1, 4):
            assert ask(c, "default/dies") is None
            wait_until(lambda n=crashes: scene.told("Dies.agent")["errors"] == n, LONG,
                       f"{crashes} crashes")
    scene.settle()
    assert scene.told("Dies.agent")["errors"] == 3


def test_a_block_that_could_not_be_recorded_is_recorded_with_the_next_list(scene):
    scene.runner.start()
    gateway = scene.start_gateway("g1")
    scene.settle()
    with contextlib.closing(sqlite3.connect(gateway.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        scene.runner.put("Evil/agent.py", module("evil"))
        wait_until(lambda: [e for e in gateway.events("store.failed")
                            if e["message"].startswith("problems of agents")], LONG, "failure")
        other.rollback()
    wait_until(lambda: gateway.events("agent.dropin.blocked"), LONG, "event")
    scene.settle()
    wait_until(lambda: scene.told("Evil.agent")["audit"] == 1, LONG, "row")
    scene.settle()
    told = scene.told("Evil.agent")
    assert (told["log"], told["audit"]) == (1, 1)
