# SPDX-License-Identifier: MIT
"""Hosts of modules, each with the runner and the gateway played by tests/lib/runner_peer.py."""
import contextlib
import itertools
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import env
import mcp_servers
import runner_peer

AGENTS = pathlib.Path(__file__).parent
PYTHON = [env.TEST_ENV / "venv/bin/python", "-I", "-u", "-B", "-X", "utf8",
          env.SOURCE / "src/runnerd/python/host.py"]

NATIVE = [env.BUILD / "agw-native"]
NODE = [mcp_servers.NODE, env.SOURCE / "src/runnerd/node/host.mjs"]
NODE_MODULES = env.TEST_ENV / "hosts/node_modules"


@pytest.fixture
def directory():
    path = pathlib.Path(tempfile.mkdtemp(prefix="agw-host-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["python", "node", "native"])
def any_language(request):
    return request.param


@pytest.fixture
def scenes(request, any_language):
    """The host with the module Scenes in that language."""
    return request.getfixturevalue(f"{any_language}_scenes")


@pytest.fixture(params=["python", "node"])
def language(request):
    """Those that there is an SDK for."""
    return request.param


@pytest.fixture
def sdk_host(request, language):
    """python_host or node_host, which are called alike."""
    return request.getfixturevalue(f"{language}_host")


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def python_host(directory):
    """Starts hosts for texts of agent.py or for folders; all end with the test."""
    numbers = itertools.count()
    with contextlib.ExitStack() as hosts:
        def start(source, name="agent.py", files=None, before=(), **more):
            folder = source
            if not isinstance(source, pathlib.Path):
                folder = directory / "agents" / f"Agent{next(numbers)}"
                write(folder, {name: source, **(files or {})})
            host = hosts.enter_context(runner_peer.Host([*before, *PYTHON], directory))
            host.start(folder / name, **more)
            return host

        yield start


@pytest.fixture(scope="module")
def python_scenes():
    """One host with the module Scenes for all tests of a file."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="agw-host-"))
    with runner_peer.Host(PYTHON, path) as host:
        host.start(AGENTS / "python/Scenes/agent.py")
        yield host
    shutil.rmtree(path)


@pytest.fixture
def node_host(directory):
    """Starts hosts for texts of agent.mjs (or another name) or for folders."""
    numbers = itertools.count()
    with contextlib.ExitStack() as hosts:
        def start(source, name="agent.mjs", files=None, before=(), **more):
            folder = directory / "agents" / f"Agent{next(numbers)}"
            if isinstance(source, pathlib.Path):
                shutil.copytree(source, folder, symlinks=True)
            else:
                write(folder, {name: source})
            write(folder, files or {})
            if not (folder / "node_modules").exists():
                (folder / "node_modules").symlink_to(NODE_MODULES)
            host = hosts.enter_context(runner_peer.NodeHost([*before, *NODE], folder))
            host.start(folder / name, **more)
            return host

        yield start


@pytest.fixture(scope="module")
def node_scenes():
    """As python_scenes."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="agw-host-"))
    folder = path / "Scenes"
    shutil.copytree(AGENTS / "node/Scenes", folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    with runner_peer.NodeHost(NODE, path) as host:
        host.start(folder / "agent.mjs")
        yield host
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def build_agent():
    """Compiles folders with an agent.c. -> the path of its agent.so, in a folder of its own."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="agw-native-"))
    built = {}

    def build(folder):
        if folder not in built:
            target = root / f"{len(built)}" / folder.name / "agent.so"
            target.parent.mkdir(parents=True)
            subprocess.run([env.SOURCE / "contrib/build-agent", "--output", target, folder],
                           check=True)
            built[folder] = target
        return built[folder]

    yield build
    shutil.rmtree(root)


@pytest.fixture
def native_host(directory, build_agent):
    """Starts hosts for folders of tests/hosts/native; all end with the test."""
    with contextlib.ExitStack() as hosts:
        def start(name, before=(), **more):
            host = hosts.enter_context(runner_peer.Host([*before, *NATIVE], directory))
            host.start(build_agent(AGENTS / "native" / name), **more)
            return host

        yield start


@pytest.fixture(scope="module")
def native_scenes(build_agent):
    path = pathlib.Path(tempfile.mkdtemp(prefix="agw-host-"))
    with runner_peer.Host(NATIVE, path) as host:
        host.start(build_agent(AGENTS / "native/Scenes"))
        yield host
    shutil.rmtree(path)
