# SPDX-License-Identifier: MIT
"""Drop-in agents end to end: gateway, runner, lighttpd, and a provider that answers by script."""
import os
import pathlib
import shutil
import subprocess

import openai
import yaml

import env
import gateway
import mcp_servers
from procs import wait_until
from scripted_upstream import ScriptedUpstream
from webserver import WebServer

LONG = 90 * env.SLOW
SCENES = env.SOURCE / "tests/hosts"


def link_or_copy(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


class Stage:
    """`folders`: name below the folder of agents -> folder that is copied there, or the text of
    an agent.py. Everything is allowed unless `security` says otherwise."""

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
        folder = self.root / name
        if isinstance(source, pathlib.Path):
            shutil.copytree(source, folder, dirs_exist_ok=True)
            if list(source.glob("agent.*js")):
                # In the folder itself: its sandbox shows no other.
                shutil.copytree(env.TEST_ENV / "hosts/node_modules", folder / "node_modules",
                                copy_function=link_or_copy, dirs_exist_ok=True)
            if (source / "agent.c").exists():
                subprocess.run([env.SOURCE / "contrib/build-agent", folder], check=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "agent.py").write_text(source)

    def stop(self):
        self.server.process.stop()
        self.gateway.stop()
        self.upstream.close()

    def client(self, key="client"):
        return openai.OpenAI(base_url=f"{self.server.url}/v1", api_key=gateway.KEYS[key],
                             max_retries=0)

    def wait_for(self, *agents):
        client = self.client()
        wait_until(lambda: set(agents) <= {model.id for model in client.models.list()}, LONG,
                   f"agents {agents}")


def scenarios(language):
    """[(name, scenario, stream)] of the shared table, without those whose hello is a test's own.

    Of what holds for one language alone only that is seen which a language does not have.
    """
    table = yaml.safe_load((env.SOURCE / "tests/cases/hosts/scenarios.yaml").read_text())
    own = {"verdicts", "gateway_tools", "max_turns", "limits"}
    return [(f"{scenario['name']} ({mode})", scenario, mode == "stream")
            for scenario in table for mode in ("json", "stream")
            if not own & set(scenario) and scenario.get("only", mode) == mode
            and scenario.get(language, {}).get("only") != "none"]
