# SPDX-License-Identifier: MIT
"""The official openai packages (PyPI and npm) work through each web server: they list,
retrieve, complete and stream, see the right exception class for each refusal, and all that
they receive is valid by the official types, strictly."""
import json

import pytest

import strict
from clients import NodeClient, PythonClient
from gateway import KEYS, UNKNOWN_KEY, agent

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    made = {kind.name: kind(tmp_path_factory.mktemp(kind.name))
            for kind in (PythonClient, NodeClient)}
    yield made
    for client in made.values():
        client.stop()


@pytest.fixture(params=["python", "node"])
def client(request, clients):
    return clients[request.param]


def test_list_holds_exactly_what_the_key_may_call(client, server):
    answer = client.call(server.url, KEYS["narrow"], "list")
    # Its own list, and what the namespace grants to everybody.
    assert [model.id for model in strict.check_models(answer["text"])] == \
        ["echo/echo", "labs/open-door"]

    everything = client.call(server.url, KEYS["client"], "list")
    ids = {model.id for model in strict.check_models(everything["text"])}
    assert {"mock/ok", "echo/echo", "labs/open-door"} <= ids
    assert not ids & {"mock/forbidden", "labs/closed-door", "vault/secret-plan"}


def test_retrieve(client, server):
    answer = client.call(server.url, KEYS["client"], "retrieve", {"model": "mock/ok"})
    assert strict.check(strict.Model, answer["text"]).id == "mock/ok"
    # A listing must not tell more than a call would: denied and unknown look the same.
    for model in ("vault/secret-plan", "vault/nothing"):
        error = client.call(server.url, KEYS["client"], "retrieve", {"model": model})["error"]
        assert (error["class"], error["code"]) == ("NotFoundError", "model_not_found")


def test_create(client, server):
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": "mock/ok", "messages": MESSAGES})
    value = strict.check_completion(answer["text"], "mock/ok")
    assert value.choices[0].message.content == "Hello from the mock."
    assert (value.usage.prompt_tokens, value.usage.completion_tokens) == (7, 5)
    assert value.system_fingerprint == "fp_mock"


def test_builtin_echo(client, server):
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": "echo/echo", "messages": MESSAGES})
    value = strict.check_completion(answer["text"], "echo/echo")
    assert "hi" in value.choices[0].message.content
    assert value.usage.total_tokens == \
        value.usage.prompt_tokens + value.usage.completion_tokens > 0
    streamed = client.call(server.url, KEYS["client"], "create",
                           {"model": "echo/echo", "messages": MESSAGES, "stream": True})
    chunks = strict.check_stream(streamed["payloads"], "echo/echo")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == \
        value.choices[0].message.content


@pytest.mark.parametrize("usage", [False, True])
def test_stream(client, server, usage):
    params = {"model": "mock/ok", "messages": MESSAGES, "stream": True}
    if usage:
        params["stream_options"] = {"include_usage": True}
    answer = client.call(server.url, KEYS["client"], "create", params)
    assert answer["ok"], answer
    chunks = strict.check_stream(answer["payloads"], "mock/ok", usage)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == "Hello from the mock."


def test_bare_name_when_unique(client, server):
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": "slow-300", "messages": MESSAGES})
    assert strict.check_completion(answer["text"]).choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_of_the_client(client, server, stream):
    params = {"model": "mock/tools", "messages": MESSAGES, "stream": stream,
              "tools": [{"type": "function", "function": {
                  "name": "weather", "parameters": {"type": "object"}}}]}
    answer = client.call(server.url, KEYS["client"], "create", params)
    if stream:
        chunks = strict.check_stream(answer["payloads"], "mock/tools")
        pieces = [call for chunk in chunks
                  for call in chunk.choices[0].delta.tool_calls or []]
        assert "".join(piece.function.arguments or "" for piece in pieces) == \
            '{"city":"Bern"}'
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
    else:
        value = strict.check_completion(answer["text"], "mock/tools")
        assert value.choices[0].finish_reason == "tool_calls"
        assert value.choices[0].message.tool_calls[0].function.name == "weather"


def test_structured_output(client, server):
    params = {"model": "mock/json", "messages": MESSAGES}
    if client.name == "node":
        params["response_format"] = {"type": "json_schema", "json_schema": {
            "name": "weather", "strict": True, "schema": {"type": "object", "properties": {
                "city": {"type": "string"}, "degrees": {"type": "integer"}}}}}
    answer = client.call(server.url, KEYS["client"], "parse", params)
    if client.name == "python":
        assert answer["parsed"] == {"city": "Bern", "degrees": 21}, answer
    else:
        # Parsing proper needs a schema library; the content must have come whole.
        assert answer["ok"] and answer.get("parsed") in (None, {"city": "Bern", "degrees": 21})


def test_tools_are_run_to_the_end(client, server):
    answer = client.call(server.url, KEYS["client"], "tools",
                         {"model": "mock/tools", "messages": MESSAGES})
    assert answer.get("parsed") == "In Bern: Bern is sunny", answer


def test_the_clients_own_stream_helper(client, server):
    """It refuses chunks that do not fit together."""
    answer = client.call(server.url, KEYS["client"], "helper",
                         {"model": "mock/ok", "messages": MESSAGES})
    assert answer.get("parsed") == "Hello from the mock.", answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["mock/bare", "mock/no-usage"])
def test_sloppy_providers_are_completed(client, server, model, stream):
    """Fields that a provider leaves out are there for the client all the same."""
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": model, "messages": MESSAGES, "stream": stream})
    assert answer["ok"], answer
    if stream:
        strict.check_stream(answer["payloads"], model)
    else:
        strict.check_completion(answer["text"], model)


# name: key, model, further parameters -> status, code, class (None: APIError's plain form)
REFUSALS = {
    "400 field missing": (KEYS["client"], "mock/ok", {"messages": None},
                          400, None, "BadRequestError"),
    "400 field of wrong type": (KEYS["client"], "mock/ok", {"messages": "hello"},
                                400, None, "BadRequestError"),
    "400 from upstream": (KEYS["client"], "mock/status-400", {},
                          400, "upstream_error", "BadRequestError"),
    "401 unknown key": (UNKNOWN_KEY, "mock/ok", {},
                        401, "invalid_api_key", "AuthenticationError"),
    "401 expired key": (KEYS["expired"], "mock/ok", {},
                        401, "invalid_api_key", "AuthenticationError"),
    "403 denied": (KEYS["client"], "mock/forbidden", {},
                   403, "agent_denied", "PermissionDeniedError"),
    "403 not allowed": (KEYS["narrow"], "mock/ok", {},
                        403, "agent_denied", "PermissionDeniedError"),
    "404 unknown model": (KEYS["client"], "mock/nothing", {},
                          404, "model_not_found", "NotFoundError"),
    "404 from upstream": (KEYS["client"], "mock/status-404", {},
                          404, "upstream_error", "NotFoundError"),
    "413 body": (KEYS["client"], "mock/ok",
                 {"messages": [{"role": "user", "content": "x" * (1 << 20)}]},
                 413, "request_too_large", None),
    "413 from upstream": (KEYS["client"], "mock/status-413", {}, 413, "upstream_error", None),
    "422 from upstream": (KEYS["client"], "mock/status-422", {},
                          422, "upstream_error", "UnprocessableEntityError"),
    "429 from upstream": (KEYS["client"], "mock/status-429", {},
                          429, "upstream_error", "RateLimitError"),
    "502 upstream 500": (KEYS["client"], "mock/status-500", {},
                         502, "upstream_error", "InternalServerError"),
    "502 upstream 401": (KEYS["client"], "mock/status-401", {},
                         502, "upstream_error", "InternalServerError"),
    "502 upstream html": (KEYS["client"], "mock/html-502", {},
                          502, "upstream_error", "InternalServerError"),
    "502 upstream reset": (KEYS["client"], "mock/reset", {},
                           502, "upstream_error", "InternalServerError"),
    "502 upstream refused": (KEYS["client"], "mock/refused", {},
                             502, "upstream_error", "InternalServerError"),
    "502 upstream lies about its type": (KEYS["client"], "mock/wrong-type", {},
                                         502, "upstream_error", "InternalServerError"),
}


def _expect_refusal(answer, status, code, class_):
    assert not answer["ok"], answer
    error = answer["error"]
    plain = {"APIStatusError", "APIError"}
    assert error["class"] == class_ if class_ else error["class"] in plain, error
    assert (error["status"], error["code"]) == (status, code), error
    assert error["request_id"] and error["message"], error
    assert error["type"] in ("invalid_request_error", "permission_error", "requests",
                             "server_error"), error


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("case", REFUSALS, ids=lambda name: name.replace(" ", "-"))
def test_exception_class(client, server, case, stream):
    key, model, more, status, code, class_ = REFUSALS[case]
    params = {"model": model, "messages": MESSAGES, "stream": stream, **more}
    if params["messages"] is None:
        params["messages"] = []
    _expect_refusal(client.call(server.url, key, "create", params), status, code, class_)


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_429_of_the_gateway(client, server, stream):
    params = {"model": "mock/ok", "messages": MESSAGES, "stream": stream}
    for _ in range(3):
        answer = client.call(server.url, KEYS["limited"], "create", params)
    _expect_refusal(answer, 429, "rate_limit_exceeded", "RateLimitError")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_503_when_no_upstream_is_left(client, server, mock, stream):
    mock.behave("dead", "status-500")
    params = {"model": "mock/unreachable", "messages": MESSAGES, "stream": stream}
    for _ in range(4):  # each worker has a breaker of its own
        answer = client.call(server.url, KEYS["client"], "create", params)
        if answer["error"]["status"] == 503:
            break
    _expect_refusal(answer, 503, "upstream_unavailable", "InternalServerError")


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_504(client, server, stream):
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": "mock/stall", "messages": MESSAGES, "stream": stream})
    if stream:
        # The heartbeat of 1 s came before the deadline of 1.5 s and fixed the status.
        assert answer["error"]["code"] == "upstream_timeout", answer
        assert "[DONE]" not in answer["payloads"]
    else:
        _expect_refusal(answer, 504, "upstream_timeout", "InternalServerError")


def test_504_before_the_first_byte_of_a_stream(client, make):
    """With the heartbeat beyond the deadline a stream has the real status, too."""
    gateway = make.gateway(gateway={"stream": {"heartbeat": 10}})
    for name in ("nginx", "apache", "lighttpd"):
        server = make.server(gateway, name)
        answer = client.call(server.url, KEYS["client"], "create",
                             {"model": "mock/stall", "messages": MESSAGES, "stream": True})
        _expect_refusal(answer, 504, "upstream_timeout", "InternalServerError")


@pytest.mark.parametrize("model,code", [("mock/cut-3", "upstream_error"),
                                        ("mock/silent-end-3", "upstream_error"),
                                        ("mock/error-after-3", "upstream_error"),
                                        ("mock/stall-after-2", "upstream_timeout")])
def test_a_cut_stream_is_an_exception_never_a_clean_end(client, server, model, code):
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": model, "messages": MESSAGES, "stream": True})
    assert not answer["ok"], answer
    assert answer["error"]["class"] == "APIError" and answer["error"]["code"] == code, answer
    assert len(answer["payloads"]) >= 2  # what had come was passed on
    for payload in answer["payloads"]:
        assert json.loads(payload)["choices"][0]["finish_reason"] is None


def test_retries_of_the_client_are_useful(client, server, mock, rid):
    """A 502 may be retried by the client (it does, by itself), a denial not."""
    client.call(server.url, KEYS["client"], "create",
                {"model": "mock/status-500", "messages": MESSAGES, "user": rid}, retries=1)
    assert len(mock.requests(tag=rid)) == 2
    answer = client.call(server.url, KEYS["client"], "create",
                         {"model": "mock/status-400", "messages": MESSAGES, "user": rid + "b"},
                         retries=1)
    assert answer["error"]["status"] == 400
    assert len(mock.requests(tag=rid + "b")) == 1


def test_parameters_pass(client, server, mock, rid):
    """response_format and further parameters reach the model as they were sent."""
    schema = {"type": "json_schema", "json_schema": {
        "name": "answer", "strict": True, "schema": {"type": "object", "properties": {}}}}
    params = {"model": "mock/ok", "messages": MESSAGES, "user": rid, "response_format": schema,
              "temperature": 0.25, "top_p": 0.5, "seed": 7, "stop": ["x"], "n": 1,
              "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "store": False,
              "reasoning_effort": "low", "parallel_tool_calls": False}
    answer = client.call(server.url, KEYS["client"], "create", params)
    assert answer["ok"], answer
    seen = mock.request(rid)["body"]
    for name, value in params.items():
        if name != "model":
            assert seen[name] == value, name
    assert seen["model"] == "ok"


def test_unicode_names(client, make):
    """A display name with any character is still a valid listing."""
    gateway = make.gateway(agents={"agents": [
        agent("ok", display_name="Zoë \u2028 \"quoted\" \U0001f600")]})
    server = make.server(gateway)
    answer = client.call(server.url, KEYS["client"], "list")
    assert [model.id for model in strict.check_models(answer["text"])] == ["mock/ok"]
