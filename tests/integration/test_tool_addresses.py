# SPDX-License-Identifier: MIT
"""Where tools may go (T22, T23): in a network in which every address answers, no form of an
address that is not public is connected to, directly, by name, by redirect or by a name that
changes what it stands for; and a tool that may is."""
import json

import pytest

import env
from agwctl import Agwctl
from gateway import KEYS, Gateway, agent
from mock import Mock
from procs import wait_until
from webserver import WebServer
from wire import request
from world import Everywhere, Resolver, World

PORT = 8080
PUBLIC = "93.184.215.14"
PUBLIC6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
CALLS_A_TURN = 30

ADDRESSES = [line.split()[0] for line in
             (env.SOURCE / "tests/cases/net/addresses.txt").read_text().splitlines()
             if line and line[0] != "#" and line.split()[1] != "public"]
# What a URL may say instead of an address; all of these are loopback or unspecified.
FORMS = ["localhost", "LocalHost", "localhost.", "x.localhost", "2130706433", "0x7f000001",
         "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "127.000.000.001", "0",
         "0x0", "0.0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
         "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::]", "[::1%25lo]", "%6c%6fcalhost",
         "127.0.0.1%2f", "①②⑦.⓪.⓪.①"]
ALLOWED = ["127.0.0.1", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254",
           "100.64.0.1", "[::1]", "[fd00::1]", "[::ffff:10.0.0.1]", "private.test"]


def literal(address):
    return f"[{address}]" if ":" in address else address


def tool(name, host, path="", **more):
    return {"name": name, "provider": "http", "method": "GET",
            "url": f"http://{host}:{PORT}/{name}{path}", "timeout": 10, **more}


def all_tools():
    tools = [tool(f"direct-{n}", literal(a)) for n, a in enumerate(ADDRESSES)]
    tools += [tool(f"name-{n}", f"name-{n}.test") for n in range(len(ADDRESSES))]
    tools += [tool(f"mixed-{n}", f"mixed-{n}.test") for n in range(len(ADDRESSES))]
    tools += [tool(f"redirect-{n}", PUBLIC) for n in range(len(ADDRESSES))]
    tools += [tool(f"form-{n}", form) for n, form in enumerate(FORMS)]
    tools += [tool(f"allowed-{n}", host, allow_private=True) for n, host in enumerate(ALLOWED)]
    tools += [tool("public", PUBLIC), tool("public6", literal(PUBLIC6)),
              tool("public-name", "public.test"), tool("post", "127.0.0.1", method="POST"),
              tool("turns", "turns.test"), tool("nowhere", "nowhere.test")]
    tools += [{"name": "server", "provider": "mcp", "url": f"http://name-0.test:{PORT}/mcp",
               "method": "any", "timeout": 5}]
    return tools


def all_names():
    names = {"public.test": [[PUBLIC, PUBLIC6]], "private.test": [["10.9.9.9"]],
             # Public when it is looked at, loopback when it is used, and so on.
             "turns.test": [[PUBLIC], ["127.0.0.1"]] * 50}
    for n, address in enumerate(ADDRESSES):
        names[f"name-{n}.test"] = [[address]]
        names[f"mixed-{n}.test"] = [[address, PUBLIC, PUBLIC6]]
    return names


class Scene:
    """All of it, made in the world's thread."""

    def __init__(self, directory):
        self.resolver = Resolver(all_names())
        self.server = Everywhere(PORT)
        for n, address in enumerate(ADDRESSES):
            self.server.redirects[f"/redirect-{n}"] = f"http://{literal(address)}:{PORT}/secret"
        self.mock = Mock(directory)
        proxy = f"http://127.0.0.1:{PORT}"
        self.gateway = Gateway(
            directory / "g", self.mock, tools={"tools": all_tools()},
            agents={"agents": [agent("tester", model="calls-as-told", tools=["*"])]},
            upstreams={"upstreams": [
                {"name": "mock", "provider": "openai-compatible",
                 "base_url": self.mock.base_url(), "api_key_env": "AGW_TEST_UPSTREAM_KEY"}]},
            environment={"http_proxy": proxy, "HTTP_PROXY": proxy, "ALL_PROXY": proxy,
                         "all_proxy": proxy, "https_proxy": proxy, "no_proxy": ""}).start()
        self.lighttpd = WebServer(self.gateway.directory, self.gateway.socket, "lighttpd")

    def stop(self):
        for part in (self.lighttpd, self.gateway, self.mock):
            part.stop()
        self.server.close()
        self.resolver.close()


class Inside:
    """The scene as tests use it, from outside of the world."""

    def __init__(self, world, directory):
        self.world = world
        self.scene = world.run(lambda: Scene(directory))

    def call(self, names):
        """Each tool's result, by an agent, through lighttpd."""
        results = {}
        for at in range(0, len(names), CALLS_A_TURN):
            some = names[at:at + CALLS_A_TURN]
            body = {"model": "mock/tester", "messages": [
                {"role": "user", "content": json.dumps([[name, {}] for name in some])}]}
            answer = self.world.run(lambda: request(
                self.scene.lighttpd.port, "POST", "/v1/chat/completions", body=body,
                key=KEYS["client"], timeout=60 * env.SLOW))
            assert answer.status == 200, answer
            told = json.loads(answer.json()["choices"][0]["message"]["content"])
            assert len(told) == len(some)
            results.update(zip(some, told))
        return results

    def reached(self):
        """The addresses connected to since it was last asked for."""
        seen, self.scene.server.reached = self.scene.server.reached, []
        return seen


@pytest.fixture(scope="module")
def inside(session_dir):
    directory = session_dir / "world"
    directory.mkdir()
    world = World(directory)
    inside = Inside(world, directory)
    yield inside
    world.run(inside.scene.stop)
    world.close()


@pytest.fixture(autouse=True)
def fresh(inside):
    inside.reached()


def numbered(kind, count):
    return [f"{kind}-{n}" for n in range(count)]


def refused(result):
    return "is not public but" in result and "allow_private: true" in result


def test_this_world_answers_everywhere(inside):
    """Otherwise the tests below would say nothing."""
    results = inside.call(numbered("allowed", len(ALLOWED)) + ["public", "public6", "public-name"])
    for name, result in results.items():
        assert result == f"reached /{name}", (name, result)
    seen = inside.reached()
    assert {"127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "10.9.9.9",
            PUBLIC, PUBLIC6} <= set(seen), seen
    assert "cannot be reached" in inside.call(["nowhere"])["nowhere"]


@pytest.mark.parametrize("kind", ["direct", "name"])
def test_no_address_that_is_not_public(inside, kind):
    results = inside.call(numbered(kind, len(ADDRESSES)))
    wrong = [(ADDRESSES[int(name.split("-")[1])], result) for name, result in results.items()
             if not refused(result)]
    assert not wrong
    assert inside.reached() == []


def test_no_other_way_to_write_one(inside):
    results = inside.call(numbered("form", len(FORMS)))
    for name, result in results.items():
        form = FORMS[int(name.split("-")[1])]
        assert "cannot be reached" in result, (form, result)
    assert sum(map(refused, results.values())) >= len(FORMS) - 3, results
    assert inside.reached() == []


def test_of_several_addresses_only_public_ones(inside):
    results = inside.call(numbered("mixed", len(ADDRESSES)))
    assert set(results.values()) == {f"reached /{name}" for name in results}
    assert set(inside.reached()) <= {PUBLIC, PUBLIC6}


def test_redirects_lead_nowhere(inside):
    results = inside.call(numbered("redirect", len(ADDRESSES)))
    for result in results.values():
        assert "redirect 302, which is not followed" in result, result
    assert set(inside.reached()) == {PUBLIC}
    assert "/secret" not in inside.scene.server.paths


def test_a_name_that_changes_gains_nothing(inside):
    """Asked for anew by each call of agwctl, and at random by the gateway's workers."""
    ctl = Agwctl(inside.scene.gateway)
    ended = []
    for _ in range(6):
        done = inside.world.run(lambda: ctl.run("tools", "call", "turns", "--json", status=None))
        ended.append(json.loads(done.stdout)["status"])
    assert set(ended) == {"ok", "unavailable"}, ended
    for _ in range(3):
        for result in inside.call(["turns"] * 12).values():
            assert result == "reached /turns" or refused(result), result
    assert set(inside.reached()) == {PUBLIC}


def test_other_methods_and_providers_are_held_to_it(inside):
    assert refused(inside.call(["post"])["post"])
    ctl = Agwctl(inside.scene.gateway)
    listed = inside.world.run(lambda: ctl.json("tools list"))["tools"]
    server = next(entry for entry in listed if entry["name"] == "server")
    assert any(map(refused, server["diagnostics"])), server
    assert inside.reached() == []


def test_it_is_on_record(inside):
    inside.call(["direct-0"])
    wait_until(lambda: inside.scene.gateway.sql(
        "SELECT * FROM tool_invocations WHERE tool = 'direct-0' AND status = 'unavailable' AND"
        " decision = 'allow'"), 30 * env.SLOW, "row of the refused call")
