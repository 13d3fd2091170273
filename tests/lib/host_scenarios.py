# SPDX-License-Identifier: MIT
"""Plays a scenario of tests/cases/hosts/ with a host and looks whether all is as it expects."""
import json
import time

import yaml

import env
import runner_peer

FILE = env.SOURCE / "tests/cases/hosts/scenarios.yaml"


def load(language):
    """[(name of the case, scenario, whether it is played as a stream)]; what a scenario has under
    the name of the language holds for it alone."""
    cases = []
    for scenario in yaml.safe_load(FILE.read_text()):
        own = scenario.pop(language, {})
        scenario = {**scenario, **own, "expect": {**scenario["expect"], **own.get("expect", {})}}
        for mode in ("json", "stream"):
            if scenario.get("only", mode) == mode:
                cases.append((f"{scenario['name']} ({mode})", scenario, mode == "stream"))
    return cases


def play(host, scenario, stream):
    run = runner_peer.Run(host, scenario, stream)
    began = time.monotonic()
    try:
        last = run.play()
    finally:
        run.close()
    expect = dict(scenario["expect"])
    limit = expect.pop("within_seconds", None)
    assert limit is None or time.monotonic() - began < limit * env.SLOW or _again(
        host, scenario, stream, limit), "the tools did not run side by side"
    _look(run, last, expect, stream)


def _again(host, scenario, stream, limit):
    """A busy machine is slow now and then, but not each time."""
    for _ in range(20):
        run = runner_peer.Run(host, scenario, stream)
        began = time.monotonic()
        run.play()
        run.close()
        if time.monotonic() - began < limit * env.SLOW:
            return True
    return False


def _look(run, last, expect, stream):
    assert run.hello is not None
    assert not run.unknown, run.unknown
    if "error" in expect:
        _look_at_error(run, last, expect.pop("error"))
    else:
        _look_at_answer(run, last, expect, stream)
    log = "\n".join(message["message"] for message in run.logs)
    looks = {
        "checks": lambda value: sorted(c["name"] for c in run.checks) == sorted(value),
        "done": lambda value: sorted([d["name"], d["ok"]] for d in run.done) == sorted(value),
        "calls": lambda value: [c["name"] for c in run.calls] == value,
        "logs": lambda value: all(text in log for text in value),
        "no_logs": lambda value: not any(text in log for text in value),
        "request_count": lambda value: len(run.requests) == value,
        "requests": lambda value: len(run.requests) == len(value) and all(
            map(runner_peer.contains, run.requests, value)),
        "turns": lambda value: run.turns == value,
        "no_tools": lambda value: not set(value) & {
            tool["function"]["name"] for body in run.requests for tool in body.get("tools", [])},
        "last_tools": lambda value: [m["content"] for m in run.requests[-1]["messages"]
                                     if m["role"] == "tool"] == value,
        "hides": lambda value: value not in json.dumps(last),
        "deltas": lambda value: run.text() == value,
    }
    for name, value in expect.items():
        assert looks[name](value), (name, value, last, run.requests, run.checks, run.done,
                                    run.calls, run.text(), log)
    for body in run.requests:
        assert bool(body.get("stream")) == stream or "judge" in run.scenario.get("attr", "") \
            or run.scenario.get("attr") in ("helped", "streaming"), body


def _look_at_error(run, last, error):
    assert last["t"] == "run.error", (last, run.text())
    error = dict(error)
    has = error.pop("message_has", "")
    assert has in last["message"], last
    assert runner_peer.contains(last, error), last


def _look_at_answer(run, last, expect, stream):
    log = [message["message"] for message in run.logs]
    assert last["t"] == "run.done", (last, log)
    for name in ("output", "finish_reason", "refusal"):
        if name in expect:
            assert last.get(name) == expect.pop(name), (last, log)
    if "json" in expect:
        assert json.loads(last["output"]) == expect.pop("json"), last
    if "usage" in expect:
        prompt, output = expect.pop("usage")
        assert last["usage"] == {"prompt_tokens": prompt, "completion_tokens": output}, last
    if stream:
        assert run.text() == last["output"], (run.deltas, last)
        assert run.text("refusal") == last.get("refusal", ""), (run.deltas, last)
    else:
        assert not run.deltas, run.deltas
