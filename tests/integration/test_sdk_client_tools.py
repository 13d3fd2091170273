# SPDX-License-Identifier: MIT
"""Tools that clients send to drop-in agents: shown to the model where the operator says so, and
run by the client, with the real SDKs and the official client through lighttpd."""
import json
import pathlib
import shutil
import tempfile

import openai
import pytest

import sdk_stage

LANGUAGES = ["python", "node", "native"]
MODES = pytest.mark.parametrize("stream", [False, True])
LAMP = {"type": "function", "function": {
    "name": "switch_lamp", "description": "Switches the lamp of the client.",
    "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}}}}
CALL = {"id": "call_lamp", "name": "switch_lamp", "arguments": {"on": True}}
ADD = {"id": "call_add", "name": "add", "arguments": {"a": 2, "b": 3}}


def entry(name, attr, **more):
    return {"name": name, "namespace": "open", "kind": "sdk",
            "module": f"agents.Scenes.agent:{attr}", **more}


@pytest.fixture(scope="module", params=[
    pytest.param(language, marks=pytest.mark.xdist_group(f"sdk_client_tools_{language}"))
    for language in LANGUAGES])
def stage(request):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    stage = sdk_stage.Stage(
        directory, {"Scenes": sdk_stage.SCENES / request.param / "Scenes"},
        agents=[entry("scenes", "agent", client_tools=True),
                entry("triage", "triage", client_tools=True),
                entry("structured", "structured", client_tools=True), entry("closed", "poet")])
    try:
        stage.wait_for("open/scenes", "open/triage", "open/structured", "open/closed")
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(directory)


def ask(stage, stream, model="open/scenes", messages=(), **params):
    """-> text, [(id, name, arguments)], finish_reason"""
    answer = stage.client().chat.completions.create(
        model=model, stream=stream, messages=[{"role": "user", "content": "Light, please."},
                                              *messages], **{"tools": [LAMP], **params})
    if not stream:
        choice = answer.choices[0]
        return choice.message.content, [
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in choice.message.tool_calls or []], choice.finish_reason
    text, calls, reason = "", {}, None
    for chunk in answer:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or []:
                known = calls.setdefault(call.index, ["", "", ""])
                known[0] += call.id or ""
                known[1] += call.function.name or ""
                known[2] += call.function.arguments or ""
    return text or None, [(id, name, json.loads(arguments))
                          for id, name, arguments in calls.values()], reason


def offered(body):
    return [tool["function"]["name"] for tool in body.get("tools", [])]


LAMP_CALL = ("call_lamp", "switch_lamp", {"on": True})


@MODES
def test_a_call_of_the_client_goes_there_and_its_result_comes_back(stage, stream):
    stage.upstream.play([{"tool_calls": [CALL]},
                         {"content": "It is on.", "when": {"last": "the lamp is on"}}])
    assert ask(stage, stream) == (None, [LAMP_CALL], "tool_calls")
    history = [{"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_lamp", "type": "function",
         "function": {"name": "switch_lamp", "arguments": '{"on": true}'}}]},
        {"role": "tool", "tool_call_id": "call_lamp", "content": "the lamp is on"}]
    assert ask(stage, stream, messages=history) == ("It is on.", [], "stop")
    assert not stage.upstream.failures
    assert all("switch_lamp" in offered(body) and "add" in offered(body)
               for body in stage.upstream.requests)
    assert stage.upstream.requests[0]["tools"][-1] == LAMP


@MODES
def test_words_and_turns_before_the_call_are_part_of_the_answer(stage, stream):
    stage.upstream.play([
        {"content": "Let me count.", "tool_calls": [ADD]},
        {"content": "Now the lamp.", "tool_calls": [CALL], "when": {"last": "5"}}])
    assert ask(stage, stream) == ("Let me count.\n\nNow the lamp.", [LAMP_CALL], "tool_calls")


@MODES
def test_calls_of_both_kinds_in_one_turn_leave_the_agents_unmade(stage, stream):
    stage.upstream.play([{"tool_calls": [ADD, CALL]}])
    assert ask(stage, stream) == (None, [LAMP_CALL], "tool_calls")
    assert len(stage.upstream.requests) == 1


@MODES
def test_the_agent_that_took_over_may_call_them_too(stage, stream):
    stage.upstream.play([
        {"tool_calls": [{"name": "transfer_to_poet"}], "when": {"system": "You are Triage."}},
        {"tool_calls": [CALL], "when": {"system": "You are Poet."}}])
    assert ask(stage, stream, model="open/triage") == (None, [LAMP_CALL], "tool_calls")


@MODES
def test_an_agent_that_must_answer_in_json_hands_over_too(stage, stream):
    stage.upstream.play([{"tool_calls": [CALL]}])
    assert ask(stage, stream, model="open/structured") == (None, [LAMP_CALL], "tool_calls")
    assert len(stage.upstream.requests) == 1


@MODES
def test_a_choice_that_forces_a_call_is_obeyed_once(stage, stream):
    stage.upstream.play([{"tool_calls": [ADD]}, {"content": "Done."}])
    assert ask(stage, stream, tool_choice="required", parallel_tool_calls=False) == (
        "Done.", [], "stop")
    first, second = stage.upstream.requests
    assert first["tool_choice"] == "required" and "tool_choice" not in second
    assert first["parallel_tool_calls"] is False


@MODES
def test_a_tool_with_the_name_of_the_agents_is_refused(stage, stream):
    stage.upstream.play([])
    twin = {"type": "function", "function": {**LAMP["function"], "name": "add"}}
    with pytest.raises(openai.BadRequestError, match="Give it another name") as caught:
        ask(stage, stream, tools=[LAMP, twin])
    assert caught.value.param == "tools[1].function.name"
    assert not stage.upstream.requests


@MODES
def test_without_the_option_the_model_never_sees_them(stage, stream):
    stage.upstream.play([{"content": "No lamp."}])
    assert ask(stage, stream, model="open/closed") == ("No lamp.", [], "stop")
    assert "switch_lamp" not in offered(stage.upstream.requests[0])
