# SPDX-License-Identifier: MIT
"""The scenarios of the hosts end to end: official client, lighttpd, gateway, runner, real SDK."""
import concurrent.futures
import json
import pathlib
import shutil
import tempfile

import openai
import pytest

import sdk_stage

LANGUAGES = ["python", "node", "native"]
CASES = [(language, *case) for language in LANGUAGES for case in sdk_stage.scenarios(language)]


@pytest.fixture(scope="module")
def stage(request):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    stage = sdk_stage.Stage(directory, {
        "Scenes": sdk_stage.SCENES / request.param / "Scenes"})
    try:
        stage.wait_for("default/scenes", "default/scenes-poet")
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(directory)


def ask(stage, scenario, stream):
    """-> what the client sees: output, refusal, finish_reason, usage, or error."""
    attr = scenario.get("attr", "agent")
    params = dict(scenario.get("params", {}))
    params.pop("stream_options", None)
    answer = stage.client().chat.completions.create(
        model="default/scenes" + ("" if attr == "agent" else f"-{attr}"),
        messages=scenario.get("messages", [{"role": "user", "content": "Hello"}]), stream=stream,
        **{"user": "alice", **params}, **({"stream_options": {"include_usage": True}}
                                          if stream else {}))
    if not stream:
        choice = answer.choices[0]
        return {"output": choice.message.content or "", "refusal": choice.message.refusal or "",
                "finish_reason": choice.finish_reason, "usage": answer.usage}
    seen = {"output": "", "refusal": "", "finish_reason": None, "usage": None}
    for chunk in answer:
        for choice in chunk.choices:
            seen["output"] += choice.delta.content or ""
            seen["refusal"] += choice.delta.refusal or ""
            seen["finish_reason"] = choice.finish_reason or seen["finish_reason"]
        seen["usage"] = chunk.usage or seen["usage"]
    return seen


@pytest.mark.parametrize("stage, scenario, stream",
                         [(language, *rest) for language, _, *rest in CASES],
                         ids=[f"{language}: {name}" for language, name, *_ in CASES],
                         indirect=["stage"])
def test_scenario(stage, scenario, stream):
    expect = scenario["expect"]
    # The context says which request it is: here that is not known beforehand.
    model = json.loads(json.dumps(scenario.get("model")).replace("alice req-1", "alice req_"))
    stage.upstream.play(model)
    try:
        seen = ask(stage, scenario, stream)
    except openai.APIError as error:
        assert not stage.upstream.failures, stage.upstream.failures
        look_at_error(expect, error)
        return
    assert not stage.upstream.failures, stage.upstream.failures
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


def look_at_error(expect, error):
    wanted = expect["error"]
    assert wanted.get("message_has", "") in str(error)
    assert expect.get("hides", "a secret") not in str(error)
    if not isinstance(error, openai.APIStatusError):
        assert "after" in str(wanted) or wanted["class"] == "upstream", error
        return
    if wanted["class"] == "upstream":
        # 5xx of a provider are the gateway's 502.
        assert error.status_code == (wanted["status"] if wanted["status"] < 500 else 502)
    else:
        assert error.status_code == wanted["status"]
    if "retry_after" in wanted:
        assert error.response.headers["retry-after"] == str(wanted["retry_after"])
    if wanted["status"] == 500:
        assert error.response.headers["x-should-retry"] == "false"


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
