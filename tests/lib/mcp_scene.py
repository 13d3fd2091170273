# SPDX-License-Identifier: MIT
"""A gateway behind lighttpd, with an agent that makes the calls a test names."""
import json

import env
import gateway as gateway_module
import wire
from agwctl import Agwctl
from gateway import KEYS, Gateway
from procs import wait_until
from webserver import WebServer

MODEL = "calls-as-told"


class McpScene:
    def __init__(self, directory, mock, tools, **options):
        upstream = gateway_module.upstream("mock", mock.base_url("mcp"), models=["*"], timeout={
            "connect": 10, "first_byte": 60, "idle": 60, "total": 600})
        options = gateway_module.merge({
            "agents": {"agents": [gateway_module.agent("agent", model=MODEL, tools=["*"])]},
            "upstreams": {"upstreams": [upstream]}}, options)
        self.mock = mock
        self.gateway = Gateway(directory, mock, tools={"tools": tools}, **options)
        self.gateway.start()
        self.fronts = {}
        self.serve("lighttpd")
        self.ctl = Agwctl(self.gateway)

    def serve(self, name):
        """Puts this web server in front."""
        if name not in self.fronts:
            self.fronts[name] = WebServer(self.gateway.directory, self.gateway.socket, name)
        self.server = self.fronts[name]

    def stop(self):
        for server in self.fronts.values():
            server.stop()
        self.gateway.stop()

    # -- tools ------------------------------------------------------------------------------

    def tools(self):
        """GET /tools, of whichever worker answers: entries by name."""
        answer = wire.request(self.server.port, "GET", "/tools", key=KEYS["admin"], timeout=60)
        assert answer.status == 200, answer.body
        return {entry["name"]: entry for entry in answer.json()["tools"]}

    def offers(self, name):
        """Names of the tools of an entry, without its own."""
        entry = self.tools().get(name) or {"tools": []}
        return {tool["name"].removeprefix(f"{name}.") for tool in entry["tools"]}

    def wait_offers(self, name, expected, times=8, timeout=60):
        """Until every worker, as far as `times` questions reach them, has just these tools."""
        wait_until(lambda: all(self.offers(name) == set(expected) for _ in range(times)),
                   timeout * env.SLOW, f"tools {sorted(expected)} of {name}", step=0.2)

    def rewrite(self, tools):
        """A new tools.yaml, taken up by every worker."""
        self.gateway.write("tools", {"version": 1, "tools": tools})
        answer = wire.request(self.server.port, "POST", "/tools/refresh", key=KEYS["admin"],
                              timeout=60)
        assert answer.status == 200, answer.body

    # -- calls ------------------------------------------------------------------------------

    def chat(self, *calls, stream=False, request_id=None, timeout=120):
        """The answer to a chat in which the agent makes `calls`, [tool, arguments] each."""
        told = json.dumps([[name.replace(".", "_"), arguments] for name, arguments in calls])
        return wire.chat(self.server.port, KEYS["client"], "mock/agent", stream=stream,
                         request_id=request_id, timeout=timeout * env.SLOW, text=told)

    def results(self, *calls, stream=False, request_id=None):
        """What the model was told of each call."""
        answer = self.chat(*calls, stream=stream, request_id=request_id)
        assert answer.status == 200, answer
        if not stream:
            return json.loads(answer.json()["choices"][0]["message"]["content"])
        chunks = [json.loads(frame) for frame in wire.frames(answer.body)[:-1]]
        assert not any("tool_calls" in choice["delta"] for chunk in chunks
                       for choice in chunk["choices"])
        return json.loads("".join(choice["delta"].get("content") or "" for chunk in chunks
                                  for choice in chunk["choices"]))

    def invocations(self, request_id, unfinished=False):
        """Rows of the trail for the calls of a request, as (tool, status), once all have
        ended."""
        def rows():
            found = [(row["tool"], row["status"]) for row in self.gateway.sql(
                "SELECT tool, status FROM tool_invocations WHERE request_id = ? ORDER BY seq",
                request_id)]
            return found if unfinished or all(status != "unfinished" for _, status in found) \
                else None
        return wait_until(rows, 30 * env.SLOW, f"ends of the calls of {request_id}")

    def call(self, tool, **arguments):
        """agwctl tools call: (status, content)"""
        report = self.ctl.json("tools call", tool, "--args", json.dumps(arguments), status=None,
                               timeout=120)
        assert report["status"] in ("ok", "failed", "invalid", "denied", "timeout",
                                    "unavailable"), report
        return report["status"], report["content"]
