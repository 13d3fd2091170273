# SPDX-License-Identifier: MIT
"""T33: modules of agents that try to get out, as runs that a client asks for through lighttpd. What
a layer of the sandbox is there for is refused when the runner says that this kernel applies it."""
import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import socket
import tempfile

import pytest

import env
import fcgi
import sdk_stage
from agwctl import Agwctl
from escapes import REFUSED_BY
from gateway import KEYS, UPSTREAM_SECRET
from procs import children, is_running

pytestmark = pytest.mark.xdist_group("sdk_escape")  # they share the stage
MIB = 1 << 20
LIB = env.SOURCE / "tests/lib"

PYTHON = """
import json, os, pathlib
import escapes

def environments():
    seen = str(dict(os.environ))
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            seen += path.read_bytes().decode("latin-1")
        except OSError:
            pass
    return seen

class Hostile:
    def run(self, messages):
        to = json.loads(messages[-1]["content"])
        return {"attempts": escapes.attempt_all(to), "environments": environments()}

agent = Hostile()
"""
VICTIM = """
secret = "the other module's secret"

class Victim:
    def run(self):
        return "unharmed"

agent = Victim()
"""
LANGUAGES = ["python", "node", "native"]
# There is no way to try these in JavaScript itself, and no limit to the memory of what sanitizers
# watch.
NOT_IN = {"python": set(),
          "node": {"ptrace", "copy_memory", "user_namespace", "io_uring", "shared_memory",
                   "datagram_pair"},
          "native": {"memory"} if env.SANITIZED else set()}
# Kernels may refuse these by themselves, and a user who is not root has no more to expect.
ALWAYS = {"read_shadow"} if os.geteuid() else set()


class Outside:
    """What the modules are after."""

    def __init__(self, directory, **runner):
        self.stack = contextlib.ExitStack()
        (directory / "Python").mkdir()
        (directory / "Python/agent.py").write_text(PYTHON)
        shutil.copy(LIB / "escapes.py", directory / "Python")
        (directory / "Node").mkdir()
        shutil.copy(LIB / "escapes.mjs", directory / "Node/agent.mjs")
        (directory / "Native").mkdir()
        shutil.copy(LIB / "escapes.c", directory / "Native/agent.c")
        self.listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.datagrams = self.stack.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.datagrams.bind(str(directory / "datagrams"))
        self.abstract = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        self.abstract.bind(f"\0agw-test-{os.getpid()}-{directory.name}")
        self.abstract.listen()
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.key = 0x41480000 | (os.getpid() & 0xffff)
        self.shared = self.libc.shmget(self.key, 4096, 0o1666)  # IPC_CREAT
        assert self.shared >= 0
        self.stage = sdk_stage.Stage(
            directory, {"Victim": VICTIM, **{lang.capitalize(): directory / lang.capitalize()
                                             for lang in LANGUAGES}},
            gateway_options={"runner": runner})
        self.stage.wait_for("default/victim", *(f"default/{lang}" for lang in LANGUAGES))
        assert self.ask("victim", "Hello") == "unharmed"
        self.gateway = self.stage.gateway
        self.workers = self.gateway.workers()

    def close(self):
        self.stage.stop()
        self.libc.shmctl(self.shared, 0, None)
        self.stack.close()

    def ask(self, agent, text):
        answer = self.stage.client().chat.completions.create(
            model=f"default/{agent}", messages=[{"role": "user", "content": text}])
        return answer.choices[0].message.content

    def attempt(self, lang, *attempts, **targets):
        """-> {attempt: None or why not}"""
        secrets = self.gateway.run / "secrets"
        secrets.mkdir(exist_ok=True)
        (secrets / "victim").write_text("victim")
        to = {"attempts": list(attempts), "port": self.listener.getsockname()[1],
              "socket": str(self.gateway.run / "runner.sock"),
              "abstract": self.abstract.getsockname()[1:].decode(), "shared": self.key,
              "datagrams": self.datagrams.getsockname(),
              "file": str(self.gateway.database), "victim_file": str(secrets / "victim"),
              "victim": self.workers[0], "processes": 600, "memory": 1500 * MIB, "files": 2048,
              "disk": 200 * MIB, **targets}
        answer = json.loads(self.ask(lang, json.dumps(to)))
        self.environments = answer["environments"]
        return answer["attempts"]

    def listing(self):
        return fcgi.call(self.gateway.socket, "GET", "/admin/agents", KEYS["admin"]).json()["runner"]

    def layers(self):
        return {name for name, state in self.listing()["sandbox"].items()
                if state.startswith("applied")}

    def host(self, module):
        return next(one["pid"] for one in self.listing()["modules"] if one["module"] == module)

    def runner(self):
        return self.listing()["pid"]


@contextlib.contextmanager
def staged(**runner):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    one = Outside(directory, **runner)
    try:
        yield one
    finally:
        one.close()
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def outside():
    with staged() as one:
        yield one


@pytest.fixture(params=LANGUAGES)
def lang(request):
    return request.param


def refused(outside, problems):
    layers = outside.layers()
    for attempt, problem in problems.items():
        if REFUSED_BY[attempt] & layers or attempt in ALWAYS:
            assert problem is not None, (attempt, layers)
    if {"private_proc", "landlock"} & layers:
        for secret in (UPSTREAM_SECRET, *KEYS.values()):
            assert secret not in outside.environments


def unharmed(outside):
    """Nobody had to be started again, all others are served, and the trail holds."""
    gateway = outside.gateway
    assert outside.ask("victim", "Hello") == "unharmed"
    assert gateway.workers() == outside.workers
    assert fcgi.call(gateway.socket, "GET", "/ready").status == 200
    Agwctl(gateway).run("audit", "verify")


def ended(outside):
    return outside.gateway.sql("SELECT * FROM audit_event WHERE agent != 'default/victim'"
                               " AND outcome IS NOT NULL ORDER BY seq")


def test_every_way_out(outside, lang):
    attempts = set(REFUSED_BY) - NOT_IN[lang]
    before = len(ended(outside))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # A run each: together they would stop the one thread of Node.js for longer than a run
        # may be silent, on a slow machine.
        trying = pool.submit(lambda: {name: problem for attempt in sorted(attempts)
                                      for name, problem in outside.attempt(lang, attempt).items()})
        # Whatever it uses up, others are served meanwhile.
        asked = 0
        while not trying.done() or asked < 3:
            assert outside.ask("victim", "Hello") == "unharmed"
            asked += 1
    problems = trying.result()
    assert set(problems) == attempts
    refused(outside, problems)
    unharmed(outside)
    assert (outside.gateway.run / "secrets/victim").exists()
    rows = ended(outside)
    assert len(rows) == before + len(attempts) and rows[-1]["agent"] == f"default/{lang}"


@pytest.mark.parametrize("file", [
    "conf/security.yaml", "conf/upstreams.yaml", "conf/gateway.yaml", "run/gateway.db",
    "run/gateway.log", "agents/Victim/agent.py"])
def test_files_of_others(outside, lang, file):
    path = outside.gateway.directory / file
    before = path.read_bytes()
    refused(outside, outside.attempt(lang, "read_file", "list_folder", "write_file", "make_file",
                                     "remove_file", file=str(path), victim_file=str(path)))
    assert path.read_bytes().startswith(before) and b"escaped" not in path.read_bytes()


def test_a_module_cannot_change_its_own_code(outside, lang):
    path = max((outside.stage.root / lang.capitalize()).glob("agent.*"))  # agent.so, not agent.c
    before = path.read_bytes()
    problems = outside.attempt(lang, "read_file", "write_file", "make_file", "remove_file",
                               file=str(path), victim_file=str(path))
    assert problems.pop("read_file") is None
    refused(outside, problems)
    assert path.read_bytes() == before and not path.with_name(path.name + ".new").exists()


@pytest.mark.parametrize("whose", ["worker", "supervisor", "runner", "host", "keeper"])
def test_processes_of_others(outside, lang, whose):
    victim = {"worker": lambda: outside.workers[0], "runner": outside.runner,
              "supervisor": lambda: outside.gateway.process.pid,
              "host": lambda: outside.host("Victim.agent"),
              "keeper": lambda: children(outside.runner())[0]}[whose]()
    assert is_running(victim)
    attempts = {"kill", "ptrace", "environment_of", "memory_of", "copy_memory", "limit_of"}
    refused(outside, outside.attempt(lang, *sorted(attempts - NOT_IN[lang]), victim=victim))
    assert is_running(victim)
    unharmed(outside)


@pytest.mark.parametrize("to", ["fcgi.sock", "runner.sock"])
def test_sockets_of_the_gateway(outside, lang, to):
    refused(outside, outside.attempt(lang, "unix_socket", socket=str(outside.gateway.run / to)))


def test_the_attempts_are_real():
    """Without a sandbox they work."""
    attempts = {"tcp", "tcp_listen", "udp", "unix_socket", "abstract_socket", "datagram_pair",
                "read_file", "list_folder", "make_file", "remove_file", "environment_of",
                "memory_of", "copy_memory", "shared_memory"}
    with staged(sandbox="off") as free:
        for lang in LANGUAGES:
            problems = free.attempt(lang, *sorted(attempts - NOT_IN[lang]))
            assert set(problems.values()) == {None}, problems
            assert UPSTREAM_SECRET in free.environments
