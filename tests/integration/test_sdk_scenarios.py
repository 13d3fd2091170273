# SPDX-License-Identifier: MIT
"""The scenarios of the hosts end to end: official client, lighttpd, gateway, runner, real SDK; and
what only many runs, time and clients that leave can show."""
import concurrent.futures
import contextlib
import json

import openai
import pytest

import runner_peer
import sdk_stage
from procs import wait_until

LONG = sdk_stage.LONG
# Those of a language share its stage.
LANGUAGES = [pytest.param(language, marks=pytest.mark.xdist_group(f"sdk_scenarios_{language}"))
             for language in ("python", "node", "native")]
CASES = [pytest.param(language.values[0], *case, id=f"{language.values[0]}: {name}",
                      marks=language.marks)
         for language in LANGUAGES for name, *case in sdk_stage.scenarios(language.values[0])]


@pytest.fixture(scope="module")
def stages():
    """Those of the languages, each from its first test to the last of the file. A fixture of the
    file with the language as its parameter would begin anew with each row of the table."""
    begun = {}
    with contextlib.ExitStack() as stack:
        def of(language):
            if language not in begun:
                begun[language] = stack.enter_context(sdk_stage.staged(
                    {"Scenes": sdk_stage.SCENES / language / "Scenes"},
                    ["default/scenes", "default/scenes-poet"]))
            return begun[language]
        yield of


@pytest.fixture
def stage(request, stages):
    return stages(request.param)


def ask(stage, scenario, stream):
    """-> what the client sees: output, refusal, finish_reason, usage, or error."""
    attr = scenario.get("attr", "agent")
    params = dict(scenario.get("params", {}))
    params.pop("stream_options", None)
    answer = stage.client().chat.completions.with_raw_response.create(
        model="default/scenes" + ("" if attr == "agent" else f"-{attr}"),
        messages=scenario.get("messages", [{"role": "user", "content": "Hello"}]), stream=stream,
        **{"user": "alice", **params}, **({"stream_options": {"include_usage": True}}
                                          if stream else {}))
    id = answer.headers["x-request-id"]
    answer = answer.parse()
    if not stream:
        choice = answer.choices[0]
        return {"output": choice.message.content or "", "refusal": choice.message.refusal or "",
                "finish_reason": choice.finish_reason, "usage": answer.usage, "id": id}
    seen = {"output": "", "refusal": "", "finish_reason": None, "usage": None, "id": id}
    for chunk in answer:
        for choice in chunk.choices:
            seen["output"] += choice.delta.content or ""
            seen["refusal"] += choice.delta.refusal or ""
            seen["finish_reason"] = choice.finish_reason or seen["finish_reason"]
        seen["usage"] = chunk.usage or seen["usage"]
    return seen


@pytest.mark.parametrize("stage, scenario, stream", CASES, indirect=["stage"])
def test_scenario(stage, scenario, stream):
    expect = scenario["expect"]
    # The context says which request it is: here that is not known beforehand.
    model = json.loads(json.dumps(scenario.get("model")).replace("alice req-1", "alice req_"))
    stage.upstream.play(model)
    try:
        seen = ask(stage, scenario, stream)
    except openai.APIError as error:
        look_at_upstream(stage, expect)
        look_at_error(expect, error, stream)
        return
    look_at_upstream(stage, expect)
    if "error" in expect:
        # What was said cannot be taken back.
        assert stream and expect["error"]["code"] == "content_filter", seen
        assert seen["finish_reason"] == "content_filter"
        return
    for name in {"output", "refusal", "finish_reason"} & set(expect):
        assert seen[name] == expect[name], seen
    if "json" in expect:
        assert json.loads(seen["output"]) == expect["json"]
    if "usage" in expect:
        assert [seen["usage"].prompt_tokens, seen["usage"].completion_tokens] == expect["usage"]
    if "done" in expect:
        wanted = sorted(map(tuple, expect["done"]))
        wait_until(lambda: own_tools(stage, seen["id"]) == wanted, LONG, f"rows {wanted}")


def own_tools(stage, id):
    """The module's, once they have ended."""
    rows = stage.gateway.sql("SELECT tool, status FROM tool_invocations WHERE request_id = ? AND"
                             " provider = 'module' AND status <> 'unfinished'", id)
    return sorted((row["tool"], row["status"] == "ok") for row in rows)


def look_at_upstream(stage, expect):
    """What the model was asked is what it is when the host stands alone."""
    upstream = stage.upstream
    assert not upstream.failures, upstream.failures
    if "request_count" in expect:
        assert len(upstream.requests) == expect["request_count"]
    for body, part in zip(upstream.requests, expect.get("requests", [])):
        # Who asks is the gateway's to know; models are not told.
        part = {name: value for name, value in part.items() if name != "user"}
        assert runner_peer.contains(body, part) and "user" not in body, body
    assert len(upstream.requests) >= len(expect.get("requests", []))
    if "last_tools" in expect:
        assert [message["content"] for message in upstream.requests[-1]["messages"]
                if message["role"] == "tool"] == expect["last_tools"]


def look_at_error(expect, error, stream):
    wanted = expect["error"]
    assert wanted.get("message_has", "") in str(error)
    assert expect.get("hides", "a secret") not in str(error)
    # What a provider says, and what fails in an agent, has a code of the gateway's own.
    codes = {"upstream": "upstream_error",
             "user_error": None if wanted["status"] < 500 else "agent_error"}
    if wanted.get("code") != "content_filter":
        wanted = {**wanted, "code": codes.get(wanted["class"], "agent_error")}
    assert error.code == wanted["code"], error.code
    if not isinstance(error, openai.APIStatusError):
        assert stream  # whose head is sent when there is nothing to say for a while
        return
    if wanted["class"] == "upstream":
        assert error.status_code == (wanted["status"] if wanted["status"] < 500 else 502)
    else:
        assert error.status_code == wanted["status"]
    if "retry_after" in wanted:
        assert error.response.headers["retry-after"] == str(wanted["retry_after"])
    if wanted["status"] == 500:
        assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stage", LANGUAGES, indirect=True)
def test_parallel_tools_run_side_by_side(stage):
    """Each has begun before the first has ended: the rows of the trail say when. A busy machine
    may be slow now and then, but not each time."""
    for _ in range(20):
        stage.upstream.play([
            {"tool_calls": [{"name": "slow", "arguments": {"number": n}} for n in range(3)]},
            {"content": "All done."}])
        id = ask(stage, {}, False)["id"]
        rows = wait_until(lambda id=id: ended_tools(stage, id, 3), LONG, "rows")
        if max(row["ts"] for row in rows) < min(row["ts"] + row["duration_ms"] for row in rows):
            return
    raise AssertionError(rows)


def ended_tools(stage, id, number):
    rows = stage.gateway.sql("SELECT status, ts, duration_ms FROM tool_invocations WHERE"
                             " request_id = ? AND status <> 'unfinished'", id)
    return rows if len(rows) == number else None


@pytest.mark.parametrize("stage", LANGUAGES, indirect=True)
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_cut_off(stage, stream):
    """Or in the middle of a whole answer: nothing is made up of the beginning."""
    stage.upstream.play([{"content": "Roses are red.", "after": 3, "repeat": True}])
    with pytest.raises(openai.APIError) as failed:
        ask(stage, {"attr": "poet"}, stream)
    assert failed.value.code == "upstream_error", failed.value
    if not stream:
        assert failed.value.status_code == 502


@pytest.mark.parametrize("stage", LANGUAGES, indirect=True)
@pytest.mark.parametrize("when", ["in the answer", "in a tool"])
def test_a_client_that_leaves_cancels_its_run(stage, when):
    """The model's work ends, the tool's too, and the module goes on."""
    in_tool = {"content": "Wait.", "tool_calls": [{"name": "slow", "arguments": {"number": 99}}]}
    stage.upstream.play([in_tool if when == "in a tool" else
                         {"content": "Roses are red, violets are blue.", "held": 3}])
    with contextlib.closing(stage.client()) as client:
        answer = client.chat.completions.create(
            model="default/scenes", messages=[{"role": "user", "content": "Hello"}], stream=True)
        id = answer.response.headers["x-request-id"]
        next(chunk for chunk in answer if chunk.choices and chunk.choices[0].delta.content)
        if when == "in a tool":
            wait_until(lambda: tools(stage, id) == ["unfinished"], LONG, "begin of the tool")
        answer.close()
    assert stage.gateway.outcome(id, LONG) == "client_gone"
    if when == "in a tool":
        wait_until(lambda: tools(stage, id) == ["cancelled"], LONG, "end of the tool")
        assert len(stage.upstream.requests) == 1
    else:
        wait_until(lambda: stage.upstream.left == 1, LONG, "end of the model's work")
    wait_until(lambda: runs(stage) == 0, LONG, "end of the run in the module")
    stage.upstream.play([{"content": "Fine."}])
    assert ask(stage, {}, False)["output"] == "Fine."


def tools(stage, id):
    return [row["status"] for row in stage.gateway.sql(
        "SELECT status FROM tool_invocations WHERE request_id = ?", id)]


def runs(stage):
    stage.admin("/agents/refresh", "POST")  # what is shown is what was so at the last change
    return stage.admin("/admin/agents")["runner"]["modules"][0]["runs"]


@pytest.mark.parametrize("stage", LANGUAGES, indirect=True)
@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_runs_at_once(stage, stream):
    stage.upstream.play([
        {"tool_calls": [{"name": "add", "arguments": {"a": 1, "b": 1}}], "repeat": True,
         "when": {"last": "I am"}},
        {"content": "It is 2.", "repeat": True, "when": {"last": '"2"'}}])

    def one(number):
        return ask(stage, {"messages": [{"role": "user", "content": f"I am {number}."}]},
                   stream)["output"]

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(one, range(100))) == ["It is 2."] * 100
    assert not stage.upstream.failures
    assert len(stage.upstream.requests) == 200
