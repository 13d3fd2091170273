# SPDX-License-Identifier: MIT
"""The reference server "everything", over HTTP and as a process of the gateway's: all its tools
are listed, and agents behind lighttpd and agwctl call them."""
import json

import pytest

import wire
from gateway import KEYS
from mcp_scene import McpScene
from mcp_servers import EVERYTHING, EVERYTHING_TOOLS, NODE, McpServers, http_entry, stdio_entry


@pytest.fixture(scope="module")
def servers(session_dir):
    made = McpServers(session_dir / "everything")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def scene(session_dir, mock, servers):
    made = McpScene(session_dir / "mcpall", mock, [
        http_entry("http", servers.everything()),
        stdio_entry("stdio", [NODE, EVERYTHING, "stdio"]),
        http_entry("sum", servers.everything(), method="get-sum"),
        http_entry("hasty", servers.everything(), timeout=2)])
    for name in ("http", "stdio"):
        made.wait_offers(name, EVERYTHING_TOOLS)
    yield made
    made.stop()


BOTH = pytest.mark.parametrize("entry", ["http", "stdio"])


@BOTH
def test_its_tools_are_listed(scene, entry):
    shown = scene.tools()[entry]
    tools = {tool["name"]: tool for tool in shown["tools"]}
    assert shown["available"] and len(tools) == 13
    echo = tools[f"{entry}.echo"]
    assert echo["function"] == f"{entry}_echo" and echo["description"]
    assert echo["schema"]["required"] == ["message"]
    assert {tool["name"].partition(".")[2] for each in scene.ctl.json("tools list")["tools"]
            if each["name"] == entry for tool in each["tools"]} == EVERYTHING_TOOLS


@BOTH
def test_an_agent_may_call_all_of_them(scene, entry):
    tag = wire.new_id("u")
    answer = wire.chat(scene.server.port, KEYS["client"], "mock/agent", text="[]", user=tag)
    assert answer.status == 200, answer
    sent = scene.mock.request(tag)["body"]["tools"]
    names = {tool["function"]["name"] for tool in sent}
    assert {f"{entry}_{name}" for name in EVERYTHING_TOOLS} <= names


@BOTH
@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_calls_them(scene, entry, stream, rid):
    echo, total, weather, image, resource, link = scene.results(
        [f"{entry}.echo", {"message": "Grüße \u2028 \U0001f600"}],
        [f"{entry}.get-sum", {"a": 40, "b": 2.5}],
        [f"{entry}.get-structured-content", {"location": "Chicago"}],
        [f"{entry}.get-tiny-image", {}],
        [f"{entry}.get-resource-reference", {"resourceType": "Text", "resourceId": 7}],
        [f"{entry}.get-resource-links", {"count": 2}], stream=stream, request_id=rid)
    assert echo == "Echo: Grüße \u2028 \U0001f600"
    assert total == "The sum of 40 and 2.5 is 42.5."
    assert json.loads(weather) == {"temperature": 36, "conditions": "Light rain / drizzle",
                                   "humidity": 82}
    assert image.startswith("Here's the image") and "image/png" in image
    assert "iVBORw0" not in image and len(image) < 300  # a line that says what it is
    assert "Resource 7: This is a plaintext resource" in resource
    assert "demo://resource/dynamic/" in link
    assert {status for _, status in scene.invocations(rid)} == {"ok"}
    assert len(scene.invocations(rid)) == 6


@BOTH
def test_a_long_run_reports_progress_and_ends(scene, entry, rid):
    said, = scene.results([f"{entry}.trigger-long-running-operation",
                           {"duration": 2, "steps": 20}], request_id=rid)
    assert said == "Long running operation completed. Duration: 2 seconds, Steps: 20."


@BOTH
def test_what_fails_is_told_to_the_model(scene, entry, rid):
    wrong, tasks, unknown, error = scene.results(
        [f"{entry}.get-sum", {"a": "one", "b": 2}],
        [f"{entry}.simulate-research-query", {"topic": "x", "ambiguous": False}],
        [f"{entry}.nothing", {}],
        [f"{entry}.get-annotated-message", {"messageType": "error", "includeImage": False}],
        request_id=rid)
    assert "/a must be" in wrong
    assert "requires task augmentation" in tasks
    assert "no tool" in unknown
    assert error == "Error: Operation failed"
    ended = dict(scene.invocations(rid))
    assert ended[f"{entry}.get-sum"] == "invalid"
    assert ended[f"{entry}.simulate-research-query"] == "failed"
    assert ended[f"{entry}.get-annotated-message"] == "ok"


def test_what_takes_too_long_is_ended(scene, rid):
    said, = scene.results(["hasty.trigger-long-running-operation", {"duration": 60, "steps": 2}],
                          request_id=rid)
    assert "time" in said and scene.invocations(rid)[0][1] == "timeout"


def test_one_tool_of_a_server(scene):
    tool, = scene.tools()["sum"]["tools"]
    assert tool["name"] == tool["function"] == "sum"
    assert set(tool["schema"]["properties"]) == {"a", "b"}
    assert scene.results(["sum", {"a": 1, "b": 2}]) == ["The sum of 1 and 2 is 3."]


@BOTH
def test_agwctl_calls_them(scene, entry):
    assert scene.call(f"{entry}.echo", message="hi") == ("ok", "Echo: hi")
    assert scene.call(f"{entry}.get-sum", a=1, b=2)[1] == "The sum of 1 and 2 is 3."
    assert scene.call(f"{entry}.echo")[0] == "invalid"
    status, content = scene.call(f"{entry}.simulate-research-query", topic="x", ambiguous=False)
    assert status == "failed" and "task" in content


@BOTH
def test_many_calls_at_once_each_get_their_own_answer(scene, entry):
    said = scene.results(*[[f"{entry}.echo", {"message": f"number {number}"}]
                           for number in range(24)])
    assert said == [f"Echo: number {number}" for number in range(24)]
