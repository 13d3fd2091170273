# SPDX-License-Identifier: MIT
"""contrib/install-agent-deps with packages made here: no index is asked."""
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

import env
import mcp_servers
import runner_peer

PROGRAM = env.SOURCE / "contrib/install-agent-deps"


def wheel(folder, name, version, code):
    """The smallest package that pip takes."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", code)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\n"
                                             f"Version: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\n"
                                          "Root-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n"
                                           f"{info}/RECORD,,\n")


@pytest.fixture
def root(directory):
    packages = directory / "packages"
    packages.mkdir()
    wheel(packages, "openai_agents", "0.22.0", "")
    wheel(packages, "needed", "1.0", "WORDS = 'one'")
    agents = directory / "agents"
    code = "import needed\nclass Own:\n    def run(self): return needed.WORDS\nagent = Own()\n"
    for name, wants in (("Alpha", "needed\n"), ("labs/Beta", "needed>=1\n"), ("Plain", None),
                        ("labs/Alpha2", "needed\n")):
        (agents / name).mkdir(parents=True)
        (agents / name / "agent.py").write_text(code)
        if wants:
            (agents / name / "requirements.txt").write_text(wants)
    return agents


def call(root, *arguments, status=0, programs="/nowhere"):
    done = subprocess.run(
        [PROGRAM, "--python", sys.executable, "--node",
         env.TEST_ENV / "venv/bin/node", *arguments], cwd=root.parent, text=True,
        capture_output=True, timeout=100 * env.SLOW,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(root.parent), "PIP_NO_INDEX": "1",
             "PIP_FIND_LINKS": str(root.parent / "packages"), "LANG": "C.UTF-8",
             "NPM_CONFIG_OFFLINE": "true", "NPM_CONFIG_REGISTRY": "http://127.0.0.1:9/",
             "GATEWAY_AGENT_DISCOVERY_PATH": str(root)})
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def test_check_install_check(root, directory):
    missing = call(root, "--check", status=1)
    assert len(missing.splitlines()) == 3
    assert f"{root}/Alpha/requirements.txt:1: needed" in missing
    assert "Alpha: installing" in call(root, "--agent", "alpha")
    call(root, "--check", "--agent", "Alpha")
    assert f"{root}/labs/Beta/requirements.txt:1: needed>=1" in call(root, "--check", status=1)
    assert "up to date" in call(root, "--agent", "Alpha")
    argv = [root / "Alpha/.venv/bin/python", "-I", "-B",
            env.SOURCE / "src/runnerd/python/host.py"]
    with runner_peer.Host(argv, directory) as host:
        assert host.start(root / "Alpha/agent.py")["diagnostics"] == []
        assert host.hello["sdk"] == "openai-agents 0.22.0"
        assert runner_peer.Run(host, {}).play()["output"] == "one"
    script = root / "Alpha/.venv/bin/pip"
    assert script.read_text().startswith(f"#!{root}/Alpha/.venv/bin/python")


def test_an_agent_without_requirements_that_is_named(root):
    assert call(root, "--check", "--agent", "Plain") == ""
    # By its folder, which lies in no root that is known here.
    elsewhere = root.rename(root.parent / "elsewhere")
    root.mkdir()
    assert "Plain: installing" in call(root, "--agent", str(elsewhere / "Plain"))
    assert (elsewhere / "Plain/.venv/bin/python").exists()
    assert not (elsewhere / "Alpha/.venv").exists()
    assert "up to date" in call(root, "--agent", "./elsewhere/Plain")


def test_all_and_a_changed_file(root):
    said = call(root, "--all")
    assert said.count("installing") == 3 and "Plain" not in said
    assert not (root / "Plain/.venv").exists()
    wheel(root.parent / "packages", "needed", "2.0", "WORDS = 'two'")
    (root / "Alpha/requirements.txt").write_text("needed>=2\n")
    assert "needed>=2 (version 1.0 is installed)" in call(root, "--check", status=1)
    said = call(root, "--all")
    assert said.count("installing") == 1 and said.count("up to date") == 2
    call(root, "--check")


def test_a_folder_is_up_to_date_in_whatever_order_its_files_are_listed(root, directory):
    """A copy, an archive or another file system has them in another order."""
    texts = {"requirements.txt": "-r one.txt\n-r two.txt\n", "one.txt": "needed\n",
             "two.txt": "needed>=1\n"}
    for name, text in texts.items():
        (root / "labs/Beta" / name).write_text(text)
    programs = directory / "bin"
    programs.mkdir()

    def listed(order):
        """find as on a file system that lists its files in this order."""
        names = " ".join(f'"$folder"/{name}' for name in order)
        (programs / "find").write_text("#!/bin/sh\nfolder=$1\nshift\ncase $* in\n"
                                       f"  *.txt*) printf '%s\\0' {names};;\n"
                                       '  *) exec /usr/bin/find "$folder" "$@";;\nesac\n')
        (programs / "find").chmod(0o755)

    listed(["one.txt", "two.txt", "requirements.txt"])
    assert "installing" in call(root, "--agent", "labs/Beta", programs=programs)
    listed(["requirements.txt", "two.txt", "one.txt"])
    assert "up to date" in call(root, "--agent", "labs/Beta", programs=programs)
    (root / "labs/Beta/one.txt").write_text("needed==1.0\n")
    assert "installing" in call(root, "--agent", "labs/Beta", programs=programs)


def test_what_cannot_be_installed_leaves_what_was_there(root):
    call(root, "--agent", "labs/Beta")
    before = (root / "labs/Beta/.venv/stamp").read_text()
    (root / "labs/Beta/requirements.txt").write_text("needed\nnowhere-to-be-found\n")
    assert "what was there stays" in call(root, "--agent", "labs/beta", status=2)
    assert (root / "labs/Beta/.venv/stamp").read_text() == before
    assert not list((root / "labs/Beta").glob(".venv.*"))
    assert "nowhere-to-be-found" in call(root, "--check", "--agent", "beta", status=1)


@pytest.mark.parametrize("arguments, says", [
    ([], "--agent NAME"), (["--agent"], "--agent wants a value"),
    (["--agent", "nobody"], "there is no agent nobody"), (["--what"], "--what is not known"),
    (["--all", "--root", "/nonexistent"], "there is no folder /nonexistent"),
    (["--all", "--python", "no-such-python"], "there is no program no-such-python"),
    (["--all", "--node"], "--node wants a value"),
])
def test_wrong_calls(root, arguments, says):
    assert says in call(root, *arguments, status=2)


def test_a_name_that_several_have(root):
    (root / "other/Alpha").mkdir(parents=True)
    (root / "other/Alpha/agent.py").write_text("")
    said = call(root, "--agent", "alpha", status=2)
    assert "several agents are called alpha" in said and "other/Alpha" in said
    # A whole path is no part of another one.
    assert "installing" in call(root, "--agent", "labs/alpha2")


# ---- once for all agents ----

def test_the_sdk_for_all_and_more_for_who_asks_for_it(root, directory):
    assert f"{root}: installing" in call(root, "--shared")
    assert (root / ".venv/bin/python").exists() and not (root / "agent.py").exists()
    assert f"{root}: is up to date" in call(root, "--shared")
    assert f"{root}/Alpha/requirements.txt:1: needed" in call(root, "--check", status=1)
    (root / "requirements.txt").write_text("needed\n")
    assert f"{root}: installing" in call(root, "--shared")
    call(root, "--check")
    (root / "labs/Beta/requirements.txt").write_text("needed==1.0\nother\n")
    wheel(root.parent / "packages", "other", "1.0", "")
    said = call(root, "--all")
    assert f"Alpha: has what it needs in {root}/.venv" in said
    assert "labs/Beta: installing" in said and said.count("installing") == 1
    assert not (root / "Alpha/.venv").exists()
    # What --check does not understand is for pip to say.
    (root / "Plain/requirements.txt").write_text("needed[more]\n")
    (root / "labs/Alpha2/requirements.txt").write_text(f"{root.parent}/packages/"
                                                       "other-1.0-py3-none-any.whl\n")
    said = call(root, "--all")
    assert "Plain: has what it needs" in said and "labs/Alpha2: installing" in said
    # By its path, too.
    assert "Alpha: has what it needs" in call(root, "--all", "--agent", str(root / "Alpha"))
    assert "Alpha: installing" in call(root, "--agent", "Alpha")  # who is named gets its own
    assert "up to date" in call(root, "--all", "--agent", "Alpha")


def test_there_must_be_somebody_to_share(directory):
    empty = directory / "agents"
    empty.mkdir()
    assert "there are no agents in" in call(empty, "--shared", status=2)
    assert "--shared is for all agents, not for x" in call(empty, "--shared", "--agent", "x",
                                                           status=2)
    assert not list(empty.iterdir())


def test_what_cannot_be_shared_leaves_what_was_there(root):
    call(root, "--shared")
    (root / "requirements.txt").write_text("nowhere-to-be-found\n")
    assert "what was there stays" in call(root, "--shared", status=2)
    assert (root / ".venv/bin/python").exists() and not list(root.glob(".venv.*"))


# ---- JavaScript ----

def tarball(folder, name, version, code):
    """The smallest package that npm takes."""
    path = folder / f"{name}-{version}.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in (("package.json", json.dumps({"name": name, "version": version,
                                                        "main": "index.js"})),
                           ("index.js", code)):
            info = tarfile.TarInfo(f"package/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def needs(folder, **packages):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.mjs").write_text(
        'import words from "needed";\nexport const agent = { run: () => words };\n')
    (folder / "package.json").write_text(json.dumps(
        {"name": "needy", "dependencies": {name: f"file:{path}" if isinstance(path, os.PathLike)
                                           else path for name, path in packages.items()}}))


@pytest.fixture
def js_root(directory):
    (directory / "packages").mkdir()
    one = tarball(directory / "packages", "needed", "1.0.0", "module.exports = 'one';")
    agents = directory / "agents"
    needs(agents / "Alpha", needed=one)
    needs(agents / "labs/Beta", needed=one)
    (agents / "Plain").mkdir()
    (agents / "Plain/agent.js").write_text("exports.agent = { run() {} };\n")
    return agents


def test_node_modules(js_root):
    missing = call(js_root, "--check", status=1)
    assert f"{js_root}/Alpha/package.json:1: needed file:" in missing
    assert len(missing.splitlines()) == 2
    assert call(js_root, "--all").count("installing") == 2
    call(js_root, "--check")
    assert "up to date" in call(js_root, "--agent", "alpha")
    assert not (js_root / "Plain/node_modules").exists()
    assert not list((js_root / "Alpha").glob(".node_modules*"))
    argv = [mcp_servers.NODE, env.SOURCE / "src/runnerd/node/host.mjs"]
    with runner_peer.NodeHost(argv, js_root / "Alpha") as host:
        assert host.start(js_root / "Alpha/agent.mjs")["diagnostics"] == []
        assert runner_peer.Run(host, {}).play()["output"] == "one"


def test_node_modules_for_all(js_root):
    packages = js_root.parent / "packages"
    one = packages / "needed-1.0.0.tgz"
    (js_root / "package.json").write_text(json.dumps(
        {"dependencies": {"needed": f"file:{one}"}}))
    assert f"{js_root}: installing" in call(js_root, "--shared")
    assert f"{js_root}: is up to date" in call(js_root, "--shared")
    call(js_root, "--check")
    needs(js_root / "Alpha", needed="^1.0.0")
    needs(js_root / "labs/Beta", needed="*")
    assert call(js_root, "--all").count("has what it needs in") == 2
    assert not (js_root / "Alpha/node_modules").exists()
    with runner_peer.NodeHost([mcp_servers.NODE, env.SOURCE / "src/runnerd/node/host.mjs"],
                              js_root / "Alpha") as host:
        assert host.start(js_root / "Alpha/agent.mjs")["diagnostics"] == []
        assert runner_peer.Run(host, {}).play()["output"] == "one"
    # What --check does not understand is for npm to say.
    needs(js_root / "Alpha", needed="^2.0.0")
    call(js_root, "--check")
    assert "what was there stays" in call(js_root, "--all", status=2)
    assert not list((js_root / "Alpha").glob(".node_modules*"))
    assert list((js_root / "node_modules").iterdir())
    two = tarball(packages, "needed", "2.0.0", "module.exports = 'two';")
    needs(js_root / "labs/Beta", needed="2.0.0", more=two)
    assert "needed 2.0.0 (version 1.0.0 is installed)" in call(js_root, "--check", status=1)


def test_node_modules_for_all_are_the_sdk_when_nothing_else_is_asked_for(js_root):
    said = call(js_root, "--shared", status=2)  # there is no index to have it from
    assert "npm could not install it" in said and "package.json" not in said
    assert not list(js_root.glob(".node_modules*")) and not (js_root / "package.json").exists()


def test_a_node_agent_without_package_json_that_is_named(js_root):
    said = call(js_root, "--agent", "Plain", status=2)
    assert "has no package.json" in said and '"@openai/agents"' in said
    (js_root / "Plain/agent.js").rename(js_root / "Plain/agent.ts")
    assert "has no package.json" in call(js_root, "--agent", "plain", status=2)


def test_a_changed_package_json(js_root):
    call(js_root, "--agent", "Alpha")
    two = tarball(js_root.parent / "packages", "needed", "2.0.0", "module.exports = 'two';")
    needs(js_root / "Alpha", needed=two)
    assert "installing" in call(js_root, "--agent", "Alpha")
    assert "'two'" in (js_root / "Alpha/node_modules/needed/index.js").read_text()
    needs(js_root / "Alpha", needed="1.0.0")
    assert "needed 1.0.0 (version 2.0.0 is installed)" in call(
        js_root, "--check", "--agent", "Alpha", status=1)


def test_what_npm_cannot_install_leaves_what_was_there_and_others_installed(js_root):
    call(js_root, "--agent", "Alpha")
    needs(js_root / "Alpha", needed=js_root / "nowhere.tgz")
    assert "what was there stays" in call(js_root, "--agent", "Alpha", status=2)
    assert (js_root / "Alpha/node_modules/needed/index.js").exists()
    assert not list((js_root / "Alpha").glob(".node_modules*"))
    assert "what was there stays" in call(js_root, "--all", status=2)
    assert (js_root / "labs/Beta/node_modules/needed/index.js").exists()


def test_a_node_that_is_too_old_or_not_there(js_root):
    call(js_root, "--all")
    old = js_root.parent / "old-node"
    old.write_text("#!/bin/sh\n[ \"$1\" != --version ] || { echo v20.1.0; exit; }\nexit 1\n")
    old.chmod(0o755)
    said = call(js_root, "--check", "--agent", "Alpha", "--node", str(old), status=1)
    assert f"{js_root}/Alpha/package.json:1: Node.js 22.15 or newer (v20.1.0)" in said
    said = call(js_root, "--check", "--agent", "Alpha", "--node", "no-such-node", status=1)
    assert "there is no no-such-node" in said
    # One of its own is taken instead.
    (js_root / "Alpha/node_modules/.bin").mkdir()
    (js_root / "Alpha/node_modules/.bin/node").symlink_to(mcp_servers.NODE)
    call(js_root, "--check", "--agent", "Alpha", "--node", str(old))
