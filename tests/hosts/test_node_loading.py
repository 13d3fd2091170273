# SPDX-License-Identifier: MIT
"""What the Node.js host finds in a module, what it says of broken ones, and what it does not do."""
import os

import pytest

import env
import runner_peer
from host_play import answer, attrs, only

AGENT = 'import { Agent } from "@openai/agents";\n'


# ---- exports ----

def test_exports_in_their_order_and_what_is_said_of_them(node_host):
    host = node_host('''
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
''')
    catalog = host.catalog
    assert catalog["diagnostics"] == []
    assert attrs(catalog) == [("agent", "agent"), ("build_agent", "factory"), ("second", "agent")]
    assert catalog["exports"][0] == {"attr": "agent", "kind": "agent", "name": "First",
                                     "model": "gpt-4o", "tools": [], "handoffs": ["Second"]}
    assert catalog["exports"][2]["tools"] == ["add"]
    assert catalog["gateway"] == {"namespace": "lab", "display_name": "Lab", "model": "m1",
                                  "upstream": "u1"}
    assert host.hello["lang"] == "node" and host.hello["v"] == 1
    assert catalog["sdk"].startswith("@openai/agents 0.")


def test_names_of_exports_are_the_operators(node_host):
    host = node_host(AGENT + 'export const make = () => new Agent({ name: "Made" });\n'
                             'export const agent = new Agent({ name: "A" });\n', exports=["make"])
    assert attrs(host.catalog) == [("make", "factory"), ("agent", "agent")]
    assert answer(host, attr="make", model=[{"content": "Hi"}])[0]["output"] == "Hi"


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


def test_a_factory_that_needs_a_request_is_served_all_the_same(node_host):
    host = node_host(AGENT + "export function build_agent(context) {\n"
                             "  return new Agent({ name: context.user.trim() });\n}\n")
    assert attrs(host.catalog) == [("build_agent", "factory")]
    warning = only(host.catalog, "warning")
    assert (warning["kind"], warning["line"]) == ("runtime", 3), warning
    assert "TypeError" in warning["message"]
    assert answer(host, attr="build_agent", model=[{"content": "Hi"}])[0]["output"] == "Hi"


@pytest.mark.parametrize("code, output", [
    ("async run({ messages, context }) { return messages.at(-1).content + context.user; }",
     "Helloalice"),
    ("run: ({ input }) => ({ said: input })", '{"said":"Hello"}'),
    ("run: (known) => Object.keys(known).sort().join(' ')",
     "context input messages model params signal stream"),
    ("async *run() { yield 'a'; yield 'b'; }", "ab"),
    ("run: () => ({ choices: [{ message: { role: 'assistant', content: 'c' }, "
     "finish_reason: 'length' }] })", "c"),
    ("run() {}", ""),
])
def test_objects_with_run(node_host, code, output):
    host = node_host(f"export const agent = {{ {code} }};\n")
    assert attrs(host.catalog) == [("agent", "runner")]
    for stream in (False, True):
        run = runner_peer.Run(host, {}, stream)
        assert run.play()["output"] == output, run.last
        assert run.text() == (output if stream else "")
        run.close()


def test_a_runner_of_the_sdk_is_no_agent(node_host):
    host = node_host('import { Agent, Runner } from "@openai/agents";\n'
                     "export const runner = new Runner();\n"
                     "export const agent = new Agent({ name: 'A' });\n")
    assert attrs(host.catalog) == [("agent", "agent")]


# ---- diagnostics ----

@pytest.mark.parametrize("name, code", [
    ("agent.mjs", "const x = 1;\n\nexport const y = ;\n"),
    ("agent.js", "const x = 1;\n\nconst y = ;\n")])
def test_a_syntax_error_has_its_file_and_line(node_host, name, code):
    host = node_host(code, name)
    error = only(host.catalog)
    assert (error["kind"], error["line"]) == ("import", 3), error
    assert error["path"].endswith(name) and "SyntaxError" in error["message"]
    assert host.catalog["exports"] == []


@pytest.mark.parametrize("text, line, has", [
    ("\n\nexport const value = {}.nothing.more;\n", 3, "TypeError"),
    ("export const value = 1;\n}\n", 2, "SyntaxError")])
def test_errors_in_helpers_are_shown_where_they_are(node_host, text, line, has):
    host = node_host('import { value } from "./helper.mjs";\n', files={"helper.mjs": text})
    error = only(host.catalog)
    assert (error["kind"], error["line"]) == ("import", line), error
    assert error["path"].endswith("helper.mjs") and has in error["message"]


HOSTED = 'import { Agent, webSearchTool } from "@openai/agents";\n'


@pytest.mark.parametrize("code, kind, has", [
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
    (AGENT + "export const agent = new Agent({ name: 'A' });\nexport const gateway = [];",
     "validation", "the export gateway must be an object"),
    (AGENT + "export const agent = new Agent({ name: 'A' });\nexport const gateway = {model: 7};",
     "validation", "model of gateway"),
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
])
def test_diagnostics(node_host, code, kind, has):
    error = only(node_host(code).catalog)
    assert error["kind"] == kind and has in error["message"], error


def test_other_agents_of_a_module_with_a_bad_one_are_served(node_host):
    host = node_host(HOSTED + "export const agent = new Agent({ name: 'A' });\n"
                              "export const bad = new Agent({ name: 'B', tools: [webSearchTool()]"
                              " });\nexport const gateway = { colour: 'red' };\n")
    assert attrs(host.catalog) == [("agent", "agent")]
    assert only(host.catalog)["attr"] == "bad"
    assert "colour" in only(host.catalog, "warning")["message"]


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


# ---- what a module may rely on ----

def test_no_key_and_no_model_call_while_loading(node_host):
    host = node_host('''
import OpenAI from "openai";
import { Agent } from "@openai/agents";
let said;
try {
  await new OpenAI({ maxRetries: 0 }).chat.completions.create({ model: "x", messages: [] });
} catch (error) {
  said = `${error.status} ${error}`;
}
export const agent = new Agent({ name: said, instructions: JSON.stringify(process.env) });
''')
    assert host.catalog["exports"][0]["name"].startswith("409"), host.catalog
    _, run = answer(host, model=[{"content": "Hi"}])
    environment = run.requests[0]["messages"][0]["content"]
    assert '"OPENAI_BASE_URL":"http://gateway.invalid/v1"' in environment
    assert "NODE_CHANNEL" not in environment


def test_prints_while_loading_are_logged(node_host):
    host = node_host("import fs from 'node:fs';\nconsole.log('to stdout');\n"
                     "console.error('to stderr');\nprocess.stdout.write(Buffer.from('bytes\\n'));\n"
                     "fs.writeSync(1, 'raw');\nexport const agent = { run() {} };\n")
    assert [(m["stream"], m["message"]) for m in host.logs] == [
        ("stdout", "to stdout"), ("stderr", "to stderr"), ("stdout", "bytes")]
    assert "raw" in host.stderr()
