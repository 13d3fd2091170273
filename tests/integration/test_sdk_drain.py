# SPDX-License-Identifier: MIT
"""A gateway that is told to end while hosted agents answer: their runs go on as long as they may,
then are cut, and the trail tells which."""
import concurrent.futures
import contextlib
import signal
import threading

import pytest

import fcgi
from fake_runner import LONG, FakeRunner
from gateway import KEYS, Gateway
from procs import wait_until
from wire import new_id


class Stage:
    """One gateway whose agents wait until `go` is set."""

    def __init__(self, directory, mock, drain):
        self.go, self.ended = threading.Event(), threading.Event()
        self.runner = FakeRunner(directory / "runner.sock", {
            "fake/waits": self.waits, "fake/asks": self.asks, "fake/never": self.never,
            "fake/beats": self.beats})
        self.gateway = Gateway(
            directory, mock, gateway={
                "workers": 1, "discovery": {"path": str(directory)}, "timeouts": {"drain": drain},
                "runner": {"socket": self.runner.path}},
            security={"default": {"allow_agents": ["fake/*"]}})
        self.gateway.start()
        wait_until(lambda: "fake/waits" in self.models(), LONG, "agents")
        self.pool = concurrent.futures.ThreadPoolExecutor(20)

    def models(self):
        answer = fcgi.call(self.gateway.socket, "GET", "/v1/models", KEYS["admin"])
        return {one["id"] for one in answer.json()["data"]}

    def waits(self, run):
        run.greet()
        while not self.go.wait(0.5):
            run.send("hb")
        run.done("fine")

    def asks(self, run):
        """Its model call begins when the gateway ends already."""
        run.greet()
        while not self.go.wait(0.5):
            run.send("hb")
        answer = run.ask_model().receive("llm.response", "llm.error")
        run.done(answer["body"]["choices"][0]["message"]["content"])

    def never(self, run):
        run.greet()
        run.send("delta", content="Once")
        self.beats(run, greet=False)

    def beats(self, run, greet=True):
        if greet:
            run.greet()
        while not self.ended.wait(0.2):
            run.send("hb")

    def ask(self, name, stream=False):
        id = new_id()
        return id, self.pool.submit(fcgi.chat, self.gateway.socket, KEYS["client"],
                                    f"fake/{name}", stream, timeout=LONG, request_id=id)

    def close(self):
        self.go.set()
        self.ended.set()
        self.gateway.stop()
        self.runner.stop()
        self.pool.shutdown()


@pytest.fixture
def make_stage(directory, mock):
    with contextlib.ExitStack() as stack:
        def make(drain):
            stage = Stage(directory, mock, drain)
            stack.callback(stage.close)
            return stage
        yield make


def end_of(stage):
    """Its status, once all its processes have ended."""
    status = stage.gateway.process.wait(timeout=LONG)
    stage.gateway.process = None
    return status


def test_runs_under_way_are_answered_before_the_gateway_ends(make_stage):
    stage = make_stage(60)
    asked = [stage.ask(name, stream) for name in ("waits", "asks") for stream in (False, True)]
    stage.runner.wait_runs(len(asked))
    stage.gateway.signal(signal.SIGTERM)
    stage.gateway.wait_event("gateway.stopping")
    assert stage.gateway.process.running()
    stage.go.set()
    answers = [future.result() for _, future in asked]
    assert [one.status for one in answers] == [200] * 4
    assert answers[0].json()["choices"][0]["message"]["content"] == "fine"
    assert answers[2].json()["choices"][0]["message"]["content"] == "Hello from the mock."
    assert all(b"[DONE]" in one.body for one in (answers[1], answers[3]))
    assert end_of(stage) == 0
    assert [stage.gateway.outcome(id) for id, _ in asked] == ["completed"] * 4


def test_runs_that_do_not_end_are_cut_and_the_trail_says_so(make_stage):
    stage = make_stage(1)
    whole, stream = stage.ask("beats"), stage.ask("never", stream=True)
    stage.runner.wait_runs(2)
    wait_until(lambda: all(hasattr(run, "start") for run in stage.runner.runs), LONG, "runs")
    stage.gateway.signal(signal.SIGTERM)
    assert end_of(stage) == 0
    stage.ended.set()
    for _, future in (whole, stream):
        answer = future.result()  # None: the connection just ended
        assert answer is None or answer.status != 200 or b"[DONE]" not in answer.body
    wait_until(lambda: all(hasattr(run, "gone") or run.sock.fileno() < 0
                           for run in stage.runner.runs), LONG, "the hosts to see the end")
    stage.gateway.start()
    outcomes = [stage.gateway.outcome(id, timeout=30) for id, _ in (whole, stream)]
    assert "completed" not in outcomes and len(outcomes) == 2
