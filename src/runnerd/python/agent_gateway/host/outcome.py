# SPDX-License-Identifier: MIT
"""How a run ends: each exception's class, HTTP status and message for the client."""
import asyncio
import sys
import traceback

from agent_gateway.host import hints
from agent_gateway.host.calls import RunEnded
from agent_gateway.host.wire import TooLong

INTERNAL = {"class": "internal", "status": 500, "code": "agent_error",
            "message": "the agent failed"}


# Codes of what transport.py itself refuses: the agent's mistake, not a word of an upstream.
NOT_HERE = ("not_served", "no_run")


class Refused(Exception):
    """The request is one that no agent can answer: the client's mistake."""

    def __init__(self, message, code="unsupported_value", param=None):
        super().__init__(message)
        self.code, self.param = code, param


class Misused(Exception):
    """The agent wants of the SDK what there is not here; the text is fit for clients."""


class ApprovalWanted(Exception):
    """The SDK has stopped the run, so that somebody may approve of a call."""

    def __init__(self, tools):
        super().__init__(f"the tool {', '.join(tools)} needs an approval, which nobody can give "
                         "here: take needs_approval away, and let policy or the tool itself decide")


def _sdk():
    """The SDK's exceptions, if anybody has imported them: a module may do without."""
    return sys.modules.get("agents.exceptions"), sys.modules.get("openai")


def _retry_after(headers):
    try:
        return max(0.0, float(headers.get("retry-after")))
    except (TypeError, ValueError, AttributeError):
        return None


def _upstream(status, body, headers, otherwise):
    body = body if isinstance(body, dict) else {}
    if isinstance(body.get("error"), dict):
        body = body["error"]
    last = {"class": "upstream", "status": status, "code": body.get("code"),
            "message": str(body.get("message") or otherwise)}
    retry_after = _retry_after(headers)
    if retry_after is not None:
        last["retry_after"] = retry_after
    return last


def _of_openai(run, openai, error):
    if getattr(error, "code", None) in NOT_HERE:
        return {"class": "user_error", "status": 500, "code": "agent_error",
                "message": error.message}
    if isinstance(error, openai.APIStatusError):
        return _upstream(error.status_code, error.body, error.response.headers, str(error))
    if isinstance(error, openai.APITimeoutError):
        return {"class": "upstream", "status": 504, "code": "upstream_timeout",
                "message": "the model did not answer in the time that the agent gives it"}
    if isinstance(error, openai.APIConnectionError):
        return {"class": "upstream", "status": 502, "code": "upstream_unreachable",
                "message": "the agent could not reach the model provider that its code names; "
                           "its log says more", "details": _where(error)}
    if isinstance(error, openai.APIError):
        cut = run.cut or {}
        return _upstream(cut.get("status") or 502, cut.get("body") or error.body,
                         cut.get("headers") or {}, str(error))
    return None


def _named(what, result):
    name = getattr(getattr(result, "guardrail", None), "get_name", lambda: None)()
    return f"{what} {name!r} has stopped this request" if name else f"{what} has stopped this request"


def _of_sdk(sdk, error):
    def last(kind, status, code, message):
        return {"class": kind, "status": status, "code": code, "message": message}

    def is_a(name):
        return isinstance(error, getattr(sdk, name, ()))

    if is_a("InputGuardrailTripwireTriggered"):
        return last("input_guardrail", 400, "content_filter",
                    _named("the input guardrail", error.guardrail_result))
    if is_a("OutputGuardrailTripwireTriggered"):
        return last("output_guardrail", 400, "content_filter",
                    _named("the output guardrail", error.guardrail_result))
    if is_a("ToolInputGuardrailTripwireTriggered") or is_a("ToolOutputGuardrailTripwireTriggered"):
        return last("output_guardrail", 400, "content_filter", _named("the tool guardrail", error))
    if is_a("ModelRefusalError"):
        return {"output": "", "refusal": error.refusal, "finish_reason": "stop"}
    if is_a("MaxTurnsExceeded"):
        return last("max_turns", 500, "max_turns", f"the agent did not come to an end: {error}")
    if is_a("ModelBehaviorError"):
        return last("model_behavior", 500, "model_behavior",
                    f"the model did what the agent cannot work with: {error}")
    if is_a("ModelTimeoutError"):
        return last("upstream", 504, "upstream_timeout", str(error))
    if is_a("ToolTimeoutError") or is_a("MCPToolCancellationError"):
        return last("tool", 500, "tool_error", str(error))
    if is_a("UserError"):
        if error.__cause__ is not None and str(error).startswith("Error running tool"):
            return last("tool", 500, "tool_error", "a tool of the agent failed")
        # The SDK's text may show a tool with all its settings.
        return last("user_error", 500, "agent_error",
                    "the agent uses the SDK in a way that cannot work; its log says more")
    return None


def _where(error):
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))[-6000:]
    hint = hints.of_error(error)
    return f"{text.rstrip()}\n({hint})" if hint else text


def _cancelled(run):
    if run.cancelled == "deadline":
        return {"class": "cancelled", "status": 504, "code": "timeout",
                "message": "the agent did not answer in time"}
    return {"class": "cancelled", "status": 499, "code": "cancelled",
            "message": f"cancelled: {run.cancelled}"}


def of_error(run, error):
    """The fields of run.error, or with `refusal` those of run.done; `details` are for the log."""
    if run.cancelled is not None:
        return _cancelled(run)
    if isinstance(error, Refused):
        return {"class": "user_error", "status": 400, "code": error.code, "message": str(error),
                "param": error.param}
    if isinstance(error, ApprovalWanted):
        return {"class": "approval", "status": 500, "code": "approval_required",
                "message": str(error)}
    if isinstance(error, TooLong):
        return {**INTERNAL, "message": f"the agent's answer is too long: {error}"}
    sdk, openai = _sdk()
    last = None
    for cause in hints.causes(error):
        if isinstance(cause, Misused):
            return {"class": "user_error", "status": 500, "code": "agent_error",
                    "message": str(cause)}
        found = _of_sdk(sdk, cause) if sdk else None
        if found is None and openai is not None:
            found = _of_openai(run, openai, cause)
        # A tool's failure may have a better known reason: the upstream of an agent in it.
        if found is not None and (last is None or found.get("class") == "upstream"):
            last = found
        if last is not None and last.get("class") != "tool":
            break
    if last is not None:
        if last.get("class") in ("tool", "user_error"):
            last.setdefault("details", _where(error))
        return last
    if isinstance(error, (asyncio.CancelledError, RunEnded)):
        return {**INTERNAL, "message": "the agent has cancelled itself", "details": _where(error)}
    if isinstance(error, SystemExit):
        return {**INTERNAL, "message": "the agent's code called exit()", "details": _where(error)}
    # Texts of exceptions are the agent's: they may hold what clients should not see.
    return {**INTERNAL, "message": f"the agent failed: {type(error).__name__}",
            "details": _where(error)}
