# SPDX-License-Identifier: MIT
"""Agents in C that hang, crash, flood and answer by themselves."""
import concurrent.futures
import datetime
import json
import os

import pytest

import env
import runner_peer
from host_play import answer, is_idle, works
from procs import wait_until


def call(name, **more):
    return {"model": [{"tool_calls": [{"name": name}]}, {"content": "Fine."}], **more}


# ---- hangs and crashes ----

def wait_for_silence(run):
    """Until no heartbeat has come for a second, which is five of them."""
    while True:
        try:
            run.lines.receive(1)
        except TimeoutError:
            return


def wait_for_no_pong(host):
    def is_mute():
        try:
            host.ping(1)
        except TimeoutError:
            return True
        return False

    wait_until(is_mute, runner_peer.LONG, "a ping without an answer")


@pytest.mark.parametrize("leaves", [False, True])
def test_an_endless_loop_stops_heartbeats_and_pongs(native_host, leaves):
    host = native_host("Faults")
    run = runner_peer.Run(host, call("spin"))
    run.begin()
    run.until(lambda: run.checks)
    wait_for_silence(run)
    if leaves:
        run.close()
    wait_for_no_pong(host)
    run.close()


def test_long_work_that_gives_signs_of_life_is_none(native_host):
    host = native_host("Faults")
    run = runner_peer.Run(host, call("toil"))
    run.begin()
    run.until(lambda: run.checks)
    before = run.beats
    run.until(lambda: run.done)
    assert run.beats - before >= 3
    assert run.go_on()["output"] == "Fine."
    run.close()
    assert host.ping()["runs"] in (0, 1)


def test_a_run_that_ignores_its_end_stops_pongs(native_host):
    host = native_host("Faults")
    run = runner_peer.Run(host, {"attr": "stubborn"})
    run.begin()
    run.until(lambda: run.beats > 1)
    run.close()
    assert host.ping()["runs"] == 1  # it has a while to end
    wait_for_no_pong(host)


@pytest.mark.parametrize("name, status", [("crash", -11), ("leave", 3)])
def test_a_crash_ends_the_process_and_closes_all_runs(native_host, name, status):
    host = native_host("Faults")
    other = runner_peer.Run(host, {"model": [{"silent": True}]})
    other.begin()
    other.until(lambda: other.requests)
    with pytest.raises(runner_peer.Gone):
        answer(host, **call(name))
    with pytest.raises(runner_peer.Gone):
        other.go_on()
    other.close()
    assert host.process.wait(runner_peer.LONG) == status or env.SLOW > 1


def test_a_process_that_gets_no_thread_any_more_ends(native_host):
    host = native_host("Faults")
    last, run = answer(host, **call("starve"))
    assert (last["output"], run.requests[1]["messages"][-1]["content"]) == ("Fine.", "starved")
    # The thread of that run waits a while for another.
    wait_until(lambda: os.listdir(f"/proc/{host.process.pid}/task") == [str(host.process.pid)],
               runner_peer.LONG, "end of its thread")
    with pytest.raises(runner_peer.Gone):
        answer(host, model=[{"content": "Fine."}])
    assert host.process.wait(runner_peer.LONG) == 2
    assert "no thread can be had" in host.stderr()


# ---- too much, and not what it should be ----

def test_a_result_that_is_too_long_is_a_failed_tool(native_host):
    last, run = answer(native_host("Faults"), **call("flood"))
    assert last["output"] == "Fine."
    assert [done["ok"] for done in run.done] == [False]
    assert "too long" in run.requests[1]["messages"][-1]["content"]


def test_a_result_that_is_no_text(native_host):
    last, run = answer(native_host("Faults"), **call("bytes"))
    assert last["output"] == "Fine."
    assert run.requests[1]["messages"][-1]["content"] == "a\ufffd\ufffdb"


def test_what_it_prints_is_its_output(native_host):
    host = native_host("Faults")
    assert answer(host, **call("print"))[0]["output"] == "Fine."
    assert "a line of the agent\n" in host.stderr()


def test_an_agent_that_talks_without_end_waits_for_its_client(native_host):
    host = native_host("Faults")
    run = runner_peer.Run(host, {"attr": "babbling"}, True)
    run.begin()
    run.until(lambda: run.deltas)
    works(host, "agent")
    assert host.ping()["rss"] < 200 << 20
    run.close()
    is_idle(host)


def test_who_gives_up_when_the_answer_is_too_long_fails_of_that(native_host):
    last, _ = answer(native_host("Faults"), attr="talking")
    assert (last["class"], last["message"]) == ("internal", "the agent's answer is too long")


def test_who_fails_without_a_word(native_host):
    last, run = answer(native_host("Faults"), attr="mute")
    assert (last["class"], last["message"]) == ("internal", "the agent failed")
    assert [line["message"] for line in run.logs] == ["run() of the agent failed"]


def test_an_answer_without_end_is_an_error(native_host):
    run = runner_peer.Run(native_host("Faults"), {"attr": "babbling"}, deadline_ms=1000)
    assert run.play()["class"] == "cancelled"
    run.close()


def test_a_tool_that_nobody_has_is_told_to_the_model(native_scenes):
    last, run = answer(native_scenes, model=[{"tool_calls": [{"name": "nonsense"}]},
                                             {"content": "Oh."}])
    assert last["output"] == "Oh."
    assert run.requests[1]["messages"][-1]["content"] == "There is no tool 'nonsense'."
    assert not run.checks


def test_rounds_have_their_limit_without_the_gateways(native_scenes):
    again = {"tool_calls": [{"name": "add", "arguments": {"a": 1, "b": 1}}], "repeat": True}
    last, run = answer(native_scenes, model=[again], max_turns=100)
    assert (last["class"], len(run.requests)) == ("max_turns", 9), last


def test_lines_that_are_none_close_the_run_alone(native_scenes):
    sock = native_scenes.open()
    sock.sendall(b"nonsense\n")
    lines = runner_peer.Lines(sock)
    with pytest.raises(runner_peer.Gone):
        while True:
            assert lines.receive()["t"] in ("hello", "hb")
    sock.close()
    works(native_scenes)


# ---- agents that answer themselves ----

@pytest.mark.parametrize("stream", [False, True])
def test_an_own_run_streams_its_model_and_calls_its_tools(native_scenes, stream):
    last, run = answer(native_scenes, stream, attr="own", model=[{"content": "so be it."}])
    assert last["output"] == "SO BE IT. (42)", last
    assert run.text() == (last["output"] if stream else "")
    assert run.requests[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert run.requests[0]["model"] == "scripted"
    assert [[done["name"], done["ok"]] for done in run.done] == [["add", True]]
    assert last["usage"] == {"prompt_tokens": 10, "completion_tokens": 5}


def test_an_own_run_whose_tool_is_denied(native_scenes):
    last, _ = answer(native_scenes, attr="own",
                     verdicts={"add": {"allow": False, "message": "Not you."}})
    assert last["output"] == "No: Not you."


def test_an_own_run_asks_its_model_as_a_whole_and_a_tool_of_the_gateway(native_scenes):
    last, run = answer(native_scenes, attr="whole", model=[{"content": "the end"}],
                       results={"files.read": {"ok": True, "content": "a file"}})
    assert last["output"] == "a file and the end"
    assert [(c["name"], json.loads(c["args"])) for c in run.calls] == [
        ("files.read", {"path": "a.txt"})]


def test_an_own_run_whose_model_fails(native_scenes):
    error = {"status": 429, "headers": {"retry-after": "7"},
             "body": {"message": "Too many.", "type": "x", "code": "rate_limit_exceeded"}}
    last, run = answer(native_scenes, attr="whole", model=[{"error": error}])
    assert runner_peer.contains(last, {"class": "upstream", "status": 429, "retry_after": 7,
                                       "code": "rate_limit_exceeded", "message": "Too many."})
    assert any('"status":429' in log["message"] for log in run.logs), run.logs


@pytest.mark.parametrize("stream", [False, True])
def test_an_own_run_that_refuses(native_scenes, stream):
    last, run = answer(native_scenes, stream, attr="refusing")
    assert (last["output"], last["refusal"]) == ("", "Not this.")
    assert run.text("refusal") == ("Not this." if stream else "")


def test_a_slow_listener_holds_its_stream_back_and_nobody_else(native_host):
    host = native_host("Faults")
    text = "x" * 8000  # 2000 chunks
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(answer, host, attr="slow_reader", model=[{"content": text}])
        works(host, "agent")
        assert slow.result()[0]["output"] == "heard"


def test_a_listener_that_has_heard_enough(native_host):
    last, run = answer(native_host("Faults"), attr="stopping", model=[{"content": "abc"}])
    assert last["output"] == "stopped with 1"
    assert run.cancelled


def test_a_request_that_is_no_json(native_host):
    last, _ = answer(native_host("Faults"), attr="senseless")
    assert (last["class"], last["status"]) == ("internal", 500), last


def test_agents_that_run_themselves_come_to_an_end(native_host):
    last, run = answer(native_host("Faults"), attr="again",
                       model=[{"content": "done", "repeat": True}])
    assert last["output"] == "done"
    assert len(run.requests) == 9


# ---- many, and the end ----

def test_a_hundred_tools_that_wait_at_once(native_scenes):
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        runs = [pool.submit(answer, native_scenes, n % 2 == 0, model=[
            {"content": "Wait.", "tool_calls": [{"name": "slow", "arguments": {"number": n}}]},
            {"content": f"It was {n}.", "when": {"last": f"slow {n}"}}]) for n in range(100)]
        outputs = [run.result()[0]["output"] for run in runs]
    assert outputs == [f"Wait.\n\nIt was {n}." for n in range(100)]
    is_idle(native_scenes)


def test_draining_ends_the_runs_first(native_host):
    host = native_host("Faults")
    run = runner_peer.Run(host, call("toil"))
    run.begin()
    run.until(lambda: run.checks)
    host.control.send({"t": "drain"})
    assert run.go_on()["output"] == "Fine."
    run.close()
    assert host.process.wait(runner_peer.LONG) == 0


def test_the_process_ends_with_its_runner(native_host):
    host = native_host("Faults")
    host.control.sock.close()
    assert host.process.wait(runner_peer.LONG) == 0


# ---- the sample ----

def test_the_clock(directory, build_agent):
    today = datetime.datetime.now(datetime.timezone.utc).date()
    with runner_peer.Host([env.BUILD / "agw-native"], directory) as host:
        catalog = host.start(build_agent(env.SOURCE / "agents/Clock"))
        assert not catalog["diagnostics"]
        assert [(e["attr"], e["tools"]) for e in catalog["exports"]] == [
            ("agent", ["now", "until"])]
        _, run = answer(host, model=[
            {"tool_calls": [{"name": "until", "arguments": {"date": "2030-03-01"}},
                            {"name": "until", "arguments": {"date": "2027-02-30"}},
                            {"name": "now", "arguments": {}},
                            {"name": "now", "arguments": {"timezone": "../../etc/passwd"}}]},
            {"content": "Then."}])
    results = [m["content"] for m in run.requests[1]["messages"] if m["role"] == "tool"]
    days = json.loads(results[0])["days"]
    assert days - (datetime.date(2030, 3, 1) - today).days in (0, -1)
    assert "has no 2027-02-30" in results[1]
    assert "UTC" in results[2] and "no time zone" in results[3]
