# SPDX-License-Identifier: MIT
"""Agents in C behind lighttpd: what agents of agents.yaml say, and what no other agent feels."""
import concurrent.futures
import pathlib
import shutil
import tempfile

import openai
import pytest

import env
import sdk_stage
from procs import wait_until

NATIVE = sdk_stage.SCENES / "native"
CALCULATE = {"name": "calculate", "provider": "local", "timeout": 30,
             "command": [str(env.SOURCE / "agents/tools/calculate")],
             "description": "Computes an arithmetic expression.",
             "schema": {"type": "object", "properties": {"expression": {"type": "string"}},
                        "required": ["expression"]}}
IN_YAML = {"name": "door", "namespace": "yaml", "instructions": "You are the door.",
           "tools": ["calculate"], "metadata": {"max_tool_hops": 3, "temperature": 0.5}}


@pytest.fixture(scope="module")
def stage():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    stage = sdk_stage.Stage(
        directory, {name: NATIVE / name for name in ("Door", "Faults", "Scenes")},
        agents=[IN_YAML], tools={"tools": [CALCULATE]})
    try:
        stage.wait_for("default/door", "default/faults", "default/scenes", "yaml/door")
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(directory)


def ask(stage, model, stream=False, text="Hello", **params):
    answer = stage.client().chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], stream=stream, **params)
    if not stream:
        return answer.choices[0].message.content, answer.choices[0].finish_reason
    said, reason = "", None
    for chunk in answer:
        for choice in chunk.choices:
            said += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return said, reason


# ---- the same as in YAML ----

def call(number, name, arguments):
    return {"id": f"call_{number}", "name": name, "arguments": arguments}


SCRIPTS = {
    "tools, in parallel and after each other, with text beside them": [
        {"content": "Let me see.", "tool_calls": [
            call(1, "calculate", {"expression": "6 * 7"}),
            call(2, "calculate", {"expression": "1 +"})]},
        {"tool_calls": [call(3, "calculate", {"expression": "2 ** 3"})]},
        {"content": "42 and 8."}],
    "arguments that are none": [
        {"tool_calls": [call(1, "calculate", '{"expression": '), call(2, "calculate", {}),
                        call(3, "calculate", '[]')]},
        {"content": "Sorry."}],
    "a tool that nobody has": [
        {"tool_calls": [call(1, "nonsense", {}), call(2, "strange name", {})]},
        {"content": "Sorry."}],
    "ids that are used twice": [
        {"tool_calls": [call(1, "calculate", {"expression": "1"})]},
        {"tool_calls": [call(1, "calculate", {"expression": "2"})]},
        {"content": "Done."}],
    "an answer that was cut": [
        {"content": "It is", "finish_reason": "length", "tool_calls": [call(1, "calculate", "{")]}],
    "no tool at all": [{"content": "Hello."}],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_same_transcript_as_in_yaml(stage, script, stream):
    heard = {}
    for model in ("yaml/door", "default/door"):
        stage.upstream.play(script)
        answer = ask(stage, model, stream, max_tokens=100, stop=["END"])
        assert not stage.upstream.failures
        heard[model] = (answer, stage.upstream.requests)
    assert heard["yaml/door"] == heard["default/door"]
    assert len(heard["yaml/door"][1]) == len(script)


def test_rounds_end_as_in_yaml(stage):
    failed = {}
    for model in ("yaml/door", "default/door"):
        stage.upstream.play([{"tool_calls": [call(1, "calculate", {"expression": "1"})],
                              "repeat": True}])
        with pytest.raises(openai.APIStatusError) as error:
            ask(stage, model)
        failed[model] = (error.value.status_code, error.value.code, len(stage.upstream.requests))
    assert failed["yaml/door"] == failed["default/door"] == (500, "agent_error", 4)


# ---- faults ----

def test_a_crash_is_a_502_and_the_next_request_is_answered(stage):
    for name in ("crash", "leave"):
        stage.upstream.play([{"tool_calls": [{"name": name}], "repeat": True}])
        with pytest.raises(openai.APIStatusError) as error:
            ask(stage, "default/faults")
        assert error.value.status_code == 502, error.value

        def answers():
            stage.upstream.play([{"content": "Fine.", "repeat": True}])
            try:
                return ask(stage, "default/faults")[0] == "Fine."
            except openai.APIStatusError as error:
                assert error.status_code == 503  # it is not started at once again
                return False

        wait_until(answers, sdk_stage.LONG, "answer of the new process")


def test_an_endless_loop_is_ended_and_nobody_else_feels_it(stage):
    stage.upstream.play([{"tool_calls": [{"name": "spin"}], "when": {"last": "Spin"}},
                         {"content": "Fine.", "repeat": True}])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        hung = pool.submit(ask, stage, "default/faults", text="Spin")
        others = 0
        while not hung.done():
            assert ask(stage, "default/scenes-poet")[0] == "Fine."
            others += 1
        with pytest.raises(openai.APIStatusError) as error:
            hung.result()
    assert error.value.status_code == 504, error.value
    assert others > 3

    def answers():
        try:
            return ask(stage, "default/faults")[0] == "Fine."
        except openai.APIStatusError:
            return False

    wait_until(answers, sdk_stage.LONG, "answer of the new process")
