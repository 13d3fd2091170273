# SPDX-License-Identifier: MIT
"""Runs against a runner and hosts that the test plays: what they say to the gateway may be wrong,
too much, too late or nothing, and no client, no other run and no trail may suffer from it."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import resource
import threading
import time

import pytest

import env
import fcgi
from agwctl import Agwctl
from fake_runner import LONG, FakeRunner, agent
from gateway import KEYS, Gateway, default_upstreams, upstream
from procs import wait_until
from wire import frames, new_id


def fine(run):
    run.greet().done("fine")


def model(run):
    answer = run.greet().ask_model().receive("llm.response", "llm.error")
    run.done(answer["body"]["choices"][0]["message"]["content"])


def replay(run):
    """What a host does when its SDK gives up on the model."""
    run.greet()
    failed = run.ask_model(model=run.start["messages"][-1]["content"]).receive("llm.error")
    run.error("upstream", failed["status"], message="upstream failed")


def flood(line):
    def host(run):
        run.greet()
        with contextlib.suppress(OSError):
            while True:
                run.sock.sendall(line * 1000)
    return host


def says(*lines):
    def host(run):
        run.greet()
        for line in lines:
            run.raw(line)
        run.ended()
    return host


def says_first(data, waits=True):
    def host(run):
        run.raw(data)
        if waits:
            run.ended()
    return host


def hangs(run):
    run.greet()
    run.send("delta", content="begun")
    run.keep = True


def dies(run):
    run.greet()
    run.send("delta", content="begun")


def long_text(run):
    run.greet()
    piece = "x" * 100000
    while True:
        run.send("delta", content=piece)


def twice(run):
    run.greet().done("first")
    run.done("second")
    run.error("internal", message="third")


def silent_but_alive(run):
    """Beats, and never ends."""
    run.greet()
    while True:
        run.raw(b'{"t":"hb"}\n')
        time.sleep(0.2)


def deaf(run):
    """Asks without end and reads nothing."""
    run.greet()
    run.keep = True
    for number in range(1, 400):
        run.ask_model(id=number, model="big-answer", messages=[
            {"role": "user", "content": "x" * 20000}])


def many_checks(run):
    run.greet()
    run.keep = True  # the thread that reads goes on after this one
    threading.Thread(target=run.ended, daemon=True).start()
    for number in range(1, 3000):
        run.send("tool.check", id=number, name="own", call_id="c", args="{}")


HOSTILE = {
    # name: (host, status, code, whether the gateway asks for the process to be killed)
    "version": (says_first(b'{"t":"hello","v":2}\n'), 502, "agent_error"),
    "no-hello": (says_first(b'{"t":"hb"}\n'), 502, "agent_error"),
    "asks-first": (says_first(b'{"t":"llm.request","id":1,"body":{"messages":[]}}\n'), 502,
                   "agent_error"),
    "garbage": (says_first(b"\0\1\2 no JSON\n"), 502, "agent_error"),
    "not-an-object": (says(b"[1]\n"), 502, "agent_error"),
    "deep": (says(b'{"a":' + b"[" * 100000 + b"\n"), 502, "agent_error"),
    "bad-utf8": (says(b'{"t":"delta","content":"\xff\xfe"}\n'), 502, "agent_error"),
    "long-line": (says(b'{"t":"delta","content":"' + b"x" * (20 << 20) + b'"}\n'), 502,
                  "agent_error"),
    "crash": (dies, 502, "agent_error"),
    "crash-at-once": (says_first(b"", waits=False), 502, "agent_error"),
    "flood-hb": (flood(b'{"t":"hb"}\n'), 502, "agent_error"),
    "flood-unknown": (flood(b'{"t":"what","x":[1,2,3]}\n'), 502, "agent_error"),
    "flood-log": (flood(b'{"t":"log","level":"error","message":"x"}\n'), 502, "agent_error"),
    "flood-done": (flood(b'{"t":"tool.done","id":7,"ok":true}\n'), 502, "agent_error"),
    "flood-checks": (many_checks, 500, "agent_error"),
    "no-end": (silent_but_alive, 504, "upstream_timeout"),
}


@pytest.fixture(scope="module")
def scene(session_dir, mock):
    directory = session_dir / "sdk-hostile"
    directory.mkdir()
    hosts = {f"fake/{name}": case[0] for name, case in HOSTILE.items()}
    hosts |= {"fake/fine": fine, "fake/model": model, "fake/replay": replay, "fake/hang": hangs,
              "fake/long-text": long_text, "fake/twice": twice, "fake/deaf": deaf,
              "fake/limited": replay}
    runner = FakeRunner(directory / "runner.sock", hosts)
    runner.agents[-1]["upstream"] = "limited"
    gateway = Gateway(
        directory, mock, gateway={
            "workers": 1, "discovery": {"path": str(directory)},
            "runner": {"socket": runner.path, "run_timeout": 8 * env.SLOW}},
        security={"default": {"allow_agents": ["fake/*"], "deny_tools": ["forbidden", "vault"],
                              "local_tools_allowlist": ["fake.*:*"]}},
        upstreams={"upstreams": [*default_upstreams(mock)["upstreams"], upstream(
            "limited", mock.base_url("limited"), models=["status-429-retry-7"])]},
        tools={"tools": [{"name": name, "provider": "http", "method": "POST",
                          "allow_private": True, "url": "http://127.0.0.1:9/", "timeout": 5,
                          "schema": {"type": "object"}} for name in ("weather", "vault")]})
    gateway.runner = runner
    gateway.start()
    wait_agents(gateway, "fake/fine")
    yield gateway
    try:
        assert not runner.failures
    finally:
        gateway.stop()
        runner.stop()


def models(gateway):
    answer = fcgi.call(gateway.socket, "GET", "/v1/models", KEYS["admin"])
    return {one["id"] for one in answer.json()["data"]}


def wait_agents(gateway, *ids):
    wait_until(lambda: set(ids) <= models(gateway), LONG, f"agents {ids}")


def ask(gateway, name, stream=False, **more):
    return fcgi.chat(gateway.socket, KEYS["client"], f"fake/{name}", stream, timeout=LONG, **more)


def host(scene, name, function):
    """An agent of this test alone."""
    id = f"fake/{name}"
    scene.runner.hosts[id] = function
    scene.runner.agents.append(agent(id, tools=["own", "forbidden"]))
    scene.runner.publish()
    wait_agents(scene, id)


def content(answer):
    assert answer.status == 200, answer
    return answer.json()["choices"][0]["message"]["content"]


def texts(answer):
    """What a stream said, and how it ended: a finish_reason or an error's code."""
    events = frames(answer.body)
    text, end = "", None
    for event in events:
        if event in ("[DONE]", b"[DONE]"):
            continue
        value = event if isinstance(event, dict) else json.loads(event)
        if "error" in value:
            end = value["error"]["code"]
        for choice in value.get("choices", ()):
            text += choice["delta"].get("content") or ""
            end = choice["finish_reason"] or end
    return text, end


def test_hosted_agents_answer(scene):
    assert content(ask(scene, "fine")) == "fine"
    assert content(ask(scene, "model")) == "Hello from the mock."


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_host(scene, name):
    _, status, code = HOSTILE[name]
    id = new_id()
    answer = ask(scene, name, request_id=id)
    if name.startswith("flood") and answer.status == 504:  # it was too slow a flood
        status, code = 504, "upstream_timeout"
    assert (answer.status, answer.error()["code"]) == (status, code), answer
    assert answer.header("x-should-retry") == (None if status == 504 else "false")
    assert scene.outcome(id) == ("timeout" if status == 504 else "agent_error")
    assert content(ask(scene, "fine")) == "fine"


def test_a_hanging_host_is_given_up_and_reported(scene):
    began = time.monotonic()
    answer = ask(scene, "hang")
    assert answer.status == 504 and answer.error()["code"] == "upstream_timeout"
    assert "does not answer" in answer.error()["message"]
    assert time.monotonic() - began > 5
    wait_until(lambda: scene.runner.kills, LONG, "report of the hang")
    kill = scene.runner.kills.pop()
    assert (kill["agent"], kill["process"], kill["reason"]) == ("fake/hang", 4711, "hang")
    text, end = texts(ask(scene, "hang", stream=True))
    assert (text, end) == ("begun", "upstream_timeout")


LONG_QUESTION = [{"role": "user", "content": "x" * 900000}]  # more than a socket holds


def mute(run):
    """Does not even read what it is asked."""
    run.keep = True


def test_a_host_that_does_not_read_its_question_hangs_like_others(scene):
    host(scene, "mute", mute)
    answer = ask(scene, "mute", messages=LONG_QUESTION)
    assert answer.status == 504, answer
    assert "does not answer" in answer.error()["message"]
    wait_until(lambda: scene.runner.kills, LONG, "report of the hang")
    assert scene.runner.kills.pop()["agent"] == "fake/mute"


def test_a_client_that_leaves_a_host_that_does_not_read_is_seen(scene):
    host(scene, "mute-too", mute)
    id, began = new_id(), time.monotonic()
    with fcgi.connect(scene.socket) as sock:
        body = json.dumps({"model": "fake/mute-too", "messages": LONG_QUESTION}).encode()
        sock.sendall(fcgi.request_bytes("POST", "/v1/chat/completions", [
            ("Authorization", f"Bearer {KEYS['client']}"), ("X-Request-Id", id)], body))
        wait_until(lambda: [run for run in scene.runner.runs if run.id == "fake/mute-too"], LONG,
                   "run")
    assert scene.outcome(id) == "client_gone"
    assert time.monotonic() - began < 5 * env.SLOW  # sooner than the hang


def test_a_crash_in_a_stream_is_an_error_in_it(scene):
    id = new_id()
    assert texts(ask(scene, "crash", stream=True, request_id=id)) == ("begun", "agent_error")
    assert scene.outcome(id) == "agent_error"


def test_endless_text_ends(scene):
    text, end = texts(ask(scene, "long-text", stream=True))
    assert end in ("agent_error", "upstream_timeout") and len(text) <= 16 << 20
    assert set(text) == {"x"}


def test_only_the_first_end_counts(scene):
    assert content(ask(scene, "twice")) == "first"
    assert texts(ask(scene, "twice", stream=True))[1] == "stop"


def test_a_host_that_does_not_read_ends_its_run_only(scene):
    answer = ask(scene, "deaf")
    assert answer.status in (502, 504), answer
    assert content(ask(scene, "fine")) == "fine"


def test_a_process_that_is_just_ending_is_no_failure(scene):
    tries = []

    def dying(run):
        tries.append(run)
        if len(tries) == 1:
            return
        fine(run)
    host(scene, "dying", dying)
    assert content(ask(scene, "dying")) == "fine"
    assert len(tries) == 2


def test_what_a_run_is_told(scene):
    starts = []

    def tell(run):
        fine(run)
        starts.append((run.hello, run.start))
    host(scene, "tell", tell)
    answer = ask(scene, "tell", request_id="tell-1", temperature=0.5, user="alice",
                 metadata={"a": "b"})
    assert content(answer) == "fine"
    wait_until(lambda: starts, LONG, "start")
    hello, start = starts[0]
    assert hello["v"] == 1 and hello["limits"]["heartbeat_ms"] == 2000
    assert set(hello["gateway_tools"]) == {"weather"}
    assert start["params"] == {"temperature": 0.5} and start["stream"] is False
    assert start["agent"] == {"path": "/agents/fake/tell/agent.py", "attr": "agent"}
    assert start["messages"] == [{"role": "user", "content": "hi"}] and start["model"] == "ok"
    assert start["context"] == {"request_id": "tell-1", "key_id": "client", "agent": "fake/tell",
                                "user": "alice", "metadata": {"a": "b"}}
    assert 0 < start["deadline_ms"] <= 8000 * env.SLOW


# ---- model calls ----------------------------------------------------------------------------


@pytest.mark.parametrize("script, status, code", [
    ("status-400", 400, "upstream_error"),
    ("status-500", 502, "upstream_error"), ("status-401", 502, "upstream_error"),
    ("stall", 504, "upstream_timeout")])
def test_what_the_upstream_said_is_replayed(scene, script, status, code):
    answer = ask(scene, "replay", text=script)
    assert (answer.status, answer.error()["code"]) == (status, code), answer


def test_the_upstreams_retry_after_is_replayed(scene):
    answer = ask(scene, "limited", text="status-429-retry-7")
    assert (answer.status, answer.error()["code"]) == (429, "upstream_error"), answer
    assert 0 < int(answer.header("retry-after")) <= 7
    assert answer.header("x-should-retry") != "false"


def test_a_model_call_without_messages_is_the_agents_fault(scene):
    def wrong(run):
        run.greet().send("llm.request", id=1, api="chat/completions", body={"model": "ok"})
        failed = run.receive("llm.error")
        run.send("llm.request", id=2)
        run.receive("llm.error", id=2)
        run.error("upstream", failed["status"], message="?")
    host(scene, "wrong", wrong)
    answer = ask(scene, "wrong")
    assert (answer.status, answer.error()["code"]) == (500, "agent_error")
    assert "without 'messages'" in answer.error()["message"]


def test_a_hundred_model_calls_at_once(scene):
    def eager(run):
        run.greet()
        for number in range(1, 101):
            run.ask_model(id=number, model="slow-300")
        got = {run.receive("llm.response")["id"] for _ in range(100)}
        run.done(str(len(got)))
    host(scene, "eager", eager)
    id = new_id()
    assert content(ask(scene, "eager", request_id=id)) == "100"
    rows = wait_until(lambda: len(found := scene.sql(
        "SELECT * FROM audit_event WHERE request_id = ? AND kind = 'model'", id)) == 100
        and found, LONG, "rows of all calls")
    end = wait_until(lambda: scene.sql("SELECT * FROM audit_event WHERE request_id = ? AND"
                                       " kind = 'end'", id), LONG, "end")[0]
    assert json.loads(end["detail"]) == {"model_calls": 100, "tool_calls": 0}
    assert end["prompt_tokens"] == 100 * json.loads(rows[0]["detail"])["prompt_tokens"]
    assert {row["request_uid"] for row in rows} == {end["request_uid"]}
    assert all(row["prompt_tokens"] is None and row["outcome"] is None for row in rows)


def test_too_many_model_calls_are_refused(scene):
    def greedy(run):
        run.greet()
        for number in range(1, 300):
            run.ask_model(id=number)
            answer = run.receive("llm.response", "llm.error")
            if answer["t"] == "llm.error":
                run.error("upstream", answer["status"], message="enough")
                return
    host(scene, "greedy", greedy)
    answer = ask(scene, "greedy")
    assert answer.status == 500 and "more than 256 times" in answer.error()["message"]


def test_a_cancelled_model_call_ends(scene):
    def fickle(run):
        run.greet()
        run.ask_model(id=1, model="endless", stream=True).receive("llm.chunk")
        run.send("llm.cancel", id=1)
        run.send("llm.cancel", id=99)
        run.ask_model(id=2, model="ok").receive("llm.response")
        run.done("changed my mind")
    host(scene, "fickle", fickle)
    id = new_id()
    assert content(ask(scene, "fickle", request_id=id)) == "changed my mind"
    rows = wait_until(lambda: len(found := scene.sql(
        "SELECT detail FROM audit_event WHERE request_id = ? AND kind = 'model'", id)) == 2
        and found, LONG, "rows of both calls")
    assert [json.loads(row["detail"])["status"] for row in rows] == ["GONE", "ok"]


def test_streamed_model_calls(scene):
    def streams(run):
        run.greet()
        for number in (1, 1):  # the same id again
            run.ask_model(id=number, stream=True)
            head = run.receive("llm.head")
            text = ""
            while (message := run.receive("llm.chunk", "llm.end"))["t"] == "llm.chunk":
                for choice in message["data"]["choices"]:
                    text += choice["delta"].get("content") or ""
        run.done(f"{head['status']} {text}")
    host(scene, "streams", streams)
    assert content(ask(scene, "streams")).startswith("200 ")


# ---- tools ----------------------------------------------------------------------------------


def definition(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def test_what_policy_forbids_is_stripped_denied_and_told(scene):
    seen = []

    def sly(run):
        run.greet()
        run.ask_model(model="mirror", tools=[definition("own"), definition("forbidden"),
                                             definition("weather"),
                                             definition("transfer_to_other")],
                      tool_choice={"type": "function", "function": {"name": "forbidden"}},
                      functions=[{"name": "forbidden"}])
        answer = run.receive("llm.response", "llm.error")
        seen.append(answer["body"]["choices"][0]["message"]["content"])
        seen.append(run.check("forbidden", id=5))
        seen.append(run.check("own", id=6))
        run.send("tool.done", id=6, name="own", ok=True, ms=1)
        run.send("tool.done", id=6, name="own", ok=True, ms=1)
        run.send("tool.done", id=77, name="own", ok=True, ms=1)
        run.done("told")
    host(scene, "sly", sly)
    id = new_id()
    assert content(ask(scene, "sly", request_id=id)) == "told"
    sent, forbidden, own = seen
    sent = json.loads(sent)
    assert [tool["function"]["name"] for tool in sent["tools"]] == [
        "own", "weather", "transfer_to_other"]
    assert "tool_choice" not in sent and "functions" not in sent
    assert not forbidden["allow"] and "policy" in forbidden["message"] and own["allow"]
    rows = wait_until(lambda: len(found := scene.sql(
        "SELECT tool, status, provider, caller FROM tool_invocations WHERE request_id = ?"
        " ORDER BY seq", id)) == 2 and found[1]["status"] == "ok" and found, LONG, "rows")
    assert [tuple(row.values()) for row in rows] == [
        ("forbidden", "denied", "module", "sdk"), ("own", "ok", "module", "sdk")]
    hidden = scene.wait_event("tool.hidden", request_id=id)
    assert hidden["tool"] == "forbidden" and hidden["key_id"] == "client"
    errors = fcgi.call(scene.socket, "GET", "/admin/agents/errors", KEYS["admin"]).json()
    found = [one for one in errors["errors"] if one["kind"] == "tool_violation"
             and one["request_id"] == id]
    assert len(found) == 1 and found[0]["subject"] == "fake/sly"
    assert "'forbidden'" in found[0]["message"]


def test_nothing_is_said_about_tools_when_none_is_left(scene):
    """Providers refuse a choice and a way to call where there is no tool. Those of the gateway
    are governed as the module's are."""
    seen = []

    def sly(run):
        run.greet()
        run.ask_model(model="mirror", tools=[definition("forbidden"), definition("vault")],
                      tool_choice="required", parallel_tool_calls=True)
        seen.append(run.receive("llm.response")["body"]["choices"][0]["message"]["content"])
        run.send("tool.call", id=7, name="vault", call_id="c", args={})
        seen.append(run.receive("tool.result", id=7))
        run.done("told")
    host(scene, "sly", sly)
    id = new_id()
    assert content(ask(scene, "sly", request_id=id)) == "told"
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & set(json.loads(seen[0]))
    assert not seen[1]["ok"] and "policy" in seen[1]["error"]
    assert [row["status"] for row in scene.sql(
        "SELECT status FROM tool_invocations WHERE request_id = ?", id)] == ["denied"]


@pytest.mark.parametrize("stream", [False, True])
def test_calls_of_what_was_not_offered_are_on_record_and_run_nothing(scene, stream):
    """A tool of the gateway that policy keeps from the run is denied, as for agents in YAML."""
    wanted = [["vault", {}], ["weather", {}], ["nonsense", {}], ["own", {}], ["forbidden", {}]]

    def naive(run):
        run.greet()
        run.ask_model(model="calls-as-told", stream=stream, tools=[definition("own")],
                      messages=[{"role": "user", "content": json.dumps(wanted)}])
        run.receive("llm.end" if stream else "llm.response")
        run.done("told")
    name = f"naive-{stream}".lower()
    host(scene, name, naive)
    id = new_id()
    assert content(ask(scene, name, request_id=id)) == "told"
    rows = scene.sql("SELECT tool, status FROM tool_invocations WHERE request_id = ?"
                     " ORDER BY seq", id)
    assert [tuple(row.values()) for row in rows] == [
        ("vault", "denied"), ("weather", "invalid"), ("nonsense", "invalid"),
        ("forbidden", "invalid")]
    errors = fcgi.call(scene.socket, "GET", "/admin/agents/errors", KEYS["admin"]).json()
    assert ["'vault'" in one["message"] for one in errors["errors"]
            if one["kind"] == "tool_violation" and one["request_id"] == id] == [True]


def test_tools_that_policy_hides_fill_no_log(scene):
    """Of the first model call a hundred are told, of others none."""
    def sly(run):
        run.greet()
        for turn in range(2):
            run.ask_model(id=turn, model="mirror", web_search_options={},
                          tools=[definition("forbidden")] * 3000)
            sent = run.receive("llm.response")["body"]["choices"][0]["message"]["content"]
            assert not {"tools", "web_search_options"} & set(json.loads(sent))
        run.done("told")
    host(scene, "sly", sly)
    id = new_id()
    assert content(ask(scene, "sly", request_id=id)) == "told"
    scene.wait_event("http.request", request_id=id)
    assert len(scene.events("tool.hidden", request_id=id)) == 100


def test_names_that_a_module_makes_up_are_no_labels(scene):
    def inventive(run):
        run.greet()
        for number in range(1, 6):
            run.check(f"made-up-{number}", id=number)
            run.send("tool.done", id=number, ok=True)
        run.check("own", id=9)
        run.done()
    host(scene, "inventive", inventive)
    id = new_id()
    assert content(ask(scene, "inventive", request_id=id)) == "done"
    rows = wait_until(lambda: len(found := scene.sql(
        "SELECT tool, status FROM tool_invocations WHERE request_id = ? AND status <> 'unfinished'"
        " ORDER BY seq", id)) == 6 and found, LONG, "rows")
    assert rows[5]["status"] == "unavailable"  # nobody said how it went
    text = fcgi.call(scene.socket, "GET", "/metrics", KEYS["admin"]).body.decode()
    assert "made-up" not in text
    assert 'tool="own",provider="module"' in text


def test_a_gateway_tool_goes_through_the_door(scene):
    seen = []

    def uses(run):
        run.greet()
        for number, name in enumerate(["weather", "no-such-tool", "weather"], 1):
            run.send("tool.call", id=number, name=name, call_id="c",
                     args=["x", {}, "{"][number - 1])
            seen.append(run.receive("tool.result", id=number))
        run.send("tool.call", id=9, name="weather", call_id="c", args={})
        seen.append(run.receive("tool.result", id=9))
        run.done()
    host(scene, "uses", uses)
    id = new_id()
    assert content(ask(scene, "uses", request_id=id)) == "done"
    assert [one["ok"] for one in seen] == [False] * 4
    assert "no valid JSON" in seen[0]["error"] and "no tool" in seen[1]["error"]
    statuses = wait_until(lambda: len(found := [row["status"] for row in scene.sql(
        "SELECT status FROM tool_invocations WHERE request_id = ? AND caller = 'sdk'"
        " AND status <> 'unfinished' ORDER BY seq", id)]) == 4 and found, LONG, "rows")
    assert statuses[:3] == ["invalid"] * 3 and statuses[3] in ("failed", "unavailable")


# ---- ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, status, code, http, answer", [
    ("input_guardrail", 400, "content_filter", 400, "content_filter"),
    ("output_guardrail", 400, "content_filter", 400, "content_filter"),
    ("max_turns", 500, None, 500, "agent_error"), ("model_behavior", 500, None, 500,
                                                   "agent_error"),
    ("user_error", 500, None, 500, "agent_error"), ("user_error", 400, None, 400, None),
    ("approval", 500, "approval_required", 500, "approval_required"),
    ("tool", 500, None, 500, "agent_error"), ("internal", 500, None, 500, "agent_error"),
    ("crash", 502, None, 502, "agent_error"), ("made-up", 200, "x", 500, "agent_error"),
    ("upstream", 418, None, 502, "upstream_error"), ("cancelled", 499, None, 504,
                                                     "upstream_timeout")])
def test_errors_of_modules(scene, kind, status, code, http, answer):
    name = f"error-{kind}-{status}".replace("_", "-")
    host(scene, name, lambda run: run.greet().error(kind, status, code, "Because."))
    got = ask(scene, name)
    assert (got.status, got.error()["code"]) == (http, answer)
    assert "Because." in got.error()["message"]
    assert (got.header("x-should-retry") == "false") == (http == 500 or kind == "crash")


def test_a_guardrail_in_a_stream_ends_it_as_filtered(scene):
    def guarded(run):
        run.greet().send("delta", content="Once upon")
        run.error("output_guardrail", 400, "content_filter", "No.")
    host(scene, "guarded", guarded)
    id = new_id()
    answer = ask(scene, "guarded", stream=True, request_id=id)
    assert texts(answer) == ("Once upon", "content_filter")
    assert scene.outcome(id) == "completed"


def test_a_refusal_is_an_answer(scene):
    host(scene, "refusing", lambda run: run.greet().done("", refusal="I will not."))
    message = ask(scene, "refusing").json()["choices"][0]["message"]
    assert message["refusal"] == "I will not." and message["content"] is None


def test_a_client_that_leaves_cancels_all_of_its_run(scene):
    ended, begun = [], threading.Event()

    def works(run):
        run.greet()
        run.ask_model(id=1, model="endless", stream=True).receive("llm.chunk")
        run.check("own", id=2)
        begun.set()
        ended.append(run.ended())
    host(scene, "works", works)
    id = new_id()
    with fcgi.connect(scene.socket) as sock:
        body = json.dumps(fcgi.chat_body("fake/works", False)).encode()
        sock.sendall(fcgi.request_bytes("POST", "/v1/chat/completions", [
            ("Authorization", f"Bearer {KEYS['client']}"), ("X-Request-Id", id)], body))
        assert begun.wait(LONG)
    wait_until(lambda: ended, LONG, "end of the run")
    assert [m for m in ended[0] if m["t"] == "run.cancel"][0]["reason"] == "client_gone"
    assert scene.outcome(id) == "client_gone"
    wait_until(lambda: scene.sql("SELECT status FROM tool_invocations WHERE request_id = ?",
                                 id) == [{"status": "cancelled"}], LONG, "end of the tool")


# ---- the runner itself ----------------------------------------------------------------------


def test_refusals(scene):
    host(scene, "busy", fine)
    refusals = scene.runner.refusals
    refusals["fake/busy"] = {"class": "busy", "message": "too many runs", "retry_after_ms": 2500}
    answer = ask(scene, "busy")
    assert answer.status == 503 and answer.header("retry-after") == "3"
    assert "too many runs" in answer.error()["message"]
    refusals["fake/busy"] = {"class": "unknown", "message": "gone"}
    answer = ask(scene, "busy")
    assert (answer.status, answer.error()["code"]) == (404, "model_not_found")
    refusals["fake/busy"] = {"class": "start_failed"}
    assert ask(scene, "busy").status == 503
    refusals["fake/busy"] = "ignore"
    answer = ask(scene, "busy")
    assert answer.status == 504 and "start in time" in answer.error()["message"]


def test_the_list_may_change_and_may_be_wrong(scene):
    runner = scene.runner
    before = list(runner.agents)
    runner.agents = before + [
        agent("fake/new"), agent("fake/new", model="other"), agent("fake/broken", model=None),
        {"id": "fake/half"}, "text", None, agent("fake/other", name="another"),
        agent("UPPER/case"), {**agent("fake/typed"), "path": 7}]
    runner.hosts["fake/new"] = fine
    runner.publish()
    wait_agents(scene, "fake/new")
    listed = {one["id"]: one for one in fcgi.call(
        scene.socket, "GET", "/admin/agents", KEYS["admin"]).json()["agents"]}
    assert not {"fake/half", "fake/other", "UPPER/case", "fake/typed"} & set(listed)
    assert not listed["fake/broken"]["available"] and listed["fake/new"]["kind"] == "sdk"
    assert ask(scene, "broken").status == 404 and ask(scene, "other").status == 404
    assert content(ask(scene, "new")) == "fine"
    runner.agents = before
    runner.publish()
    wait_until(lambda: "fake/new" not in models(scene), LONG, "end of the agent")
    assert ask(scene, "new").status == 404


def test_diagnostics_reach_log_errors_metrics_and_trail(scene):
    problem = {"kind": "import", "severity": "error", "agent": None, "module": "Bad.agent",
               "path": "/agents/Bad/agent.py", "line": 3, "message": "invalid syntax", "at": 1}
    blocked = {**problem, "kind": "security", "module": "Evil.agent", "line": None,
               "message": "the module is blocked by policy: dropin_module_denylist"}
    scene.runner.errors = [problem, blocked, {"kind": "odd"}, 7]
    for at in (1, 2):  # the second list says nothing new
        problem["at"] = at
        scene.runner.publish()
    scene.wait_event("agent_discovery", module="Bad.agent", line=3)
    scene.wait_event("agent.dropin.blocked", module="Evil.agent")
    rows = scene.audit(kind="dropin.blocked")
    assert len(rows) == 1 and json.loads(rows[0]["detail"])["module"] == "Evil.agent"
    errors = fcgi.call(scene.socket, "GET", "/admin/agents/errors", KEYS["admin"]).json()
    kinds = [one["kind"] for one in errors["errors"] if one["component"] == "agents"
             and one["kind"].startswith("discovery_")]
    assert sorted(kinds) == ["discovery_import", "discovery_security"]
    text = fcgi.call(scene.socket, "GET", "/metrics", KEYS["admin"]).body.decode()
    assert 'agent_gateway_dropin_failures_total{kind="import"} 1' in text
    assert 'agent_gateway_dropin_failures_total{kind="security"} 1' in text
    scene.runner.errors = []
    scene.runner.publish()


def test_without_a_runner_its_agents_wait_and_all_others_serve(scene):
    runner = scene.runner
    runner.stop()
    scene.wait_event("runner.away")
    ready = fcgi.call(scene.socket, "GET", "/ready")
    assert ready.status == 200 and ready.json()["runner"] == "away"
    answer = ask(scene, "fine")
    assert answer.status == 503 and int(answer.header("retry-after")) > 0
    assert answer.error()["code"] == "upstream_unavailable"
    assert fcgi.chat(scene.socket, KEYS["client"], "mock/ok").status == 403
    assert fcgi.chat(scene.socket, KEYS["admin"], "mock/ok").status == 200
    admin = fcgi.call(scene.socket, "GET", "/admin/agents", KEYS["admin"]).json()
    assert admin["runner"]["state"] == "away" and admin["runner"]["reason"]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, scene, "fine")
        runner.start()
        assert content(waiting.result()) == "fine"
    seen = len(scene.events("runner.connected"))
    assert seen >= 1
    assert fcgi.call(scene.socket, "GET", "/ready").json()["runner"] == "connected"


def test_a_runner_that_ends_between_question_and_answer_is_asked_again(scene):
    host(scene, "asked", fine)
    runner = scene.runner
    runner.refusals["fake/asked"] = "ignore"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, scene, "asked")
        time.sleep(0.5)
        runner.stop()
        runner.refusals.clear()
        runner.start()
        assert content(waiting.result()) == "fine"


@pytest.mark.parametrize("fault", ["version", "garbage", "silent"])
def test_a_runner_that_does_not_keep_to_the_wire(scene, fault):
    runner = scene.runner
    runner.stop()
    runner.version = 2 if fault == "version" else 1
    runner.silent = fault == "silent"
    if fault == "garbage":
        runner.more = {"agents": "\ud800"}
    runner.start()
    try:
        assert ask(scene, "fine").status in (200 if fault == "garbage" else 503, 503)
        assert fcgi.chat(scene.socket, KEYS["admin"], "mock/ok").status == 200
    finally:
        runner.stop()
        runner.version, runner.silent, runner.more = 1, False, {}
        runner.start()
    wait_until(lambda: ask(scene, "fine").status == 200, LONG, "recovery")


def test_a_new_configuration_is_told_to_the_runner(scene):
    before = scene.runner.refreshes
    scene.gateway["log"]["level"] = "debug"
    scene.write("gateway", scene.gateway)
    scene.reload()
    wait_until(lambda: scene.runner.refreshes > before, LONG, "refresh")
    before = scene.runner.refreshes
    answer = fcgi.call(scene.socket, "POST", "/agents/refresh", KEYS["admin"])
    assert answer.status == 200 and scene.runner.refreshes > before


def test_without_discovery_there_are_no_drop_ins(scene):
    discovery = scene.gateway.pop("discovery")
    scene.write("gateway", scene.gateway)
    scene.reload()
    wait_until(lambda: "fake/fine" not in models(scene), LONG, "end of drop-ins")
    assert ask(scene, "fine").status == 404
    assert fcgi.call(scene.socket, "GET", "/ready").json()["runner"] == "unused"
    scene.gateway["discovery"] = discovery
    scene.write("gateway", scene.gateway)
    scene.reload()
    wait_agents(scene, "fake/fine")
    assert content(ask(scene, "fine")) == "fine"


def test_agwctl_decides_about_drop_ins_that_are_named(scene):
    ctl = Agwctl(None, "--config", scene.conf / "gateway.yaml")

    def keys(agent):
        return {one["key_id"] for one in ctl.json("access", "--agent", agent)["entries"]}
    assert "client" in keys("fake/fine") and "narrow" not in keys("fake/fine")
    assert not keys("fine") and not keys("vault/nothing") - {"admin"}
    denied = ctl.json("explain", "--key", "narrow", "--agent", "fake/fine")
    assert denied["decision"] == "deny"
    assert any("/admin/agents" in json.dumps(one) for one in denied["remedies"]), denied
    assert any("grant it" in json.dumps(one) for one in denied["remedies"]), denied


def test_nothing_is_left_of_all_that(scene):
    """Descriptors and threads of the worker, once all runs have ended."""
    worker = scene.workers()[0]

    def sockets():
        links = [os.readlink(one) for one in pathlib.Path(f"/proc/{worker}/fd").iterdir()
                 if os.path.lexists(one)]
        return sum(link.startswith("socket:") for link in links)

    def runs():
        return list(pool.map(lambda _: content(ask(scene, "fine")), range(60)))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        runs()
        before = sockets()
        for _ in range(3):
            assert set(runs()) == {"fine"}
        wait_until(lambda: sockets() <= before + 5, LONG, "end of all connections")


# ---- a worker without descriptors -----------------------------------------------------------


def leave(pid, spare):
    """Lets the process open `spare` descriptors more than it has; None: as many as it likes."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE,
                     (hard if spare is None else min(used + spare, hard), hard))


def spends(run):
    """As hosts do it: what the model's failure was is told on."""
    answer = run.greet().ask_model().receive("llm.response", "llm.error")
    if answer["t"] == "llm.error":
        run.error("upstream", answer["status"])
    else:
        run.done(answer["body"]["choices"][0]["message"]["content"])


@pytest.mark.parametrize("name", ["fine", "spends"])
def test_a_worker_without_descriptors_says_so_and_recovers(scene, name):
    if name == "spends":
        host(scene, name, spends)
    pid = scene.workers()[0]
    seen = set()
    for spare in range(10):
        assert content(ask(scene, name)) in ("fine", "Hello from the mock.")
        ids = [new_id() for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor(len(ids)) as pool:
            leave(pid, spare)
            asked = [pool.submit(ask, scene, name, request_id=id) for id in ids]
            # Who is not taken from the socket's queue is answered when there is room again.
            concurrent.futures.wait(asked, timeout=1)
            leave(pid, None)
            answers = [one.result() for one in asked]
        for id, answer in zip(ids, answers, strict=True):
            code = answer.error()["code"] if answer.status != 200 else None
            seen.add((answer.status, code))
            assert answer.status in (200, 503), answer
            outcome = scene.outcome(id)
            assert (outcome == "completed") == (answer.status == 200), (outcome, answer)
    assert (503, "overloaded") in seen, seen
    assert scene.workers() == [pid]
    wait_until(lambda: content(ask(scene, name)), LONG, "service")
    assert not scene.runner.failures
