# SPDX-License-Identifier: MIT
"""Agents that call tools, through lighttpd: each transcript of tests/cases/tools/ goes exactly as
it is written there, whole and streamed, for both official clients and byte by byte. Then what no
transcript can say: clients that leave, budgets, limits, revoked rights, agents without tools.

A transcript has the agent's entry, the client's request, `turns` (what the scripted upstream says,
one after the other), `sent` (what it must have been asked, without what is the same each time;
`tools` by their names), and what must come of it: `answer` or `error`, `stream` (deltas; texts
stand for content; without it a stream is refused with the same status), `trail` (each call of a
tool with its status), `hops` (rounds, calls) and `outcome`. A text that begins with "~" is a
pattern, "*" is anything.
"""
import asyncio
import contextlib
import json
import pathlib
import re

import pytest
import yaml

import env
import strict
from clients import NodeClient, PythonClient
from gateway import KEYS, Gateway, agent, upstream
from procs import wait_until
from tool_server import ToolServer
from webserver import WebServer
from wire import chat, chat_body, frames, new_id, request, stream, together

FILES = sorted((env.SOURCE / "tests" / "cases" / "tools").glob("*.yaml"))
CASES = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = {"id": "call_1", "type": "function", "function": {"name": "hang", "arguments": "{}"}}


def tools_for(server):
    return [
        server.tool("echo", "/echo", description="Says it again."),
        server.tool("strict", "/echo", schema=SCHEMA),
        server.tool("meet", "/meet/3"),
        server.tool("broken", "/status/500"),
        server.tool("hang", "/hang", timeout=1),
        server.tool("wait", "/hang", timeout=600),
        server.tool("long", "/text/40000"),
        server.tool("forbidden", "/echo"),
        {"name": "nobody", "provider": "http", "method": "POST", "allow_private": True,
         "url": "http://127.0.0.1:9/", "timeout": 5},
    ]


def agents_for():
    extra = {"leave": ["wait"], "slow": ["wait", "echo"], "long": ["long"], "budget": ["echo"]}
    made = [agent(f"tool-{name}", upstream="turns", model=f"turns-{name}", **case["agent"])
            for name, case in CASES.items()]
    return made + [agent(f"tool-{name}", upstream="turns", model=f"turns-{name}", tools=tools)
                   for name, tools in extra.items()]


@pytest.fixture(scope="module")
def tool_server():
    server = ToolServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(session_dir, mock, tool_server):
    instance = Gateway(
        session_dir / "tool-loop", mock, tools={"tools": tools_for(tool_server)},
        gateway={"limits": {"body_bytes": 65536}},
        security={"default": {"deny_tools": ["forbidden"]}})
    instance.write("agents", {"version": 1, "agents": agents_for()})
    instance.write("upstreams", {"version": 1, "upstreams": [
        upstream("turns", mock.base_url("turns"), models=["turns-*"],
                 timeout={"connect": 5, "first_byte": 30, "idle": 30, "total": 60})]})
    for name, case in CASES.items():
        mock.turns(f"turns-{name}", case["turns"])
    instance.start()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def web(gateway):
    server = WebServer(gateway.directory, gateway.socket, "lighttpd")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    made = {kind.name: kind(tmp_path_factory.mktemp(kind.name))
            for kind in (PythonClient, NodeClient)}
    yield made
    for client in made.values():
        client.stop()


def fits(value, wanted):
    if isinstance(wanted, str) and wanted.startswith("~"):
        return isinstance(value, str) and re.fullmatch(wanted[1:], value, re.S) is not None
    if wanted == "*":
        return True
    if isinstance(wanted, dict):
        return isinstance(value, dict) and set(value) == set(wanted) and all(
            fits(value[name], item) for name, item in wanted.items())
    if isinstance(wanted, list):
        return isinstance(value, list) and len(value) == len(wanted) and all(
            map(fits, value, wanted))
    return type(value) is type(wanted) and value == wanted


def assert_fits(value, wanted):
    assert fits(value, wanted), "\n".join(
        [json.dumps(value, indent=1), "instead of", json.dumps(wanted, indent=1)])


def asked(mock, tag):
    """What the upstream was asked, without what is the same each time."""
    found = []
    for record in mock.requests(tag=tag, site="turns"):
        body = dict(record["body"])
        for name in ("model", "stream", "stream_options", "user"):
            body.pop(name, None)
        if "tools" in body:
            body["tools"] = [tool["function"]["name"] for tool in body["tools"]]
        found.append(body)
    return found


def in_short(payloads):
    """A stream as the transcripts write it, after its first delta with the role."""
    found = []
    for payload in payloads:
        if payload == "[DONE]":
            found.append(payload)
            continue
        value = json.loads(payload)
        if "error" in value:
            found.append({"error": value["error"]})
            continue
        usage = value.get("usage")
        if usage:
            found.append({"usage": [usage["prompt_tokens"], usage["completion_tokens"],
                                    usage["total_tokens"]]})
        for choice in value["choices"]:
            assert choice["index"] == 0
            delta = choice["delta"]
            if choice["finish_reason"]:
                assert delta == {}
                found.append({"finish": choice["finish_reason"]})
            else:
                found.append(delta["content"] if set(delta) == {"content"} else delta)
    if found and found[0] == {"role": "assistant", "content": ""}:
        return found[1:]
    assert "error" in found[0], found
    return found


def message_of(text):
    value = json.loads(text)
    choice, = value["choices"]
    assert choice["index"] == 0
    usage = value["usage"]
    return {"finish_reason": choice["finish_reason"],
            "usage": [usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]],
            **{name: choice["message"][name] for name in ("content", "tool_calls")
               if name in choice["message"]}}


def error_of(case):
    return {name: value for name, value in case["error"].items() if name != "status"}


def check_trail(gateway, rid, case, streaming):
    outcome = case.get("outcome", "completed")
    if streaming:
        outcome = case.get("stream_outcome", outcome)
    assert gateway.outcome(rid) == outcome
    calls = gateway.sql("SELECT tool, status, caller, key_id, agent FROM tool_invocations"
                        " WHERE request_id = ? ORDER BY seq", rid)
    assert sorted([row["tool"], row["status"]] for row in calls) == sorted(case["trail"])
    for row in calls:
        assert (row["caller"], row["key_id"]) == ("declarative", "client")
    row, = gateway.sql("SELECT * FROM audit_event WHERE request_id = ? AND outcome IS NOT NULL",
                       rid)
    rounds, made = case.get("hops", [0, 0])
    assert row["detail"] == (json.dumps({"tool_hops": rounds, "tool_calls": made},
                                        separators=(",", ":")) if rounds else None)
    if "answer" in case:
        assert [row["prompt_tokens"], row["completion_tokens"]] == case["answer"]["usage"][:2]


@pytest.mark.parametrize("name", CASES)
def test_transcript_whole(name, gateway, web, mock):
    case, rid = CASES[name], new_id()
    answer = chat(web.port, KEYS["client"], f"mock/tool-{name}", request_id=rid, user=rid,
                  **case["request"])
    if "error" in case:
        assert answer.status == case["error"]["status"], answer
        assert answer.error() == error_of(case)
        if "hops" in case:  # the clients must not have its tools called again by themselves
            assert answer.header("x-should-retry") == "false"
    else:
        assert answer.status == 200, answer
        strict.check_completion(answer.body, f"mock/tool-{name}")
        assert_fits(message_of(answer.body), case["answer"])
    assert_fits(asked(mock, rid), case["sent"])
    check_trail(gateway, rid, case, False)


@pytest.mark.parametrize("name", CASES)
def test_transcript_streamed(name, gateway, web, mock):
    case, rid = CASES[name], new_id()
    answer = chat(web.port, KEYS["client"], f"mock/tool-{name}", stream=True, request_id=rid,
                  user=rid, stream_options={"include_usage": True}, **case["request"])
    if "stream" not in case:
        assert answer.status == case["error"]["status"], answer
        assert answer.error() == error_of(case)
    else:
        assert answer.status == 200, answer
        payloads = frames(answer.body)
        wanted = [{"error": error_of({"error": item["error"]})}
                  if isinstance(item, dict) and "error" in item else item
                  for item in case["stream"]]
        assert_fits(in_short(payloads), wanted)
        if payloads[-1] == "[DONE]":
            strict.check_stream(payloads, f"mock/tool-{name}", usage=True)
    assert_fits(asked(mock, rid), case["sent"])
    check_trail(gateway, rid, case, True)


def joined(payloads):
    """Text, calls and last reason as a client puts them together."""
    text, calls, reason = "", {}, None
    for payload in payloads:
        for choice in [] if payload == "[DONE]" else json.loads(payload)["choices"]:
            text += choice["delta"].get("content") or ""
            reason = choice["finish_reason"] or reason
            for piece in choice["delta"].get("tool_calls") or []:
                call = calls.setdefault(piece["index"], {"id": piece.get("id"), "arguments": ""})
                call["arguments"] += piece["function"].get("arguments") or ""
    return text, [calls[index] for index in sorted(calls)], reason


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("language", ["python", "node"])
@pytest.mark.parametrize("name", CASES)
def test_transcript_by_official_clients(name, language, streaming, clients, web, mock):
    case = CASES[name]
    params = {"model": f"mock/tool-{name}", "user": new_id(), **case["request"]}
    if streaming:
        params.update(stream=True, stream_options={"include_usage": True})
    answer = clients[language].call(web.url, KEYS["client"], "create", params, retries=2)
    assert len(mock.requests(tag=params["user"], site="turns")) == len(case["sent"])
    if "error" in case:
        assert not answer["ok"]
        for field in ("code", "type", "param"):
            assert answer["error"][field] == case["error"][field], answer["error"]
        assert case["error"]["message"] in answer["error"]["message"]
        if not streaming or "stream" not in case:
            assert answer["error"]["status"] == case["error"]["status"]
        return
    assert answer["ok"], answer
    wanted = case["answer"]
    calls = [{"id": call["id"], "arguments": call["function"]["arguments"]}
             for call in wanted.get("tool_calls", [])]
    if streaming:
        strict.check_stream(answer["payloads"], f"mock/tool-{name}", usage=True)
        assert joined(answer["payloads"]) == (wanted["content"] or "", calls,
                                              wanted["finish_reason"])
    else:
        strict.check_completion(answer["text"], f"mock/tool-{name}")
        assert_fits(message_of(answer["text"]), wanted)


def test_agents_with_tools_are_models_and_offered(gateway, web):
    answer = gateway_ask(web, "GET", "/v1/models", KEYS["client"])
    ids = {model["id"] for model in answer["data"]}
    assert {f"mock/tool-{name}" for name in CASES} <= ids
    agents = {item["id"]: item for item in
              gateway_ask(web, "GET", "/agents", KEYS["admin"])["agents"]}
    assert agents["mock/tool-single"]["available"]
    assert agents["mock/tool-single"]["diagnostics"] == []
    preview = gateway_ask(web, "POST", "/security/preview", KEYS["admin"],
                          {"agent": "mock/tool-single", "key_id": "client", "tool": "echo"})
    assert preview["answer"] == {"status": 200, "code": None}
    assert preview["tool"]["allowed"]


def gateway_ask(web, method, path, key, body=None):
    answer = request(web.port, method, path, key=key, body=body)
    assert answer.status == 200, answer
    return answer.json()


def definitions(mock, tag):
    return mock.requests(tag=tag, site="turns")[0]["body"]["tools"]


def test_definitions_are_whole(gateway, web, mock):
    rid = new_id()
    chat(web.port, KEYS["client"], "mock/tool-malformed-arguments", user=rid)
    assert definitions(mock, rid) == [{"type": "function", "function": {
        "name": "strict", "parameters": SCHEMA}}]
    rid = new_id()
    chat(web.port, KEYS["client"], "mock/tool-single", user=rid)
    assert definitions(mock, rid) == [{"type": "function", "function": {
        "name": "echo", "description": "Says it again.", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def nginx_web(gateway):
    server = WebServer(gateway.directory, gateway.socket, "nginx")
    yield server
    server.stop()


# That a silent client has left, nginx alone says; the others see it when a ping fails.
@pytest.mark.parametrize("name, streaming", [("nginx", False), ("nginx", True),
                                             ("lighttpd", True)])
def test_a_client_that_leaves_ends_tool_and_request(name, streaming, gateway, web, nginx_web,
                                                    mock, tool_server):
    port = {"nginx": nginx_web, "lighttpd": web}[name].port
    mock.turns("turns-leave", [{"message": {"tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "wait", "arguments": "{}"}},
        {"id": "call_2", "type": "function", "function": {"name": "wait", "arguments": "{}"}}]}}])
    rid = new_id()
    before = len(tool_server.calls("/hang"))

    async def leave():
        task = asyncio.ensure_future(stream(
            port, KEYS["client"], "mock/tool-leave", stream_it=streaming, request_id=rid,
            user=rid, method_body=chat_body("mock/tool-leave", streaming, user=rid)))
        while len(tool_server.calls("/hang")) < before + 2:
            await asyncio.sleep(0.02)
            assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    together(leave())
    assert gateway.outcome(rid, timeout=60) == "client_gone"
    wait_until(lambda: all(call["end"] == "left" for call in
                           tool_server.calls("/hang")[before:]), 60, "tools that are left")
    rows = gateway.sql("SELECT status FROM tool_invocations WHERE request_id = ?", rid)
    assert [row["status"] for row in rows] == ["cancelled", "cancelled"]
    assert len(mock.requests(tag=rid, site="turns")) == 1


def test_pings_while_a_tool_runs(gateway, web, mock):
    rid = new_id()
    answer = chat(web.port, KEYS["client"], "mock/tool-timing-out", stream=True, user=rid)
    assert answer.status == 200
    # The heartbeat is a second, and so is the tool's timeout: none is not wrong, but the stream
    # must be honest whichever comes first.
    assert frames(answer.body)[-1] == "[DONE]"
    mock.turns("turns-slow", [{"message": {"tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "wait", "arguments": "{}"}}]}}])
    seen, = together(stream(web.port, KEYS["client"], "mock/tool-slow", request_id=new_id(),
                            leave_when=b": ping\n\n: ping\n\n"))
    assert seen.body.startswith(b": ping\n\n: ping\n\n")


def test_what_turns_add_is_bounded(gateway, web, mock):
    call = {"tool_calls": [{"id": "call_1", "type": "function",
                            "function": {"name": "long", "arguments": "{}"}}]}
    mock.turns("turns-long", [{"message": call}] * 3)
    rid = new_id()
    answer = chat(web.port, KEYS["client"], "mock/tool-long", request_id=rid, user=rid)
    assert answer.status == 500
    assert answer.error()["code"] == "agent_error"
    assert "limits.body_bytes" in answer.error()["message"]
    assert answer.header("x-should-retry") == "false"
    assert gateway.outcome(rid) == "agent_error"
    assert len(mock.requests(tag=rid, site="turns")) == 2


def test_budgets_and_metrics_count_the_sum(make, mock, tool_server):
    gateway = make.gateway(
        tools={"tools": tools_for(tool_server)}, start=False,
        security={"api_keys": [
            {"id": "client", "key": KEYS["client"], "budget": {"tokens_per_day": 20}},
            {"id": "admin", "key": KEYS["admin"], "roles": ["admin"]}]})
    gateway.write("agents", {"version": 1, "agents": agents_for()})
    gateway.write("upstreams", {"version": 1, "upstreams": [
        upstream("turns", mock.base_url("turns"), models=["turns-*"])]})
    for name, case in CASES.items():
        mock.turns(f"turns-{name}", case["turns"])
    gateway.start()
    server = make.server(gateway, "lighttpd")
    first = chat(server.port, KEYS["client"], "mock/tool-single", user=new_id())
    assert first.json()["usage"]["total_tokens"] == 24
    second = chat(server.port, KEYS["client"], "mock/tool-single", user=new_id())
    assert (second.status, second.error()["code"]) == (429, "insufficient_quota")
    text = request(server.port, "GET", "/metrics", key=KEYS["admin"]).body.decode()
    assert re.search(r'agent_gateway_tokens_total\{key_id="client",agent="mock/tool-single",'
                     r'direction="prompt"\} 14\n', text), text
    assert re.search(r'agent_gateway_tool_invocations_total\{tool="echo",provider="http",'
                     r'status="ok",source="declarative"\} 1\n', text), text


def test_every_transcript_is_part_of_the_release():
    listed = (env.SOURCE / "src" / "agent" / "local.mk").read_text()
    for path in FILES:
        assert f"tests/cases/tools/{pathlib.Path(path).name}" in listed
