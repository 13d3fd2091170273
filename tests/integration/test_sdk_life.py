# SPDX-License-Identifier: MIT
"""What becomes of real Python agents while the gateway runs: copied in, edited, broken, deleted;
blocked by policy; hanging and crashing. Asked with the official client through lighttpd."""
import pathlib
import shutil
import tempfile
import time

import openai
import pytest

import env
import sdk_stage
from gateway import KEYS
from procs import is_running, wait_until
from wire import request

LONG = sdk_stage.LONG
SOON = 2.0 * env.SLOW  # the promise is two seconds; a Python SDK takes one of them to be loaded

TALKER = """
import os, time
from agents import Agent, function_tool

@function_tool
async def wait_for_go() -> str:
    "Waits."
    import asyncio
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        await asyncio.sleep(0.05)
    return "gone"

agent = Agent(name="Talker", instructions="You are VERSION.", tools=[wait_for_go])
"""

WRECKS = """
import os, time
from agents import Agent, function_tool

class Stuck:
    async def run(self, messages):
        time.sleep(3600)

class Quits:
    def run(self, messages):
        os._exit(3)

class Talks:
    def run(self, messages):
        return "x" * (20 << 20)

class Fine:
    def run(self, messages):
        return "fine"

@function_tool
def leave() -> str:
    "Leaves."
    os._exit(4)

agent = Fine()
stuck, quits, talks = Stuck(), Quits(), Talks()
leaver = Agent(name="Leaver", instructions="You are Leaver.", tools=[leave])
"""

WRITES = """
from agents import Agent
open(__file__ + ".ran", "w").close()
agent = Agent(name="Writer")
"""


def make_stage(folders=(), **more):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    stage = sdk_stage.Stage(directory, folders, **more)
    stage.directory = directory
    return stage


def close_stage(stage):
    family = stage.gateway.family()
    try:
        stage.stop()
        wait_until(lambda: not any(is_running(pid) for pid in family), LONG, "end of all")
    finally:
        shutil.rmtree(stage.directory)


@pytest.fixture(scope="module")
def stage():
    stage = make_stage({"Wrecks": WRECKS, "Other": WRECKS})
    stage.wait_for("default/wrecks", "default/other")
    yield stage
    close_stage(stage)


def say(stage, agent, stream=False, text="Hello"):
    return stage.client().chat.completions.create(
        model=agent, messages=[{"role": "user", "content": text}], stream=stream)


def text_of(answer):
    return answer.choices[0].message.content


def models(stage):
    return {model.id for model in stage.client("admin").models.list()}


def put(stage, name, text):
    """As an editor does it."""
    folder = stage.root / name
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / ".fresh"
    fresh.write_text(text)
    fresh.rename(folder / "agent.py")


def admin(stage, path):
    return request(stage.server.port, "GET", path, key=KEYS["admin"]).json()


# ---- copied in, edited, broken, deleted -----------------------------------------------------


def test_a_folder_that_is_copied_in_is_a_model(stage):
    began = time.monotonic()
    put(stage, "Talker", TALKER.replace("VERSION", "One"))
    wait_until(lambda: "default/talker" in models(stage), LONG, "agent")
    took = time.monotonic() - began
    stage.upstream.play([{"content": "I am One.", "when": {"system": "You are One."}}])
    assert text_of(say(stage, "default/talker")) == "I am One."
    print(f"a Python agent is listed {took:.2f} s after it was copied in")


def test_an_edit_drops_no_stream(stage):
    put(stage, "Edited", TALKER.replace("VERSION", "Old"))
    wait_until(lambda: "default/edited" in models(stage), LONG, "agent")
    stage.upstream.play([
        {"content": "Old begins.", "tool_calls": [{"name": "wait_for_go"}],
         "when": {"last": "begin"}},
        {"content": "Old ends.", "when": {"last": "gone"}},
        {"content": "New.", "when": {"system": "You are New."}, "repeat": True},
        {"content": "Old.", "when": {"system": "You are Old."}, "repeat": True}])
    stream = say(stage, "default/edited", stream=True, text="begin")
    seen = ""
    for chunk in stream:
        seen += chunk.choices[0].delta.content or ""
        if "begins." in seen:
            break
    put(stage, "Edited", TALKER.replace("VERSION", "New"))
    wait_until(lambda: text_of(say(stage, "default/edited")) == "New.", LONG, "the edit")
    (stage.root / "Edited" / "go").touch()
    for chunk in stream:
        seen += chunk.choices[0].delta.content or "" if chunk.choices else ""
    assert seen == "Old begins.\n\nOld ends."


def test_a_syntax_error_is_shown_and_the_last_good_generation_serves(stage):
    put(stage, "Broken", TALKER.replace("VERSION", "Good"))
    wait_until(lambda: "default/broken" in models(stage), LONG, "agent")
    put(stage, "Broken", "from agents import Agent\nagent = Agent(\nname='x'\n")

    def problems():
        agents = {one["id"]: one for one in admin(stage, "/admin/agents")["agents"]}
        return [one for one in agents["default/broken"]["diagnostics"]
                if one["kind"] == "import"]
    found = wait_until(problems, LONG, "diagnostic")[0]
    assert found["path"].endswith("/Broken/agent.py") and found["line"] in (2, 3)
    assert found["severity"] == "error"
    errors = [one for one in admin(stage, "/admin/agents/errors")["errors"]
              if one["kind"] == "discovery_import"]
    assert len(errors) == 1
    stage.upstream.play([{"content": "I am Good.", "when": {"system": "You are Good."}}])
    assert text_of(say(stage, "default/broken")) == "I am Good."
    put(stage, "Broken", TALKER.replace("VERSION", "Better"))
    wait_until(lambda: not problems(), LONG, "end of the diagnostic")
    stage.upstream.play([{"content": "I am Better.", "when": {"system": "You are Better."}}])
    assert text_of(say(stage, "default/broken")) == "I am Better."


def test_a_missing_package_is_named(stage):
    folder = stage.root / "Needs"
    folder.mkdir()
    (folder / "requirements.txt").write_text("no-such-package-of-agw==1\n")
    put(stage, "Needs", "import no_such_package_of_agw\n")
    event = stage.gateway.wait_event("agent_discovery", timeout=LONG, kind="dependency",
                                     module="Needs.agent")
    assert "no-such-package-of-agw" in event["message"]
    assert any(one["kind"] == "discovery_dependency"
               for one in admin(stage, "/admin/agents/errors")["errors"])


def test_a_folder_that_is_deleted_is_no_model(stage):
    put(stage, "Brief", TALKER)
    wait_until(lambda: "default/brief" in models(stage), LONG, "agent")
    began = time.monotonic()
    shutil.rmtree(stage.root / "Brief")
    wait_until(lambda: "default/brief" not in models(stage), LONG, "end of the agent")
    assert time.monotonic() - began < SOON
    with pytest.raises(openai.NotFoundError):
        say(stage, "default/brief")


# ---- blocked ---------------------------------------------------------------------------------


def test_blocked_modules_are_never_executed():
    """Without a sandbox, which would keep the module from writing anyway."""
    stage = make_stage({"Good": WRITES, "Evil": WRITES},
                       gateway_options={"runner": {"sandbox": "off"}},
                       security={"default": {"dropin_module_denylist": ["Evil.*"]}})
    try:
        stage.wait_for("default/good")
        stage.gateway.wait_event("agent.dropin.blocked", timeout=LONG, module="Evil.agent")
        assert request(stage.server.port, "POST", "/agents/refresh", key=KEYS["admin"],
                       body=b"").status == 200
        assert (stage.root / "Good/agent.py.ran").exists()
        assert not (stage.root / "Evil/agent.py.ran").exists()
        assert "default/evil" not in models(stage)
        with pytest.raises(openai.NotFoundError):
            say(stage, "default/evil")
        shown = admin(stage, "/admin/agents")
        assert [one["module"] for one in shown["discovery"] if one["kind"] == "security"] == [
            "Evil.agent"]
        assert any(one["kind"] == "discovery_security"
                   for one in admin(stage, "/admin/agents/errors")["errors"])
        metrics = request(stage.server.port, "GET", "/metrics", key=KEYS["admin"]).body.decode()
        assert 'agent_gateway_dropin_failures_total{kind="security"} 1' in metrics
        assert len(stage.gateway.audit(kind="dropin.blocked")) == 1
    finally:
        close_stage(stage)


# ---- hanging and crashing --------------------------------------------------------------------


def process_of(stage, module):
    """Its process id; None while there is none."""
    shown = admin(stage, "/admin/agents")["runner"]["modules"]
    return next(one.get("pid") for one in shown if one["module"] == module)


def other_is_fine(stage):
    """-> the process of a module that has nothing to do with it."""
    assert text_of(say(stage, "default/other")) == "fine"
    return process_of(stage, "Other.agent")


def test_a_process_that_hangs_is_killed(stage):
    other = other_is_fine(stage)
    assert text_of(say(stage, "default/wrecks")) == "fine"
    old = process_of(stage, "Wrecks.agent")
    with pytest.raises(openai.APIStatusError) as failed:
        say(stage, "default/wrecks-stuck")
    assert failed.value.status_code == 504
    assert other_is_fine(stage) == other
    wait_until(lambda: not is_running(old), LONG, "end of the process")
    wait_until(lambda: alive(stage), LONG, "another process")
    assert process_of(stage, "Wrecks.agent") != old


@pytest.mark.parametrize("agent", ["quits", "talks"])
def test_a_process_that_quits_or_says_too_much(stage, agent):
    other = other_is_fine(stage)
    with pytest.raises(openai.APIStatusError) as failed:
        say(stage, f"default/wrecks-{agent}")
    assert failed.value.status_code in (500, 502)
    assert failed.value.code == "agent_error"
    assert other_is_fine(stage) == other
    wait_until(lambda: alive(stage), LONG, "recovery")


def alive(stage):
    try:
        return text_of(say(stage, "default/wrecks")).startswith("fine")
    except openai.APIStatusError as problem:
        assert problem.status_code == 503 and problem.response.headers["retry-after"]
        return False


def test_a_process_that_quits_in_a_stream(stage):
    stage.upstream.play([{"content": "Once upon", "tool_calls": [{"name": "leave"}]}])
    wait_until(lambda: alive(stage), LONG, "a process")
    seen = ""
    with pytest.raises(openai.APIError) as failed:
        for chunk in say(stage, "default/wrecks-leaver", stream=True):
            seen += chunk.choices[0].delta.content or ""
    assert seen == "Once upon" and failed.value.code == "agent_error"
    rows = wait_until(lambda: stage.gateway.sql(
        "SELECT status FROM tool_invocations WHERE tool = 'leave' AND status <> 'unfinished'"),
        LONG, "end of the tool")
    assert rows == [{"status": "unavailable"}]
    wait_until(lambda: alive(stage), LONG, "recovery")
