# SPDX-License-Identifier: MIT
"""agw-runner under test, with hosts that need no SDK, and a gateway's side of its wire."""
import array
import contextlib
import json
import os
import pathlib
import socket
import sys
import time

import yaml

import env
from procs import Process, descendants, is_running, wait_until

FAKE_HOSTS = env.SOURCE / "tests/lib/fake_hosts"
LONG = 60 * env.SLOW

# A run that says that it has begun, and ends when it is told to, with the text of its generation.
PATIENT = """
def wait(connection, message):
    connection.sendall(b'{"t": "delta", "content": "begun"}\\n')
    connection.recv(100)
    return "TEXT"
agent = {"fake": wait, "name": "Patient"}
"""

# An agent that says whether it may have a socket of the network, and its entry that gives it one.
NET = """
import socket
def look(*_):
    try:
        socket.socket().close()
        return "may"
    except OSError:
        return "may not"
agent = {"fake": look}
"""
NET_ENTRY = {"name": "net", "kind": "sdk", "network": True, "module": "Net.agent:agent"}

# Before the text of a module: it is loaded once pace.bin beside it does not say "slow" any more.
PACED = "import time\nwhile open('pace.bin').read() == 'slow':\n    time.sleep(0.02)\n"


class Refused(Exception):
    """What the runner refused a connection with."""


class Control:
    """A gateway's connection to the runner."""

    def __init__(self, path, version=1):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(path))
        self.data, self.fds, self.listing, self.done = b"", [], None, []
        self.answers, self.numbers = {}, iter(range(1, 1 << 30))
        self.asked, self.processes = {}, {}  # agent -> process of its last connection
        if version is not None:
            self.send({"t": "hello", "v": version, "pid": os.getpid(), "software": "test"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)

    def send(self, message):
        self.sock.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout=LONG):
        """The next message, with its descriptor as "fd"; None at the end."""
        self.sock.settimeout(timeout)
        while b"\n" not in self.data:
            more, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 8)
            if not more:
                return None
            self.data += more
            self.fds += fds
        line, _, self.data = self.data.partition(b"\n")
        message = json.loads(line)
        if message["t"] == "opened":
            message["fd"] = self.fds.pop(0)
        if message["t"] == "agents":
            self.listing = message
        return message

    def wait(self, condition, timeout=LONG, what="list of agents"):
        """Receives until condition(listing) holds. -> the listing"""
        end = time.monotonic() + timeout
        while not (self.listing and condition(self.listing)):
            left = end - time.monotonic()
            with contextlib.suppress(TimeoutError):
                if left > 0 and self.receive(left) is not None:
                    continue
            raise AssertionError(f"no {what} in time; last: {self.listing}")
        return self.listing

    def wait_agents(self, *ids, timeout=LONG):
        return self.wait(lambda listing: set(ids) <= set(names(listing)), timeout, f"{ids}")

    def wait_settled(self):
        """Until nothing is loading."""
        return self.refresh()

    def refresh(self):
        number = next(self.numbers)
        self.send({"t": "refresh", "id": number})
        while True:
            message = self.receive()
            if message["t"] == "refreshed" and message["id"] == number:
                return self.listing

    def begin_open(self, agent):
        number = next(self.numbers)
        self.asked[number] = agent
        self.send({"t": "open", "id": number, "agent": agent})
        return number

    def end_open(self, number):
        while number not in self.answers:
            message = self.receive()
            assert message is not None, "the runner closed the connection"
            if message["t"] in ("opened", "refused"):
                self.answers[message["id"]] = message
        answer = self.answers.pop(number)
        if answer["t"] == "refused":
            raise Refused(answer)
        self.processes[self.asked[number]] = answer["process"]
        self.was_blocking = os.get_blocking(answer["fd"])
        connection = socket.socket(fileno=answer["fd"])
        connection.setblocking(True)
        return connection

    def open(self, agent):
        """The connection of a run."""
        return self.end_open(self.begin_open(agent))

    def module(self, name):
        return next(m for m in self.listing["modules"] if m["module"] == name)

    def errors(self, **fields):
        return [e for e in self.listing["errors"]
                if all(e.get(key) == value for key, value in fields.items())]


def names(listing):
    return [agent["id"] for agent in listing["agents"]]


def id_of(file):
    *above, folder = pathlib.PurePath(file).parent.parts
    return f"{above[0] if above else 'default'}/{folder}".lower()


def start_run(connection, attr="agent", **more):
    message = {"t": "run.start", "run": "r", "agent": {"attr": attr}, "messages": [], **more}
    connection.sendall(json.dumps({"t": "hello", "v": 1}).encode() + b"\n" +
                       json.dumps(message).encode() + b"\n")


def read_messages(connection, timeout=LONG):
    """Until the other side closes."""
    connection.settimeout(timeout)
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(1 << 16):
            data += more
    return [json.loads(line) for line in data.splitlines()]


def ask(control, agent, attr="agent"):
    """One run from start to end. -> its output; None when it ended without one"""
    with control.open(agent) as connection:
        start_run(connection, attr)
        done = [m for m in read_messages(connection) if m["t"] == "run.done"]
    return done[0]["output"] if done else None


def module(text, **more):
    return f"agent = {dict(fake=text, **more)!r}\n"


def refusal(control, agent):
    """Asks for a connection that is not given. -> what the runner says"""
    try:
        control.open(agent).close()
    except Refused as refused:
        return refused.args[0]
    raise AssertionError(f"{agent} was opened")


def begin(control, agent, attr="agent"):
    """A run that has begun: its connection."""
    return begin_on(control.open(agent), attr)


def begin_on(connection, attr="agent"):
    start_run(connection, attr)
    connection.settimeout(LONG)
    seen = b""
    while b"begun" not in seen:
        more = connection.recv(1000)
        assert more, seen
        seen += more
    return connection


def finish(connection):
    with connection:
        connection.sendall(b"go\n")
        return [m for m in read_messages(connection) if m["t"] == "run.done"][0]["output"]


class Runner:
    """Its configuration, its folder of agents, its process."""

    def __init__(self, directory, hosts=FAKE_HOSTS, watch=True, runner=None, security=None,
                 agents=(), discovery=None):
        self.directory = pathlib.Path(directory)
        self.agents = self.directory / "agents"
        self.agents.mkdir(exist_ok=True)
        self.hosts, self.process, self.started = hosts, None, 0
        self.socket = self.directory / "runner.sock"
        self.config = {
            "gateway": {
                "version": 1, "timeouts": {"drain": 5},
                "discovery": {"path": str(self.agents), "watch": watch, **(discovery or {})},
                "log": {"file": str(self.directory / "runner.log")},
                "runner": {"socket": str(self.socket), "python": sys.executable,
                           "node": str(env.TEST_ENV / "venv/bin/node"), **(runner or {})}},
            "agents": {"version": 1, "defaults": {"model": "m"}, "agents": list(agents)},
            # Its variable is not set: a runner has no business with it.
            "upstreams": {"version": 1, "upstreams": [
                {"name": "u", "provider": "openai", "base_url": "https://example.invalid",
                 "api_key": "${AGW_TEST_NOT_SET}"}]},
            "security": {"version": 1, "default": security or {"dropin_module_allowlist": ["*"]},
                         "api_keys": [{"id": "a", "key": "sk-test-runner-0123456789abcdef"}]}}
        self.write()

    def write(self):
        for name, value in self.config.items():
            (self.directory / f"{name}.yaml").write_text(yaml.safe_dump(value))

    def put(self, file, text):
        """Writes agents/FILE as an editor does."""
        path = self.agents / file
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(".fresh")
        fresh.write_text(text)
        fresh.rename(path)
        return path

    def start(self, prefix=()):
        """`prefix`: a command that runs it."""
        self.started += 1
        environment = {"PATH": os.environ["PATH"], "GATEWAY_HOSTS": str(self.hosts),
                       "GATEWAY_EXEC": str(env.BUILD / "agw-exec"),
                       "AGW_TEST_CANARY": "canary-of-the-runner"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            if name in os.environ:
                environment[name] = os.environ[name]
        self.process = Process([*prefix, env.BUILD / "agw-runner", "--config",
                                self.directory / "gateway.yaml"],
                               self.directory, f"runner-{self.started}", env=environment)
        wait_until(lambda: self.is_listening() or not self.process.running(), LONG,
                   "listening runner")
        assert self.process.running(), self.output()
        return self

    def is_listening(self):
        with socket.socket(socket.AF_UNIX) as probe:
            with contextlib.suppress(OSError):
                probe.connect(str(self.socket))
                return True
        return False

    def control(self):
        return Control(self.socket)

    @contextlib.contextmanager
    def serving(self, files):
        """Starts it with these files (name -> text). -> a gateway's connection to it, when the
        agents of all folders are listed under the names that folders give them."""
        for file, text in files.items():
            self.put(file, text)
        self.start()
        with self.control() as control:
            control.wait_agents(*(id_of(file) for file in files
                                  if pathlib.PurePath(file).stem == "agent"))
            yield control

    def stop(self):
        if self.process:
            status = self.process.stop(timeout=30)
            self.process = None
            for sign in ("Sanitizer", "runtime error:"):
                assert sign not in self.output(), self.output()[-4000:]
            return status
        return None

    def family(self):
        return descendants(self.process.pid)

    def kill(self):
        """kill -9 of the runner. -> all processes it had, once they are gone"""
        family = self.family()
        self.process.popen.kill()
        self.process.popen.wait()
        self.process = None
        wait_until(lambda: not any(is_running(pid) for pid in family), LONG, "end of all hosts")
        return family

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def output(self):
        return "\n".join(path.read_text(errors="replace") for path in
                         [*sorted(self.directory.glob("runner-*.stderr")),
                          *self.directory.glob("runner.log")])

    def events(self, name, **fields):
        path = self.directory / "runner.log"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in lines if line["event"] == name
                and all(line.get(key) == value for key, value in fields.items())]


def send_with_fds(sock, data, fds):
    return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
