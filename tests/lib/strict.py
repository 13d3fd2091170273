# SPDX-License-Identifier: MIT
"""Checks answers against the official Python package's own types, strictly: no coercion
(a "1" is no integer), required fields present, no field that the types do not know."""
import json

from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

# What the gateway adds to the official fields, for chat UIs.
ADDED = {"Model.display_name", "Model.description"}


def _surplus(value, path):
    """Names of fields that the model does not declare, at any depth."""
    found = []
    if hasattr(value, "model_extra"):
        found += [f"{path}.{name}" for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += _surplus(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found += _surplus(item, f"{path}[{index}]")
    return found


def check(kind, text):
    """`text` is JSON as received. -> the typed object"""
    value = kind.model_validate_json(text, strict=True)
    surplus = set(_surplus(value, kind.__name__)) - ADDED
    assert not surplus, f"fields beyond the official types: {surplus} in {text!r}"
    return value


def check_models(text):
    value = json.loads(text)
    assert value["object"] == "list" and isinstance(value["data"], list), value
    return [check(Model, json.dumps(item)) for item in value["data"]]


def check_completion(text, model=None):
    value = check(ChatCompletion, text)
    plain = json.loads(text)
    assert value.id and value.created > 0 and value.choices
    for choice in plain["choices"]:
        assert "logprobs" in choice and "refusal" in choice["message"], choice
        assert "content" in choice["message"], choice
    if "usage" in plain:  # left out when the provider told nothing: no invented numbers
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert type(plain["usage"][name]) is int, plain["usage"]
    if model:
        assert value.model == model
    return value


def check_stream(payloads, model=None, usage=False):
    """A whole, honest stream: role first, finish_reason last, [DONE] at the end, one id,
    created and model throughout, usage only where asked for."""
    assert payloads and payloads[-1] == "[DONE]", payloads[-3:]
    assert payloads.count("[DONE]") == 1
    plain = [json.loads(text) for text in payloads[:-1]]
    chunks = [check(ChatCompletionChunk, text) for text in payloads[:-1]]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    if model:
        assert chunks[0].model == model
    assert plain[0]["choices"][0]["delta"].get("role") == "assistant", plain[0]
    assert all("choices" in chunk for chunk in plain)
    if usage:
        assert plain[-1]["choices"] == [] and chunks[-1].usage, plain[-1]
        assert all(chunk["usage"] is None for chunk in plain[:-1])
        plain, chunks = plain[:-1], chunks[:-1]
    else:
        assert all("usage" not in chunk for chunk in plain), plain
    assert chunks[-1].choices[0].finish_reason, plain[-1]
    assert plain[-1]["choices"][0]["delta"] == {}, plain[-1]
    assert all(choice.finish_reason is None for chunk in chunks[:-1] for choice in chunk.choices)
    _check_tool_deltas(plain)
    return chunks


def _check_tool_deltas(chunks):
    """An index each time; id, type and name only in a call's first piece; nothing null."""
    known = set()
    for chunk in chunks:
        for choice in chunk["choices"]:
            for call in choice["delta"].get("tool_calls") or []:
                assert type(call["index"]) is int, call
                place = (choice["index"], call["index"])
                if place in known:
                    assert "id" not in call and "type" not in call, call
                    assert "name" not in call["function"], call
                else:
                    assert call["id"] and call["type"] == "function", call
                    assert call["function"]["name"], call
                known.add(place)
