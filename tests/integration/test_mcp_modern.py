# SPDX-License-Identifier: MIT
"""A server of the stateless era (2026-07-28), built on the official package, over HTTP and as a
process of the gateway's; one that speaks both eras is spoken to in the newer one."""
import json

import pytest

import env
from mcp_scene import McpScene
from mcp_servers import MODERN_TOOLS, McpServers, http_entry, stdio_entry

VERSION = "io.modelcontextprotocol/protocolVersion"


@pytest.fixture(scope="module")
def servers(session_dir):
    made = McpServers(session_dir / "modern")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def runs(session_dir):
    folder = session_dir / "modern-runs"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def scene(session_dir, mock, servers, runs):
    argv = servers.argv("modern.mjs", "stdio")
    made = McpScene(session_dir / "mcpnew", mock, [
        http_entry("http", servers.modern({"AGW_MCP_RUNS": str(runs / "http")})),
        http_entry("sse", servers.modern({"AGW_MCP_ANSWER": "sse"})),
        http_entry("both", servers.modern({"AGW_MCP_ERA": "both"})),
        stdio_entry("stdio", argv, read=[servers.folder], write=[runs],
                    environment={"AGW_MCP_RUNS": str(runs / "stdio")}),
        stdio_entry("bothstdio", argv, read=[servers.folder],
                    environment={"AGW_MCP_ERA": "both"})], gateway={"workers": 1})
    made.servers, made.runs = servers, runs
    for name in ENTRIES:
        made.wait_offers(name, MODERN_TOOLS)
    yield made
    made.stop()


ENTRIES = ["http", "sse", "both", "stdio", "bothstdio"]
EACH = pytest.mark.parametrize("entry", ENTRIES)


def url_of(scene, entry):
    tools = scene.gateway.tools["tools"]
    return next(one["url"] for one in tools if one["name"] == entry)


@EACH
def test_the_newer_era_is_spoken(scene, entry):
    assert scene.tools()[entry]["protocol"] == "2026-07-28"


@EACH
@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_calls_its_tools(scene, entry, stream, rid):
    echo, total, weather, numbers, regional, picture, slow = scene.results(
        [f"{entry}.echo", {"message": "Grüße"}],
        [f"{entry}.add", {"a": 1, "b": 2}],
        [f"{entry}.weather", {"city": "Bern"}],
        [f"{entry}.numbers", {}],
        [f"{entry}.regional", {"region": "Zürich ", "limit": 5}],
        [f"{entry}.picture", {}],
        [f"{entry}.slow", {"steps": 5, "ms": 100}], stream=stream, request_id=rid)
    assert (echo, total, slow) == ("Grüße", "3", "counted to 5")
    assert "21 degrees" in weather
    assert json.loads(numbers) == [1, 2, 3]
    assert regional == "5 of Zürich "
    assert picture.startswith("A dot:") and "image/png" in picture and len(picture) < 200
    assert [status for _, status in scene.invocations(rid)] == ["ok"] * 7


@EACH
def test_what_fails_is_told(scene, entry, rid):
    broken, throwing, confirm, wrong = scene.results(
        [f"{entry}.broken", {}], [f"{entry}.throwing", {}], [f"{entry}.confirm", {}],
        [f"{entry}.add", {"a": 1, "b": 2, "c": 3}], request_id=rid)
    assert "this tool is broken" in broken and "out of paper" in throwing
    assert "input" in confirm
    assert "'c'" in wrong
    assert sorted(status for _, status in scene.invocations(rid)) == ["failed"] * 3 + ["invalid"]


def test_each_request_says_all_that_is_to_be_known_of_it(scene):
    before = len(scene.servers.seen(url_of(scene, "http")))
    scene.results(["http.regional", {"region": "Zürich ", "limit": 5}],
                  ["http.regional", {"region": "plain", "limit": 5}])
    asked = scene.servers.seen(url_of(scene, "http"))
    assert {one["method"] for one in asked} == {"POST"}
    for one in asked:
        headers, body = one["headers"], one["body"]
        assert headers["mcp-protocol-version"] == "2026-07-28"
        assert headers["mcp-method"] == body["method"]
        assert headers["accept"].replace(" ", "") == "application/json,text/event-stream"
        assert "mcp-session-id" not in headers
        assert body["params"]["_meta"][VERSION] == "2026-07-28"
        if body["method"] == "tools/call":
            assert body["params"]["_meta"]["progressToken"] == body["id"]
    regional = [one["headers"] for one in asked if one["headers"].get("mcp-name") == "regional"]
    assert {headers["mcp-param-region"] for headers in regional} >= {
        "=?base64?WsO8cmljaCA=?=", "plain"}
    ids = [one["body"]["id"] for one in asked[before:]]
    assert len(set(ids)) == len(ids)


def test_one_call_is_one_run(scene):
    for entry in ("http", "stdio"):
        path = scene.runs / entry
        before = path.read_text().splitlines() if path.exists() else []
        scene.results([f"{entry}.echo", {"message": "x"}], [f"{entry}.add", {"a": 1, "b": 1}])
        assert sorted(path.read_text().splitlines()[len(before):]) == ["add", "echo"]


@EACH
def test_agwctl_calls_its_tools(scene, entry):
    assert scene.call(f"{entry}.add", a=1, b=2) == ("ok", "3")
    assert scene.call(f"{entry}.broken") == ("failed", "this tool is broken")


def test_a_program_tells_that_its_list_has_grown(scene):
    assert scene.results(["stdio.grow", {}]) == ["grown"]
    scene.wait_offers("stdio", MODERN_TOOLS | {"grown"}, times=1, timeout=40)
    assert scene.results(["stdio.grown", {}]) == ["here I am"]


@pytest.mark.parametrize("entry", ["both", "bothstdio"])
def test_a_refresh_finds_what_has_grown(scene, entry):
    assert scene.results([f"{entry}.grow", {}]) == ["grown"]
    scene.rewrite(scene.gateway.tools["tools"])
    assert scene.offers(entry) == MODERN_TOOLS | {"grown"}
    assert scene.results([f"{entry}.grown", {}]) == ["here I am"]
