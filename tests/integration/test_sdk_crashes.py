# SPDX-License-Identifier: MIT
"""Modules that hang, end themselves or never stop talking, and kill -9 of the processes around a
run (T28): each run ends in the documented way, others do not notice, no tool runs twice, and no
process stays behind."""
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import time

import httpx2
import openai
import pytest

import env
import sdk_stage
from agwctl import Agwctl
from procs import children, descendants, is_running, wait_until

pytestmark = pytest.mark.xdist_group("sdk_crashes")  # they share the stage
LONG = sdk_stage.LONG
RUN_SECONDS = 12 * env.SLOW

FINE = """
import asyncio, os
from agents import Agent, function_tool

@function_tool
def count() -> str:
    "Counts."
    return "counted"

@function_tool
async def sleep() -> str:
    "Sleeps."
    await asyncio.sleep(600)

@function_tool
def leave() -> str:
    "Leaves."
    os._exit(4)

agent = Agent(name="Fine", instructions="You are Fine.", tools=[count, sleep, leave])
"""
BAD = {"python": """
import os, socket, time

def sockets():
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                yield fd
        except OSError:
            pass

class Busy:
    async def run(self):
        while True:
            pass

class Exits:
    def run(self):
        os._exit(7)

class Stuck:
    "Its event loop does not turn."
    async def run(self):
        time.sleep(3600)

class Killed:
    def run(self):
        os.kill(os.getpid(), 9)

class Memory:
    def run(self):
        kept = []
        while True:
            kept.append(b"x" * (32 << 20))

class Prints:
    def run(self):
        while True:
            print("x" * 1000)

class Answers:
    def run(self):
        return "x" * (20 << 20)

class Line:
    "Not through the host: into every connection that it can find."
    def run(self):
        for fd in sockets():
            one = socket.socket(fileno=os.dup(fd))
            one.settimeout(3)
            try:
                one.sendall(b"x" * (20 << 20) + b"\\n")
            except OSError:
                pass
        return "said"

class Leaks:
    "Every descriptor there is, for good."
    def run(self):
        try:
            while True:
                os.dup(0)
        except OSError:
            time.sleep(3)
        return "leaked"

leaks = Leaks()
busy, stuck, exits, killed, memory = Busy(), Stuck(), Exits(), Killed(), Memory()
prints, answers, line = Prints(), Answers(), Line()
""", "node": """
import fs from "node:fs";
import { setImmediate, setTimeout } from "node:timers/promises";

const busy = { run() { for (;;); } };
const aborts = { run() { process.abort(); } };
const exits = { run() { process.reallyExit(7); } };
const killed = { run() { process.kill(process.pid, "SIGKILL"); } };
const prints = { async run() { for (;;) { console.log("x".repeat(1000)); await setImmediate(); } } };
const answers = { run: () => "x".repeat(20 << 20) };
const memory = { run() {
  const kept = [];
  for (;;) kept.push(Buffer.alloc(32 << 20, 1));
} };
const heap = { run() {
  const kept = [];
  for (;;) kept.push(new Array(1 << 20).fill(kept.length));
} };
const leaks = { async run() {
  try {
    for (;;) fs.openSync("/proc/self/stat");
  } catch {
    await setTimeout(3000);
  }
  return "leaked";
} };
const line = { run() {
  const text = "x".repeat(20 << 20) + "\\n";
  for (const fd of fs.readdirSync("/proc/self/fd").map(Number)) {
    try {
      if (!fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")) continue;
      for (let at = 0; at < text.length;) {
        try { at += fs.writeSync(fd, text.slice(at, at + 65536)); }
        catch (error) { if (error.code !== "EAGAIN") throw error; }
      }
    } catch { /* not this one */ }
  }
  return "said";
} };
export { busy, aborts, exits, killed, memory, heap, prints, answers, line, leaks };
""", "native": r"""
#include <agent_gateway/agent.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAY(way) static int way##_run(struct agw_run *run, struct agw_text *answer)
WAY(busy) { volatile bool goes_on = true; (void)run; (void)answer; while (goes_on); return 0; }
WAY(aborts) { (void)run; (void)answer; abort(); }
WAY(exits) { (void)run; (void)answer; _exit(7); }
WAY(killed) { (void)run; (void)answer; return kill(getpid(), SIGKILL); }
WAY(prints) { (void)answer; for (;;) if (puts("xxxxxxxxxxxxxxxx") < 0 || !run) return 0; }
WAY(memory)
{
    char *some;
    (void)run;
    (void)answer;
    while ((some = malloc(32 << 20)) != NULL)
        memset(some, 'x', 32 << 20);
    return AGW_FATAL;
}
WAY(answers)
{
    char *much = malloc((20 << 20) + 1);
    (void)run;
    memset(much, 'x', 20 << 20);
    much[20 << 20] = 0;
    return agw_text_add(answer, much);
}
WAY(leaks)
{
    while (dup(0) >= 0)
        ;
    for (int i = 0; i < 30; i++) {
        usleep(100000);
        agw_cancelled(run);
    }
    return agw_text_add(answer, "leaked");
}
WAY(line)
{
    static char much[20 << 20];
    const struct timeval limit = {.tv_sec = 3};
    (void)run;
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\n';
    for (int fd = 0; fd < 64; fd++) {
        struct stat about;
        ssize_t written = 1;
        if (fstat(fd, &about) != 0 || !S_ISSOCK(about.st_mode)) continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        for (size_t at = 0; at < sizeof much && written > 0; at += (size_t)written)
            written = send(fd, much + at, sizeof much - at, MSG_NOSIGNAL);
    }
    return agw_text_add(answer, "said");
}
#define ONE(way) static const struct agw_agent way = { \
    .version = AGW_AGENT_VERSION, .name = #way, .run = way##_run};
ONE(busy) ONE(aborts) ONE(exits) ONE(killed) ONE(prints) ONE(memory) ONE(answers) ONE(line) ONE(leaks)
static const struct agw_agent *const others[] = {
    &busy, &aborts, &exits, &killed, &prints, &memory, &answers, &line, &leaks, NULL};
const struct agw_agent agent = {.version = AGW_AGENT_VERSION, .name = "bad", .others = others};
"""}
# How each ends: status and code of the answer. Who takes all memory may be hung before it has it.
HUNG, GONE, FAILED = (504, "upstream_timeout"), (502, "agent_error"), (500, "agent_error")
ENDS = {"busy": {HUNG}, "stuck": {HUNG}, "exits": {GONE}, "aborts": {GONE}, "killed": {GONE},
        "prints": {HUNG}, "answers": {FAILED}, "line": {GONE}, "memory": {FAILED, GONE},
        "heap": {GONE, HUNG}}
WAYS = [(lang, way) for lang, text in BAD.items() for way in ENDS if way in text]


def staged():
    return sdk_stage.staged(
        {"python": BAD["python"], "node": {"agent.mjs": BAD["node"]},
         "native": {"agent.c": BAD["native"]}, "fine": FINE},
        ["default/fine", "default/python-line", "default/node-line", "default/native-line"],
        gateway_options={"runner": {"run_timeout": RUN_SECONDS}})


@pytest.fixture(scope="module")
def stage():
    with staged() as one:
        yield one


def ask(stage, name, timeout=LONG, **more):
    return stage.client().with_options(timeout=timeout).chat.completions.create(
        model=f"default/{name}", messages=[{"role": "user", "content": "Hello"}], **more)


def runner_of(stage):
    return stage.admin("/admin/agents")["runner"]


def module_of(stage, name):
    return next(one for one in runner_of(stage)["modules"] if one["module"] == f"{name}.agent")


def is_idle(stage, name):
    # What is shown is what was so when the list last changed.
    stage.admin("/agents/refresh", "POST")
    return module_of(stage, name)["runs"] == 0


def program_of(stage, name):
    """The process in which the module's code is."""
    folder = str(stage.root / name)
    for pid in descendants(runner_of(stage)["pid"]):
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            if os.readlink(f"/proc/{pid}/cwd") == folder and b"/host." in words and \
                    not words.startswith(b"agw-exec") and b"--channel" not in words:
                return pid
    return None


def is_served(stage, name="fine"):
    stage.upstream.play([{"content": "Fine.", "repeat": True}])
    with contextlib.suppress(openai.APIStatusError):
        return ask(stage, name).choices[0].message.content == "Fine."
    return False


def ask_bad(stage, name):
    """Once it may be started again, after what it did before."""
    while True:
        try:
            return ask(stage, name)
        except openai.APIStatusError as error:
            if error.status_code != 503:
                raise
            time.sleep(min(float(error.response.headers["retry-after"]), LONG))


def failures_of(stage, error):
    id = error.response.headers["x-request-id"]
    return [line for line in stage.gateway.log_lines()
            if line["event"] == "sdk_agent.failure" and line["request_id"] == id]


@pytest.mark.parametrize("lang, way", WAYS)
def test_a_bad_module_ends_its_run_alone(stage, lang, way):
    assert is_served(stage)
    other, workers = module_of(stage, "fine"), stage.gateway.workers()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        bad = pool.submit(ask_bad, stage, f"{lang}-{way}")
        asked = 0
        while not bad.done() or asked < 3:
            assert ask(stage, "fine", timeout=30 * env.SLOW).choices[0].message.content == "Fine."
            asked += 1
    with pytest.raises(openai.APIStatusError) as failure:
        bad.result()
    error = failure.value
    assert (error.status_code, error.code) in ENDS[way], error
    told = failures_of(stage, error)
    assert len(told) == 1 and told[0]["message"], told
    assert (told[0]["class"] == "crash") == (error.status_code == 502), told
    assert (told[0]["class"] in ("timeout", "cancelled")) == (error.status_code == 504), told
    assert stage.gateway.workers() == workers
    now = module_of(stage, "fine")
    assert (now["pid"], now["restarts"]) == (other["pid"], other["restarts"])
    wait_until(lambda: is_idle(stage, lang), LONG, "end of the run")


def errors_of(stage, lang):
    return [error["message"] for error in stage.admin("/admin/agents/errors")["errors"]
            if error["subject"] == f"{lang}.agent"]


@pytest.mark.parametrize("lang", list(BAD))
def test_a_process_without_descriptors_is_replaced_and_finishes_its_runs(stage, lang):
    def is_told():
        return any("no descriptor left" in message for message in errors_of(stage, lang))

    assert not is_told()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        def leak_and_ask():
            # What there is a descriptor for is served to its end; the other one is, or is refused.
            both = [pool.submit(ask_bad, stage, f"{lang}-leaks") for _ in range(2)]
            failed = [one.exception() for one in both if one.exception() is not None]
            assert [(error.status_code, error.code) for error in failed] in ([], [GONE])
            return is_told()

        wait_until(leak_and_ask, LONG, "another process")
    answer = ask_bad(stage, f"{lang}-leaks")
    assert answer.choices[0].message.content == "leaked"
    wait_until(lambda: is_idle(stage, lang), LONG, "end of the run")


def begin(stage):
    """A stream whose tool has run and whose model is in the middle of a word."""
    stage.upstream.play([
        {"tool_calls": [{"name": "count", "arguments": {}}]},
        {"content": "Once upon a time.", "held": 3, "when": {"last": "counted"}}])
    chunks, said = ask(stage, "fine", stream=True), ""
    while "Once" not in said:
        said += next(chunks).choices[0].delta.content or ""
    return chunks


def kill(stage, whom):
    """-> what must end with it"""
    program, keeper = program_of(stage, "fine"), module_of(stage, "fine")["pid"]
    runner = runner_of(stage)["pid"]
    if whom == "worker":
        stage.gateway.restarted(stage.gateway.kill_workers(), timeout=30)
        return []
    os.kill({"host": program, "keeper": keeper, "runner": runner}[whom], signal.SIGKILL)
    return [program, keeper]


def look_after(stage, whom, gone):
    wait_until(lambda: not any(map(is_running, gone)), LONG, "end of the host")
    wait_until(lambda: is_served(stage), LONG, "an answer")
    wait_until(lambda: is_idle(stage, "fine"), LONG, "end of the run")
    Agwctl(stage.gateway).run("audit", "verify")


def outcomes(stage, request_id):
    return stage.gateway.sql("SELECT outcome FROM audit_event WHERE request_id = ? AND"
                             " kind = 'end'", request_id)


def calls(stage, request_id):
    return [tuple(row.values()) for row in stage.gateway.sql(
        "SELECT tool, status FROM tool_invocations WHERE request_id = ?", request_id)]


@pytest.mark.parametrize("whom", ["host", "keeper", "runner", "worker"])
def test_T28_killed_while_the_model_speaks(stage, whom):
    wait_until(lambda: is_served(stage), LONG, "an answer")
    chunks = begin(stage)
    id = chunks.response.headers["x-request-id"]
    gone = kill(stage, whom)
    said, reason, failure = "", None, None
    try:
        for chunk in chunks:
            said += chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason or reason
    except (openai.APIError, httpx2.HTTPError) as error:
        failure = error
    assert reason is None and "time" not in said
    requests = len(stage.upstream.requests)
    stage.upstream.release()
    if whom != "worker":
        assert failure.code == "agent_error", failure
    assert requests == 2  # nothing is asked again for what is lost
    look_after(stage, whom, gone)
    (end,) = wait_until(lambda: outcomes(stage, id), LONG, "end row")
    assert end["outcome"] == ("internal" if whom == "worker" else "agent_error")
    assert calls(stage, id) == [("count", "ok")]


@pytest.mark.parametrize("whom", ["host", "runner", "worker"])
def test_T28_killed_while_a_tool_runs(stage, whom):
    wait_until(lambda: is_served(stage), LONG, "an answer")
    stage.upstream.play([{"tool_calls": [{"name": "sleep", "arguments": {}}]}])
    before = {row["request_id"] for row in stage.gateway.sql(
        "SELECT request_id FROM tool_invocations")}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, stage, "fine")
        (id,) = wait_until(lambda: {row["request_id"] for row in stage.gateway.sql(
            "SELECT request_id FROM tool_invocations WHERE tool = 'sleep'")} - before, LONG, "row")
        gone = kill(stage, whom)
        with pytest.raises((openai.APIError, httpx2.HTTPError)) as failure:
            waiting.result()
    if whom != "worker":
        assert (failure.value.status_code, failure.value.code) == (502, "agent_error")
    assert len(stage.upstream.requests) == 1
    look_after(stage, whom, gone)
    assert calls(stage, id) == [("sleep", "unfinished" if whom == "worker" else "unavailable")]


def test_a_process_that_quits_in_a_stream(stage):
    """What was said stays said, the error comes behind it, and the tool has its end."""
    wait_until(lambda: is_served(stage), LONG, "an answer")
    stage.upstream.play([{"content": "Once upon", "tool_calls": [{"name": "leave"}]}])
    said = ""
    with pytest.raises(openai.APIError) as failed:
        chunks = ask(stage, "fine", stream=True)
        id = chunks.response.headers["x-request-id"]
        for chunk in chunks:
            said += chunk.choices[0].delta.content or ""
    assert said == "Once upon" and failed.value.code == "agent_error"
    wait_until(lambda: calls(stage, id) == [("leave", "unavailable")], LONG, "end of the tool")
    wait_until(lambda: is_served(stage), LONG, "an answer")


def test_nothing_is_left_when_the_gateway_stops():
    """That all of the family have ended is what staged() waits for."""
    with staged() as stage:
        assert len(children(runner_of(stage)["pid"])) == 4
