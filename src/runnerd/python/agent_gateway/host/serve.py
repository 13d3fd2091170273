# SPDX-License-Identifier: MIT
"""Answers one request: with an Agent of the SDK, or with an object of the agent's own."""
import asyncio
import contextlib
import inspect
import json

from agent_gateway.host import messages
from agent_gateway.host.answer import Answer, of_completion, to_text
from agent_gateway.host.outcome import ApprovalWanted

_JSON_FORMATS = ("json_object", "json_schema")


async def serve(run):
    """-> the fields of run.done."""
    params = run.start.get("params") or {}
    settings = messages.to_settings(params)
    target, fresh = await run.host.module.target(run.attr, run.context)
    answer = Answer(run, bool(run.start.get("stream")))
    if run.host.module.is_agent(target):
        last = await _run_agent(run, target, fresh, settings, answer)
    else:
        last = await _run_object(run, target, answer)
    if run.finish_reason in ("length", "content_filter"):
        last["finish_reason"] = run.finish_reason
    return last


# ---- agents of the SDK ----

def _gives_json(run, agent):
    wanted = ((run.start.get("params") or {}).get("response_format") or {}).get("type")
    output_type = getattr(agent, "output_type", None)
    return wanted in _JSON_FORMATS or (output_type is not None and output_type is not str)


async def _run_agent(run, agent, fresh, settings, answer):
    from agents import ModelSettings, RunConfig, Runner

    arguments = {
        "starting_agent": agent,
        "input": messages.to_items(run.start.get("messages") or []),
        "context": run.context,
        "run_config": RunConfig(model_settings=ModelSettings(**settings)),
    }
    limit = run.start.get("max_turns") or run.limits.get("max_turns")
    if limit:
        arguments["max_turns"] = limit
    if fresh:
        run.cleanups.append(lambda: run.host.servers.release(run))
    if answer.streaming:
        result = await _stream(run, agent, Runner.run_streamed(**arguments), answer)
    else:
        result = await Runner.run(**arguments)
        answer.texts = [text for text in map(_message_text, result.new_items) if text]
    if getattr(result, "interruptions", None):
        raise ApprovalWanted(item.name or "?" for item in result.interruptions)
    answer.whole = _gives_json(run, result.last_agent)
    return {"output": await answer.finish(_final_text(result)), "finish_reason": "stop"}


def _message_text(item):
    from agents import ItemHelpers

    return ItemHelpers.text_message_output(item) if item.type == "message_output_item" else ""


def _final_text(result):
    """The model's own words where it gave the final output, so that no digit changes."""
    output, items = result.final_output, result.new_items
    if isinstance(output, (str, list, int, float, type(None))) or not items:
        return to_text(output)
    text = _message_text(items[-1])
    return to_text(output) if not text or _is_wrapped(text, output) else text


def _is_wrapped(text, output):
    """The SDK asks for {"response": ...} where a type's JSON would be no object, or could be none."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    known = output if isinstance(output, dict) else getattr(type(output), "model_fields", ())
    return isinstance(said, dict) and set(said) == {"response"} and "response" not in known


async def _stream(run, agent, result, answer):
    answer.whole = _gives_json(run, result.current_agent)
    try:
        async for event in result.stream_events():
            if event.type == "raw_response_event":
                await _raw_event(run, event.data, answer)
            elif event.type == "agent_updated_stream_event":
                answer.whole = _gives_json(run, event.new_agent)
    except BaseException:
        # The run of the SDK is a task of its own.
        with contextlib.suppress(Exception):
            result.cancel()
        raise
    _look_at_the_end(result, agent)
    return result


def _look_at_the_end(result, agent):
    """Code that raises CancelledError ends a stream of the SDK as if all were well."""
    task = getattr(result, "run_loop_task", None)
    if task is not None and task.cancelled():
        raise RuntimeError("the agent's code has cancelled the run")
    if len(result.input_guardrail_results) < len(agent.input_guardrails):
        raise RuntimeError("an input guardrail did not come to an end")


async def _raw_event(run, event, answer):
    kind = event.type
    if kind == "response.output_text.delta":
        await answer.write(event.delta)
    elif kind == "response.refusal.delta":
        await run.delta(refusal=event.delta)
    elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
        await run.delta(reasoning_content=event.delta)
    elif kind == "response.completed":
        answer.turn_ends()


# ---- objects with run() or run_sync() ----

def _arguments(run, method):
    """By the names of its parameters; a method with one of another name gets the messages."""
    chat = run.start.get("messages") or []
    users = [message for message in chat if message.get("role") == "user"]
    known = {
        "messages": chat,
        "input": messages.text_of(users[-1].get("content")) if users else "",
        "context": run.context,
        "model": run.start.get("model"),
        "params": run.start.get("params") or {},
        "stream": bool(run.start.get("stream")),
    }
    parameters = list(inspect.signature(method).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        wanted = dict(known)
    else:
        wanted = {p.name: known[p.name] for p in parameters
                  if p.name in known and p.kind is not p.POSITIONAL_ONLY}
    positional = []
    if parameters and parameters[0].name not in known and parameters[0].kind in (
            parameters[0].POSITIONAL_ONLY, parameters[0].POSITIONAL_OR_KEYWORD):
        positional.append(chat)
        wanted.pop("messages", None)
    return positional, wanted


async def _run_object(run, target, answer):
    method = getattr(target, "run", None) or target.run_sync
    positional, named = _arguments(run, method)
    if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
        value = method(*positional, **named)
    else:
        value = await asyncio.to_thread(method, *positional, **named)
    if inspect.isawaitable(value):
        value = await value
    if inspect.isasyncgen(value):
        async for text in value:
            await answer.write(to_text(text))
        value = answer.texts.pop() if answer.turn_ends() or answer.texts else ""
        answer.texts = [value] if value else []
    if hasattr(value, "stream_events") and hasattr(value, "is_complete"):
        await _stream(run, value.current_agent, value, answer)
    if hasattr(value, "final_output") and hasattr(value, "new_items"):
        value = value.final_output
    elif hasattr(value, "choices") and hasattr(value, "model_dump"):
        value = value.model_dump()
    last = of_completion(run, value) if isinstance(value, dict) and value.get("choices") \
        else {"output": to_text(value), "finish_reason": "stop"}
    last["output"] = await answer.finish(last["output"])
    return last
