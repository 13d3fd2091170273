# SPDX-License-Identifier: MIT
"""runner.autostart: the gateway starts agw-runner, keeps it, and takes it along when it ends."""
import os
import pathlib
import signal
import sys

import pytest

from agwctl import FINDING, Agwctl
from gateway import UPSTREAM_SECRET
from procs import children, descendants, is_running, wait_until
from runner import FAKE_HOSTS, LONG, Control, ask


def runner_of(gateway):
    """The pid of its runner, None = there is none."""
    for pid in children(gateway.process.pid):
        try:
            if pathlib.Path(f"/proc/{pid}/exe").resolve().name == "agw-runner":
                return pid
        except OSError:
            pass
    return None


@pytest.fixture
def hosting(make, directory):
    agents = directory / "dropins"
    (agents / "Hello").mkdir(parents=True)
    (agents / "Hello/agent.py").write_text('agent = {"fake": "hello"}\n')
    return make.gateway(
        gateway={"workers": 1, "discovery": {"path": str(agents)},
                 "runner": {"autostart": True, "socket": str(directory / "runner.sock"),
                            "python": sys.executable}},
        security={"default": {"dropin_module_allowlist": ["*"]}},
        environment={"GATEWAY_HOSTS": str(FAKE_HOSTS)})


def connect(directory):
    def attempt():
        try:
            return Control(directory / "runner.sock")
        except OSError:
            return None
    return wait_until(attempt, LONG, "listening runner")


def test_the_runner_comes_and_goes_with_the_gateway(hosting, directory):
    with connect(directory) as c:
        c.wait_agents("default/hello")
        assert ask(c, "default/hello") == "hello"
        runner = runner_of(hosting)
        assert UPSTREAM_SECRET not in pathlib.Path(f"/proc/{runner}/environ").read_text()
        family = descendants(hosting.process.pid)
    assert hosting.stop() == 0
    assert not [pid for pid in family if is_running(pid)]
    assert not (directory / "runner.sock").exists()


def test_doctor_asks_it(hosting, directory):
    def finding(*arguments):
        return [one for one in Agwctl(hosting, *arguments).json("doctor", status=FINDING)["checks"]
                if one["name"] == "runner"][0]

    with connect(directory) as c:
        c.wait_agents("default/hello")
        # (Other things of this gateway are findings: its keys are in the open.)
        assert "1 drop-in agents are served" in finding()["detail"]
        assert finding()["state"] == "ok"
    assert hosting.stop() == 0
    assert finding()["state"] == "warning" and "drop-in agents are not served" in \
        finding()["detail"]
    assert "runner.autostart" in finding()["advice"]


def test_it_is_started_again(hosting, directory):
    victim = wait_until(lambda: runner_of(hosting), LONG, "runner")
    connect(directory).close()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: runner_of(hosting) not in (None, victim), LONG, "another runner")
    with connect(directory) as c:
        c.wait_agents("default/hello")
        assert ask(c, "default/hello") == "hello"
    assert hosting.events("runner.exited", pid=victim)


def test_no_process_outlives_a_killed_supervisor(hosting, directory):
    """T28."""
    with connect(directory) as c:
        c.wait_agents("default/hello")
    family = descendants(hosting.process.pid)
    assert len(family) >= 4, "worker, runner, and the processes of a module"
    hosting.process.popen.kill()
    wait_until(lambda: not [pid for pid in family if is_running(pid)], LONG, "end of all")
