# SPDX-License-Identifier: MIT
"""The MCP servers that the other tests rely on do what those expect, as the official client
sees it."""
import pytest

from mcp_mock import McpMock
from mcp_servers import EVERYTHING, EVERYTHING_TOOLS, MODERN_TOOLS, NODE, McpServers


@pytest.fixture
def servers(directory):
    made = McpServers(directory / "mcp")
    yield made
    made.stop()


@pytest.fixture
def mock_of(directory):
    made = []

    def make(**behave):
        made.append(McpMock(directory / f"mock{len(made)}", **behave))
        return made[-1]
    yield make
    for each in made:
        each.stop()


def names(tools):
    return {tool["name"] for tool in tools}


def text(result):
    return [part.get("text", part["type"]) for part in result["content"]]


@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_everything(servers, transport):
    where = servers.everything() if transport == "http" else [NODE, EVERYTHING, "stdio"]
    said = servers.ask(transport, where, ["echo", {"message": "hi"}],
                       ["get-sum", {"a": 1, "b": 2}], ["get-tiny-image", {}])
    assert said["era"] == "legacy" and names(said["tools"]) <= EVERYTHING_TOOLS
    assert names(said["after"]) == EVERYTHING_TOOLS
    assert [text(result) for result in said["results"][:2]] == [
        ["Echo: hi"], ["The sum of 1 and 2 is 3."]]
    assert text(said["results"][2])[1] == "image"


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("mode, era", [("auto", "modern"), ("legacy", "legacy")])
def test_modern(directory, servers, transport, mode, era):
    environment = {"AGW_MCP_ERA": "both", "AGW_MCP_RUNS": str(directory / "runs")}
    where = servers.modern(environment) if transport == "http" else \
        servers.argv("modern.mjs", "stdio")
    calls = [["echo", {"message": "hi"}], ["numbers", {}], ["weather", {"city": "Bern"}],
             ["regional", {"region": "Zürich ", "limit": 2}], ["broken", {}], ["confirm", {}],
             ["slow", {"steps": 3, "ms": 20}], ["grow", {}]]
    said = servers.ask(transport, where, *calls, mode=mode, environment=environment)
    assert said["era"] == era and names(said["tools"]) == MODERN_TOOLS
    assert names(said["after"]) == MODERN_TOOLS | {"grown"}
    echo, numbers, weather, regional, broken, confirm, slow, _ = said["results"]
    assert text(echo) == ["hi"] and text(slow) == ["counted to 3"]
    assert text(regional) == ["2 of Zürich "] and broken["isError"]
    assert weather["structuredContent"] == {"city": "Bern", "degrees": 21}
    if era == "modern":
        assert numbers["structuredContent"] == [1, 2, 3] and "error" in confirm
    if transport == "http" and era == "modern":
        asked = [one for one in servers.seen(where)
                 if one["body"] and one["body"]["method"] == "tools/call"]
        assert "mcp-param-region" in asked[3]["headers"]
    runs = (directory / "runs").read_text().split()
    assert runs == [name for name, _ in calls]


@pytest.mark.parametrize("transport", ["http", "stdio"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize("answer", ["json", "sse"])
def test_the_mock_behaves(servers, mock_of, transport, era, answer):
    mock = mock_of(era=era, answer=answer, page=1, tools=["more"])
    where = mock.start().url if transport == "http" else mock.argv()
    said = servers.ask(transport, where, ["echo", {"message": "hi"}], ["fails", {}])
    assert said["era"] == era and names(said["tools"]) == {"echo", "fails", "more"}
    assert text(said["results"][0]) == ["hi"] and said["results"][1]["isError"]
    assert [run["tool"] for run in mock.runs()] == ["echo", "fails"]
    assert len(mock.seen("tools/list")) == 6


@pytest.mark.parametrize("way", ["cut-1", "cut-3"])
def test_the_mock_cuts_and_takes_up_again(servers, mock_of, way):
    mock = mock_of(answer="sse", tools_call=way).start()
    said = servers.ask("http", mock.url, ["echo", {"message": "hi"}], mode="legacy")
    assert text(said["results"][0]) == ["hi"] and len(mock.runs()) == 1
    taken_up = [get for get in mock.seen(http="GET") if "last-event-id" in get["headers"]]
    assert len(taken_up) == int(way[-1])
