# SPDX-License-Identifier: MIT
"""Factories, requirements and surroundings that there are in Python alone."""
import os

import pytest

from host_play import answer, attrs, only

AGENT = "from agents import Agent\n"


# ---- exports ----

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

def test_an_error_of_python_itself_is_shown_where_the_agent_caused_it(python_host):
    # Python's frozen modules have no path; the host's working folder is the agent's.
    error = only(python_host("\nimport os\nKEY = os.environ['NO_SUCH_KEY']\n").catalog)
    assert (os.path.basename(error["path"]), error["line"]) == ("agent.py", 3)


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
