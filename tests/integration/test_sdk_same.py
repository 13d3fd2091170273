# SPDX-License-Identifier: MIT
"""The same agent in YAML, Python, JavaScript and C, behind lighttpd: the same upstream is asked the
same, request for request, and clients and trail get the same, whole and streamed."""
import json

import openai
import pytest

import sdk_stage
from procs import wait_until

pytestmark = pytest.mark.xdist_group("sdk_same")  # they share the stage
IN_YAML = {"name": "door", "namespace": "yaml", "instructions": "You are the door.",
           "tools": ["calculate"], "metadata": {"max_tool_hops": 3, "temperature": 0.5}}
IN_PYTHON = """
from agents import Agent, ModelSettings
from agent_gateway import use_gateway_tool

agent = Agent(name="Door", instructions="You are the door.", tools=[use_gateway_tool("calculate")],
              model_settings=ModelSettings(temperature=0.5))
"""
IN_NODE = """
import { Agent } from "@openai/agents";
import { useGatewayTool } from "agent_gateway";
export const agent = new Agent({ name: "Door", instructions: "You are the door.",
  tools: [useGatewayTool("calculate")], modelSettings: { temperature: 0.5 } });
"""
YAML, NATIVE, PYTHON, NODE = "yaml/door", "native/door", "python/door", "node/door"


def staged(**more):
    return sdk_stage.staged({"native/Door": sdk_stage.SCENES / "native/Door",
                             "python/Door": IN_PYTHON, "node/Door": {"agent.mjs": IN_NODE}},
                            [YAML, NATIVE, PYTHON, NODE], agents=[IN_YAML],
                            tools={"tools": [sdk_stage.CALCULATE]}, **more)


@pytest.fixture(scope="module")
def stage():
    with staged() as one:
        yield one


def ask(stage, model, stream=False):
    """-> what the client gets: text, why it ends, usage."""
    answer = stage.client().chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}], stream=stream,
        max_tokens=100, stop=["END"],
        **({"stream_options": {"include_usage": True}} if stream else {}))
    if not stream:
        return (answer.choices[0].message.content, answer.choices[0].finish_reason,
                answer.usage.total_tokens)
    said, reason, usage = "", None, None
    for chunk in answer:
        for choice in chunk.choices:
            said += choice.delta.content or ""
            reason = choice.finish_reason or reason
        usage = chunk.usage or usage
    return said, reason, usage.total_tokens


def transcript(stage, model, script, stream):
    stage.upstream.play(script)
    begun = max(row["seq"] for row in stage.gateway.sql("SELECT seq FROM audit_event"))
    answer = ask(stage, model, stream)
    assert not stage.upstream.failures
    calls = wait_until(lambda: ended_calls(stage, model, begun), sdk_stage.LONG, "end of tools")
    return answer, stage.upstream.requests, calls["all"]


def ended_calls(stage, model, begun):
    rows = [tuple(row.values()) for row in stage.gateway.sql(
        "SELECT call_id, tool, status FROM tool_invocations WHERE seq > ? AND agent = ?"
        " ORDER BY call_id", begun, model)]
    return None if any(status == "unfinished" for *_, status in rows) else {"all": rows}


def call(number, name, arguments):
    return {"id": f"call_{number}", "name": name, "arguments": arguments}


SCRIPTS = {
    "tools, in parallel and after each other, with text beside them": [
        {"content": "Let me see.", "tool_calls": [
            call(1, "calculate", {"expression": "6 * 7"}),
            call(2, "calculate", {"expression": "1 +"})]},
        {"tool_calls": [call(3, "calculate", {"expression": "2 ** 3"})]},
        {"content": "42 and 8."}],
    "no tool at all": [{"content": "Hello."}],
}
# In what the SDKs have ways of their own C is as YAML is all the same.
MORE_SCRIPTS = {
    "arguments that are none": [
        {"tool_calls": [call(1, "calculate", '{"expression": '), call(2, "calculate", {}),
                        call(3, "calculate", '[]')]},
        {"content": "Sorry."}],
    "a tool that nobody has": [
        {"tool_calls": [call(1, "nonsense", {}), call(2, "strange name", {}),
                        call(3, "calculate", {"expression": "1"}), call(4, "Calculate", "[")]},
        {"content": "Sorry."}],
    "more calls than are made": [
        {"tool_calls": [call(f"{i:03}", "nonsense", {}) for i in range(40)]},
        {"content": "Sorry."}],
    "a tool that nobody has, in a turn that was cut": [
        {"content": "It", "finish_reason": "length", "tool_calls": [call(1, "nonsense", "{")]}],
    "ids that are used twice": [
        {"tool_calls": [call(1, "calculate", {"expression": "1"})]},
        {"tool_calls": [call(1, "calculate", {"expression": "2"})]},
        {"content": "Done."}],
    "an answer that was cut": [
        {"content": "It is", "finish_reason": "length", "tool_calls": [call(1, "calculate", "{")]}],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", {**SCRIPTS, **MORE_SCRIPTS})
def test_c_is_as_yaml_to_the_letter(stage, name, stream):
    script = {**SCRIPTS, **MORE_SCRIPTS}[name]
    in_yaml = transcript(stage, YAML, script, stream)
    assert transcript(stage, NATIVE, script, stream) == in_yaml
    assert len(in_yaml[1]) == len(script)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [PYTHON, NODE, NATIVE])
@pytest.mark.parametrize("name", SCRIPTS)
def test_each_language_has_the_same_transcript(stage, name, model, stream):
    answer, requests, calls = transcript(stage, model, SCRIPTS[name], stream)
    in_yaml = transcript(stage, YAML, SCRIPTS[name], stream)
    assert (answer, calls) == (in_yaml[0], in_yaml[2])
    assert list(map(plain, requests)) == list(map(plain, in_yaml[1]))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [PYTHON, NODE])
def test_a_tool_that_nobody_has_is_on_record_where_it_ends_the_run(stage, model, stream):
    """So do the SDKs take it; the trail says what the model wanted all the same."""
    stage.upstream.play([{"tool_calls": [call(1, "nonsense", {"to": "no avail"})]}])
    begun = max(row["seq"] for row in stage.gateway.sql("SELECT seq FROM audit_event"))
    with pytest.raises(openai.APIError) as error:
        ask(stage, model, stream)
    assert error.value.code == "agent_error"
    assert ended_calls(stage, model, begun) == {"all": [("call_1", "nonsense", "invalid")]}


def test_a_tool_that_policy_denies_is_denied_in_each_language():
    """Though no model is told of it: those that the agents SDKs run end there, by their rules."""
    with staged(security={"default": {"deny_tools": ["calculate"]}}) as stage:
        for model in (YAML, NATIVE, PYTHON, NODE):
            stage.upstream.play([{"tool_calls": [call(1, "calculate", {"expression": "1"})]},
                                 {"content": "Done."}])
            begun = max(row["seq"] for row in stage.gateway.sql("SELECT seq FROM audit_event"))
            try:
                assert ask(stage, model)[0] == "Done."
            except openai.APIError as error:
                assert error.code == "agent_error" and model in (PYTHON, NODE)
            assert not any(request.get("tools") for request in stage.upstream.requests)
            assert ended_calls(stage, model, begun) == {
                "all": [("call_1", "calculate", "denied")]}, model


def plain(body):
    """Without what says nothing: null, and what a schema has beside its arguments."""
    shown = {name: value for name, value in body.items()
             if value is not None and (name, value) not in (("stream", False), ("tools", []))}
    shown["messages"] = [{name: value for name, value in message.items()
                          if value not in (None, [])} for message in body["messages"]]
    shown["tools"] = [[tool["function"]["name"], tool["function"]["description"],
                       tool["function"]["parameters"]["properties"],
                       tool["function"]["parameters"].get("required")] for tool in body["tools"]]
    return json.loads(json.dumps(shown))


def test_rounds_end_as_in_yaml(stage):
    failed = {}
    for model in (YAML, NATIVE):
        stage.upstream.play([{"tool_calls": [call(1, "calculate", {"expression": "1"})],
                              "repeat": True}])
        with pytest.raises(openai.APIStatusError) as error:
            ask(stage, model)
        failed[model] = (error.value.status_code, error.value.code, len(stage.upstream.requests))
    assert failed[YAML] == failed[NATIVE] == (500, "agent_error", 4)
