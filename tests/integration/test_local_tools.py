# SPDX-License-Identifier: MIT
"""Local tools from end to end: an agent behind lighttpd calls programs of this host, the echo
being told which. What is killed mid-call, and who leaves, leaves nothing behind."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal

import openai
import pytest

import env
import fcgi
from agwctl import FINDING, Agwctl
from gateway import KEYS
from procs import descendants, is_running, wait_until

WAIT = 60 * env.SLOW

# Appends a line to its journal, then stays, with a daemon in a session of its own.
STAYS = """#!/bin/sh
echo run >>"$(dirname "$0")/journal/runs"
(setsid sh -c 'sleep SECONDS &' &)
echo some detail >&2
sleep SECONDS
"""
# Tries to read each file that it is told.
PEEK = """#!/bin/sh
tr ',[' '\\n\\n' | sed -n 's/^"\\(\\/[^"]*\\)".*/\\1/p' | while read -r path; do
    if cat "$path" >/dev/null 2>&1; then echo "read $path"; else echo "refused $path"; fi
done
"""
FAILS = "#!/bin/sh\necho 'no such city'\necho 'secret detail' >&2\nexit 3\n"


def local(name, command=None, **more):
    return {"name": name, "provider": "local", "command": command or [f"agents/tools/{name}"],
            "timeout": 30, **more}


@pytest.fixture
def scene(make):
    """A gateway with the sample tools and some that misbehave, and one agent for them."""
    seconds = str(random.randrange(10**8, 10**9))  # in the command lines of this test's programs
    tools = {"tools": [
        local("calculate", schema={"type": "object", "required": ["expression"],
                                   "properties": {"expression": {"type": "string"}}}),
        local("summarize"), local("peek"), local("fails"), local("missing"),
        local("stays", timeout=120, write=["../agents/tools/journal"]),
        local("slow", ["sleep", seconds], timeout=0.5),
        local("forbidden", ["/bin/echo", "hello"])]}
    gateway = make.gateway(start=False, tools=tools, environment={"GATEWAY_TEST_SECRET": "x"},
                           security={"default": {"local_tools_allowlist": [
                               "agents/tools/*", "sleep:*"]}})
    gateway.agents["agents"].append({"name": "tooled", "namespace": "echo", "upstream": "echo",
                                     "model": "echo-1", "tools": ["*"]})
    gateway.write("agents", gateway.agents)
    folder = gateway.directory / "agents" / "tools"
    shutil.copytree(env.SOURCE / "agents" / "tools", folder)
    (folder / "journal").mkdir()
    for name, text in (("stays", STAYS), ("peek", PEEK), ("fails", FAILS)):
        (folder / name).write_text(text.replace("SECONDS", seconds))
        (folder / name).chmod(0o755)
    gateway.seconds = seconds
    gateway.journal = folder / "journal" / "runs"
    return gateway.start()


def ask(gateway, text, **more):
    answer = fcgi.call(gateway.socket, "POST", "/v1/chat/completions", KEYS["client"],
                       {"model": "echo/tooled", "messages": [{"role": "user", "content": text}],
                        **more})
    assert answer.status == 200, answer.body
    return answer.json()["choices"][0]["message"]["content"]


def call(name, **arguments):
    return f"call {name} {json.dumps(arguments)}"


def asleep(gateway):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if gateway.seconds.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return [pid for pid in found if is_running(pid)]


def nothing_sleeps(gateway):
    wait_until(lambda: not asleep(gateway), WAIT, "end of the tool's processes", step=0.05)


def test_the_sample_tools_through_lighttpd(scene, make):
    server = make.server(scene, "lighttpd")
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=KEYS["client"],
                           max_retries=0, timeout=60 * env.SLOW)
    text = ("The harbour was quiet. Ships rested in the harbour. A gull cried. "
            "In the harbour the ships waited for wind.")
    cases = [(call("calculate", expression="6 * 7"), "echo: 42"),
             (call("calculate", expression="1 / 0"),
              "echo: The tool 'calculate' failed: exit status 1. It says: "
              "Nothing can be divided by 0."),
             (call("calculate", expression="(" * 300),
              "echo: The tool 'calculate' failed: exit status 1. It says: "
              "This is nested too deeply."),
             (call("calculate"), "echo: The arguments do not fit: the member 'expression' is missing."),
             (call("summarize", text=text, sentences=1),
              "echo: In the harbour the ships waited for wind."),
             (call("summarize", text="Grüße \U0001f600 an \"alle\".\n"),
              "echo: Grüße \U0001f600 an \"alle\"."),
             (call("calculate", expression="2^10") + "\n" + call("calculate", expression="-3"),
              "echo: 1024\n-3")]
    with client:
        for words, wanted in cases:
            messages = [{"role": "user", "content": words}]
            whole = client.chat.completions.create(model="echo/tooled", messages=messages)
            assert whole.choices[0].message.content == wanted
            assert whole.choices[0].finish_reason == "stop"
            pieces = client.chat.completions.create(model="echo/tooled", messages=messages,
                                                    stream=True)
            said = "".join(piece.choices[0].delta.content or "" for piece in pieces
                           if piece.choices)
            assert said == wanted


def test_each_way_to_fail_is_told(scene):
    assert ask(scene, call("fails")) == \
        "echo: The tool 'fails' failed: exit status 3. It says: no such city"
    assert "secret detail" in scene.wait_event("tool.stderr", tool="fails")["text"]
    assert ask(scene, call("missing")) == "echo: The tool 'missing' cannot be run: there is " \
        "no program agents/tools/missing."
    assert ask(scene, call("slow")) == \
        "echo: The tool 'slow' was not ready in time and was ended."
    nothing_sleeps(scene)
    # Policy hides it from the model: nobody offers it, so the echo only repeats the words.
    assert ask(scene, call("forbidden")) == "echo: call forbidden {}"
    report = Agwctl(scene).json("tools call", "forbidden", status=FINDING)
    assert report["status"] == "denied"
    report = Agwctl(scene).json("tools call", "calculate", "--args", '{"expression": "1+1"}')
    assert report["status"] == "ok" and report["content"] == "2"


def test_the_gateways_own_files_are_out_of_reach(scene):
    worker = scene.workers()[0]
    own = str(scene.directory / "agents" / "tools" / "calculate")
    out_of_reach = [str(scene.conf / "security.yaml"), str(scene.database), str(scene.log_path),
                    str(scene.conf / "gateway.yaml"), f"/proc/{worker}/environ", "/etc/shadow"]
    answer = ask(scene, call("peek", paths=[own, *out_of_reach]))
    assert answer.removeprefix("echo: ").split("\n") == \
        [f"read {own}"] + [f"refused {path}" for path in out_of_reach]


def test_administrators_see_the_layers(scene):
    tools = fcgi.call(scene.socket, "GET", "/tools", KEYS["admin"]).json()["tools"]
    entry = next(one for one in tools if one["name"] == "calculate")
    assert entry["running"] == 0 and len(entry["sandbox"]) == 15
    assert entry["sandbox"]["no_new_privs"] == "applied"
    assert all(text.split(" ")[0] in ("applied", "missing", "unwanted")
               for text in entry["sandbox"].values())
    told = scene.wait_event("tool.sandbox", tool="calculate")
    shown = {name for name, text in entry["sandbox"].items() if text.startswith("applied")}
    assert set(told["applied"].split()) == shown
    for _ in range(6):  # whichever worker
        assert ask(scene, call("calculate", expression="1")) == "echo: 1"
    assert len(scene.events("tool.sandbox", tool="calculate")) <= scene.gateway["workers"]


def begin(scene):
    """A request whose tool has begun. -> the client's connection, the processes of the tool"""
    body = json.dumps({"model": "echo/tooled", "messages": [
        {"role": "user", "content": call("stays")}]}).encode()
    client = fcgi.connect(scene.socket)
    client.settimeout(WAIT)
    client.sendall(fcgi.request_bytes("POST", "/v1/chat/completions", [
        ("authorization", f"Bearer {KEYS['client']}"), ("content-type", "application/json"),
        ("x-request-id", "stays-1")], body))
    wait_until(lambda: len(asleep(scene)) == 2, WAIT, "the tool and its daemon")
    return client


def words_of(pid):
    """Its command line; those that end meanwhile have none."""
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return [b""]


def keepers(scene):
    """The outer and the inner one."""
    found = [pid for pid in descendants(scene.process.pid)
             if b"agw-exec" in words_of(pid)[0]]
    assert len(found) == 2
    return found


def invocation(scene, **wanted):
    def row():
        rows = scene.sql("SELECT * FROM tool_invocations WHERE request_id = 'stays-1'")
        assert len(rows) == 1
        return rows[0] if all(rows[0][name] == value for name, value in wanted.items()) else None
    return wait_until(row, WAIT, f"the tool's row with {wanted}")


@pytest.mark.parametrize("victim", ["program", "outer keeper", "inner keeper"])
def test_what_is_killed_fails_clearly(scene, victim):
    client = begin(scene)
    outer, inner = keepers(scene)

    def alone():  # the shells that made the daemon have gone
        found = [pid for pid in descendants(inner)
                 if any(b"agents/tools/stays" in word for word in words_of(pid))]
        return found[0] if len(found) == 1 else None
    program = wait_until(alone, WAIT, "the program by itself")
    environment = pathlib.Path(f"/proc/{program}/environ").read_bytes().split(b"\0")
    temporary = [one[7:].decode() for one in environment if one.startswith(b"TMPDIR=")][0]
    assert os.path.isdir(temporary)
    chosen = {"program": program, "outer keeper": outer, "inner keeper": inner}[victim]
    os.kill(chosen, signal.SIGKILL)
    answer = fcgi.read_answer(client)
    client.close()
    assert answer.status == 200
    assert answer.json()["choices"][0]["message"]["content"] == \
        "echo: The tool 'stays' failed: signal 9 (Killed)."
    nothing_sleeps(scene)
    assert not os.path.exists(temporary)
    assert invocation(scene, status="failed")
    assert scene.journal.read_text() == "run\n"


def test_a_killed_worker_takes_its_tools_along(scene):
    client = begin(scene)
    scene.kill_workers()
    nothing_sleeps(scene)
    client.close()
    scene.restarted([])
    assert invocation(scene, status="unfinished")
    assert scene.journal.read_text() == "run\n"
    assert ask(scene, call("calculate", expression="1")) == "echo: 1"


def test_a_client_that_leaves_ends_the_tool(scene):
    client = begin(scene)
    client.close()
    nothing_sleeps(scene)
    assert invocation(scene, status="cancelled")
    assert scene.outcome("stays-1") == "client_gone"


def test_tools_end_with_a_gateway_that_has_to_stop(scene):
    client = begin(scene)
    scene.signal(signal.SIGKILL)  # the supervisor: its workers notice
    nothing_sleeps(scene)
    client.close()
