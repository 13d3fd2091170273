# SPDX-License-Identifier: MIT
"""What the Python host finds in a module, what it says of broken ones, and what it does not do."""
import os

import pytest

import runner_peer
from host_play import answer, attrs, only

AGENT = "from agents import Agent\n"


# ---- exports ----

def test_exports_in_their_order_and_what_is_said_of_them(python_host):
    host = python_host('''
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
''')
    catalog = host.catalog
    assert catalog["diagnostics"] == []
    assert attrs(catalog) == [("agent", "agent"), ("build_agent", "factory"), ("second", "agent")]
    assert catalog["exports"][0] == {"attr": "agent", "kind": "agent", "name": "First",
                                     "model": "gpt-4o", "tools": [], "handoffs": ["Second"]}
    assert catalog["exports"][2]["tools"] == ["add"]
    assert catalog["gateway"] == {"namespace": "lab", "display_name": "Lab", "model": "m1",
                                  "upstream": "u1"}
    assert catalog["doc"] == "Agents for a test."
    assert host.hello["lang"] == "python" and host.hello["v"] == 1
    assert host.hello["sdk"].startswith("openai-agents 0.")


def test_names_of_exports_are_the_operators(python_host):
    host = python_host(AGENT + "make = lambda: Agent(name='Made')\nagent = Agent(name='A')",
                       exports=["make"])
    assert attrs(host.catalog) == [("make", "factory"), ("agent", "agent")]
    last, _ = answer(host, attr="make", model=[{"content": "Hi"}])
    assert last["output"] == "Hi"


@pytest.mark.parametrize("code, says", [
    ("def build_agent(context=None): return Agent(name=f'For {context.get(\"user\")}', "
     "instructions=f'for {context.get(\"user\")}')", "for alice"),
    ("def build_agent(**more): return Agent(name='A', instructions=f'for {more[\"context\"]"
     "[\"user\"]}')", "for alice"),
    ("def build_agent(): return Agent(name='A', instructions='for nobody')", "for nobody"),
    ("async def build_agent(context): return Agent(name='A', instructions='for "
     "' + str(context.get('user')))", "for alice"),
])
def test_factories(python_host, code, says):
    host = python_host(AGENT + code)
    last, run = answer(host, attr="build_agent", model=[{"content": "Hi"}])
    assert last["output"] == "Hi"
    assert says in run.requests[0]["messages"][0]["content"]


def test_a_factory_may_read_its_context_while_it_is_loaded(python_host):
    host = python_host(AGENT + "def build_agent(context):\n"
                               "    team = context['metadata'].get('team', context.user)\n"
                               "    return Agent(name=f'For {team}')\n")
    assert host.catalog["diagnostics"] == []


def test_a_factory_that_needs_a_request_is_served_all_the_same(python_host):
    host = python_host(AGENT + "def build_agent(context):\n"
                               "    return Agent(name=context['user'].title())\n")
    assert attrs(host.catalog) == [("build_agent", "factory")]
    warning = only(host.catalog, "warning")
    assert warning["kind"] == "runtime" and warning["line"] == 3 and "AttributeError" in \
        warning["message"]
    assert answer(host, attr="build_agent", model=[{"content": "Hi"}])[0]["output"] == "Hi"


@pytest.mark.parametrize("code, output", [
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
])
def test_objects_with_run(python_host, code, output):
    host = python_host(f"class Own:\n    {code}\nagent = Own()\n")
    assert attrs(host.catalog) == [("agent", "runner")]
    for stream in (False, True):
        run = runner_peer.Run(host, {}, stream)
        assert run.play()["output"] == output, run.last
        assert run.text() == (output if stream else "")
        run.close()


def test_objects_with_run_of_others_are_no_agents(python_host):
    host = python_host("import asyncio, subprocess, concurrent.futures, agents\n"
                       "from agents import Agent, Runner\n"
                       "class Own:\n    def run(self): return 'x'\n"
                       "own = Own()\nrunner = Runner()\nagent = Agent(name='A')\n")
    assert attrs(host.catalog) == [("agent", "agent"), ("own", "runner")]


def test_a_module_without_the_sdk_starts_without_it(python_host):
    host = python_host("class Own:\n    def run(self):\n        import sys\n"
                       "        return str('agents' in sys.modules)\nagent = Own()\n")
    assert answer(host)[0]["output"] == "False"


def test_garbage_is_not_looked_for_while_a_module_loads_nor_in_what_it_made(python_host):
    host = python_host("import gc\nloading = gc.isenabled()\n"
                       "class Own:\n    def run(self):\n"
                       "        return f'{loading} {gc.isenabled()} {gc.get_freeze_count() > 1000}'\n"
                       "agent = Own()\n")
    assert answer(host)[0]["output"] == "False True True"


# ---- diagnostics ----

def test_a_syntax_error_has_its_file_and_line(python_host):
    host = python_host("x = 1\n\ndef broken(:\n    pass\n")
    error = only(host.catalog)
    assert (error["kind"], error["line"]) == ("import", 3)
    assert error["path"].endswith("agent.py") and "SyntaxError" in error["message"]
    assert host.catalog["exports"] == []


def test_errors_in_helpers_are_shown_where_they_are(python_host, directory):
    folder = directory / "agents" / "Broken"
    folder.mkdir(parents=True)
    (folder / "agent.py").write_text("import helper\n")
    (folder / "helper.py").write_text("\n\nvalue = {}['nothing']\n")
    error = only(python_host(folder).catalog)
    assert (error["kind"], error["line"]) == ("import", 3)
    assert error["path"].endswith("helper.py") and "KeyError" in error["message"]


@pytest.mark.parametrize("code, kind, has", [
    ("import nothing_of_this_name", "dependency",
     "contrib/install-agent-deps --agent /"),
    ("from agents import NoSuchThing", "import", "NoSuchThing"),
    ("import sys; sys.exit(4)", "import", "exit(4)"),
    ("raise KeyboardInterrupt", "import", "KeyboardInterrupt"),
    ("class Odd(BaseException): pass\nraise Odd('odd')", "import", "Odd: odd"),
    ("class Odd(Exception): exceptions = None\nraise Odd('odd')", "import", "Odd: odd"),
    ("agent = 7", "validation", "agent is of type int"),
    ("def build_agent(): return 7", "validation", "build_agent() gives int"),
    ("x = 1", "validation", "none of agent, build_agent"),
    (AGENT + "agent = Agent(name='A')\n__gateway__ = []", "validation", "__gateway__"),
    (AGENT + "agent = Agent(name='A')\n__gateway__ = {'model': 7}", "validation", "model of"),
    ("from agents import Agent, WebSearchTool\nagent = Agent(name='A', tools=[WebSearchTool()])",
     "validation", "web_search"),
    ("from agents import Agent, WebSearchTool\n"
     "agent = Agent(name='A', handoffs=[Agent(name='B', tools=[WebSearchTool()])])",
     "validation", "web_search of B"),
    ("import os\nKEY = os.environ['WEATHER_KEY']", "import", "the environment of the gateway is not"),
    ("open('/nowhere-to-write', 'x')" if os.geteuid() else
     "import errno\nraise PermissionError(errno.EROFS, 'Read-only', 'x.db')", "import",
     "tempfile.gettempdir()"),
    ("import socket\nsocket.getaddrinfo('host.invalid', 80)", "import", "network: true"),
    ("import sqlite3\nsqlite3.connect('/nowhere/x.db')", "import", "tempfile.gettempdir()"),
    (AGENT + "from agents import Runner\nRunner.run_sync(Agent(name='A'), 'Hi')", "import",
     "belongs under `if __name__"),
    ("from typing import Any\n" + AGENT + "agent = Agent(name='A', output_type=dict[str, Any])",
     "validation", "the output_type of A cannot be used"),
])
def test_diagnostics(python_host, code, kind, has):
    error = only(python_host(code).catalog)
    assert error["kind"] == kind and has in error["message"], error


def test_an_error_of_python_itself_is_shown_where_the_agent_caused_it(python_host):
    # Python's frozen modules have no path; the host's working folder is the agent's.
    error = only(python_host("\nimport os\nKEY = os.environ['NO_SUCH_KEY']\n").catalog)
    assert (os.path.basename(error["path"]), error["line"]) == ("agent.py", 3)


def test_other_agents_of_a_module_with_a_bad_one_are_served(python_host):
    host = python_host("from agents import Agent, FileSearchTool\nagent = Agent(name='A')\n"
                       "bad = Agent(name='B', tools=[FileSearchTool(vector_store_ids=['x'])])\n")
    assert attrs(host.catalog) == [("agent", "agent")]
    assert only(host.catalog)["attr"] == "bad"


def test_unknown_members_of_meta_and_sessions_are_warned_of(python_host):
    host = python_host("from agents import Agent, SQLiteSession\nagent = Agent(name='A')\n"
                       "__gateway__ = {'colour': 'red'}\nmemory = SQLiteSession('x')\n")
    texts = [d["message"] for d in host.catalog["diagnostics"] if d["severity"] == "warning"]
    assert len(texts) == 2 and "colour" in texts[0] and "memory is a session" in texts[1]
    assert attrs(host.catalog) == [("agent", "agent")]


# ---- requirements.txt ----

def with_requirements(directory, text, code="raise SystemExit('was imported')"):
    folder = directory / "agents" / "Needy"
    folder.mkdir(parents=True)
    (folder / "agent.py").write_text(code)
    (folder / "requirements.txt").write_text(text)
    return folder


def test_missing_packages_are_named_before_anything_is_imported(python_host, directory):
    folder = with_requirements(directory, "# what it needs\nopenai-agents\nno-such-package>=2\n"
                                          "openai<1\nother_missing ; python_version < '3'\n"
                                          "--index-url https://example.com/simple\n-r more.txt\n")
    (folder / "more.txt").write_text("one-more[extra]==1.0  # why\n")
    found = python_host(folder).catalog["diagnostics"]
    assert [(d["kind"], d["line"], os.path.basename(d["path"])) for d in found] == [
        ("dependency", 3, "requirements.txt"), ("dependency", 4, "requirements.txt"),
        ("dependency", 1, "more.txt")]
    assert "no-such-package>=2 is not installed" in found[0]["message"]
    assert found[0]["message"].endswith(f"run contrib/install-agent-deps --agent {folder}")
    assert "openai<1 (version 3." in found[1]["message"]
    assert "one-more[extra]==1.0" in found[2]["message"]


def test_requirements_that_are_there(python_host, directory):
    folder = with_requirements(directory, "openai-agents>=0.20\nPydantic\npyyaml\n"
                                          "broken requirement !!\n",
                               AGENT + "agent = Agent(name='A')\n")
    error = only(python_host(folder).catalog)
    assert error["kind"] == "dependency" and "is no requirement" in error["message"]
    (folder / "requirements.txt").write_text("openai-agents>=0.20\nPydantic\npyyaml\n")
    assert attrs(python_host(folder).catalog) == [("agent", "agent")]


# ---- what a module may rely on ----

def test_a_root_called_agents_does_not_hide_the_sdk(python_host, directory):
    folder = directory / "agents" / "labs" / "Deep"
    folder.mkdir(parents=True)
    (folder / "agent.py").write_text(
        "import sys\nfrom agents import Agent\nfrom .helper import NAME\nimport helper\n"
        "import agent as myself\n"
        "agent = Agent(name=NAME, instructions='\\n'.join(sys.path))\n"
        "assert myself.Agent is Agent\n")
    (folder / "helper.py").write_text("NAME = 'Deep'\n")
    host = python_host(folder)
    assert host.catalog["exports"][0]["name"] == "Deep", host.catalog
    _, run = answer(host, model=[{"content": "Hi"}])
    paths = run.requests[0]["messages"][0]["content"].split("\n")
    assert str(folder) == paths[0]
    assert not {str(directory), str(directory / "agents"), str(folder.parent), ""} & set(paths)


def test_a_module_may_run_a_loop_while_it_is_loaded(python_host):
    host = python_host("import asyncio\nfrom agents import Agent\n"
                       "async def name(): return 'Later'\n"
                       "agent = Agent(name=asyncio.run(name()))\n")
    assert host.catalog["exports"][0]["name"] == "Later"
    assert answer(host, model=[{"content": "Hi"}])[0]["output"] == "Hi"


def test_no_key_and_no_model_call_while_loading(python_host):
    host = python_host('''
import os
from openai import OpenAI
from agents import Agent
try:
    OpenAI(max_retries=0).chat.completions.create(model="x", messages=[])
except Exception as error:
    said = f"{error.status_code} {error}"
agent = Agent(name=said, instructions=" ".join(f"{k}={v}" for k, v in os.environ.items()))
''')
    assert host.catalog["exports"][0]["name"].startswith("409"), host.catalog
    _, run = answer(host, model=[{"content": "Hi"}])
    environment = run.requests[0]["messages"][0]["content"]
    assert "OPENAI_BASE_URL=http://gateway.invalid/v1" in environment


def test_prints_while_loading_are_logged(python_host):
    host = python_host("import os, sys\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\n"
                       "sys.stdout.buffer.write(b'bytes\\n')\nos.write(1, b'raw')\n" + AGENT +
                       "agent = Agent(name='A')\n")
    assert [(m["stream"], m["message"]) for m in host.logs] == [
        ("stdout", "to stdout"), ("stderr", "to stderr"), ("stdout", "bytes")]
    assert "raw" in host.stderr()
