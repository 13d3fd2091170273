# SPDX-License-Identifier: MIT
"""Modules that attack the runner and each other: by what they say of themselves, by what lies in
their folders, by what they reach, and by how much of it there is."""
import json
import os

import pytest

from procs import is_running, wait_until
from runner import LONG, Refused, ask, names


def module(text, before="", **more):
    return f"{before}\nagent = {dict(fake=text, **more)!r}\n"


def looks(*paths):
    """A module that answers what it sees of each: names, a text, or null."""
    return f"""
import json, os
def look(*_):
    seen = {{}}
    for path in {[str(path) for path in paths]!r}:
        try:
            seen[path] = os.listdir(path) if os.path.isdir(path) else open(path).read()
        except OSError:
            seen[path] = None
    return json.dumps(seen)
agent = {{"fake": look}}
"""


def has(control, layer):
    return control.listing["sandbox"][layer].startswith("applied")


# ---- files ----------------------------------------------------------------------------------


def test_with_the_systems_interpreter_no_more_of_usr_is_seen(runner):
    """Installed below /usr/local, the gateway has its configuration and database there."""
    r = runner(runner={"python": "/usr/bin/python3"})
    r.put("Nosy/agent.py", looks("/usr", "/usr/local", "/usr/local/etc", "/usr/lib"))
    r.start()
    with r.control() as c:
        c.wait_agents("default/nosy")
        seen = json.loads(ask(c, "default/nosy"))
        assert seen.pop("/usr/lib")
        if has(c, "landlock"):
            assert set(seen.values()) == {None}


def test_an_interpreter_of_its_own_opens_no_other_folder(runner, directory):
    """The link is the module's, so what lies beside its target is not for the module."""
    outside = directory / "outside"
    (outside / "bin").mkdir(parents=True)
    (outside / "lib").mkdir()
    (outside / "bin/python3").write_text('#!/bin/sh\nexec /usr/bin/python3 "$@"\n')
    (outside / "bin/python3").chmod(0o755)
    (outside / "secret").write_text("secret")
    r = runner()
    r.put("Own/agent.py", looks(outside / "secret", outside / "lib"))
    (r.agents / "Own/.venv/bin").mkdir(parents=True)
    (r.agents / "Own/.venv/bin/python").symlink_to(outside / "bin/python3")
    r.start()
    with r.control() as c:
        c.wait_agents("default/own")
        seen = json.loads(ask(c, "default/own"))
        assert seen[str(outside / "lib")] == []
        if has(c, "landlock"):
            assert seen[str(outside / "secret")] is None


def test_packages_that_others_can_have_put_there_are_not_run(runner, directory):
    r = runner()
    for name in (".venv", "node_modules", "__pycache__"):
        r.put(f"Open-{name}/agent.py", module("x"))
        (r.agents / f"Open-{name}" / name).mkdir()
        (r.agents / f"Open-{name}" / name).chmod(0o777)
        r.put(f"Link-{name}/agent.py", module("x"))
        (r.agents / f"Link-{name}" / name).symlink_to(directory)
    r.put("Good/agent.py", module("good"))
    (r.agents / "Good/.venv").mkdir()
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == ["default/good"]
        assert len(c.errors(kind="security", severity="error")) == 6


def test_a_folder_that_everybody_may_write_is_not_searched(runner):
    r = runner()
    r.put("Good/agent.py", module("good"))
    r.agents.chmod(0o777)
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == []
        assert "may be written by everybody" in c.errors(path=str(r.agents))[0]["message"]
        r.agents.chmod(0o755)
        assert names(c.refresh()) == ["default/good"]


@pytest.mark.parametrize("folder", ["Aa", "aa/Deep"])
def test_many_files_of_one_hide_no_other(runner, folder):
    r = runner(watch=False)
    r.put("Good/agent.py", module("good"))
    r.put(f"{folder}/data/x", "")
    for n in range(50001):
        os.close(os.open(r.agents / folder / f"data/{n}", os.O_CREAT | os.O_WRONLY, 0o644))
    if folder == "Aa":
        r.put(f"{folder}/agent.py", module("x"))
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == ["default/good"]
        assert "too many files" in c.errors(kind="validation")[0]["message"]


# ---- names ----------------------------------------------------------------------------------


def test_nobody_gets_the_name_of_another_modules_folder(runner):
    """Not even before that one is loaded, nor when it may not or cannot be."""
    r = runner(security={"dropin_module_allowlist": ["*"],
                         "dropin_module_denylist": ["labs.Blocked.*"]})
    r.put("labs/Planner/agent.py", module("the planner"))
    r.put("labs/Broken/agent.py", "nonsense(")
    r.put("labs/Blocked/agent.py", module("x"))
    r.put("labs/Plan/agent.py", module("plan", 'er = {"fake": "further"}'))
    r.put("labs/Plan-er/agent.py", module("the plan-er"))
    for name in ("Planner", "Broken", "Blocked"):
        r.put(f"aaa/{name}/agent.py", module("evil", '__gateway__ = {"namespace": "labs"}'))
    r.start()
    for _ in range(2):
        with r.control() as c:
            assert names(c.refresh()) == ["labs/plan", "labs/plan-er", "labs/planner"]
            assert ask(c, "labs/planner") == "the planner"
            assert ask(c, "labs/plan-er") == "the plan-er"
            for name in ("planner", "broken", "blocked", "plan-er"):
                assert "another module" in c.errors(agent=f"labs/{name}")[0]["message"]
        r.stop()
        r.start()


@pytest.mark.parametrize("one, other", [
    (("labs/Planner", ""), ("labs/PLANNER", "")), (("labs/a/Planner", ""), ("labs/b/Planner", "")),
    (("Planner", ""), ("default/Planner", "")),
    (("a/X", '__gateway__ = {"namespace": "c"}'), ("b/X", '__gateway__ = {"namespace": "c"}'))])
def test_a_name_that_two_modules_want_is_nobodys(runner, one, other):
    """What was granted to the first must not come to mean the second, now or after a restart."""
    r = runner()
    r.put(f"{one[0]}/agent.py", module("first", one[1]))
    r.start()
    with r.control() as c:
        c.wait(lambda listing: listing["agents"])
        (agent,) = names(c.listing)
        r.put(f"{other[0]}/agent.py", module("second", other[1]))
        for _ in range(2):
            c.refresh()
            c.wait(lambda listing: not listing["agents"])
            assert {e["path"] for e in c.errors(agent=agent)} == {
                str(r.agents / folder / "agent.py") for folder, _ in (one, other)}
            with pytest.raises(Refused):
                c.open(agent)
        (r.agents / other[0] / "agent.py").unlink()
        c.refresh()
        assert ask(c, agent) == "first"


def test_modules_that_lists_could_not_tell_apart(runner):
    """labs.Planner.agent is what security.yaml calls both."""
    r = runner()
    r.put("labs/Planner/agent.py", module("the planner"))
    r.put("labs.Planner/agent.py", module("evil"))
    r.put("gpt-4.1/agent.py", module("dots do no harm"))
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == ["default/gpt-4.1", "labs/planner"]
        (problem,) = c.errors(kind="security")
        assert problem["path"] == str(r.agents / "labs.Planner/agent.py")


# ---- what a module tells the runner ---------------------------------------------------------


def test_a_catalog_without_bounds_bounds_itself(runner):
    r = runner()
    r.put("Good/agent.py", module("good"))
    r.put("Bomb/agent.py", "__doc__ = 'x' * 500000\n"
          "for n in range(300):\n"
          "    globals()[f'a{n}'] = {'fake': 'x', 'tools': [f't{n}'] * 60 + ['y' * 200]}\n")
    r.put("Line/agent.py", module("x", "__doc__ = 'x' * 2000000"))
    r.start()
    with r.control() as c:
        listing = c.refresh()
        mine = [agent for agent in listing["agents"] if agent["module"] == "Bomb.agent"]
        assert len(mine) == 100 and sum(len(agent["tools"]) for agent in mine) == 1000
        assert {len(agent["description"]) for agent in mine} == {2000}
        assert len(json.dumps(listing)) < 1 << 20
        assert "at most 100 agents" in c.errors(module="Bomb.agent")[0]["message"]
        c.wait(lambda _: c.errors(module="Line.agent"))
        assert ask(c, "default/good") == "good"


def test_many_catalogs_together_are_still_one_line(runner):
    """A longer one no gateway would take, and so know no agent at all."""
    r = runner()
    r.put("Good/agent.py", module("good"))
    for number in range(20):
        r.put(f"labs/Bomb{number:02}/agent.py", "__doc__ = '\\1' * 2000\n"
              "diagnostics = [{'kind': 'runtime', 'severity': 'warning', 'message': '\\1' * 2000,"
              " 'path': '\\1' * 1000}] * 50\n"
              "for n in range(100):\n    globals()[f'a{n}'] = {'fake': 'x'}\n")
    r.start()

    def whole_list():
        with r.control() as c:
            c.wait(lambda _: True)
            return c.listing if c.listing["runner"]["complete"] else None
    listing = wait_until(whole_list, LONG, "end of all loads")
    assert len(json.dumps(listing)) < 16 << 20
    told = [error for error in listing["errors"] if "is not listed" in error["message"]]
    assert {error["module"] for error in told} == {f"labs.Bomb{number:02}.agent"
                                                   for number in range(20)}
    assert "default/good" in names(listing) and len(listing["agents"]) > 300
    with r.control() as c:
        c.wait_agents("default/good")
        assert ask(c, "default/good") == "good"


def test_modules_with_many_problems_hide_none_of_others(runner):
    """That a module is blocked is told, logged and counted by what is in the list."""
    r = runner(security={"dropin_module_allowlist": ["*"],
                         "dropin_module_denylist": ["labs.Zed.agent"]})
    for number in range(5):
        r.put(f"labs/Noisy{number}/agent.py", module("x") +
              "diagnostics = [{'kind': 'runtime', 'severity': 'warning', 'message': str(n)}"
              " for n in range(60)]\n")
    r.put("labs/One/agent.py", module("one"))
    r.put("labs/one/agent.py", module("two"))
    r.put("labs/Zed/agent.py", module("blocked"))
    r.start()
    with r.control() as c:
        c.refresh()
        assert len(c.errors(kind="runtime")) == 250
        assert [error["module"] for error in c.errors(kind="security")] == ["labs.Zed.agent"]
        assert {error["module"] for error in c.errors(agent="labs/one")} == {
            "labs.One.agent", "labs.one.agent"}


def test_a_flood_of_bytes_ends_who_sends_it(runner):
    """Lines within all limits, and not too many of them, but long to read."""
    r = runner()
    r.put("Good/agent.py", module("good"))
    r.put("Flood/agent.py", """
import socket, threading
line = b'{"t":"x","x":[' + b",".join([b"{}"] * 20000) + b"]}\\n"
floods = threading.Lock()
def flood():
    control = socket.socket(fileno=3)
    with floods:
        while True:
            control.sendall(line)
def on_ping(): # the host answers none, lest its line comes within another
    with floods:
        pass
def begin(*_):
    threading.Thread(target=flood, daemon=True).start()
agent = {"fake": begin}
""")
    r.start()
    with r.control() as c:
        c.wait_agents("default/good", "default/flood")
        assert ask(c, "default/flood") is None
        c.wait(lambda _: c.errors(module="Flood.agent"))
        assert "floods" in c.errors(module="Flood.agent")[0]["message"]
        assert ask(c, "default/good") == "good"


def test_no_module_says_that_something_was_blocked(runner):
    """That is on record as a decision of the operator's, and counted by kind."""
    r = runner()
    r.put("Forger/agent.py", module("x", "diagnostics = [{'kind': 'security', 'severity': 'error',"
                                         " 'message': 'the module is blocked: %d' % n}"
                                         " for n in range(1000)]"))
    r.start()
    with r.control() as c:
        c.refresh()
        assert not c.errors(kind="security")
        assert len(c.errors(module="Forger.agent")) == 50


# ---- what it reaches and uses up ------------------------------------------------------------


def test_the_network_is_not_the_sockets_of_this_host(runner):
    """Who reaches runner.socket is a gateway for the runner."""
    r = runner(agents=[{"name": "net", "kind": "sdk", "network": True,
                        "module": "Net.agent:agent"}])
    r.put("Net/agent.py", f"""
import json, socket
def attempt(function):
    try:
        function()
        return "may"
    except OSError as problem:
        return problem.strerror
def look(*_):
    return json.dumps({{
        "unix": attempt(lambda: socket.socket(socket.AF_UNIX).connect({str(r.socket)!r})),
        "vsock": attempt(lambda: socket.socket(40, socket.SOCK_STREAM)),
        "alg": attempt(lambda: socket.socket(38, socket.SOCK_SEQPACKET)),
        "pair": attempt(socket.socketpair), "tcp": attempt(socket.socket),
        "tcp6": attempt(lambda: socket.socket(socket.AF_INET6)),
        "udp": attempt(lambda: socket.socket(type=socket.SOCK_DGRAM)),
        "name": attempt(lambda: socket.getaddrinfo("localhost", 80))}})
agent = {{"fake": look}}
""")
    r.start()
    with r.control() as c:
        c.wait_agents("default/net")
        seen = json.loads(ask(c, "default/net"))
        for name in ("pair", "tcp", "tcp6", "udp", "name"):
            assert seen.pop(name) == "may", name
        if has(c, "seccomp"):
            assert set(seen.values()) == {"Permission denied"}


def test_when_memory_is_out_a_module_goes_first(runner):
    r = runner()
    r.put("Hog/agent.py", """
agent = {"fake": lambda *_: open("/proc/self/oom_score_adj").read()}
""")
    r.start()
    with r.control() as c:
        c.wait_agents("default/hog")
        assert ask(c, "default/hog").strip() == "1000"
    with open(f"/proc/{r.process.pid}/oom_score_adj") as own:
        assert int(own.read()) < 1000


@pytest.mark.parametrize("how", ["os.setsid()", "os.setsid(); os.fork() and os._exit(0)"])
def test_nothing_of_a_module_outlives_it(runner, how):
    """What was started beside it and hides from it ends with it."""
    r = runner()
    r.put("Fork/agent.py", f"""
import os, signal, time
def fork(*_):
    if os.fork() == 0:
        for number in range(1, 32):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_IGN)
        {how}
        os.closerange(0, 100)
        time.sleep(1000)
        os._exit(0)
    return "forked"
agent = {{"fake": fork}}
""")
    r.start()
    with r.control() as c:
        c.wait_agents("default/fork")
        before = len(r.family())
        assert ask(c, "default/fork") == "forked"
        wait_until(lambda: len(r.family()) > before, LONG, "another process")
        family = r.family()
        (r.agents / "Fork/agent.py").unlink()
        wait_until(lambda: not any(is_running(pid) for pid in family), LONG, "end of all")
