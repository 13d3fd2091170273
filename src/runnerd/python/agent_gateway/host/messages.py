# SPDX-License-Identifier: MIT
"""A chat request as the SDK takes it: messages become input items, parameters settings."""
from agent_gateway.host.outcome import Refused

# Members of ModelSettings with the name they have in a chat request.
_SETTINGS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens",
             "parallel_tool_calls", "verbosity", "metadata", "store", "top_logprobs",
             "prompt_cache_retention")
# Passed on as they are; the SDK has no setting for them.
_EXTRA = ("audio", "logit_bias", "logprobs", "max_completion_tokens", "modalities", "prediction",
          "prompt_cache_key", "safety_identifier", "seed", "service_tier", "stop", "user")


def _part(part, index):
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"type": "input_text", "text": part.get("text") or ""}
    if kind == "refusal":
        return {"type": "input_text", "text": part.get("refusal") or ""}
    if kind == "image_url":
        image = part.get("image_url") or {}
        return {"type": "input_image", "image_url": image.get("url"),
                "detail": image.get("detail") or "auto"}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    if kind == "file":
        return {"type": "input_file", **(part.get("file") or {})}
    raise Refused(f"messages[{index}] has a part of type {kind!r}, which agents cannot take",
                  param=f"messages[{index}].content")


def _content(content, index):
    if isinstance(content, list):
        return [_part(part, index) for part in content]
    return content if isinstance(content, str) else ""


def text_of(content):
    """Its text alone."""
    if isinstance(content, list):
        return "".join(part if isinstance(part, str) else part.get("text") or ""
                       for part in content if isinstance(part, (str, dict)))
    return content if isinstance(content, str) else ""


def _assistant(message, index):
    items = []
    parts = []
    text = text_of(message.get("content"))
    if text:
        parts.append({"type": "output_text", "text": text, "annotations": []})
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    calls = message.get("tool_calls") or []
    if parts or not calls:
        # In this form calls that follow belong to the same message.
        items.append({"type": "message", "role": "assistant", "id": f"msg_{index}",
                      "status": "completed", "content": parts or [
                          {"type": "output_text", "text": "", "annotations": []}]})
    for call in calls:
        function = call.get("function") or {}
        items.append({"type": "function_call", "call_id": call.get("id"),
                      "name": function.get("name"), "arguments": function.get("arguments") or "{}"})
    return items


def to_items(messages):
    items = []
    for index, message in enumerate(messages):
        role = message.get("role")
        if role in ("system", "developer", "user"):
            items.append({"role": role, "content": _content(message.get("content"), index)})
        elif role == "assistant":
            items += _assistant(message, index)
        elif role == "tool":
            items.append({"type": "function_call_output", "call_id": message.get("tool_call_id"),
                          "output": text_of(message.get("content"))})
        else:
            raise Refused(f"messages[{index}] has the role {role!r}, which agents cannot take",
                          param=f"messages[{index}].role")
    return items


def to_settings(params):
    """Arguments for ModelSettings."""
    n = params.get("n")
    if n is not None and n != 1:
        raise Refused("an agent gives one answer: n must be 1", param="n")
    settings = {name: params[name] for name in _SETTINGS if params.get(name) is not None}
    extra = {name: params[name] for name in _EXTRA if params.get(name) is not None}
    if extra:
        settings["extra_args"] = extra
    if params.get("reasoning_effort") is not None:
        settings["reasoning"] = {"effort": params["reasoning_effort"]}
    return settings
