# SPDX-License-Identifier: MIT
"""agw-runner: an edit that cannot be used takes no agent away. The last good generation serves
on, and comes back when its process has ended: from a copy of its files."""
import os
import subprocess
import time

import pytest

from procs import wait_until
from runner import (LONG, NET, NET_ENTRY, PACED, PATIENT, Refused, ask, begin, finish, module,
                    names, read_messages, refusal, start_run)

BAD = "agent = {\n  'fake': 'bad'\nthis is no Python\n"
IDLE = {"idle_stop": 0.2, "ping_interval": 0.1}


def wait_idle(control, name="Hello.agent"):
    control.wait(lambda _: control.module(name)["pid"] == 0, what="end of the process")


def wait_broken(control, path):
    """Its error is shown with file and line, and the agent beside it."""
    control.wait(lambda _: control.errors(kind="import"))
    error = control.errors(kind="import")[0]
    assert error["path"] == str(path) and error["line"] in (1, 2, 3)
    assert error["severity"] == "error"
    assert control.listing["agents"][0]["available"], control.listing


def test_an_agent_that_was_idle_comes_back_after_an_edit_with_errors(runner):
    r = runner(runner=IDLE)
    path = r.agents / "labs/Hello/agent.py"
    with r.serving({"labs/Hello/agent.py": module("good")}) as c:
        wait_idle(c, "labs.Hello.agent")
        r.put("labs/Hello/agent.py", BAD)
        wait_broken(c, path)
        for _ in range(2):  # it ends when idle again, and comes back again
            assert ask(c, "labs/hello") == "good"
            wait_broken(c, path)
            wait_idle(c, "labs.Hello.agent")
        assert names(c.listing) == ["labs/hello"] and c.listing["agents"][0]["path"] == str(path)
        assert c.module("labs.Hello.agent")["generation"] == 1
        assert c.module("labs.Hello.agent")["restarts"] == 0
        r.put("labs/Hello/agent.py", module("better"))
        c.wait(lambda _: not c.errors() and
               c.module("labs.Hello.agent")["generation"] == 2)
        assert ask(c, "labs/hello") == "better"


def test_a_process_that_serves_an_edit_with_errors_over_may_crash(runner):
    r = runner()
    path = r.put("Dies/agent.py", "import os, sys\nsys.path.insert(0, os.getcwd())\nimport helper\n"
                                  "agent = {'fake': lambda *_: os._exit(9)}\ngood = {'fake': helper.TEXT}\n")
    r.put("Dies/helper.py", "TEXT = 'good'\n")
    r.start()
    with r.control() as c:
        c.wait_agents("default/dies", "default/dies-good")
        r.put("Dies/helper.py", "TEXT = 'bad\n")
        c.wait(lambda _: c.errors(kind="import"))
        for restarts in range(1, 3):
            assert ask(c, "default/dies") is None
            c.wait(lambda _, n=restarts: c.module("Dies.agent")["restarts"] == n)
            assert ask(c, "default/dies-good", "good") == "good"
        assert c.errors(kind="import") and c.errors(kind="runtime")
        assert {a["path"] for a in c.listing["agents"]} == {str(path)}


def test_nobody_waits_for_an_edit_that_hangs(runner):
    r = runner(runner={**IDLE, "load_timeout": 600})
    with r.serving({"Hello/agent.py": module("good")}) as c:
        wait_idle(c)
        r.put("Hello/agent.py", "import time\ntime.sleep(1e6)\n")
        c.wait(lambda _: c.module("Hello.agent")["state"] == "starting")
        assert ask(c, "default/hello") == "good"
        r.put("Hello/agent.py", module("better"))
        c.wait(lambda _: c.module("Hello.agent")["generation"] == 2)
        assert ask(c, "default/hello") == "better"


def test_who_asks_before_the_edit_is_noticed_is_served(runner):
    r = runner(watch=False, runner=IDLE)
    with r.serving({"Hello/agent.py": module("good")}) as c:
        wait_idle(c)
        r.put("Hello/agent.py", BAD)
        assert ask(c, "default/hello") == "good"
        assert not c.errors()
        c.refresh()
        assert c.errors(kind="import") and ask(c, "default/hello") == "good"


def test_the_last_good_generation_outlives_the_runner(runner):
    r = runner(runner=IDLE)
    path = r.put("Hello/agent.py", module("good", name="G"))
    r.put("Gone/agent.py", module("gone"))
    for end in (r.kill, r.stop):
        r.start()
        with r.control() as c:
            c.wait_agents("default/hello", *(["default/gone"] if end == r.kill else []))
            assert ask(c, "default/hello") == "good"
        end()
        r.put("Hello/agent.py", BAD)
        (r.agents / "Gone/agent.py").unlink(missing_ok=True)
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == ["default/hello"]
        wait_broken(c, path)
        assert c.listing["agents"][0]["display_name"] == "G"
        assert ask(c, "default/hello") == "good"
        r.put("Hello/agent.py", module("better"))
        c.wait(lambda _: not c.errors())
        assert ask(c, "default/hello") == "better"
    r.put("Gone/agent.py", BAD)  # what was deleted does not come back
    with r.control() as c:
        c.wait(lambda _: c.errors(module="Gone.agent"))
        assert names(c.refresh()) == ["default/hello"]


def test_a_copy_of_a_blocked_module_is_not_run(runner, directory):
    mark = directory / "ran"
    r = runner(runner={**IDLE, "sandbox": "off"})
    r.put("Hello/agent.py", f"open({str(mark)!r}, 'a').write('x')\n" + module("good"))
    r.start()
    with r.control() as c:
        c.wait_agents("default/hello")
        r.put("Hello/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        ran = mark.read_text()
        r.config["security"]["default"]["dropin_module_denylist"] = ["Hello.*"]
        r.write()
        assert names(c.refresh()) == []
        with pytest.raises(Refused):
            c.open("default/hello")
    r.stop()
    r.start()
    with r.control() as c:
        assert names(c.refresh()) == [] and c.errors(kind="security")
        assert mark.read_text() == ran
        r.config["security"]["default"]["dropin_module_denylist"] = []
        r.write()
        assert names(c.refresh()) == [] and c.errors(kind="import")
        assert mark.read_text() == ran


def test_what_is_too_large_to_be_kept_does_not_end_when_idle(runner):
    r = runner(runner=IDLE)
    r.put("Small/agent.py", module("small"))
    r.put("Large/agent.py", module("large"))
    with open(r.agents / "Large/data.json", "wb") as file:
        file.truncate(17 << 20)
    r.start()
    with r.control() as c:
        c.wait_agents("default/small", "default/large")
        warning = c.errors(module="Large.agent")[0]
        assert warning["severity"] == "warning" and "16 MiB" in warning["message"]
        assert not c.errors(module="Small.agent")
        wait_idle(c, "Small.agent")
        time.sleep(1)  # five times idle_stop
        r.put("Large/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        assert ask(c, "default/large") == "large"
        assert ask(c, "default/small") == "small"


def mounted(r, options):
    """A command that runs the runner with a file system of its own for copies, which is gone with
    it; one that does without where nothing may be mounted."""
    folder = r.directory / "runner.sock.kept"
    folder.mkdir(mode=0o700)
    command = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount", "sh", "-c",
               'mount -t tmpfs -o "mode=700,$0" tmpfs "$1" && shift && exec "$@"', options,
               str(folder)]
    can = subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0
    return command if can else []


def test_a_library_is_not_kept_where_it_could_not_be_loaded(runner):
    r = runner(runner=IDLE)
    r.put("Plain/agent.py", module("plain"))
    r.put("Fast/agent.py", module("fast"))
    r.put("Fast/parts/fast.so", "code")
    command = mounted(r, "noexec")
    r.start(prefix=command)
    with r.control() as c:
        c.wait_agents("default/plain", "default/fast")
        wait_idle(c, "Plain.agent")
        if command:
            warning = c.errors(module="Fast.agent")[0]
            assert warning["severity"] == "warning" and "noexec" in warning["message"]
            time.sleep(1)  # five times idle_stop
            r.put("Fast/agent.py", BAD)
            c.wait(lambda _: c.errors(kind="import"))
            assert c.module("Fast.agent")["pid"] > 0
        assert ask(c, "default/fast") == "fast"


def test_copies_do_not_fill_the_file_system_that_they_lie_in(runner):
    r = runner(runner=IDLE)
    r.put("Small/agent.py", module("small"))
    r.put("Large/agent.py", module("large"))
    r.put("Large/data.json", " " * (700 << 10))
    command = mounted(r, "size=1m")
    r.start(prefix=command)
    with r.control() as c:
        c.wait_agents("default/small", "default/large")
        wait_idle(c, "Small.agent")
        if command:
            warning = c.errors(module="Large.agent")[0]
            assert warning["severity"] == "warning" and "half of what is free" in warning["message"]
        assert ask(c, "default/large") == "large"


def test_javascript_with_packages_comes_back_too(runner):
    r = runner(runner=IDLE)
    path = r.put("Poet/agent.mjs", "import { text } from './text.mjs';\nimport pkg from 'pkg';\n"
                                   "export const agent = {fake: text + pkg};\n")
    r.put("Poet/text.mjs", "export const text = 'roses';\n")
    r.put("Poet/node_modules/pkg/package.json", '{"name": "pkg", "main": "index.js"}')
    r.put("Poet/node_modules/pkg/index.js", "module.exports = ' are red';\n")
    r.start()
    with r.control() as c:
        c.wait_agents("default/poet")
        wait_idle(c, "Poet.agent")
        r.put("Poet/text.mjs", "export const text = {{;\n")
        c.wait(lambda _: c.errors(kind="import"))
        assert ask(c, "default/poet") == "roses are red"
        assert c.listing["agents"][0]["path"] == str(path)


def test_the_network_can_be_taken_from_what_cannot_be_loaded_any_more(runner):
    r = runner(agents=[NET_ENTRY])
    with r.serving({"Net/agent.py": NET}) as c:
        enforced = "applied" in c.listing["sandbox"]["seccomp"]
        r.put("Net/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        assert ask(c, "default/net") == "may"
        r.config["agents"]["agents"] = []
        r.write()
        c.refresh()
        assert ask(c, "default/net") == ("may not" if enforced else "may")


def test_the_network_can_be_taken_from_a_copy_that_is_starting(runner):
    r = runner(runner=IDLE, agents=[NET_ENTRY])
    pace = r.agents / "Net/pace.bin"
    with r.serving({"Net/agent.py": PACED + NET, "Net/pace.bin": "fast"}) as c:
        enforced = "applied" in c.listing["sandbox"]["seccomp"]
        wait_idle(c, "Net.agent")
        r.put("Net/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        pace.write_text("slow")
        number = c.begin_open("default/net")
        c.wait(lambda _: c.module("Net.agent")["state"] == "starting")
        r.config["agents"]["agents"] = []
        r.write()
        c.refresh()
        pace.write_text("fast")
        with c.end_open(number) as connection:
            start_run(connection)
            done = [m for m in read_messages(connection) if m["t"] == "run.done"]
        assert done[0]["output"] == ("may not" if enforced else "may")


def test_a_run_goes_on_while_edits_fail(runner):
    r = runner(runner=IDLE)
    with r.serving({"Patient/agent.py": PATIENT.replace("TEXT", "good")}) as c:
        running = begin(c, "default/patient")
        for text in (BAD, "raise ValueError('no')\n", "import os\nos._exit(3)\n"):
            before = len(r.events("runner.host.ended"))
            r.put("Patient/agent.py", text)
            wait_until(lambda n=before: len(r.events("runner.host.ended")) > n, LONG, "its end")
        assert finish(begin(c, "default/patient")) == "good"
        assert finish(running) == "good"
        wait_idle(c, "Patient.agent")
        again = begin(c, "default/patient")
        assert finish(again) == "good"


# It can be used or not by what is beside it and of no generation.
AT_TIMES = {"Hello/agent.py": "if open('data.bin').read() == 'bad': raise ValueError('the day')\n"
                              + module("good"),
            "Hello/data.bin": "fine"}


def test_a_copy_that_failed_once_is_tried_again(runner):
    r = runner(runner=IDLE)
    with r.serving(AT_TIMES) as c:
        wait_idle(c)
        r.put("Hello/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        r.put("Hello/data.bin", "bad")
        assert refusal(c, "default/hello")["class"] == "start_failed"
        r.put("Hello/data.bin", "fine")

        def answer():
            try:
                return ask(c, "default/hello")
            except Refused:
                return None

        assert wait_until(answer, LONG, "its answer") == "good"


def test_a_folder_that_is_away_for_a_moment_costs_no_copy(runner):
    r = runner(runner=IDLE)
    r.put("Hello/agent.py", module("good"))
    r.put("Gone/agent.py", module("gone"))
    r.start()
    away = r.agents.with_name("away")
    with r.control() as c:
        c.wait_agents("default/hello", "default/gone")
        for name in ("Hello", "Gone"):
            wait_idle(c, f"{name}.agent")
            r.put(f"{name}/agent.py", BAD)
            c.wait(lambda _, n=name: c.errors(kind="import", module=f"{n}.agent"))
        r.agents.rename(away)
        c.wait(lambda listing: listing["watch"]["state"] == "disabled" and not listing["modules"])
        (away / "Gone/agent.py").unlink()
        away.rename(r.agents)
        c.wait_agents("default/hello")
        assert ask(c, "default/hello") == "good"
        r.put("Gone/agent.py", BAD)
        c.wait(lambda _: c.errors(module="Gone.agent"))
        assert names(c.refresh()) == ["default/hello"]


def test_a_copy_stays_while_a_run_of_it_goes_on(runner):
    patient = PATIENT.replace('return "TEXT"', 'return open("p.md").read()')
    r = runner(runner=IDLE)
    with r.serving({"Patient/agent.py": patient, "Patient/p.md": "old"}) as c:
        wait_idle(c, "Patient.agent")
        r.put("Patient/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        running = begin(c, "default/patient")
        r.put("Patient/p.md", "new")
        r.put("Patient/agent.py", patient)
        c.wait(lambda _: c.module("Patient.agent")["generation"] == 2)
        assert finish(begin(c, "default/patient")) == "new"
        assert finish(running) == "old"
        wait_idle(c, "Patient.agent")  # so there is a copy of it
        r.put("Patient/agent.py", BAD)
        c.wait(lambda _: c.errors(kind="import"))
        assert finish(begin(c, "default/patient")) == "new"


def test_what_comes_back_and_cannot_be_used_is_told(runner):
    """The copy itself may depend on what has gone: its packages, the day."""
    r = runner(runner=IDLE)
    with r.serving(AT_TIMES) as c:
        wait_idle(c)
        r.put("Hello/data.bin", "bad")
        assert refusal(c, "default/hello")["class"] == "start_failed"
        c.wait(lambda _: c.errors(kind="runtime"))
        r.put("Hello/data.bin", "fine")
        c.refresh()
        assert ask(c, "default/hello") == "good"
