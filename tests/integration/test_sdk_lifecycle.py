# SPDX-License-Identifier: MIT
"""Folders of agents that come, change, break and go while clients use them, with the real SDKs
through lighttpd; and what the gateway says of those that it does not serve."""
import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile

import openai
import pytest

import fcgi
import sdk_stage
from gateway import KEYS
from procs import wait_until

LONG = sdk_stage.LONG
AGENT = {
    "python": ("agent.py", "from agents import Agent\n\n"
                           "agent = Agent(name='A', instructions='I am NAME.')\n"),
    "node": ("agent.mjs", 'import { Agent } from "@openai/agents";\n\n'
                          'export const agent = new Agent({ name: "A", instructions: "I am NAME." });\n')}
BROKEN = {"python": "from agents import Agent\n\nagent = Agent(name='A'\nwhat is this\n",
          "node": 'import { Agent } from "@openai/agents";\n\nexport const agent = what is this;\n'}


@contextlib.contextmanager
def staged(**options):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    one = None
    try:
        one = sdk_stage.Stage(directory, **options)
        yield one
    finally:
        if one:
            one.stop()
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def stage():
    with staged() as one:
        yield one


@pytest.fixture(params=["python", "node"])
def lang(request):
    return request.param


def copy_in(stage, lang, name, text=None):
    """As somebody who has the folder elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        file, usual = AGENT[lang]
        (pathlib.Path(folder) / file).write_text(text or usual.replace("NAME", name))
        stage.put(name, pathlib.Path(folder))


def edit(stage, lang, name, text):
    """As editors do it."""
    path = stage.root / name / AGENT[lang][0]
    fresh = path.with_name(".fresh")
    fresh.write_text(text)
    fresh.rename(path)
    return path


def ask(stage, name, **more):
    return stage.client().chat.completions.create(
        model=f"default/{name}", messages=[{"role": "user", "content": "Hello"}], **more)


def text_of(stage, name):
    return ask(stage, name).choices[0].message.content


def models(stage):
    return {model.id for model in stage.client().models.list()}


def errors(stage):
    answer = fcgi.call(stage.gateway.socket, "GET", "/admin/agents/errors", KEYS["admin"])
    return answer.json()["errors"]


def test_a_folder_that_is_copied_in_is_served_until_it_is_deleted(stage, lang):
    name = f"come{lang}"
    stage.upstream.play([{"content": "Here.", "repeat": True, "when": {"system": f"I am {name}"}}])
    assert f"default/{name}" not in models(stage)
    copy_in(stage, lang, name)
    stage.wait_for(f"default/{name}")
    assert text_of(stage, name) == "Here."
    shutil.rmtree(stage.root / name)
    wait_until(lambda: f"default/{name}" not in models(stage), LONG, "end of the agent")
    with pytest.raises(openai.NotFoundError):
        ask(stage, name)


def test_an_edit_drops_no_stream(stage, lang):
    name = f"edit{lang}"
    copy_in(stage, lang, name)
    stage.wait_for(f"default/{name}")
    stage.upstream.play([
        {"content": "Once upon a time.", "held": 3, "when": {"system": f"I am {name}."}},
        {"content": "Old.", "repeat": True, "when": {"system": f"I am {name}."}},
        {"content": "New.", "repeat": True, "when": {"system": "I am new."}}])
    said = ""
    with ask(stage, name, stream=True) as chunks:
        while "Once" not in said:
            said += next(chunks).choices[0].delta.content or ""
        edit(stage, lang, name, AGENT[lang][1].replace("NAME", "new"))
        wait_until(lambda: text_of(stage, name) == "New.", LONG, "the new generation")
        stage.upstream.release()
        for chunk in chunks:
            said += chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason
    assert said == "Once upon a time." and reason == "stop"
    assert not stage.upstream.failures


def test_a_syntax_error_is_shown_and_the_last_good_generation_serves(stage, lang):
    name = f"break{lang}"
    copy_in(stage, lang, name)
    stage.wait_for(f"default/{name}")
    stage.upstream.play([{"content": "Good.", "repeat": True}])
    path = edit(stage, lang, name, BROKEN[lang])
    wait_until(lambda: [one for one in errors(stage) if one["kind"] == "discovery_import"
                        and one["subject"].startswith(name)], LONG, "error")
    event = stage.gateway.wait_event("agent_discovery", kind="import", path=str(path))
    assert event["line"] in (3, 4) and event["module"] == f"{name}.agent"
    agents = fcgi.call(stage.gateway.socket, "GET", "/admin/agents", KEYS["admin"]).json()
    shown = [one for one in agents["discovery"] if one["path"] == str(path)]
    assert [one["line"] for one in shown] == [event["line"]]
    assert any(one["message"].startswith(f"{path}:{event['line']}: ") for one in errors(stage))
    assert text_of(stage, name) == "Good."
    edit(stage, lang, name, AGENT[lang][1].replace("NAME", "mended"))
    wait_until(lambda: text_of(stage, name) and "mended" in str(stage.upstream.requests[-1]), LONG,
               "the mended generation")


def test_the_last_good_generation_comes_back_after_it_was_idle(lang):
    name = f"idle{lang}"

    def state():
        answer = fcgi.call(stage.gateway.socket, "GET", "/admin/agents", KEYS["admin"]).json()
        return {m["module"]: m["state"] for m in answer["runner"]["modules"]}[f"{name}.agent"]
    with staged(gateway_options={"runner": {"idle_stop": 0.3}}) as stage:
        copy_in(stage, lang, name)
        stage.wait_for(f"default/{name}")
        stage.upstream.play([{"content": "Good.", "repeat": True}])
        wait_until(lambda: state() == "idle", LONG, "end of the process")
        edit(stage, lang, name, BROKEN[lang])
        wait_until(lambda: errors(stage), LONG, "error")
        assert text_of(stage, name) == "Good."
        assert f"I am {name}." in str(stage.upstream.requests[-1])


def test_what_is_blocked_is_never_executed_and_said_everywhere():
    """Without a sandbox, so that only the policy keeps the code from writing its mark."""
    with staged(gateway_options={"runner": {"sandbox": "off"}},
                security={"default": {"dropin_module_denylist": ["evil.*"]}}) as stage:
        mark = stage.gateway.directory
        writes = {"python": "open('MARK', 'w')\n",
                  "node": 'import fs from "node:fs";\nfs.writeFileSync("MARK", "");\n'}
        for lang, (_, usual) in AGENT.items():
            for name in ("evil", "good"):
                text = writes[lang].replace("MARK", f"{mark}/ran-{name}-{lang}") + usual
                copy_in(stage, lang, f"{name}/{lang}", text)
        stage.wait_for("good/python", "good/node")
        wait_until(lambda: len(stage.gateway.events("agent.dropin.blocked")) >= 2, LONG, "events")
        assert sorted(path.name for path in mark.glob("ran-*")) == [
            "ran-good-node", "ran-good-python"]
        assert {"evil/python", "evil/node"}.isdisjoint(models(stage))
        blocked = ["evil.node.agent", "evil.python.agent"]
        rows = stage.gateway.sql("SELECT detail FROM audit_event WHERE kind = 'dropin.blocked'")
        assert sorted(json.loads(row["detail"])["module"] for row in rows) == blocked
        events = stage.gateway.events("agent.dropin.blocked")
        assert sorted(event["module"] for event in events) == blocked
        assert all("evil.*" in event["message"] for event in events)
        found = [one for one in errors(stage) if one["kind"] == "discovery_security"]
        assert sorted(one["subject"] for one in found) == blocked
        assert 'agent_gateway_dropin_failures_total{kind="security"} 2\n' in metrics(stage)
        agents = fcgi.call(stage.gateway.socket, "GET", "/admin/agents", KEYS["admin"]).json()
        assert sorted(one["module"] for one in agents["discovery"]
                      if one["kind"] == "security") == blocked


def metrics(stage):
    return fcgi.call(stage.gateway.socket, "GET", "/metrics", KEYS["admin"]).body.decode()


SLY = """
from agents import Agent, function_tool

@function_tool
def launch() -> str:
    "Must not run."
    raise SystemExit

agent = Agent(name="Sly", tools=[launch])
"""


def test_what_the_runbook_promises_is_shown():
    with staged(security={"default": {
            "dropin_module_denylist": ["evil.*"],
            "tool_rules": [{"agents": ["default/sly"], "deny_tools": ["launch"]}]}}) as stage:
        (stage.root / "needs").mkdir()
        (stage.root / "needs/requirements.txt").write_text("no-such-package-agw==1.0\n")
        stage.put("needs", AGENT["python"][1])
        stage.put("bad", BROKEN["python"])
        stage.put("evil/one", AGENT["python"][1])
        stage.put("sly", SLY)
        stage.wait_for("default/sly")
        stage.upstream.play([{"tool_calls": [{"name": "launch", "arguments": {}}]},
                             {"content": "Well.", "when": {"last": "policy"}}])
        assert text_of(stage, "sly") == "Well." and not stage.upstream.failures
        wanted = {"discovery_import": "bad.agent", "discovery_dependency": "needs.agent",
                  "discovery_security": "evil.one.agent", "tool_violation": "default/sly"}
        wait_until(lambda: set(wanted) <= {one["kind"] for one in errors(stage)}, LONG, "errors")
        shown = [(one["kind"], one["subject"]) for one in errors(stage) if one["kind"] in wanted]
        assert sorted(shown) == sorted(wanted.items())
        assert "no-such-package-agw" in next(one["message"] for one in errors(stage)
                                             if one["kind"] == "discovery_dependency")
        text = metrics(stage)
        for kind in ("import", "dependency", "security"):
            assert f'agent_gateway_dropin_failures_total{{kind="{kind}"}} 1\n' in text
        done = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=text.encode(),
                              capture_output=True)
        assert done.returncode == 0 and not done.stderr, done.stderr.decode()
        told = [event for event in stage.gateway.events("agent_discovery") if "kind" in event]
        assert sorted(event["kind"] for event in told) == ["dependency", "import"]
        assert stage.gateway.events("agent.watch.started")
        tools = stage.gateway.sql("SELECT tool, status FROM tool_invocations")
        assert [tuple(row.values()) for row in tools] == [("launch", "denied")]
