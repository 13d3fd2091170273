# SPDX-License-Identifier: MIT
"""What the hosts of both SDKs find in a module, and what they say of broken ones."""
import os

import pytest

from host_play import answer, attrs, each, only

AGENT = {"python": "from agents import Agent\n",
         "node": 'import { Agent } from "@openai/agents";\n'}


# ---- exports ----

SHOWN = {"python": '''
"""Agents for a test."""
from agents import Agent, function_tool

@function_tool
def add(a: int) -> int:
    "Adds."
    return a

second = Agent(name="Second", tools=[add])
_hidden = Agent(name="Hidden")
agent = Agent(name="First", model="gpt-4o", handoffs=[second])
again = agent

def build_agent(*, context):
    return Agent(name="Third")

__gateway__ = {"namespace": "lab", "display_name": "Lab", "model": "m1", "upstream": "u1"}
''', "node": '''
import { Agent, tool } from "@openai/agents";
import { z } from "zod";
const add = tool({ name: "add", description: "Adds.", parameters: z.object({ a: z.number() }),
  execute: ({ a }) => a });
const hidden = new Agent({ name: "Hidden" });
export const second = new Agent({ name: "Second", tools: [add] });
export const _kept = hidden;
export const agent = new Agent({ name: "First", model: "gpt-4o", handoffs: [second] });
export const again = agent;
export async function buildAgent(context) { return new Agent({ name: "Third" }); }
export const gateway = { namespace: "lab", display_name: "Lab", model: "m1", upstream: "u1" };
'''}
SDK = {"python": "openai-agents 0.", "node": "@openai/agents 0."}


def test_exports_in_their_order_and_what_is_said_of_them(sdk_host, language):
    host = sdk_host(SHOWN[language])
    catalog = host.catalog
    assert catalog["diagnostics"] == []
    assert attrs(catalog) == [("agent", "agent"), ("build_agent", "factory"), ("second", "agent")]
    assert catalog["exports"][0] == {"attr": "agent", "kind": "agent", "name": "First",
                                     "model": "gpt-4o", "tools": [], "handoffs": ["Second"]}
    assert catalog["exports"][2]["tools"] == ["add"]
    assert catalog["gateway"] == {"namespace": "lab", "display_name": "Lab", "model": "m1",
                                  "upstream": "u1"}
    assert catalog["sdk"].startswith(SDK[language])
    assert host.hello["lang"] == language and host.hello["v"] == 1
    if language == "python":
        assert catalog["doc"] == "Agents for a test."
        assert host.hello["sdk"].startswith(SDK[language])


MADE = {
    "python": "make = lambda: Agent(name='Made')\nagent = Agent(name='A')",
    "node": 'export const make = () => new Agent({ name: "Made" });\n'
            'export const agent = new Agent({ name: "A" });\n',
}


def test_names_of_exports_are_the_operators(sdk_host, language):
    host = sdk_host(AGENT[language] + MADE[language], exports=["make"])
    assert attrs(host.catalog) == [("make", "factory"), ("agent", "agent")]
    last, _ = answer(host, attr="make", model=[{"content": "Hi"}])
    assert last["output"] == "Hi"


NEEDS_REQUEST = {
    "python": "def build_agent(context):\n    return Agent(name=context['user'].title())\n",
    "node": "export function build_agent(context) {\n"
            "  return new Agent({ name: context.user.trim() });\n}\n",
}
ITS_ERROR = {"python": "AttributeError", "node": "TypeError"}


def test_a_factory_that_needs_a_request_is_served_all_the_same(sdk_host, language):
    host = sdk_host(AGENT[language] + NEEDS_REQUEST[language])
    assert attrs(host.catalog) == [("build_agent", "factory")]
    warning = only(host.catalog, "warning")
    assert (warning["kind"], warning["line"]) == ("runtime", 3), warning
    assert ITS_ERROR[language] in warning["message"]
    assert answer(host, attr="build_agent", model=[{"content": "Hi"}])[0]["output"] == "Hi"


OWN = {"python": "class Own:\n    CODE\nagent = Own()\n",
       "node": "export const agent = { CODE };\n"}


@pytest.mark.parametrize("language, code, output", each(python=[
    ("async def run(self, messages, context): return messages[-1]['content'] + context.user",
     "Helloalice"),
    ("def run(self, input): return {'said': input}", '{"said": "Hello"}'),
    ("def run_sync(self, chat): return chat[0]['content']", "Hello"),
    ("def run(self, **known): return ' '.join(sorted(known))",
     "context input messages model params stream"),
    ("async def run(self, messages):\n        yield 'a'\n        yield 'b'", "ab"),
    ("def run(self): return {'choices': [{'message': {'role': 'assistant', 'content': 'c'}, "
     "'finish_reason': 'length'}]}", "c"),
    ("def run(self):\n        async def later(): return 'later'\n        return later()", "later"),
    ("def run(self): return None", ""),
], node=[
    ("async run({ messages, context }) { return messages.at(-1).content + context.user; }",
     "Helloalice"),
    ("run: ({ input }) => ({ said: input })", '{"said":"Hello"}'),
    ("run: (known) => Object.keys(known).sort().join(' ')",
     "context input messages model params signal stream"),
    ("async *run() { yield 'a'; yield 'b'; }", "ab"),
    ("run: () => ({ choices: [{ message: { role: 'assistant', content: 'c' }, "
     "finish_reason: 'length' }] })", "c"),
    ("run() {}", ""),
]))
def test_objects_with_run(sdk_host, language, code, output):
    host = sdk_host(OWN[language].replace("CODE", code))
    assert attrs(host.catalog) == [("agent", "runner")]
    for stream in (False, True):
        last, run = answer(host, stream)
        assert last["output"] == output, last
        assert run.text() == (output if stream else "")


# ---- diagnostics ----

@pytest.mark.parametrize("language, name, code", each(
    python=[("agent.py", "x = 1\n\ndef broken(:\n    pass\n")],
    node=[("agent.mjs", "const x = 1;\n\nexport const y = ;\n"),
          ("agent.js", "const x = 1;\n\nconst y = ;\n")]))
def test_a_syntax_error_has_its_file_and_line(sdk_host, name, code):
    catalog = sdk_host(code, name).catalog
    error = only(catalog)
    assert (error["kind"], error["line"]) == ("import", 3), error
    assert error["path"].endswith(name) and "SyntaxError" in error["message"]
    assert catalog["exports"] == []


USES_HELPER = {"python": ("helper.py", "import helper\n"),
               "node": ("helper.mjs", 'import { value } from "./helper.mjs";\n')}


@pytest.mark.parametrize("language, text, line, has", each(
    python=[("\n\nvalue = {}['nothing']\n", 3, "KeyError")],
    node=[("\n\nexport const value = {}.nothing.more;\n", 3, "TypeError"),
          ("export const value = 1;\n}\n", 2, "SyntaxError")]))
def test_errors_in_helpers_are_shown_where_they_are(sdk_host, language, text, line, has):
    name, code = USES_HELPER[language]
    error = only(sdk_host(code, files={name: text}).catalog)
    assert (error["kind"], error["line"]) == ("import", line), error
    assert error["path"].endswith(name) and has in error["message"]


IN_PYTHON = AGENT["python"] + "agent = Agent(name='A')\n"
IN_NODE = AGENT["node"] + "export const agent = new Agent({ name: 'A' });\n"
HOSTED = 'import { Agent, webSearchTool } from "@openai/agents";\n'


@pytest.mark.parametrize("language, code, kind, has", each(python=[
    ("import nothing_of_this_name", "dependency", "contrib/install-agent-deps --agent /"),
    ("from agents import NoSuchThing", "import", "NoSuchThing"),
    ("import sys; sys.exit(4)", "import", "exit(4)"),
    ("raise KeyboardInterrupt", "import", "KeyboardInterrupt"),
    ("class Odd(BaseException): pass\nraise Odd('odd')", "import", "Odd: odd"),
    ("class Odd(Exception): exceptions = None\nraise Odd('odd')", "import", "Odd: odd"),
    ("agent = 7", "validation", "agent is of type int"),
    ("def build_agent(): return 7", "validation", "build_agent() gives int"),
    ("x = 1", "validation", "none of agent, build_agent"),
    (IN_PYTHON + "__gateway__ = []", "validation", "__gateway__"),
    (IN_PYTHON + "__gateway__ = {'model': 7}", "validation", "model of"),
    ("from agents import Agent, WebSearchTool\nagent = Agent(name='A', tools=[WebSearchTool()])",
     "validation", "web_search"),
    ("from agents import Agent, WebSearchTool\n"
     "agent = Agent(name='A', handoffs=[Agent(name='B', tools=[WebSearchTool()])])",
     "validation", "web_search of B"),
    ("import os\nKEY = os.environ['WEATHER_KEY']", "import",
     "the environment of the gateway is not"),
    ("open('/nowhere-to-write', 'x')" if os.geteuid() else
     "import errno\nraise PermissionError(errno.EROFS, 'Read-only', 'x.db')", "import",
     "tempfile.gettempdir()"),
    ("import socket\nsocket.getaddrinfo('host.invalid', 80)", "import", "network: true"),
    ("import sqlite3\nsqlite3.connect('/nowhere/x.db')", "import", "tempfile.gettempdir()"),
    (AGENT["python"] + "from agents import Runner\nRunner.run_sync(Agent(name='A'), 'Hi')",
     "import", "belongs under `if __name__"),
    ("from typing import Any\n" + AGENT["python"] +
     "agent = Agent(name='A', output_type=dict[str, Any])",
     "validation", "the output_type of A cannot be used"),
], node=[
    ("import 'no-such-package';", "dependency", "contrib/install-agent-deps --agent /"),
    ("import '@no/such/thing';", "dependency", "@no/such"),
    ("import './nowhere.mjs';", "import", "nowhere.mjs"),
    ('import { NoSuchThing } from "@openai/agents";', "import", "NoSuchThing"),
    ("process.exit(4);", "import", "process.exit(4)"),
    ("throw 'a text';", "import", "a text"),
    ("throw null;", "import", "null"),
    ("export const agent = 7;", "validation", "the export agent is of type number"),
    ("export const buildAgent = () => 7;", "validation", "build_agent() gives number"),
    ("export const x = 1;", "validation", "none of agent, build_agent"),
    (IN_NODE + "export const gateway = [];", "validation", "the export gateway must be an object"),
    (IN_NODE + "export const gateway = {model: 7};", "validation", "model of gateway"),
    (HOSTED + "export const agent = new Agent({ name: 'A', tools: [webSearchTool()] });",
     "validation", "the tool web_search of A"),
    (HOSTED + "export const agent = new Agent({ name: 'A', handoffs: [\n"
              "  new Agent({ name: 'B', tools: [webSearchTool()] })] });",
     "validation", "web_search of B"),
    ("import fs from 'node:fs';\nimport os from 'node:os';\n"
     "throw Object.assign(new Error('no'), { code: 'EROFS', path: 'x.db' });", "import",
     "os.tmpdir()"),
    ("import dns from 'node:dns/promises';\nawait dns.lookup('host.invalid');", "import",
     "network: true"),
    ('import { Agent, run } from "@openai/agents";\n'
     "export const agent = new Agent({ name: 'A' });\nawait run(agent, 'Hi');", "import",
     "belongs into another file"),
]))
def test_diagnostics(sdk_host, code, kind, has):
    error = only(sdk_host(code).catalog)
    assert error["kind"] == kind and has in error["message"], error


ONE_IS_BAD = {
    "python": "from agents import FileSearchTool\n" + IN_PYTHON +
              "bad = Agent(name='B', tools=[FileSearchTool(vector_store_ids=['x'])])\n"
              "__gateway__ = {'colour': 'red'}\n",
    "node": HOSTED + "export const agent = new Agent({ name: 'A' });\n"
                     "export const bad = new Agent({ name: 'B', tools: [webSearchTool()] });\n"
                     "export const gateway = { colour: 'red' };\n",
}


def test_other_agents_of_a_module_with_a_bad_one_are_served(sdk_host, language):
    catalog = sdk_host(ONE_IS_BAD[language]).catalog
    assert attrs(catalog) == [("agent", "agent")]
    assert only(catalog)["attr"] == "bad"
    assert "colour" in only(catalog, "warning")["message"]


# ---- what a module may rely on ----

ASKS = {"python": '''
import os
from openai import OpenAI
from agents import Agent
try:
    OpenAI(max_retries=0).chat.completions.create(model="x", messages=[])
except Exception as error:
    said = f"{error.status_code} {error}"
agent = Agent(name=said, instructions=" ".join(f"{k}={v}" for k, v in os.environ.items()))
''', "node": '''
import OpenAI from "openai";
import { Agent } from "@openai/agents";
let said;
try {
  await new OpenAI({ maxRetries: 0 }).chat.completions.create({ model: "x", messages: [] });
} catch (error) {
  said = `${error.status} ${error}`;
}
export const agent = new Agent({ name: said, instructions:
  Object.entries(process.env).map(([name, value]) => `${name}=${value}`).join(" ") });
'''}


def test_no_key_and_no_model_call_while_loading(sdk_host, language):
    host = sdk_host(ASKS[language])
    assert host.catalog["exports"][0]["name"].startswith("409"), host.catalog
    _, run = answer(host, model=[{"content": "Hi"}])
    environment = run.requests[0]["messages"][0]["content"].split()
    assert "OPENAI_BASE_URL=http://gateway.invalid/v1" in environment
    assert not [entry for entry in environment if entry.startswith("NODE_CHANNEL")]


PRINTS = {
    "python": "import os, sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\n"
              "sys.stdout.buffer.write(b'bytes\\n')\nos.write(1, b'raw')\n" + IN_PYTHON,
    "node": "import fs from 'node:fs';\nconsole.log('to stdout');\n"
            "console.error('to stderr');\nprocess.stdout.write(Buffer.from('bytes\\n'));\n"
            "fs.writeSync(1, 'raw');\nexport const agent = { run() {} };\n",
}


def test_prints_while_loading_are_logged(sdk_host, language):
    host = sdk_host(PRINTS[language])
    assert [(m["stream"], m["message"]) for m in host.logs] == [
        ("stdout", "to stdout"), ("stderr", "to stderr"), ("stdout", "bytes")]
    assert "raw" in host.stderr()
