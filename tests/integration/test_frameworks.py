# SPDX-License-Identifier: MIT
"""Frameworks that people build on (Vercel's AI SDK, LangChain) complete, stream with usage,
get structured output and call tools through the gateway, and see its refusals."""
import pytest

from clients import NodeClient
from gateway import KEYS


@pytest.fixture(scope="module")
def frameworks(tmp_path_factory):
    client = NodeClient(tmp_path_factory.mktemp("frameworks"), "frameworks.mjs")
    yield client
    client.stop()


@pytest.fixture(params=["ai", "langchain"])
def call(request, frameworks, server):
    def ask(what, model, key="client"):
        return frameworks.call(server.url, KEYS[key], f"{request.param}-{what}",
                               {"model": model})
    return ask


@pytest.mark.parametrize("what", ["text", "stream"])
def test_completion_with_usage(call, what):
    assert call(what, "mock/ok") == {"ok": True, "text": "Hello from the mock.",
                                     "finish": "stop", "usage": 12}


def test_structured_output(call):
    assert call("object", "mock/json") == {"ok": True, "city": "Bern", "degrees": 21}


def test_tools(call):
    answer = call("tools", "mock/tools")
    assert answer in ({"ok": True, "text": "In Bern: Bern is sunny"},  # ran it
                      {"ok": True, "text": "weather Bern"}), answer    # got the call


@pytest.mark.parametrize("model,key,status", [
    ("mock/ok", "expired", 401), ("mock/forbidden", "client", 403),
    ("mock/nothing", "client", 404), ("mock/status-500", "client", 502)])
def test_refusals(call, model, key, status):
    answer = call("text", model, key)
    assert (answer["ok"], answer["status"]) == (False, status), answer


@pytest.mark.parametrize("what", ["text", "stream"])
def test_a_cut_stream_is_no_success(call, what):
    answer = call(what, "mock/cut-3" if what == "stream" else "mock/truncated")
    assert not answer["ok"] or answer.get("finish") not in ("stop", "length"), answer
