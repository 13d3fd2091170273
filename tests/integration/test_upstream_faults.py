# SPDX-License-Identifier: MIT
"""Retry, failover, load balancing, circuit breaker, health and parameters, as the client and
the providers see them."""
import collections
import time

import pytest

from gateway import KEYS, UPSTREAM_SECRET, agent, upstream
from procs import wait_until
from wire import chat, new_id, request, stream, together

CLIENT = KEYS["client"]


@pytest.fixture
def sites(make, mock, rid):
    """Makes a gateway whose upstreams are sites of the mock that only this test uses."""
    def build(specs, agents=None, defaults=None, **options):
        upstreams = [upstream(name, mock.base_url(f"{rid}-{name}"), **more)
                     for name, more in specs.items()]
        gateway = make.gateway(
            upstreams={"upstreams": upstreams},
            agents={"defaults": defaults or {"namespace": "mock", "model": "ok",
                                             "upstream": next(iter(specs))},
                    "agents": agents or [agent(name, upstream=next(iter(specs)))
                                         for name in ("ok", "status-429-retry-1", "cut-3")]},
            gateway={"workers": 1}, **options)
        port = make.server(gateway).port

        def calls(name):
            return mock.requests(site=f"{rid}-{name}")

        def behave(name, script, model="*"):
            mock.behave(f"{rid}-{name}", script, model)
        return gateway, port, calls, behave
    return build


@pytest.mark.parametrize("streaming", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("fault", ["status-500", "status-503", "reset", "stall", "html-502",
                                   "truncated"])
def test_failover(sites, fault, streaming):
    _, port, calls, behave = sites({"first": {"priority": 1}, "second": {"priority": 2}})
    behave("first", fault)
    answer = chat(port, CLIENT, "mock/ok", streaming)
    if fault == "truncated" and streaming:
        # Its first chunk has been passed on, so it cannot be taken back: cut, no second try.
        assert b"[DONE]" not in answer.body and calls("second") == []
        return
    assert answer.status == 200, answer
    if streaming:
        assert answer.body.rstrip().endswith(b"[DONE]")
    assert len(calls("first")) == len(calls("second")) == 1


def test_no_failover_for_refusals(sites):
    """Another provider would refuse the same request the same way."""
    _, port, calls, behave = sites({"first": {"priority": 1}, "second": {"priority": 2}})
    for status in (400, 404, 422):
        behave("first", f"status-{status}")
        answer = chat(port, CLIENT, "mock/ok")
        assert answer.status == status and "mock refuses" in answer.error()["message"]
    assert calls("second") == []


def test_nothing_is_retried_after_the_first_chunk(sites):
    gateway, port, calls, _ = sites({"first": {"priority": 1, "retry": {"attempts": 3}},
                                     "second": {"priority": 2}})
    rid = new_id("cut")
    answer = chat(port, CLIENT, "mock/cut-3", True, request_id=rid)
    assert answer.status == 200 and b"[DONE]" not in answer.body
    assert b'"error"' in answer.body
    assert len(calls("first")) == 1 and calls("second") == []
    assert gateway.outcome(rid) == "upstream_cut"


def test_retry_with_back_off(sites):
    _, port, calls, behave = sites({"only": {"retry": {"attempts": 2, "backoff_ms": 200}}})
    behave("only", "status-503")
    assert chat(port, CLIENT, "mock/ok").status in (502, 503)
    times = [call["at"] for call in calls("only")]
    assert len(times) == 3
    first, second = times[1] - times[0], times[2] - times[1]
    assert 0.05 < first < 1 and 0.05 < second < 2


def test_retry_recovers(sites):
    import threading
    _, port, calls, behave = sites({"only": {"retry": {"attempts": 3, "backoff_ms": 300}}})
    behave("only", "status-500")
    result = []
    thread = threading.Thread(target=lambda: result.append(chat(port, CLIENT, "mock/ok")))
    thread.start()
    wait_until(lambda: calls("only"), 5, "first try")
    behave("only", None)
    thread.join()
    assert result[0].status == 200 and len(calls("only")) >= 2


def test_weights_share_the_load(sites):
    """What the agent's own upstream cannot take is spread over the others by weight."""
    _, port, calls, behave = sites({"own": {"priority": 1}, "a": {"weight": 3, "priority": 2},
                                    "b": {"weight": 1, "priority": 2}})
    behave("own", "status-500")
    seen = together(*[stream(port, CLIENT, "mock/ok", stream_it=False) for _ in range(80)])
    assert {one.status for one in seen} == {200}
    a, b = len(calls("a")), len(calls("b"))
    assert a + b == 80 and 55 <= a <= 65, (a, b)


def test_an_agent_without_an_upstream_is_balanced_from_the_first_call(sites):
    _, port, calls, _ = sites({"a": {"weight": 3}, "b": {"weight": 1}, "spare": {"priority": 2}},
                              agents=[{"name": "ok"}], defaults={"namespace": "mock", "upstream": None,
                                                                 "model": "ok"})
    seen = together(*[stream(port, CLIENT, "mock/ok", stream_it=False) for _ in range(80)])
    assert {one.status for one in seen} == {200}
    a, b = len(calls("a")), len(calls("b"))
    assert a + b == 80 and 55 <= a <= 65 and calls("spare") == [], (a, b)


def test_breaker_opens_spares_and_closes(sites):
    _, port, calls, behave = sites({"only": {"breaker": {"failures": 3, "open": 1}}})
    behave("only", "status-500")
    statuses = [chat(port, CLIENT, "mock/ok").status for _ in range(10)]
    assert statuses[:3] == [502] * 3 and statuses[3:] == [503] * 7
    assert len(calls("only")) == 3
    answer = chat(port, CLIENT, "mock/ok")
    assert answer.error()["code"] == "upstream_unavailable"
    assert 1 <= int(answer.header("retry-after")) <= 60
    behave("only", None)
    time.sleep(1.2)
    assert chat(port, CLIENT, "mock/ok").status == 200
    assert chat(port, CLIENT, "mock/ok").status == 200


def test_retry_after_keeps_off(sites):
    """A 429 with Retry-After is passed on; meanwhile the other provider serves."""
    _, port, calls, behave = sites({"first": {"priority": 1, "breaker": {"failures": 5}},
                                    "second": {"priority": 2}})
    behave("first", "status-429-retry-30")
    statuses = [chat(port, CLIENT, "mock/ok").status for _ in range(5)]
    assert statuses[-1] == 200 and set(statuses) <= {200, 429}
    assert len(calls("first")) <= 2


def test_health_check_takes_an_upstream_out_and_back(sites):
    gateway, port, calls, behave = sites({
        "sick": {"priority": 1, "health_path": "/models", "health_timeout": 1,
                 "health_interval": 1}, "well": {"priority": 2}})
    behave("sick", "down", "models")
    gateway.wait_event("upstream.health", 10)
    wait_until(lambda: _state(port, "sick") == "down", 10, "sick upstream seen")
    before = len(calls("sick"))
    assert chat(port, CLIENT, "mock/ok").status == 200
    assert len(calls("sick")) == before
    behave("sick", None, "models")
    wait_until(lambda: _state(port, "sick") == "up", 10, "recovery seen")
    assert chat(port, CLIENT, "mock/ok").status == 200
    assert len(calls("sick")) == before + 1


def _state(port, name):
    value = request(port, "GET", "/upstreams", key=KEYS["admin"]).json()
    return next(row["state"] for row in value["upstreams"] if row["name"] == name)


def test_T14_secrets_stay_where_they_belong(nginx, shared, mock):
    """A careless provider's error repeats the key it was given; nobody else learns it."""
    answer = chat(nginx.port, CLIENT, "mock/leak")
    assert answer.status == 400
    assert UPSTREAM_SECRET.encode() not in answer.body
    assert shared.has_secret(UPSTREAM_SECRET, *KEYS.values()) == []
    errors = request(nginx.port, "GET", "/admin/agents/errors", key=KEYS["admin"]).body
    assert UPSTREAM_SECRET.encode() not in errors


def test_internals_of_a_provider_are_not_shown(nginx):
    answer = chat(nginx.port, CLIENT, "mock/html-502")
    assert b"internal-7" not in answer.body


@pytest.mark.parametrize("asked,seen", [({"max_tokens": 1000}, 64), ({"max_tokens": 10}, 10),
                                        ({"max_completion_tokens": 1000}, 64), ({}, 64)])
def test_limits_cap_and_never_raise(nginx, mock, rid, asked, seen):
    answer = chat(nginx.port, CLIENT, "mock/capped", user=rid, **asked)
    assert answer.status == 200
    body = mock.request(rid)["body"]
    given = [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body]
    assert given and set(given) == {seen}, body
    # Instructions go before the client's messages.
    assert body["messages"][0]["content"] == "Be brief."
    assert body["messages"][-1]["content"] == "hi"


def test_unknown_parameters_and_parts_pass(nginx, mock, rid):
    messages = [{"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
    answer = chat(nginx.port, CLIENT, "mock/ok", user=rid, messages=messages,
                  brand_new_parameter={"deep": [1, 2.5, None, "x"]})
    assert answer.status == 200
    body = mock.request(rid)["body"]
    assert body["messages"] == messages
    assert body["brand_new_parameter"] == {"deep": [1, 2.5, None, "x"]}


def test_upstream_connections_are_reused(sites):
    """Warm connections: many calls, few sockets (ports) at the provider's side."""
    gateway, port, calls, _ = sites({"only": {}})
    for _ in range(20):
        assert chat(port, CLIENT, "mock/ok").status == 200
    assert len(calls("only")) == 20
    assert collections.Counter(call["peer"] for call in calls("only")).most_common(1)[0][1] > 10
