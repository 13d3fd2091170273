# SPDX-License-Identifier: MIT
"""agw-runner with hosts that need no SDK: what it finds, swaps, restarts, refuses and ends."""
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import threading
import time

import pytest

import env
from procs import wait_until
from runner import (LONG, NET, NET_ENTRY, PACED, PATIENT, Refused, ask, begin, begin_on, finish,
                    module, names, read_messages, refusal, send_with_fds, start_run)

SOON = 2.0 * env.SLOW  # the promise is two seconds
DIES = "import os\nagent = {'fake': lambda *_: os._exit(9)}\n"
HANGING = PATIENT + "def on_ping():\n    import time\n    time.sleep(1e6)\n"

# ---- finding and changing -------------------------------------------------------------------


def test_a_folder_that_is_copied_in_is_an_agent_until_it_is_deleted(runner):
    r = runner().start()
    with r.control() as c:
        c.wait(lambda listing: listing["watch"]["state"] == "started")
        began = time.monotonic()
        r.put("Hello/agent.py", module("hello", tools=["t"], handoffs=["other"]))
        listing = c.wait_agents("default/hello", timeout=SOON)
        assert time.monotonic() - began < SOON
        agent = listing["agents"][0]
        assert agent["lang"] == "python" and agent["module"] == "Hello.agent"
        assert agent["model"] == "m" and agent["available"] and agent["tools"] == ["t"]
        assert agent["handoffs"] == ["other"] and agent["path"] == str(r.agents / "Hello/agent.py")
        assert ask(c, "default/hello") == "hello"
        began = time.monotonic()
        (r.agents / "Hello/agent.py").unlink()
        c.wait(lambda listing: not listing["agents"], timeout=SOON)
        assert refusal(c, "default/hello")["class"] == "unknown"
        c.wait(lambda listing: not listing["modules"], what="end of the module")


def test_an_edit_changes_an_agent_and_drops_no_run(runner):
    r = runner()
    with r.serving({"a/Patient/agent.py": PATIENT.replace("TEXT", "old"),
                    "a/Other/agent.py": module("other")}) as c:
        other = c.module("a.Other.agent")
        running = begin(c, "a/patient")
        r.put("a/Patient/agent.py", PATIENT.replace("TEXT", "new"))
        c.wait(lambda listing: c.module("a.Patient.agent")["generation"] == 2, timeout=2 * SOON)
        assert finish(begin(c, "a/patient")) == "new"
        assert finish(running) == "old"
        assert c.module("a.Other.agent")["pid"] == other["pid"]


def test_a_helper_module_and_requirements_make_a_new_generation(runner):
    r = runner()
    with r.serving({"Hello/agent.py": module("hello"), "Hello/parts/helper.py": ""}) as c:
        for generation, file in enumerate(["parts/helper.py", "requirements.txt"], 2):
            r.put(f"Hello/{file}", "# changed\n")
            c.wait(lambda _, g=generation: c.module("Hello.agent")["generation"] == g)


def test_without_watch_a_refresh_finds_what_changed(runner):
    r = runner(watch=False).start()
    with r.control() as c:
        assert c.refresh()["watch"]["state"] == "stopped"
        r.put("Hello/agent.py", module("hello"))
        assert names(c.refresh()) == ["default/hello"]
        r.put("Hello/agent.py", "raise ValueError('no')\n")
        c.refresh()
        assert "no" in c.errors(kind="import")[0]["message"]
        assert names(c.listing) == ["default/hello"]
        r.process.send(signal.SIGHUP)
        c.wait(lambda _: c.errors(kind="import"))


def test_another_default_model_makes_a_new_generation(runner):
    """A process is told the default when it loads, and would go on to ask the old one."""
    r = runner(watch=False)
    with r.serving({"Hello/agent.py": module("hello")}) as c:
        before = c.module("Hello.agent")
        r.config["agents"]["defaults"]["model"] = "other"
        r.write()
        assert [agent["model"] for agent in c.refresh()["agents"]] == ["other"]
        after = c.module("Hello.agent")
        assert after["generation"] == before["generation"] + 1 and after["pid"] != before["pid"]
        c.refresh()
        assert c.module("Hello.agent")["pid"] == after["pid"]


def test_a_missing_folder_disables_the_watch_until_it_appears(runner):
    r = runner()
    r.agents.rmdir()
    r.start()
    with r.control() as c:
        listing = c.wait(lambda listing: listing["watch"]["state"] == "disabled")
        assert str(r.agents) in listing["watch"]["reason"]
        assert c.errors(kind="validation")[0]["path"] == str(r.agents)
        r.put("Hello/agent.py", module("hello"))
        c.wait(lambda listing: listing["watch"]["state"] == "started"
               and names(listing) == ["default/hello"])
        assert not c.errors()


def test_a_storm_of_changes_converges(runner):
    r = runner().start()
    with r.control() as c:
        c.wait(lambda listing: listing["watch"]["state"] == "started")
        for number in range(100):
            for file in range(10):
                r.put(f"Busy{number % 7}/f{file}.py", f"# {number}\n")
        for number in range(7):
            r.put(f"Busy{number}/agent.py", module(f"busy {number}"))
        c.wait_agents(*(f"default/busy{number}" for number in range(7)))
        c.refresh()
        assert [ask(c, f"default/busy{n}") for n in range(7)] == [f"busy {n}" for n in range(7)]


# ---- names ----------------------------------------------------------------------------------


def test_identities_further_exports_and_what_modules_say_of_themselves(runner):
    r = runner(agents=[{"name": "bot", "namespace": "desk", "kind": "sdk", "model": "own",
                        "module": "agents.desk.bots:clerk"},
                       {"name": "taken", "namespace": "default", "model": "m"},
                       {"name": "ghost", "namespace": "desk", "kind": "sdk",
                        "module": "agents.desk.ghost:agent"}])
    r.put("Research Team/deep/Über Agent/agent.py",
          '"""What it is for."""\nagent = {"fake": 1, "name": "R", "model": "its"}\n'
          'second = {"fake": 2}\n')
    r.put("Said/agent.py", '__gateway__ = {"namespace": "Elsewhere", "model": "g",'
                           ' "upstream": "up", "display_name": "D", "description": "d"}\n'
                           'build_agent = {"fake": 1}\n')
    r.put("Taken/agent.py", module("x"))
    r.put("desk/bots.py", 'clerk = {"fake": "clerk"}\nother = {"fake": "other"}\n')
    r.start()
    with r.control() as c:
        found = {agent["id"]: agent for agent in c.refresh()["agents"]}
        assert sorted(found) == ["desk/bot", "elsewhere/said", "research-team/-ber-agent",
                                 "research-team/-ber-agent-second"]
        research = found["research-team/-ber-agent"]
        assert research["model"] == "its" and research["description"] == "What it is for."
        assert found["research-team/-ber-agent-second"]["model"] == "m"
        said = found["elsewhere/said"]
        assert (said["display_name"], said["description"]) == ("D", "d")
        assert (said["model"], said["upstream"]) == ("g", "up")
        assert found["desk/bot"]["model"] == "own" and found["desk/bot"]["attr"] == "clerk"
        # Chosen by the operator or for all of the module, not by the code of one agent.
        assert {id for id, one in found.items() if one["model_given"]} == {
            "desk/bot", "elsewhere/said"}
        assert ask(c, "desk/bot", "clerk") == "clerk"
        assert c.errors(agent="default/taken")[0]["kind"] == "validation"
        assert "desk.ghost" in c.errors(agent="desk/ghost")[0]["message"]


def test_what_is_not_a_plain_file_of_its_owner_is_never_loaded(runner, directory):
    """T24."""
    r = runner()
    outside = directory / "outside"
    outside.mkdir()
    (outside / "agent.py").write_text(module("outside"))
    for name in ("Linked", "Fifo", "Open", "Device", "Helper"):
        (r.agents / name).mkdir()
    (r.agents / "LinkedFolder").symlink_to(outside)
    (r.agents / "Linked/agent.py").symlink_to(outside / "agent.py")
    os.mkfifo(r.agents / "Fifo/agent.py")
    r.put("Open/agent.py", module("open")).chmod(0o666)
    (r.agents / "Device/agent.py").symlink_to("/dev/zero")
    r.put("Helper/agent.py", module("helper"))
    r.put("Helper/parts.py", "").chmod(0o606)
    r.put("Everybody/agent.py", module("x"))
    (r.agents / "Everybody").chmod(0o777)
    r.put("Good/agent.py", module("good"))
    r.put("agent.py", module("in the root itself"))
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == ["default/good"]
        bad = {pathlib.Path(e["path"]).relative_to(r.agents).parts[0]
               for e in c.errors(kind="security")}
        assert bad == {"Linked", "LinkedFolder", "Fifo", "Open", "Device", "Helper", "Everybody"}
        assert c.errors(kind="validation", severity="warning")[0]["path"] == \
            str(r.agents / "agent.py")


# ---- policy ---------------------------------------------------------------------------------


def test_a_blocked_module_is_never_executed(runner, directory):
    r = runner(runner={"sandbox": "off"}, security={
        "dropin_module_allowlist": ["*"], "dropin_module_denylist": ["evil.*"],
        "namespace_defaults": {"labs": {"dropin_module_allowlist": ["labs.Good.*"]}}})
    for path in ("evil/X", "labs/Bad", "labs/Good"):
        mark = directory / f"ran-{path.replace('/', '-')}"
        r.put(f"{path}/agent.py", f"open({str(mark)!r}, 'w')\n" + module(path))
    # Its name is known only after its code has run; then it is not served.
    r.put("Sneaky/agent.py", '__gateway__ = {"namespace": "labs"}\n' + module("sneaky"))
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == ["labs/good"]
        blocked = {e["module"]: e["message"] for e in c.errors(kind="security")}
        assert set(blocked) == {"evil.X.agent", "labs.Bad.agent", "Sneaky.agent"}
        assert "evil.*" in blocked["evil.X.agent"] and "security.yaml:" in blocked["evil.X.agent"]
        assert "namespace_defaults.labs" in blocked["labs.Bad.agent"]
        assert c.module("evil.X.agent")["state"] == "blocked"
        assert [p.name for p in directory.glob("ran-*")] == ["ran-labs-Good"]
        # A rule that changes ends what runs, and lets in what was out.
        r.config["security"]["default"]["dropin_module_denylist"] = ["labs.*"]
        r.write()
        assert names(c.refresh()) == ["evil/x"]
        assert (directory / "ran-evil-X").exists()
        c.wait(lambda _: c.module("labs.Good.agent")["pid"] == 0)


def test_no_generation_of_a_blocked_module_runs_on(runner):
    r = runner()
    with r.serving({"Patient/agent.py": PATIENT.replace("TEXT", "old")}) as c:
        running = [begin(c, "default/patient")]
        r.put("Patient/agent.py", PATIENT.replace("TEXT", "new"))
        c.wait(lambda _: c.module("Patient.agent")["generation"] == 2)
        running.append(begin(c, "default/patient"))
        r.config["security"]["default"]["dropin_module_denylist"] = ["Patient.*"]
        r.write()
        assert names(c.refresh()) == []
        wait_until(lambda: not r.family(), LONG, "end of both generations")
        for connection in running:
            with connection:
                assert not [m for m in read_messages(connection) if m["t"] == "run.done"]


def test_nothing_is_allowed_without_a_list(runner):
    r = runner(security={"rate_limit": {"per_minute": 1}})
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == []
        assert "default.dropin_module_allowlist" in c.errors(kind="security")[0]["message"]


def test_a_configuration_with_errors_is_not_taken(runner):
    r = runner()
    with r.serving({"Hello/agent.py": module("hello")}) as c:
        (r.directory / "security.yaml").write_text("nonsense: [")
        assert names(c.refresh()) == ["default/hello"]
        assert "security.yaml" in c.errors(kind="validation")[0]["message"]
        r.write()
        c.refresh()
        assert not c.errors()


# ---- processes ------------------------------------------------------------------------------


def test_a_process_ends_when_idle_and_comes_back(runner):
    r = runner(runner={"idle_stop": 0.3, "ping_interval": 0.1})
    with r.serving({"Patient/agent.py": PATIENT}) as c:
        connection = begin(c, "default/patient")
        time.sleep(1)  # three times idle_stop, in which it is not idle
        assert c.module("Patient.agent")["state"] == "running"
        assert finish(connection) == "TEXT"
        c.wait(lambda _: c.module("Patient.agent")["state"] == "idle")
        assert names(c.listing) == ["default/patient"]
        wait_until(lambda: not r.family(), LONG, "end of the process")
        assert finish(begin(c, "default/patient")) == "TEXT"
        assert c.module("Patient.agent")["restarts"] == 0


def test_what_dies_while_it_is_imported_is_tried_again_ever_later(runner):
    r = runner()
    r.put("Dies/agent.py", "import os\nos._exit(3)\n")
    r.put("Fine/agent.py", module("fine"))
    r.start()
    with r.control() as c:
        c.wait(lambda _: c.module("Dies.agent")["state"] == "backoff")
        c.wait_agents("default/fine")
        assert "exit status 3" in c.errors(module="Dies.agent")[0]["message"]
        wait_until(lambda: len(r.events("runner.host.ended", module="Dies.agent")) >= 3, LONG,
                   "third attempt")
        assert ask(c, "default/fine") == "fine"
        r.put("Dies/agent.py", module("lives"))
        c.wait_agents("default/dies", timeout=2 * SOON)
        assert not c.errors(module="Dies.agent")


def test_searches_do_not_hasten_what_is_tried_again(runner, directory):
    """A folder that is missing is looked for every second."""
    r = runner(discovery={"extra_paths": [str(directory / "missing")]})
    r.put("Dies/agent.py", "import os\nos._exit(3)\n")
    began = time.monotonic()
    r.start()
    wait_until(lambda: len(r.events("runner.host.ended", module="Dies.agent")) >= 6, LONG,
               "sixth attempt")
    assert time.monotonic() - began >= 0.2 + 0.4 + 0.8 + 1.6 + 3.2


def test_refreshes_do_not_end_a_load_under_way(runner):
    r = runner()
    r.put("Slow/agent.py", PACED + module("slow"))
    pace = r.put("Slow/pace.bin", "slow")
    r.start()
    with r.control() as c:
        c.wait(lambda _: c.listing["modules"] and c.module("Slow.agent")["state"] == "starting")
        for number in range(3):
            seen = c.listing["generation"]
            c.send({"t": "refresh", "id": 1000 + number})
            c.wait(lambda listing, n=seen: listing["generation"] > n)
        pace.write_text("fast")
        c.wait_agents("default/slow")
    assert not r.events("runner.host.ended")


def test_a_crash_ends_the_run_and_the_next_one_is_served(runner):
    r = runner()
    with r.serving({"Dies/agent.py": DIES + "good = {'fake': 'good'}\n",
                    "Fine/agent.py": PATIENT}) as c:
        other = begin(c, "default/fine")
        for restarts in range(1, 3):
            assert ask(c, "default/dies") is None
            c.wait(lambda _, n=restarts: c.module("Dies.agent")["restarts"] == n)
            assert ask(c, "default/dies-good", "good") == "good"
        assert "exit status 9" in c.errors(kind="runtime", module="Dies.agent")[0]["message"]
        assert c.listing["agents"][0]["available"]
        assert finish(other) == "TEXT"


def test_one_that_crashes_again_and_again_is_left_alone_for_a_while(runner):
    r = runner()
    with r.serving({"Dies/agent.py": DIES}) as c:
        with pytest.raises(Refused) as refused:
            for restarts in range(1, 10):
                assert ask(c, "default/dies") is None
                c.wait(lambda _, n=restarts: c.module("Dies.agent")["restarts"] == n)
        answer = refused.value.args[0]
        assert answer["class"] == "backoff" and answer["retry_after_ms"] > 1000
        assert c.refresh() and c.module("Dies.agent")["state"] == "backoff"


def test_one_that_hangs_is_killed(runner):
    r = runner(runner={"ping_interval": 0.2})
    with r.serving({"Hangs/agent.py": HANGING, "Fine/agent.py": module("fine")}) as c:
        connection = begin(c, "default/hangs")
        assert read_messages(connection) == []  # its end
        c.wait(lambda _: c.errors(kind="runtime", module="Hangs.agent"))
        assert "hangs" in c.errors(kind="runtime")[0]["message"]
        assert ask(c, "default/fine") == "fine"
        connection.close()


def test_modules_that_hang_while_they_load_keep_no_other_waiting(runner):
    r = runner(runner={"load_timeout": 600})
    hanging = [f"Hangs{i}" for i in range(max(2, os.cpu_count()))]  # as many as load at once
    for name in hanging:
        r.put(f"{name}/agent.py", "import time\ntime.sleep(1e6)\n")
    r.start()
    with r.control() as c:
        wait_until(lambda: len(r.events("runner.host.started")) == len(hanging), LONG, "hosts")
        r.put("Fine/agent.py", module("fine"))
        c.wait_agents("default/fine")
        assert ask(c, "default/fine") == "fine"
        assert {c.module(f"{name}.agent")["state"] for name in hanging} == {"starting"}


def test_a_gateway_can_have_a_hanging_process_looked_at(runner):
    r = runner(runner={"ping_interval": 60})
    with r.serving({"Hangs/agent.py": HANGING, "Fine/agent.py": PATIENT}) as c:
        hanging, fine = begin(c, "default/hangs"), begin(c, "default/fine")
        for agent in ("default/hangs", "default/fine", "default/nobody"):
            c.send({"t": "kill", "agent": agent, "reason": "hang"})
        assert read_messages(hanging) == []
        assert finish(fine) == "TEXT"
        hanging.close()


def test_a_late_report_of_a_hang_leaves_the_process_alone_that_came_after(runner):
    r = runner(runner={"ping_interval": 60})
    with r.serving({"Hangs/agent.py": HANGING, "Other/agent.py": HANGING}) as c:
        first = begin(c, "default/hangs")
        process = c.processes["default/hangs"]
        c.send({"t": "kill", "agent": "default/hangs", "process": process, "reason": "hang"})
        assert read_messages(first) == []
        first.close()
        second = begin(c, "default/hangs")
        assert c.processes["default/hangs"] > process
        other = begin(c, "default/other")
        for agent, number in (("default/hangs", process), ("default/hangs", 1),
                              ("default/other", c.processes["default/other"])):
            c.send({"t": "kill", "agent": agent, "process": number, "reason": "hang"})
        assert read_messages(other) == []  # so the others were looked at, too
        other.close()
        wait_until(lambda: len(r.events("runner.host.ended", module="Other.agent")) == 1, LONG,
                   "end of the other")
        assert finish(second) == "TEXT"


@pytest.mark.parametrize("code, message, options", [
    ("import time\ntime.sleep(1e6)\n", "does not report", {"start_timeout": 0.5}),
    ("import socket\ns = socket.socket(fileno=3)\ns.sendall(b'{\"t\":\"hello\",\"v\":1}\\n')\n"
     "import time\ntime.sleep(1e6)\n", "too long to load", {"load_timeout": 0.5}),
    ("import socket, time\ns = socket.socket(fileno=3)\ns.sendall(b'{\"t\":\"hello\",\"v\":7}\\n')"
     "\ntime.sleep(1e6)\n", "another version", {}),
    ("import socket, time\ns = socket.socket(fileno=3)\ns.sendall(b'no JSON\\n')\n"
     "time.sleep(1e6)\n", "cannot be read", {}),
    ("import socket, time\ns = socket.socket(fileno=3)\nwhile True: s.sendall(b'x' * 65536)\n",
     "a line of more than", {}),
    ("import os, time\nos.close(3)\nos.closerange(0, 99)\nimport time\ntime.sleep(1e6)\n",
     "closed its channel", {}),
    ("import socket\ns = socket.socket(fileno=3)\nwhile True: s.sendall(b'{\"t\":\"log\"}\\n' * 99)\n",
     "floods", {}),
    ("raise SystemExit('it says why')\n", "it says why", {}),
])
def test_hosts_that_do_not_keep_to_the_wire_are_ended(runner, directory, code, message, options):
    hosts = directory / "hosts"
    (hosts / "python").mkdir(parents=True)
    (hosts / "python/host.py").write_text(code)
    r = runner(hosts=hosts, runner=options)
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as c:
        c.wait(lambda _: c.errors(module="Hello.agent"))
        assert message in c.errors(module="Hello.agent")[0]["message"]
        assert names(c.listing) == []


def test_endless_output_is_logged_in_part_and_hinders_nobody(runner):
    r = runner()
    with r.serving({"Noisy/agent.py": "import sys, threading\n"
                                      "def shout():\n    while True: print('x' * 70)\n"
                                      "threading.Thread(target=shout, daemon=True).start()\n"
                                      + module("noisy"),
                    "Fine/agent.py": module("fine")}) as c:
        wait_until(lambda: [e for e in r.events("runner.host.output") if "dropped" in e], LONG,
                   "note of dropped lines")
        assert ask(c, "default/fine") == "fine"
        assert (r.directory / "runner.log").stat().st_size < 10 << 20


def test_kill_9_of_the_runner_leaves_no_process_behind(runner):
    """T28."""
    r = runner()
    r.put("A/agent.py", "import subprocess\n"
                        "subprocess.Popen(['sleep', '1000'], start_new_session=True)\n" + PATIENT)
    r.put("B/agent.py", module("b"))
    r.start()
    with r.control() as c:
        c.wait_agents("default/a", "default/b")
        connection = begin(c, "default/a")
        family = r.kill()
        assert len(family) >= 4
        assert read_messages(connection) == []
        connection.close()
    r.start()  # over the socket that was left behind
    with r.control() as c:
        c.wait_agents("default/a", "default/b")


def test_a_stop_lets_runs_end(runner):
    r = runner()
    r.put("Patient/agent.py", PATIENT)
    r.put("Slow/agent.py", "import time\ntime.sleep(1e6)\n")
    r.start()
    with r.control() as c:
        c.wait_agents("default/patient")
        connection = begin(c, "default/patient")
        r.process.send(signal.SIGTERM)
        wait_until(lambda: not r.socket.exists(), LONG, "end of the socket")
        assert refusal(c, "default/patient")["class"] == "draining"
        assert finish(connection) == "TEXT"
        assert r.process.wait(LONG) == 0


def test_a_second_stop_does_not_wait(runner):
    r = runner()
    with r.serving({"Patient/agent.py": PATIENT}) as c:
        connection = begin(c, "default/patient")
        r.process.send(signal.SIGTERM)
        wait_until(lambda: not r.socket.exists(), LONG, "end of the socket")
        r.process.send(signal.SIGTERM)
        assert r.process.wait(LONG) == 0
        assert read_messages(connection) == []
        connection.close()


def test_runs_and_memory_are_told_without_being_asked_for(runner):
    r = runner(runner={"ping_interval": 0.1})
    with r.serving({"Patient/agent.py": PATIENT}) as c:
        c.wait(lambda _: c.module("Patient.agent")["rss"] == 1 << 20, what="memory")
        runs = [begin(c, "default/patient") for _ in range(3)]
        c.wait(lambda _: c.module("Patient.agent")["runs"] == 3, what="runs")
        assert [finish(run) for run in runs] == ["TEXT"] * 3
        c.wait(lambda _: c.module("Patient.agent")["runs"] == 0, what="end of the runs")


def test_many_runs_are_no_storm_of_lists(runner):
    r = runner(runner={"ping_interval": 0.1})
    with r.serving({"Patient/agent.py": PATIENT}) as c:
        c.wait(lambda _: c.module("Patient.agent")["rss"] == 1 << 20, what="memory")
        before, began = c.listing["generation"], time.monotonic()
        while time.monotonic() - began < 4:  # in each ping's time it has other runs
            assert finish(begin(c, "default/patient")) == "TEXT"
        c.wait(lambda _: c.module("Patient.agent")["runs"] == 0, what="end of the runs")
        seconds = time.monotonic() - began
        assert 1 <= c.listing["generation"] - before <= seconds / 2 + 1


# ---- connections ----------------------------------------------------------------------------


def test_many_connections_at_once_and_none_leaks(runner):
    r = runner(runner={"max_runs": 200})
    with r.serving({"Patient/agent.py": PATIENT}) as c:
        assert finish(begin(c, "default/patient")) == "TEXT"
        before = r.descriptors()
        for _ in range(3):
            numbers = [c.begin_open("default/patient") for _ in range(100)]
            connections = [c.end_open(number) for number in numbers]
            for connection in connections:
                begin_on(connection)
            assert [finish(connection) for connection in connections] == ["TEXT"] * 100
        assert c.refresh()
        wait_until(lambda: r.descriptors() <= before, LONG, "as few descriptors as before")


def test_neither_end_of_a_connection_blocks(runner):
    r = runner()
    with r.serving({"Hello/agent.py": "agent = {'fake': lambda *_: str(was_blocking)}\n"}) as c:
        assert ask(c, "default/hello") == "False" and c.was_blocking is False


def test_opens_wait_for_a_process_that_starts(runner):
    r = runner(runner={"idle_stop": 0.2})
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as c, r.control() as other:
        c.wait_agents("default/hello")
        c.wait(lambda _: c.module("Hello.agent")["state"] == "idle")
        numbers = [c.begin_open("default/hello") for _ in range(100)]
        gone = [other.begin_open("default/hello") for _ in range(10)]
        assert gone and other.close() is None  # nobody waits for those any more
        for number in numbers:
            with c.end_open(number) as connection:
                start_run(connection)
                assert read_messages(connection)[-1]["output"] == "hello"


def test_no_more_runs_than_allowed(runner):
    r = runner(runner={"max_runs": 2})
    with r.serving({"Patient/agent.py": PATIENT}) as c:
        runs = [begin(c, "default/patient") for _ in range(2)]
        answer = refusal(c, "default/patient")
        assert answer["class"] == "busy" and answer["retry_after_ms"] > 0
        assert finish(runs.pop()) == "TEXT"

        def another():
            try:
                return begin(c, "default/patient")
            except Refused:
                return None
        runs.append(wait_until(another, LONG, "room for another run"))
        assert [finish(run) for run in runs] == ["TEXT"] * 2


def first_message(sock):
    sock.settimeout(LONG)
    return json.loads(sock.makefile().readline())


def test_without_descriptors_it_says_so_and_recovers(runner):
    r = runner()
    others = []
    with r.serving({"Hello/agent.py": module("hello")}) as c:
        resource.prlimit(r.process.pid, resource.RLIMIT_NOFILE, (100, 100))
        while True:  # others take all that there is
            others.append(socket.socket(socket.AF_UNIX))
            others[-1].connect(str(r.socket))
            message = first_message(others[-1])
            if message["t"] == "error":
                break
        assert "RLIMIT_NOFILE" in message["message"]
        answer = refusal(c, "default/hello")
        assert answer["class"] == "busy" and "RLIMIT_NOFILE" in answer["message"]
        assert answer["retry_after_ms"] > 0
        r.put("New/agent.py", module("new"))
        c.wait(lambda _: c.errors(module="New.agent"))
        assert "RLIMIT_NOFILE" in c.errors(module="New.agent")[0]["message"]
        assert names(c.listing) == ["default/hello"] and c.listing["agents"][0]["available"]
        for other in others:
            other.close()
        c.wait_agents("default/hello", "default/new")
        c.wait(lambda _: not c.errors())
        assert [ask(c, f"default/{name}") for name in ("hello", "new")] == ["hello", "new"]


def test_a_search_without_any_descriptor_takes_no_agent_away(runner):
    r = runner()
    with r.serving({"Hello/agent.py": module("hello")}) as c:
        before = resource.prlimit(r.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(r.process.pid, resource.RLIMIT_NOFILE, (1, before[1]))
        r.put("New/agent.py", module("new"))
        c.wait(lambda _: c.errors(kind="runtime"))
        assert "RLIMIT_NOFILE" in c.errors(kind="runtime")[0]["message"]
        assert names(c.listing) == ["default/hello"] and c.listing["agents"][0]["available"]
        assert c.module("Hello.agent")["pid"] > 0
        resource.prlimit(r.process.pid, resource.RLIMIT_NOFILE, before)
        c.wait_agents("default/hello", "default/new")
        c.wait(lambda _: not c.errors())
        assert [ask(c, f"default/{name}") for name in ("hello", "new")] == ["hello", "new"]


def test_nothing_is_told_before_the_first_search_is_done(runner):
    r = runner()
    deep = r.agents.joinpath("deep", *"abcdefghij")  # a search holds one for each
    deep.mkdir(parents=True)
    r.start(prefix=["prlimit", "--nofile=20"])
    with r.control() as c:
        assert c.receive()["t"] == "hello"
        c.send({"t": "refresh", "id": 7})
        wait_until(lambda: r.events("runner.search_put_off"), LONG, "search")
        time.sleep(1)  # a list would have come
        assert r.process.running(), r.output()
        assert len(r.events("runner.search_put_off")) == 1
        shutil.rmtree(r.agents / "deep")
        assert c.receive()["t"] == "agents"
        assert c.listing["runner"]["complete"] and c.listing["watch"]["state"] == "started"
        assert not c.errors()
        assert c.receive() == {"t": "refreshed", "id": 7}


def test_gateways_come_and_go_and_misbehave(runner):
    r = runner()
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as good:
        good.wait_agents("default/hello")
        before = r.descriptors()
        for first in (b"no JSON\n", b'{"t":"open","id":1,"agent":"default/hello"}\n',
                      b'{"t":"hello","v":9}\n', b"[]\n", b"x" * (2 << 20), b'{"t":"hello","v":1}'):
            with socket.socket(socket.AF_UNIX) as bad:
                bad.connect(str(r.socket))
                bad.settimeout(LONG)
                try:
                    bad.sendall(first)
                    bad.shutdown(socket.SHUT_WR)
                    while bad.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        with socket.socket(socket.AF_UNIX) as bad:  # descriptors that nobody asked for
            bad.connect(str(r.socket))
            send_with_fds(bad, b'{"t":"hello","v":1}\n{"t":"x"}\n', [0, 0, 0])
        wait_until(lambda: r.descriptors() == before, LONG, "as many descriptors as before")
        assert ask(good, "default/hello") == "hello"
        assert refusal(good, "default/nobody")["class"] == "unknown"


def test_a_gateway_that_ends_is_no_trouble(runner):
    """A worker may go at any time, also when it is just told something."""
    r = runner()
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as good, r.control() as gone:
        for c in (good, gone):
            c.wait_agents("default/hello")
        gone.sock.shutdown(socket.SHUT_RD)
        r.put("Other/agent.py", module("other"))
        good.wait_agents("default/other")
        wait_until(lambda: dropped(gone), LONG, "end of the connection")
        assert not r.events("runner.client.dropped")


def dropped(control):
    try:
        control.send({"t": "nothing"})
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def test_a_gateway_that_does_not_read_hinders_nobody(runner):
    r = runner()
    r.put("Hello/agent.py", module("hello"))
    r.put("Other/agent.py", module("other"))
    r.start()
    with r.control() as good, r.control() as deaf:
        good.wait_agents("default/hello", "default/other")
        deaf.sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                deaf.send({"t": "open", "id": 1, "agent": "default/other"})
        assert ask(good, "default/hello") == "hello"
    with r.control() as good:
        good.wait_agents("default/other")
        wait_until(lambda: can_ask(good, "default/other"), LONG, "end of runs that nobody took")


def test_a_gateway_that_reads_slowly_gets_the_newest_list(runner):
    """And is not dropped because there were too many before."""
    r = runner()
    r.put("Long/agent.py", "__doc__ = '\\1' * 2000\n"
          "for n in range(100):\n    globals()[f'a{n}'] = {'fake': 'x'}\n")
    r.start()
    with r.control() as good, r.control() as slow:
        slow.wait_agents("default/long-a0")
        good.wait_agents("default/long-a0")
        for _ in range(120):  # of them half a MiB each; 32 MiB may wait to be sent
            good.refresh()
        r.put("Last/agent.py", module("last"))
        good.wait_agents("default/last")
        slow.wait_agents("default/last")
        assert slow.refresh()["generation"] >= good.listing["generation"]


def can_ask(control, agent):
    try:
        return ask(control, agent)
    except Refused:
        return None


# ---- the sandbox ----------------------------------------------------------------------------


def test_a_module_sees_its_own_files_and_no_environment(runner):
    r = runner()
    r.put("Secret/agent.py", module("secret"))
    r.put("Secret/data.txt", "secret")
    r.put("Nosy/own.txt", "own")
    r.put("Nosy/agent.py", f"""
import json, os, socket
def look(*_):
    seen = {{"environment": dict(os.environ), "own": open("own.txt").read()}}
    for name in ({str(r.agents / "Secret/data.txt")!r}, {str(r.directory / "security.yaml")!r},
                 "/etc/shadow"):
        try:
            seen[name] = open(name).read()
        except OSError as problem:
            seen[name] = problem.errno
    try:
        socket.socket()
        seen["socket"] = True
    except OSError:
        seen["socket"] = False
    try:
        open("new.txt", "w")
        seen["write"] = True
    except OSError:
        seen["write"] = False
    return json.dumps(seen)
agent = {{"fake": look}}
""")
    r.start()
    with r.control() as c:
        c.wait_agents("default/nosy", "default/secret")
        seen = json.loads(ask(c, "default/nosy"))
        assert seen.pop("own") == "own"
        environment = seen.pop("environment")
        assert not [v for v in environment.values() if "canary" in v], environment
        assert set(environment) <= {"PATH", "LANG", "HOME", "TMPDIR", "LC_CTYPE"}
        if "applied" in c.listing["sandbox"]["landlock"]:
            assert seen == {name: 13 if name.startswith("/") else False for name in seen}


def test_the_network_is_for_those_that_agents_yaml_gives_it(runner):
    r = runner()
    with r.serving({"Net/agent.py": NET}) as c:
        enforced = "applied" in c.listing["sandbox"]["seccomp"]
        assert ask(c, "default/net") == ("may not" if enforced else "may")
        r.config["agents"]["agents"] = [NET_ENTRY]
        r.write()
        c.refresh()
        c.wait(lambda _: c.module("Net.agent")["generation"] == 2)
        assert ask(c, "default/net") == "may"


def test_a_sandbox_that_is_required_is_complete_or_nothing_runs(runner):
    r = runner(runner={"sandbox": "required"})
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as c:
        c.wait(lambda listing: listing["agents"] or listing["errors"])
        if c.listing["agents"]:
            assert ask(c, "default/hello") == "hello"
            assert "applied" in c.listing["sandbox"]["landlock"]
        else:
            assert "required" in c.errors(module="Hello.agent")[0]["message"]


def test_generations_in_quick_succession_leave_no_process_behind(runner):
    r = runner()
    with r.serving({"Patient/agent.py": PATIENT.replace("TEXT", "0")}) as c:
        connections = [begin(c, "default/patient")]
        for generation in range(1, 7):
            r.put("Patient/agent.py", PATIENT.replace("TEXT", str(generation)))
            c.wait(lambda _, g=generation: c.module("Patient.agent")["generation"] == g + 1)
            connections.append(begin(c, "default/patient"))
        # Four older ones may finish; those before them were ended.
        assert [finish(connection) for connection in connections[2:]] == list("23456")
        for connection in connections[:2]:
            with connection:
                assert not [m for m in read_messages(connection) if m["t"] == "run.done"]
        wait_until(lambda: len(r.family()) <= 4, LONG, "end of all but the newest")


def test_idle_without_modules_it_is_small(runner):
    r = runner().start()
    with r.control() as c:
        c.refresh()
    status = pathlib.Path(f"/proc/{r.process.pid}/status").read_text()
    rss = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    if "asan" not in pathlib.Path(f"/proc/{r.process.pid}/maps").read_text():
        assert rss <= 8 << 10, f"{rss} KiB"


# ---- Node.js --------------------------------------------------------------------------------


def test_modules_in_javascript(runner):
    r = runner()
    r.put("Poet/agent.mjs", "export const agent = {fake: 'roses', name: 'Poet'};\n"
                            "export const gateway = {namespace: 'arts'};\n")
    r.start()
    with r.control() as c:
        listing = c.wait_agents("arts/poet")
        assert listing["agents"][0]["lang"] == "node"
        before = r.descriptors()
        numbers = [c.begin_open("arts/poet") for _ in range(40)]
        connections = [c.end_open(number) for number in numbers]
        for connection in connections:
            start_run(connection)
        for connection in connections:
            with connection:
                assert read_messages(connection)[-1]["output"] == "roses"
        assert c.refresh()
        wait_until(lambda: r.descriptors() <= before, LONG, "as few descriptors as before")
        r.put("Poet/agent.mjs", "export const agent = {fake: 'violets'};\n")
        c.wait_agents("default/poet")
        assert ask(c, "default/poet") == "violets"
        r.put("Poet/agent.mjs", "export const agent = {{\n")
        c.wait(lambda _: c.errors(kind="import"))
        assert ask(c, "default/poet") == "violets"


def test_requests_of_several_gateways_at_once(runner):
    r = runner()
    r.put("Hello/agent.py", module("hello"))
    r.start()
    failures = []

    def gateway():
        with r.control() as c:
            c.wait_agents("default/hello")
            for _ in range(20):
                if ask(c, "default/hello") != "hello":
                    failures.append(1)
    threads = [threading.Thread(target=gateway) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not failures and not any(thread.is_alive() for thread in threads)
