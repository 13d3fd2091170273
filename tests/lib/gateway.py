# SPDX-License-Identifier: MIT
"""One gateway under test: its configuration files, its processes, its log and database."""
import copy
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import yaml

import env
from procs import Process, children, descendants, is_running, wait_until

# Secrets of the keys in the standard security.yaml. Random-looking on purpose: the tests look
# for them in logs and databases.
KEYS = {
    "client": "sk-test-client-5f0c9a7e4b1d",
    "client2": "sk-test-second-8d21c07ea9f3",
    "auditor": "sk-test-auditor-1b7e93d2c64a",
    "admin": "sk-test-admin-c3a5f81e0d97",
    "limited": "sk-test-limited-77d2b1a90c3e",
    "expired": "sk-test-expired-0e4d6cb8f215",
    "narrow": "sk-test-narrow-94ab30e7d1c8",
}
UNKNOWN_KEY = "sk-test-unknown-ffffffffffff"
UPSTREAM_SECRET = "canary-upstream-secret-4e1f8c2b7a"

# Every behaviour of the mock that the shared gateway offers as agent mock/<name>.
SCRIPTS = [
    "ok", "slow-300", "chunks-5-100", "chunks-20-100", "chunks-40-250", "status-400",
    "status-401", "status-403", "status-404", "status-413", "status-422", "status-429",
    "status-500", "status-503", "html-502", "stall", "stall-after-2",
    "drip", "reset", "wrong-type", "not-json", "not-completion", "truncated", "cut-3",
    "silent-end-3", "error-after-3", "big-line", "forged", "gzip-bomb", "endless", "mirror",
    "tools", "json", "no-usage", "bare", "leak"]


def merge(base, changes):
    """`changes` laid over `base`, mapping by mapping; None removes a key."""
    result = copy.deepcopy(base)
    for name, value in (changes or {}).items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merge(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def agent(name, namespace="mock", upstream="mock", model=None, **more):
    return {"name": name, "namespace": namespace, "upstream": upstream,
            "model": model or name, **more}


def upstream(name, base_url, **more):
    value = {"name": name, "provider": "openai-compatible", "base_url": base_url,
             "api_key_env": "AGW_TEST_UPSTREAM_KEY",
             "timeout": {"connect": 2, "first_byte": 1.5, "idle": 1.5, "total": 30},
             "retry": {"attempts": 0, "backoff_ms": 50},
             # One failing script must not open the breaker for all others.
             "breaker": {"failures": 0}}
    return merge(value, more)


def default_gateway(directory):
    value = {
        "version": 1,
        "listen": f"unix:{directory}/run/fcgi.sock",
        "socket": {"mode": "0660"},
        "workers": 2,
        "threads": {"min": 4, "max": 300},
        "database": {"path": f"{directory}/run/gateway.db"},
        "log": {"file": f"{directory}/run/gateway.log", "level": "info"},
        "timeouts": {"drain": 15},
        "limits": {"body_bytes": 1 << 20},
        "stream": {"heartbeat": 1},
        "cors": {"origins": ["https://chat.example"]},
    }
    if os.geteuid() == 0:
        value["socket"]["group"] = "www-data"
    return value


def default_security():
    def key(name, roles, **more):
        return {"id": name, "key": KEYS[name], "roles": roles, **more}
    return {
        "version": 1,
        "default": {"allow_agents": ["mock/*", "echo/*"], "deny_agents": ["mock/forbidden"],
                    "rate_limit": {"per_minute": 100000},
                    "override_max_ttl_seconds": 86399,
                    "namespace_defaults": {"labs": {"allow_agents": ["labs/open-*"]}}},
        "api_keys": [
            key("client", ["client"]),
            key("client2", ["client"]),
            key("auditor", ["auditor"]),
            key("admin", ["client", "admin"], allow_agents=["*"]),
            key("limited", ["client"], rate_limit={"per_minute": 2}),
            key("expired", ["client"], expires_at="2020-01-01T00:00:00Z"),
            key("narrow", ["client"], allow_agents=["echo/echo"]),
        ]}


def default_agents():
    return {
        "version": 1,
        "defaults": {"namespace": "default", "upstream": "mock", "model": "ok"},
        "agents": [
            {"name": "echo", "namespace": "echo", "display_name": "Echo",
             "description": "Says it again", "upstream": "echo", "model": "echo-1"},
            agent("assistant", namespace="default", model="ok"),
            agent("open-door", namespace="labs", model="ok"),
            agent("closed-door", namespace="labs", model="ok"),
            agent("secret-plan", namespace="vault", model="ok"),
            agent("forbidden", model="ok"),
            agent("capped", model="mirror", instructions="Be brief.",
                  metadata={"max_completion_tokens": 64}),
            agent("unreachable", upstream="dead", model="model-of-dead"),
            agent("refused", upstream="refused", model="model-of-refused"),
        ] + [agent(name) for name in SCRIPTS]}


def default_upstreams(mock):
    return {"version": 1, "upstreams": [
        # No two of them serve the same model: no failover where a test does not ask for it.
        upstream("mock", mock.base_url("main"), models=[*SCRIPTS, "brand-new"]),
        # Its breaker opens with the first failure and stays open: a certain 503.
        upstream("dead", mock.base_url("dead"), models=["model-of-dead"],
                 breaker={"failures": 1, "open": 600}),
        # Nobody listens there.
        upstream("refused", "http://127.0.0.1:9/v1", models=["model-of-refused"]),
        {"name": "echo", "provider": "builtin-echo", "models": ["echo-*"]},
    ]}


class Gateway:
    """Writes conf/, starts and stops the program, and looks at what it leaves behind.

    modes: "listen" (its own socket), "activated" (LISTEN_FDS, the test holds the socket),
    "hosted" (somebody else starts it; only the files are made here).
    """

    def __init__(self, directory, mock, gateway=None, security=None, agents=None,
                 upstreams=None, mode="listen", environment=None, name="gateway",
                 tools=None):
        self.directory = pathlib.Path(directory)
        self.mode, self.name, self.mock = mode, name, mock
        self.conf, self.run = self.directory / "conf", self.directory / "run"
        for path in (self.directory, self.conf, self.run):
            path.mkdir(exist_ok=True)
            path.chmod(0o755)
        self.socket = self.run / "fcgi.sock"
        self.process = self.listener = None
        self.started = 0
        base = default_gateway(self.directory)
        if mode != "listen":
            del base["listen"]
        self.gateway = merge(base, gateway)
        self.database = pathlib.Path(self.gateway["database"]["path"])
        self.log_path = pathlib.Path(self.gateway["log"]["file"])
        self.security = merge(default_security(), security)
        self.agents = merge(default_agents(), agents)
        self.upstreams = merge(default_upstreams(mock), upstreams) if mock else upstreams
        self.tools = {"version": 1, "tools": [], **(tools or {})}
        self.environment = {**os.environ, "AGW_TEST_UPSTREAM_KEY": UPSTREAM_SECRET,
                            **(environment or {})}
        self.write_all()

    # -- configuration ------------------------------------------------------------------

    def write(self, component, value):
        """Replaces conf/<component>.yaml atomically; a str is written as it is."""
        text = value if isinstance(value, str) else yaml.safe_dump(value, sort_keys=False)
        path = self.conf / f"{component}.yaml"
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(path)
        return path

    def write_all(self):
        self.write("gateway", self.gateway)
        self.write("security", self.security)
        self.write("agents", self.agents)
        self.write("upstreams", self.upstreams)
        self.write("tools", self.tools)

    # -- processes ----------------------------------------------------------------------

    def argv(self):
        return [env.GATEWAY, "--config", self.conf / "gateway.yaml"]

    def start(self, wait=True):
        self.started += 1
        name = f"{self.name}-{self.started}"
        if self.mode == "activated":
            self._start_activated(name)
        else:
            self.process = Process(self.argv(), self.directory, name, env=self.environment)
        if wait:
            self.wait_ready()
        return self

    def _start_activated(self, name):
        """As a service manager does it: the socket outlives the program."""
        if self.listener is None:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(self.socket))
            os.chmod(self.socket, 0o666)
            self.listener.listen(512)
        activator = pathlib.Path(__file__).with_name("activate.py")
        self.process = Process(
            [sys.executable, activator, str(self.listener.fileno()), *self.argv()],
            self.directory, name, env=self.environment, pass_fds=[self.listener.fileno()])

    def wait_ready(self, timeout=15):
        def ready():
            if not self.process.running():
                raise AssertionError(f"the gateway has ended: {self.output()[-1500:]}")
            return self.socket.exists() and len(self.workers()) >= self.gateway["workers"]
        wait_until(ready, timeout * env.SLOW, "running gateway")

    def workers(self):
        """Process ids of the workers."""
        return children(self.process.pid)

    def family(self):
        return [self.process.pid, *descendants(self.process.pid)]

    def signal(self, signum):
        self.process.send(signum)

    def reload(self):
        """SIGHUP, then waits until it has been dealt with."""
        seen = len(self.events("config.reloaded", "config.rejected"))
        self.signal(signal.SIGHUP)
        wait_until(lambda: len(self.events("config.reloaded", "config.rejected")) > seen, 10,
                   "answer to SIGHUP in the log")

    def kill_workers(self):
        """kill -9 of every worker at once. -> their process ids"""
        victims = self.workers()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in victims), 5, "death of workers")
        return victims

    def restarted(self, victims, timeout=5.0):
        """Waits until other workers have taken the victims' place."""
        def fresh():
            now = set(self.workers())
            return not now & set(victims) and len(now) >= self.gateway["workers"]
        wait_until(fresh, timeout * env.SLOW, "restarted workers", step=0.01)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def stop(self, timeout=20):
        status = None
        if self.process:
            status = self.process.stop(timeout=timeout)
            self.process = None
        if self.listener:
            self.listener.close()
            self.listener = None
        self._no_findings()
        return status

    def _no_findings(self):
        """What sanitizers found in any process: a worker that died of it was restarted, so
        the requests alone may not show it."""
        for path in self.directory.glob("*.stderr"):
            text = path.read_text(errors="replace")
            for sign in ("Sanitizer", "runtime error:"):
                at = text.find(sign)
                assert at < 0, f"{path.name}: {text[max(0, at - 200):at + 4000]}"

    def refuses_to_start(self, timeout=15):
        """Runs it, expecting that it ends by itself. -> exit status, what it said"""
        done = subprocess.run([str(word) for word in self.argv()], env=self.environment,
                              capture_output=True, text=True, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        log = self.log_path.read_text() if self.log_path.exists() else ""
        return done.returncode, done.stdout + done.stderr + log

    # -- what it leaves behind ----------------------------------------------------------

    def output(self):
        """Standard error and log of all starts, for failure reports."""
        texts = [path.read_text(errors="replace") for path in
                 sorted(self.directory.glob(f"{self.name}-*.stderr"))]
        if self.log_path.exists():
            texts.append(self.log_path.read_text(errors="replace"))
        return "\n".join(texts)

    def log_lines(self):
        """Every line of the log as an object: each must be JSON by itself."""
        if not self.log_path.exists():
            return []
        lines = self.log_path.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[:-1]]

    def events(self, *names, **fields):
        return [line for line in self.log_lines()
                if (not names or line["event"] in names)
                and all(line.get(key) == value for key, value in fields.items())]

    def wait_event(self, name, timeout=10, **fields):
        return wait_until(lambda: self.events(name, **fields), timeout * env.SLOW,
                          f"log event {name} {fields}")[0]

    def sql(self, query, *values):
        """Rows as a reader with the sqlite3 shell would see them."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]
        finally:
            connection.close()

    def audit(self, timeout=10, complete=True, **fields):
        """Rows of audit_event by column; waits for at least one."""
        where = " AND ".join(f"{name} IS ?" for name in fields) or "1"
        query = f"SELECT * FROM audit_event WHERE {where} ORDER BY seq"
        return wait_until(lambda: self.sql(query, *fields.values()), timeout * env.SLOW,
                          f"audit rows {fields}")

    def outcome(self, request_id, timeout=10):
        """The one outcome of a request, from its audit rows."""
        def ended():
            return self.sql("SELECT * FROM audit_event WHERE request_id = ? AND outcome"
                            " IS NOT NULL", request_id)
        rows = wait_until(ended, timeout * env.SLOW, f"outcome of {request_id}")
        assert len(rows) == 1, rows
        return rows[0]["outcome"]

    def has_secret(self, *secrets):
        """Files of this gateway (database, journal, logs) that hold one of the texts."""
        found = []
        for path in sorted(self.run.iterdir()) + sorted(self.directory.glob("*.stderr")):
            if path.is_file() and not path.is_socket():
                data = path.read_bytes()
                found += [(path.name, text) for text in secrets if text.encode() in data]
        return found


def settle(seconds=0.05):
    time.sleep(seconds * env.SLOW)
