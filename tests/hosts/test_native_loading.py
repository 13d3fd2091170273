# SPDX-License-Identifier: MIT
"""contrib/build-agent makes agent.so of agent.c, and its host says what is in it or is wrong."""
import os
import re
import subprocess

import pytest

import env
import runner_peer

SCRIPT = env.SOURCE / "contrib/build-agent"
HEAD = "#include <agent_gateway/agent.h>\n"
GOOD = HEAD + 'const struct agw_agent agent = {.version = AGW_AGENT_VERSION, .name = "Good"};\n'


def build(*words, **environment):
    strict = {"CFLAGS": "-Wall -Wextra -Werror -O2"}
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True,
                          env={**os.environ, **strict, **environment}, check=False)


@pytest.fixture
def folder(directory):
    path = directory / "agents" / "Tried"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def catalog(directory, folder):
    """Builds the texts of the files, loads the module -> its catalog."""
    hosts = []

    def load(text, files=None, **more):
        for name, content in {"agent.c": text, **(files or {})}.items():
            (folder / name).write_text(content)
        result = build(folder)
        assert result.returncode == 0, result.stderr
        hosts.append(runner_peer.Host([env.BUILD / "agw-native"], directory))
        return hosts[-1].start(folder / "agent.so", **more)

    yield load
    for host in hosts:
        host.stop()


def problem(catalog):
    assert catalog["exports"] == []
    [diagnostic] = catalog["diagnostics"]
    assert diagnostic["severity"] == "error"
    return diagnostic["kind"], diagnostic["message"]


# ---- loading ----

def test_an_agent_and_its_helper_file(catalog):
    helper = HEAD + "const char *words(void) { return \"w\"; }\n"
    found = catalog(GOOD + "const char *words(void);\n", {"helper.c": helper})
    assert found["diagnostics"] == [] and found["doc"] is None
    assert found["exports"] == [{"attr": "agent", "kind": "agent", "name": "Good", "model": None,
                                 "tools": [], "handoffs": []}]


def test_the_names_that_are_looked_for_are_the_gateways(catalog):
    found = catalog(GOOD.replace(" agent =", " main_one ="), exports=["nothing", "main_one"])
    assert [export["attr"] for export in found["exports"]] == ["main_one"]


def test_a_module_without_a_descriptor(catalog):
    kind, message = problem(catalog(HEAD + "int other;\n"))
    assert kind == "validation" and "no descriptor" in message


def test_a_descriptor_of_another_version(catalog):
    kind, message = problem(catalog(GOOD.replace("AGW_AGENT_VERSION", "99")))
    assert kind == "validation" and "version 99" in message and "build-agent" in message


def test_a_function_of_a_newer_header(catalog):
    kind, message = problem(catalog(GOOD + "void agw_newer(void);\n"
                                    "void use(void);\nvoid use(void) { agw_newer(); }\n"))
    assert kind == "import" and "agw_newer" in message and "newer" in message


def test_a_file_that_is_no_shared_object(directory, folder):
    (folder / "agent.so").write_text("nonsense")
    with runner_peer.Host([env.BUILD / "agw-native"], directory) as host:
        kind, message = problem(host.start(folder / "agent.so"))
    assert kind == "import" and "cannot be loaded" in message


def test_functions_of_the_module_are_its_own(catalog):
    # The host has functions of these names, too.
    found = catalog(GOOD + "void buf_init(void);\nvoid buf_init(void) { __builtin_trap(); }\n"
                    "__attribute__((constructor)) static void begin(void) {}\n")
    assert len(found["exports"]) == 1


def test_the_host_alone_says_who_starts_it():
    result = subprocess.run([env.BUILD / "agw-native", "x"], capture_output=True, text=True,
                            check=False)
    assert result.returncode == 2 and "agw-runner" in result.stderr


# ---- building ----

def test_a_build_that_fails_leaves_the_old_one(folder):
    (folder / "agent.c").write_text(GOOD)
    assert build(folder).returncode == 0
    before = (folder / "agent.so").read_bytes()
    (folder / "agent.c").write_text(GOOD + "int broken(\n")
    result = build(folder)
    assert result.returncode == 2
    assert "agent.c:3" in result.stderr and "the compiler failed" in result.stderr
    assert (folder / "agent.so").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["agent.c", "agent.so"]


@pytest.mark.parametrize("words, environment, says", [
    ([], {}, "which folder"),
    (["{folder}/nothing"], {}, "no folder"),
    (["{folder}"], {}, "no agent.c"),
    (["--nonsense"], {}, "no option --nonsense"),
    (["--output"], {}, "needs a file"),
    (["--output", "x", "a", "b"], {}, "for one folder"),
    (["{folder}/.."], {"CC": "no-such-compiler"}, "no agent.c"),
])
def test_what_is_wrong_with_a_call_is_said(folder, words, environment, says):
    result = build(*[word.format(folder=folder) for word in words], **environment)
    assert result.returncode == 2 and says in result.stderr, result.stderr


def test_a_compiler_that_is_not_there(folder):
    (folder / "agent.c").write_text(GOOD)
    result = build(folder, CC="no-such-compiler -x")
    assert result.returncode == 2 and "no C compiler no-such-compiler" in result.stderr


def test_help():
    result = build("--help")
    assert result.returncode == 0 and "contrib/build-agent FOLDER..." in result.stdout


def test_the_examples_of_the_page(catalog):
    page = (env.SOURCE / "doc/DROPIN-AGENTS.md").read_text()
    shop, run = re.findall(r"```c\n(.*?)```", page, re.S)
    own = run + ('const struct agw_agent own = {.version = AGW_AGENT_VERSION, .name = "Own",'
                 ' .run = run};\n')
    found = catalog(shop, {"own.c": HEAD + own})
    assert found["exports"][0]["tools"] == ["opening_hours"] and not found["diagnostics"]


@pytest.mark.parametrize("compiler", ["c++", "cc"])
def test_the_header_alone_is_fine_for_any_compiler(directory, compiler):
    source = directory / ("x.cc" if compiler == "c++" else "x.c")
    source.write_text("#include <agent_gateway/agent.h>\n")
    words = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only",
             f"-I{env.SOURCE}/src/runnerd/native"]
    subprocess.run([compiler, *words, source], check=True)
