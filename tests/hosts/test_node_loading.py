# SPDX-License-Identifier: MIT
"""Kinds of modules and packages that there are in JavaScript alone."""
import os

import pytest

import env
from host_play import answer, attrs, only

AGENT = 'import { Agent } from "@openai/agents";\n'


# ---- modules ----

@pytest.mark.parametrize("name, code", [
    ("agent.mjs", AGENT + 'export default new Agent({ name: "A", instructions: "x" });'),
    ("agent.js", AGENT + 'export const agent = new Agent({ name: "A", instructions: "x" });'),
    ("agent.js", 'const { Agent } = require("@openai/agents");\n'
                 'exports.agent = new Agent({ name: "A", instructions: "x" });'),
    ("agent.js", 'const { Agent, tool } = require("@openai/agents");\n'
                 'require("agent_gateway").useGatewayTool("x");\n'
                 'const build = () => ({ agent: new Agent({ name: "A", instructions: "x" }) });\n'
                 'module.exports = build();'),
    ("agent.js", 'const { Agent } = require("@openai/agents");\n'
                 'module.exports = new Agent({ name: "A", instructions: "x" });'),
    ("agent.cjs", 'const { Agent } = require("@openai/agents");\n'
                  'exports.agent = new Agent({ name: "A", instructions: "x" });'),
    ("agent.ts", AGENT + 'interface Named { name: string }\nconst named: Named = { name: "A" };\n'
                 'export const agent: Agent = new Agent({ ...named, instructions: "x" });'),
])
def test_kinds_of_modules(node_host, name, code):
    host = node_host(code, name)
    assert attrs(host.catalog) == [("agent", "agent")], host.catalog
    last, run = answer(host, model=[{"content": "Hi"}])
    assert last["output"] == "Hi" and run.requests[0]["messages"][0]["content"] == "x"


def test_packages_that_are_linked_as_pnpm_does(node_host, directory):
    # What the SDK itself needs lies beside it, and not in the agent's folder.
    source = directory / "source"
    for name in ("@openai/agents", "zod"):
        link = source / "node_modules" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(env.TEST_ENV / "hosts/node_modules" / name)
    (source / "agent.mjs").write_text(AGENT + """
import { tool } from "@openai/agents";
import { z } from "zod";
const own = tool({ name: "own", description: "", parameters: z.object({}), execute: () => "o" });
export const agent = new Agent({ name: "A", tools: [own] });
""")
    host = node_host(source)
    assert attrs(host.catalog) == [("agent", "agent")], host.catalog
    last, run = answer(host, model=[{"tool_calls": [{"name": "own"}]}, {"content": "Hi"}])
    assert last["output"] == "Hi" and [check["name"] for check in run.checks] == ["own"]


@pytest.mark.parametrize("name", ["./words.js", "./words", "./words.ts"])
def test_typescript_names_its_files_as_its_compiler_has_it(node_host, name):
    host = node_host(AGENT + f'import {{ words }} from "{name}";\n'
                     'export const agent = new Agent({ name: "A", instructions: words });',
                     "agent.ts", files={"words.ts": 'export const words: string = "x";\n'})
    last, run = answer(host, model=[{"content": "Hi"}])
    assert last["output"] == "Hi" and run.requests[0]["messages"][0]["content"] == "x"


def test_a_syntax_error_of_typescript_has_its_place(node_host):
    error = only(node_host("const x: number = 1;\n\nconst y: = ;\n", "agent.ts").catalog)
    assert error["kind"] == "import" and error["path"].endswith("agent.ts"), error


def test_a_runner_of_the_sdk_is_no_agent(node_host):
    host = node_host('import { Agent, Runner } from "@openai/agents";\n'
                     "export const runner = new Runner();\n"
                     "export const agent = new Agent({ name: 'A' });\n")
    assert attrs(host.catalog) == [("agent", "agent")]


# ---- package.json ----

def test_missing_packages_are_named_before_anything_is_imported(node_host):
    host = node_host("throw new Error('was imported');", files={"package.json": """{
  "name": "needy",
  "dependencies": {
    "@openai/agents": "^0.20.0",
    "no-such-package": "^2.0.0",
    "zod": "1.0.0"
  }
}"""})
    found = host.catalog["diagnostics"]
    assert [(d["kind"], d["line"], os.path.basename(d["path"])) for d in found] == [
        ("dependency", 5, "package.json"), ("dependency", 6, "package.json")], found
    assert "no-such-package ^2.0.0 is not installed" in found[0]["message"]
    assert "contrib/install-agent-deps --agent /" in found[0]["message"]
    assert "zod 1.0.0 (version 4." in found[1]["message"]


@pytest.mark.parametrize("text", ["{", "[]", "null", '{"dependencies": 7}'])
def test_a_package_json_that_is_none(node_host, text):
    host = node_host(AGENT + "export const agent = new Agent({ name: 'A' });",
                     files={"package.json": text})
    assert host.catalog["exports"] == [] and host.catalog["diagnostics"] or \
        attrs(host.catalog) == [("agent", "agent")], host.catalog
