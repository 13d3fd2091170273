# SPDX-License-Identifier: MIT
"""Folders of agents that come, change, break and go while clients use them, with the real SDKs and
in C, through lighttpd; and what the gateway says of those that it does not serve."""
import json
import shutil
import subprocess
import time

import openai
import pytest

import env
import fcgi
import sdk_stage
from gateway import KEYS
from procs import wait_until

pytestmark = pytest.mark.xdist_group("sdk_life")  # they share the stages
LONG = sdk_stage.LONG
SOON = 2.0 * env.SLOW
FILE = {"python": "agent.py", "node": "agent.mjs", "native": "agent.c"}
# Each has a tool that says which of its generations is asked.
AGENT = {"python": """
from agents import Agent, function_tool

@function_tool
def version() -> str:
    "Says which one it is."
    return "NAME was asked"

agent = Agent(name="A", instructions="I am NAME.", tools=[version])
""", "node": """
import { Agent, tool } from "@openai/agents";
import { z } from "zod";

const version = tool({ name: "version", description: "Says which one it is.",
  parameters: z.object({}), execute: () => "NAME was asked" });
export const agent = new Agent({ name: "A", instructions: "I am NAME.", tools: [version] });
""", "native": """
#include <agent_gateway/agent.h>

static int version(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    return agw_text_add(result, "NAME was asked");
}

static const struct agw_tool tools[] = {{"version", "Says which one it is.", NULL, version}, {0}};
const struct agw_agent agent = {
    .version = AGW_AGENT_VERSION, .name = "A", .instructions = "I am NAME.", .tools = tools};
"""}
# The file, and the lines at which one may see what is wrong; a library has none.
BROKEN = {
    "python": ("agent.py", "from agents import Agent\n\nagent = Agent(name='A'\nwhat is this\n",
               (3, 4)),
    "node": ("agent.mjs", 'import { Agent } from "@openai/agents";\n\n'
                          'export const agent = what is this;\n', (3,)),
    "native": ("agent.so", "what is this", (None,))}
# The least that can be waited for: the SDK itself, in a process of its own.
BARE = {"python": [env.TEST_ENV / "venv/bin/python", "-I", "-B", "-c", "import agents"],
        "node": [sdk_stage.mcp_servers.NODE, "--input-type=module", "-e",
                 'import "@openai/agents";'],
        "native": ["true"]}


@pytest.fixture(scope="module")
def stage():
    with sdk_stage.staged() as one:
        yield one


@pytest.fixture(params=list(FILE))
def lang(request):
    return request.param


def put(stage, lang, name, says=None):
    stage.put(name, {FILE[lang]: AGENT[lang].replace("NAME", says or name)})


def ask(stage, name, **more):
    return stage.client().chat.completions.create(
        model=f"default/{name}", messages=[{"role": "user", "content": "Hello"}], **more)


def text_of(stage, name):
    return ask(stage, name).choices[0].message.content


def models(stage):
    return {model.id for model in stage.client().models.list()}


def errors(stage, kind):
    return [one for one in stage.admin("/admin/agents/errors")["errors"]
            if one["kind"] == kind]


def seconds_until(condition, what):
    began = time.monotonic()
    wait_until(condition, LONG, what)
    return time.monotonic() - began


def bare_seconds(lang):
    began = time.monotonic()
    subprocess.run(BARE[lang], cwd=env.TEST_ENV / "hosts", check=True)
    return time.monotonic() - began


# ---- coming, changing, breaking, going -------------------------------------------------------


def test_a_folder_that_is_copied_in_is_served_until_it_is_deleted(stage, lang):
    """Within two seconds. Other programs may take the processor meanwhile, but not each time."""
    took = []
    for number in range(6):
        name = f"come{lang}{number}"
        least = bare_seconds(lang)
        put(stage, lang, name)
        appeared = seconds_until(lambda name=name: f"default/{name}" in models(stage), "agent")
        stage.upstream.play([{"tool_calls": [{"name": "version"}]},
                             {"content": "Here.", "when": {"last": f"{name} was asked"}}])
        assert text_of(stage, name) == "Here." and not stage.upstream.failures
        shutil.rmtree(stage.root / name)
        went = seconds_until(lambda name=name: f"default/{name}" not in models(stage), "end")
        with pytest.raises(openai.NotFoundError):
            ask(stage, name)
        took.append((least, appeared, went))
        if appeared < max(SOON, least + 1.0) and went < SOON:
            print(f"{lang}: listed {appeared:.2f} s after it was copied in ({least:.2f} s are"
                  f" the SDK's), gone {went:.2f} s after it was deleted")
            return
    raise AssertionError(took)


def test_an_edit_drops_no_stream(stage, lang):
    """What has begun ends as it would have, with the code that it began with."""
    name = f"edit{lang}"
    put(stage, lang, name, "old")
    stage.wait_for(f"default/{name}")
    stage.upstream.play([
        {"content": "Once upon a time.", "held": 3, "tool_calls": [{"name": "version"}],
         "when": {"system": "I am old."}},
        {"content": "The end.", "when": {"last": "old was asked"}},
        {"content": "Old.", "repeat": True, "when": {"system": "I am old."}},
        {"content": "New.", "repeat": True, "when": {"system": "I am new."}}])
    said = ""
    with ask(stage, name, stream=True) as chunks:
        while "Once" not in said:
            said += next(chunks).choices[0].delta.content or ""
        put(stage, lang, name, "new")
        wait_until(lambda: text_of(stage, name) == "New.", LONG, "the new generation")
        stage.upstream.release()
        for chunk in chunks:
            said += chunk.choices[0].delta.content or ""
            reason = chunk.choices[0].finish_reason
    assert said == "Once upon a time.\n\nThe end." and reason == "stop"
    assert not stage.upstream.failures


def test_a_syntax_error_is_shown_and_the_last_good_generation_serves(stage, lang):
    name = f"break{lang}"
    put(stage, lang, name)
    stage.wait_for(f"default/{name}")
    stage.upstream.play([{"content": "Good.", "repeat": True, "when": {"system": f"I am {name}."}},
                         {"content": "Mended.", "repeat": True,
                          "when": {"system": "I am mended."}}])
    file, text, lines = BROKEN[lang]
    path = stage.root / name / file
    stage.write(path, text)
    event = stage.gateway.wait_event("agent_discovery", 60, path=str(path), kind="import")
    assert event["level"] == "error" and event["module"] == f"{name}.agent"
    assert event.get("line") in lines

    def shown():
        """-> of the list of problems, and of the agent itself."""
        answer = stage.admin("/admin/agents")
        agent = next(one for one in answer["agents"] if one["id"] == f"default/{name}")
        return [[one for one in found if one["path"] == str(path)]
                for found in (answer["discovery"], agent["diagnostics"])]

    for found in shown():
        assert [(one["kind"], one["severity"], one.get("line")) for one in found] == [
            ("import", "error", event.get("line"))]
    kept = [one["message"] for one in wait_until(
        lambda: errors(stage, "discovery_import"), LONG, "error")
        if one["subject"] == f"{name}.agent"]
    assert len(kept) == 1
    if "line" in event:
        assert kept[0].startswith(f"{path}:{event['line']}: ")
    assert text_of(stage, name) == "Good."
    put(stage, lang, name, "mended")
    wait_until(lambda: text_of(stage, name) == "Mended.", LONG, "the mended generation")
    wait_until(lambda: shown() == [[], []], LONG, "end of the problem")


def test_the_last_good_generation_comes_back_after_it_was_idle():
    def state(name):
        return {module["module"]: module["state"] for module in stage.admin("/admin/agents")[
            "runner"]["modules"]}[f"{name}.agent"]

    with sdk_stage.staged(
            {f"idle{lang}": {FILE[lang]: AGENT[lang].replace("NAME", lang)} for lang in FILE},
            [f"default/idle{lang}" for lang in FILE],
            gateway_options={"runner": {"idle_stop": 0.3}}) as stage:
        for lang, (file, text, _) in BROKEN.items():
            name = f"idle{lang}"
            wait_until(lambda name=name: state(name) == "idle", LONG, "end of the process")
            stage.write(stage.root / name / file, text)
            wait_until(lambda name=name: [one for one in errors(stage, "discovery_import")
                                          if one["subject"] == f"{name}.agent"], LONG, "error")
            stage.upstream.play([{"content": "Good.", "repeat": True}])
            assert text_of(stage, name) == "Good."
            assert f"I am {lang}." in str(stage.upstream.requests[-1])


# ---- what is not served, and where it is said ------------------------------------------------


WRITES = {"python": "open('MARK', 'w')\n",
          "node": 'import fs from "node:fs";\nfs.writeFileSync("MARK", "");\n',
          "native": '#include <fcntl.h>\n__attribute__((constructor)) static void mark(void)\n'
                    '{ open("MARK", O_CREAT | O_WRONLY, 0600); }\n'}
LACKS = {"python": {"requirements.txt": "no-such-package-agw==1.0\n"},
         "node": {"package.json": '{"dependencies": {"no-such-package-agw": "1.0.0"}}'}}
SDKS = ["python", "node"]


@pytest.fixture(scope="module")
def governed(tmp_path_factory):
    """Without a sandbox, so that only the policy keeps code from writing its mark."""
    marks = tmp_path_factory.mktemp("marks")
    folders = {f"lacks/{lang}": {**LACKS[lang], FILE[lang]: AGENT[lang]} for lang in SDKS}
    folders |= {f"bad/{lang}": dict([BROKEN[lang][:2]]) for lang in FILE}
    for name in ("evil", "good"):
        folders |= {f"{name}/{lang}": {FILE[lang]: WRITES[lang].replace(
            "MARK", f"{marks}/{name}-{lang}") + AGENT[lang].replace("NAME", lang)}
            for lang in FILE}
    with sdk_stage.staged(
            folders, [f"good/{lang}" for lang in FILE],
            gateway_options={"runner": {"sandbox": "off"}},
            security={"default": {"dropin_module_denylist": ["evil.*"], "tool_rules": [
                {"agents": ["good/*"], "deny_tools": ["version"]}]}}) as stage:
        stage.marks = marks
        yield stage


def kinds_told(stage):
    return sorted(event["kind"] for event in stage.gateway.events("agent_discovery", level="error"))


def test_what_is_blocked_is_never_executed_and_said_everywhere(governed):
    stage = governed
    blocked = sorted(f"evil.{lang}.agent" for lang in FILE)
    wait_until(lambda: len(stage.gateway.events("agent.dropin.blocked")) == len(blocked), LONG,
               "events")
    before = len(kinds_told(stage))
    stage.admin("/agents/refresh", "POST")  # nor because somebody looks again
    assert sorted(path.name for path in stage.marks.iterdir()) == sorted(
        f"good-{lang}" for lang in FILE)
    assert not [id for id in models(stage) if id.startswith("evil/")]
    for lang in FILE:
        with pytest.raises(openai.NotFoundError):
            stage.client().chat.completions.create(
                model=f"evil/{lang}", messages=[{"role": "user", "content": "Hello"}])
    # Log, trail, list of errors, metrics and diagnostics: each of them once, and the same.
    events = stage.gateway.events("agent.dropin.blocked")
    assert sorted(event["module"] for event in events) == blocked
    assert all("evil.*" in event["message"] for event in events)
    rows = stage.gateway.sql("SELECT detail FROM audit_event WHERE kind = 'dropin.blocked'")
    assert sorted(json.loads(row["detail"])["module"] for row in rows) == blocked
    assert sorted(one["subject"] for one in errors(stage, "discovery_security")) == blocked
    assert f'agent_gateway_dropin_failures_total{{kind="security"}} {len(blocked)}\n' in metrics(
        stage)
    assert sorted(one["module"] for one in stage.admin("/admin/agents")["discovery"]
                  if one["kind"] == "security") == blocked
    assert len(kinds_told(stage)) == before


def metrics(stage):
    return fcgi.call(stage.gateway.socket, "GET", "/metrics", KEYS["admin"]).body.decode()


def test_what_the_runbook_promises_is_shown(governed):
    stage = governed
    wanted = {"discovery_import": {f"bad.{lang}.agent" for lang in FILE},
              "discovery_dependency": {f"lacks.{lang}.agent" for lang in SDKS},
              "discovery_security": {f"evil.{lang}.agent" for lang in FILE},
              "tool_violation": {f"good/{lang}" for lang in FILE}}
    for lang in FILE:
        stage.upstream.play([{"tool_calls": [{"name": "version", "arguments": {}}]},
                             {"content": "Well.", "when": {"last": "policy"}}])
        answer = stage.client().chat.completions.create(
            model=f"good/{lang}", messages=[{"role": "user", "content": "Hello"}])
        assert answer.choices[0].message.content == "Well." and not stage.upstream.failures

    def shown():
        return {kind: {one["subject"] for one in errors(stage, kind)} for kind in wanted}
    wait_until(lambda: shown() == wanted, LONG, f"errors {wanted}")
    for one in errors(stage, "discovery_dependency"):
        assert "no-such-package-agw" in one["message"]
    # Problems that there are, not how often somebody looked.
    wait_until(lambda: kinds_told(stage) == ["dependency"] * 2 + ["import"] * 3, LONG, "events")
    assert len(stage.gateway.events("agent.watch.started")) == 1
    text = metrics(stage)
    for kind, number in (("import", 3), ("dependency", 2), ("security", 3)):
        assert f'agent_gateway_dropin_failures_total{{kind="{kind}"}} {number}\n' in text
    for lang in FILE:
        assert f'agent="good/{lang}"' in text
    assert 'tool_invocations_total{tool="version",provider="module",status="denied"' in text
    done = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=text.encode(),
                          capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    tools = stage.gateway.sql("SELECT tool, status FROM tool_invocations")
    assert [tuple(row.values()) for row in tools] == [("version", "denied")] * 3
