# SPDX-License-Identifier: MIT
"""Metrics are clean by promtool, equal the audit's rows by outcome, and hold across workers
and their deaths."""
import re
import shutil
import subprocess

from gateway import KEYS, UNKNOWN_KEY, settle
from procs import wait_until
from wire import chat, request, stream, together


def scrape(port):
    answer = request(port, "GET", "/metrics", key=KEYS["auditor"])
    assert answer.status == 200 and answer.header("content-type").startswith("text/plain")
    return answer.body.decode()


def series(text, name):
    """{labels as dict items: value} of one family."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? (\S+)", line)
        if match:
            labels = tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[1] or "")))
            assert labels not in found, line
            found[labels] = float(match[2])
    return found


def by_label(text, name, label):
    sums = {}
    for labels, value in series(text, name).items():
        key = dict(labels)[label]
        sums[key] = sums.get(key, 0) + value
    return sums


def test_promtool_has_nothing_to_say(server):
    """The text from each of the workers, after all kinds of outcomes."""
    for model in ("mock/ok", "mock/status-500", "mock/forbidden", "mock/nothing", "mock/stall"):
        chat(server.port, KEYS["client"], model)
    promtool = shutil.which("promtool")
    for path in ("/metrics", "/metrics/prometheus"):
        text = request(server.port, "GET", path, key=KEYS["admin"]).body
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
        assert done.returncode == 0 and not done.stderr, done.stderr.decode()


CONTRACT = """
agent_gateway_requests_total agent_gateway_request_latency_seconds
agent_gateway_time_to_first_token_seconds agent_gateway_tool_invocations_total
agent_gateway_tool_latency_seconds agent_gateway_upstream_requests_total
agent_gateway_upstream_latency_seconds agent_gateway_security_decisions_total
agent_gateway_override_uses_total agent_gateway_denied_total
agent_gateway_dropin_failures_total agent_gateway_tokens_total
agent_gateway_config_generation agent_gateway_inflight_requests agent_gateway_audit_queue
agent_gateway_build_info""".split()


def test_every_family_of_the_contract_is_announced(nginx):
    text = scrape(nginx.port)
    for name in CONTRACT:
        assert f"# TYPE {name} " in text, name
        assert f"# HELP {name} " in text, name


def test_requests_by_outcome_equal_audit_rows_by_outcome(make):
    gateway = make.gateway(gateway={"workers": 4})
    port = make.server(gateway, "lighttpd").port
    key = KEYS["client"]
    for model in ("mock/ok", "mock/forbidden", "mock/nothing", "mock/status-500", "mock/cut-3",
                  "mock/stall", "echo/echo", "mock/status-429"):
        for streaming in (False, True):
            chat(port, key, model, streaming)
    for _ in range(3):
        chat(port, KEYS["limited"], "mock/ok")
    chat(port, UNKNOWN_KEY, "mock/ok")
    request(port, "GET", "/v1/models", key=KEYS["expired"])
    request(port, "GET", "/v1/models")
    request(port, "POST", "/v1/chat/completions", key=key, body={"model": 7})
    request(port, "GET", "/security/keys", key=key)
    together(*[stream(port, key, "mock/chunks-40-250", leave_when=b"w1 ") for _ in range(4)])

    def rows():
        return {row["outcome"]: row["n"] for row in gateway.sql(
            "SELECT outcome, count(*) AS n FROM audit_event WHERE outcome IS NOT NULL"
            " GROUP BY outcome")}
    # A scrape counts itself when it ends, after it has written the numbers.
    def equal():
        text = scrape(port)
        counted = by_label(text, "agent_gateway_requests_total", "status")
        settle(0.1)
        audited = rows()
        audited["completed"] = audited.get("completed", 0) - 1  # this scrape's own row
        return counted == audited and counted
    counted = wait_until(equal, 10, "equal numbers", step=0.3)
    assert set(counted) >= {"completed", "denied", "invalid", "upstream_error", "upstream_cut",
                            "timeout", "client_gone", "rate_limited"}
    # Nothing is forgotten or counted twice when workers die.
    gateway.restarted(gateway.kill_workers())
    wait_until(equal, 10, "equal numbers after deaths", step=0.3)


def test_counts_are_exact_across_workers(make):
    gateway = make.gateway(gateway={"workers": 4})
    port = make.server(gateway).port
    seen = together(*[stream(port, KEYS["client"], "mock/ok") for _ in range(50)],
                    *[stream(port, KEYS["client"], "mock/ok", stream_it=False)
                      for _ in range(70)])
    assert {one.status for one in seen} == {200}

    def counts():
        text = scrape(port)
        requests = {dict(labels)["streaming"]: value for labels, value in
                    series(text, "agent_gateway_requests_total").items()
                    if dict(labels)["agent"] == "mock/ok"}
        tokens = {dict(labels)["direction"]: value for labels, value in
                  series(text, "agent_gateway_tokens_total").items()}
        ups = by_label(text, "agent_gateway_upstream_requests_total", "upstream")
        first = series(text, "agent_gateway_time_to_first_token_seconds_count")
        return requests, tokens, ups, first
    requests, tokens, ups, first = wait_until(
        lambda: (found := counts()) and sum(found[0].values()) == 120 and found, 5, "120")
    assert requests == {"true": 50, "false": 70}
    assert tokens == {"prompt": 120 * 7, "completion": 120 * 5}
    assert ups["mock"] == 120
    assert first[()] == 50


def test_inflight_returns_to_what_it_was(make):
    gateway = make.gateway(gateway={"workers": 2})
    port = make.server(gateway).port
    import threading
    thread = threading.Thread(target=lambda: together(
        *[stream(port, KEYS["client"], "mock/chunks-20-100") for _ in range(10)]))
    thread.start()
    wait_until(lambda: series(scrape(port), "agent_gateway_inflight_requests")[()] >= 11, 5,
               "ten in flight")
    thread.join()
    # The scrape itself is in flight.
    wait_until(lambda: series(scrape(port), "agent_gateway_inflight_requests")[()] == 1, 5,
               "none in flight")
    together(*[stream(port, KEYS["client"], "mock/stall", leave_after=0.2) for _ in range(3)])
    victims = gateway.kill_workers()
    gateway.restarted(victims)
    wait_until(lambda: series(scrape(port), "agent_gateway_inflight_requests")[()] == 1, 5,
               "dead workers' part gone")


def test_json_snapshot_agrees(nginx):
    value = request(nginx.port, "GET", "/admin/metrics", key=KEYS["auditor"]).json()
    assert "agent_gateway_requests_total" in str(value)


def test_open_metrics_need_no_key(make):
    gateway = make.gateway(gateway={"metrics": {"open": True}})
    port = make.server(gateway).port
    assert request(port, "GET", "/metrics").status == 200
    assert request(port, "GET", "/admin/metrics").status == 401
