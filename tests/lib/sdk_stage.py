# SPDX-License-Identifier: MIT
"""Drop-in agents end to end: gateway, runner, lighttpd, and a provider that answers by script."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import openai

import env
import fcgi
import gateway
import host_scenarios
import mcp_servers
from procs import is_running, wait_until
from scripted_upstream import ScriptedUpstream
from webserver import WebServer

LONG = 90 * env.SLOW
SCENES = env.SOURCE / "tests/hosts"
CALCULATE = {"name": "calculate", "provider": "local", "timeout": 20,
             "command": [str(env.SOURCE / "agents/tools/calculate")],
             "description": "Works out an expression.",
             "schema": {"type": "object", "properties": {"expression": {"type": "string"}},
                        "required": ["expression"]}}


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Stage:
    """`folders`: name below the folder of agents -> folder that is copied there, or the text of
    an agent.py, or {file: text}. Everything is allowed unless `security` says otherwise."""

    def __init__(self, directory, folders=(), security=None, gateway_options=None, agents=(),
                 **more):
        self.root = pathlib.Path(directory) / "agents"
        self.root.mkdir()
        for name, source in dict(folders).items():
            self.put(name, source)
        self.upstream = ScriptedUpstream()
        self.gateway = gateway.Gateway(
            directory, None,
            gateway=gateway.merge({
                "discovery": {"path": str(self.root), "watch": True},
                "runner": {"socket": f"{directory}/run/runner.sock", "autostart": True,
                           "python": str(env.TEST_ENV / "venv/bin/python"),
                           "node": str(mcp_servers.NODE)}}, gateway_options),
            security=gateway.merge({"default": {
                "allow_agents": ["*"], "deny_agents": [], "local_tools_allowlist": ["*"],
                "dropin_module_allowlist": ["*"]}}, security),
            agents={"defaults": {"upstream": "scripted", "model": "scripted"},
                    "agents": [{"name": "echo", "namespace": "echo", "upstream": "echo",
                                "model": "echo-1"}, *agents]},
            upstreams={"version": 1, "upstreams": [
                gateway.upstream("scripted", self.upstream.base_url, models=["scripted"],
                                 timeout={"connect": 30, "first_byte": 60, "idle": 60,
                                          "total": 120}),
                {"name": "echo", "provider": "builtin-echo", "models": ["echo-*"]}]},
            environment={"GATEWAY_HOSTS": str(env.SOURCE / "src/runnerd"),
                         "GATEWAY_RUNNER": str(env.BUILD / "agw-runner"),
                         "GATEWAY_EXEC": str(env.BUILD / "agw-exec")}, **more)
        self.gateway.start()
        self.server = WebServer(directory, self.gateway.socket, "lighttpd")

    def put(self, name, source):
        """Files are complete when they appear, and agent.* is the last: a folder is taken as it is
        the moment that is there."""
        folder = self.root / name
        files = source
        if isinstance(source, str):
            files = {"agent.py": source}
        elif isinstance(source, pathlib.Path):
            files = {path.relative_to(source): path.read_bytes()
                     for path in sorted(source.rglob("*")) if path.is_file()}
        names = sorted(map(str, files), key=lambda file: file.startswith("agent."))
        if {"agent.mjs", "agent.js"} & set(names) and not (folder / "node_modules").exists():
            # In the folder itself: its sandbox shows no other.
            shutil.copytree(env.TEST_ENV / "hosts/node_modules", folder / "node_modules",
                            copy_function=link_or_copy)
        texts = {str(file): text for file, text in files.items()}
        for file in names:
            self.write(folder / file, texts[file])
        if "agent.c" in names:
            subprocess.run([env.SOURCE / "contrib/build-agent", folder], check=True)

    @staticmethod
    def write(path, text):
        """As editors do it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(".fresh")
        fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
        fresh.chmod(0o644)
        fresh.replace(path)

    def stop(self):
        self.server.process.stop()
        self.gateway.stop()
        self.upstream.close()

    def client(self, key="client"):
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=gateway.KEYS[key],
                             max_retries=0)

    def admin(self, path, method="GET"):
        answer = fcgi.call(self.gateway.socket, method, path, gateway.KEYS["admin"])
        assert answer.status == 200, answer.body
        return answer.json()

    def wait_for(self, *agents):
        client = self.client()
        wait_until(lambda: set(agents) <= {model.id for model in client.models.list()}, LONG,
                   f"agents {agents}")


@contextlib.contextmanager
def staged(folders=(), wait=(), **options):
    """A stage that is gone afterwards, with all its processes and files."""
    # Short, because a socket's path may have 108 bytes.
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    stage = None
    try:
        stage = Stage(directory, folders, **options)
        stage.wait_for(*wait)
        yield stage
        family = stage.gateway.family()
        stage.stop()
        stage = None
        wait_until(lambda: not any(map(is_running, family)), LONG, "end of all processes")
    finally:
        if stage:
            stage.stop()
        shutil.rmtree(directory)


def scenarios(language):
    """[(name, scenario, stream)] of the shared table, without those in which the test says what
    the gateway allows and offers."""
    own = {"verdicts", "gateway_tools", "limits", "alone"}
    return [case for case in host_scenarios.load(language) if not own & set(case[1])]
