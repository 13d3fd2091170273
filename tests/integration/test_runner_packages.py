# SPDX-License-Identifier: MIT
"""Packages that lie in the folder of agents, for all of them; and programs that hosts run with."""
import os
import shutil
import subprocess
import sys

import pytest

import env
from procs import wait_until
from runner import ask, module, names, refusal

FILES = {
    "python": ("agent.py", ".venv", "import pkg\nagent = {'fake': 'shares ' + pkg.TEXT}\n"),
    "node": ("agent.mjs", "node_modules",
             "import pkg from 'pkg';\nexport const agent = { fake: 'shares ' + pkg };\n")}
LANGUAGES = list(FILES)


def put_packages(runner, folder, language, text):
    """A package `pkg` that is this text, in agents/FOLDER; it takes its place in one moment."""
    place = runner.agents / folder / FILES[language][1]
    fresh = place.with_name(".fresh")
    if language == "python":
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True)
        [packages] = fresh.glob("lib/python*/site-packages")
        (packages / "pkg.py").write_text(f"TEXT = {text!r}\n")
    else:
        (fresh / "pkg").mkdir(parents=True)
        (fresh / "pkg/package.json").write_text('{"name": "pkg", "main": "index.js"}')
        (fresh / "pkg/index.js").write_text(f"module.exports = {text!r};\n")
    if place.exists():
        shutil.move(place, place.with_name(".old"))
    fresh.rename(place)
    return place


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


def says(control, agent, text):
    """A new generation takes over when it is ready."""
    control.wait_agents(agent)
    wait_until(lambda: ask(control, agent) == text, 60, text)


def test_an_agent_without_packages_shares_those_of_all(runner, language):
    r = runner()
    file, _, code = FILES[language]
    put_packages(r, ".", language, "one")
    r.put(f"labs/Shares/{file}", code)
    r.put(f"Owns/{file}", code)
    put_packages(r, "Owns", language, "its own")
    r.start()
    with r.control() as c:
        says(c, "labs/shares", "shares one")
        says(c, "default/owns", "shares its own")
        before = c.module("Owns.agent")["generation"]
        put_packages(r, ".", language, "two")
        says(c, "labs/shares", "shares two")
        put_packages(r, "labs/Shares", language, "mine")
        r.put(f"labs/Shares/{file}", code + "\n")
        says(c, "labs/shares", "shares mine")
        assert c.module("Owns.agent")["generation"] == before


def test_one_with_packages_of_its_own_sees_no_others(runner, language):
    r = runner()
    file, folder, code = FILES[language]
    put_packages(r, ".", language, "one")
    r.put(f"Owns/{file}", code)
    place = put_packages(r, "Owns", language, "its own")
    for found in [*place.glob("lib/python*/site-packages/pkg.py"), *place.glob("pkg/*")]:
        found.unlink()
    assert (r.agents / folder).is_dir()
    r.start()
    with r.control() as c:
        c.wait_settled()
        assert names(c.listing) == []
        [problem] = c.errors(severity="error")
        assert problem["kind"] == "import" and "pkg" in problem["message"]


def test_a_copy_of_the_last_good_generation_shares_them_too(runner, language):
    r = runner(runner={"idle_stop": 0.2, "ping_interval": 0.1})
    file, _, code = FILES[language]
    put_packages(r, ".", language, "one")
    r.put(f"Shares/{file}", code)
    r.start()
    with r.control() as c:
        says(c, "default/shares", "shares one")
        c.wait(lambda _: c.module("Shares.agent")["pid"] == 0, what="end of the process")
        r.put(f"Shares/{file}", "what is this\n")
        c.wait(lambda _: c.errors(kind="import"))
        c.wait(lambda _: c.module("Shares.agent")["pid"] == 0, what="end of the process")
        assert ask(c, "default/shares") == "shares one"


def test_a_copy_shares_none_that_others_may_write_by_now(runner, language):
    """Though its original, which has its own by now, is not another one for that."""
    r = runner(runner={"idle_stop": 0.2, "ping_interval": 0.1})
    file, _, code = FILES[language]
    place = put_packages(r, ".", language, "one")
    r.put(f"Shares/{file}", code)
    r.start()
    with r.control() as c:
        says(c, "default/shares", "shares one")
        r.put(f"Shares/{file}", "what is this\n")
        c.wait(lambda _: c.errors(kind="import"))
        put_packages(r, "Shares", language, "mine")
        c.refresh()
        assert ask(c, "default/shares") == "shares one"
        place.chmod(0o757)
        c.refresh()
        c.wait(lambda _: c.module("Shares.agent")["pid"] == 0, what="end of the process")
        assert "no agent any more" in refusal(c, "default/shares")["message"]


@pytest.mark.parametrize("how", ["written by others", "a link"])
def test_packages_of_others_are_not_shared(runner, language, how):
    r = runner()
    file, folder, code = FILES[language]
    place = put_packages(r, ".", language, "one")
    if how == "a link":
        shutil.move(place, r.directory / "elsewhere")
        place.symlink_to(r.directory / "elsewhere")
    else:
        place.chmod(0o757)
    r.put(f"Shares/{file}", code)
    r.start()
    with r.control() as c:
        c.wait_settled()
        assert names(c.listing) == []
        [problem] = c.errors(kind="security")
        assert str(r.agents) in problem["message"] and " has packages " in problem["message"]
        assert "pkg" in c.errors(kind="import")[0]["message"]


def test_javascript_says_what_it_lacks_where_packages_are_not_open(directory, runner):
    """What others may have put there is seen by Node.js, which looks upwards, but cannot be read."""
    r = runner(hosts=env.SOURCE / "src/runnerd")
    place = put_packages(r, ".", "node", "one")
    (place / "@openai/agents").mkdir(parents=True)
    (place / "@openai/agents/package.json").write_text(
        '{"name": "@openai/agents", "version": "0.20.0", "main": "index.js"}')
    (place / "@openai/agents/index.js").write_text("")
    place.chmod(0o757)
    r.put("Lacks/agent.mjs", "export const agent = { run: () => 'x' };\n")
    r.put("Lacks/package.json", '{"dependencies": {"pkg": "*"}}')
    r.put("Plain/agent.mjs", "export const agent = { run: () => 'without the SDK' };\n")
    r.start()
    with r.control() as c:
        c.wait_agents("default/plain")
        c.wait(lambda _: c.errors(kind="dependency"))
        assert "pkg * is not installed" in c.errors(kind="dependency")[0]["message"]


def test_a_script_is_no_program_for_a_host(runner, monkeypatch):
    """As those of pyenv, which look for the program and find nothing in the sandbox."""
    r = runner(runner={"python": "python3"})
    shim = r.directory / "shims/python3"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexec /nonexistent\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:/usr/local/bin:/usr/bin:/bin")
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as c:
        c.wait_agents("default/hello")
        assert ask(c, "default/hello") == "hello"


def test_without_a_program_one_is_told(runner, monkeypatch):
    r = runner(runner={"python": "python3"})
    monkeypatch.setenv("PATH", str(r.directory))
    (r.directory / "python3").write_text("#!/bin/sh\n")
    os.chmod(r.directory / "python3", 0o755)
    r.put("Hello/agent.py", module("hello"))
    r.start()
    with r.control() as c:
        c.wait(lambda _: c.errors(severity="error"))
        assert "there is no program python3 (scripts do not count)" in c.errors(
            severity="error")[0]["message"]
