# SPDX-License-Identifier: MIT
"""Fixtures and hooks for the conftest.py files: one shared gateway behind all three web
servers for tests that only look, and gateways of their own for tests that change
configuration, kill, or count."""
import os
import pathlib
import resource
import subprocess
import tempfile

import pytest

import env
import fake_runner
import gateway as gateway_module
import wire
from agwctl import Agwctl
from gateway import KEYS, Gateway
from mock import Mock
from procs import is_running, wait_until
from runner import Runner
from webserver import NAMES, WebServer


def pytest_configure():
    # A gateway or web server under load wants thousands of descriptors, so do its clients.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "alone" in item.keywords:
            item.add_marker(pytest.mark.xdist_group("alone"))
        group = item.get_closest_marker("xdist_group")
        if group and getattr(config.option, "loadgroup", False):
            # pytest-xdist 3.8 writes it where pytest 9.2 does not look, and groups nothing then.
            item._id = type(item.id).parse(f"{item.nodeid}@{group.args[0]}")
            assert item.nodeid.endswith(f"@{group.args[0]}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for value in item.funcargs.values():
            if isinstance(value, Gateway):
                report.sections.append((f"gateway {value.directory.name}",
                                        value.output()[-6000:]))
            elif isinstance(value, WebServer):
                report.sections.append((value.name, value.logs()[-2000:]))


@pytest.fixture(scope="session", autouse=True)
def built():
    assert env.GATEWAY.exists(), f"{env.GATEWAY} is not built"


def _fresh_directory():
    # Short, because a socket's path may have 108 bytes; readable, because Apache is www-data.
    path = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    path.chmod(0o755)
    return path


def _remove(path):
    if os.environ.get("AGW_TEST_KEEP"):
        print(f"kept: {path}")
    else:
        # By a program: of a whole session there may be very much.
        subprocess.run(["rm", "-rf", "--", path], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module", autouse=True)
def no_run_is_left():
    """A played run that never ends would take the processor from all later tests."""
    yield
    wait_until(lambda: not fake_runner.played(), 30, "end of the played runs")


@pytest.fixture(scope="session")
def session_dir():
    path = _fresh_directory()
    yield path
    _remove(path)


@pytest.fixture
def directory():
    path = _fresh_directory()
    yield path
    _remove(path)


@pytest.fixture(scope="session")
def mock(session_dir):
    process = Mock(session_dir)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def shared(session_dir, mock):
    """The gateway for tests that leave its configuration alone."""
    with Gateway(session_dir / "shared", mock) as instance:
        yield instance


@pytest.fixture(scope="module")
def ctl(served):
    """agwctl with the configuration of the gateway that the test's file has as `served`."""
    return Agwctl(served)


@pytest.fixture(scope="session")
def shared_servers(shared):
    running = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture(params=NAMES)
def server(request, shared, shared_servers):
    """Each web server in turn, in front of the shared gateway."""
    return _one_server(request.param, shared, shared_servers)


@pytest.fixture
def nginx(shared, shared_servers):
    return _one_server("nginx", shared, shared_servers)


@pytest.fixture
def lighttpd(shared, shared_servers):
    return _one_server("lighttpd", shared, shared_servers)


@pytest.fixture
def apache(shared, shared_servers):
    return _one_server("apache", shared, shared_servers)


def _one_server(name, shared, running):
    if name not in running:
        running[name] = WebServer(shared.directory, shared.socket, name)
    return running[name]


class Factory:
    """Makes gateways and web servers that are stopped at the end of the test."""

    def __init__(self, directory, mock):
        self.directory, self.mock, self.made = directory, mock, []
        self.count = 0

    def gateway(self, start=True, name=None, **options):
        self.count += 1
        name = name or f"g{self.count}"
        options.setdefault("mock", self.mock)
        instance = Gateway(self.directory / name, **options)
        self.made.append(instance)
        return instance.start() if start else instance

    def server(self, gateway, name="nginx", **options):
        instance = WebServer(gateway.directory, gateway.socket, name, **options)
        self.made.append(instance)
        return instance

    def stop(self):
        for instance in reversed(self.made):
            instance.stop()


@pytest.fixture
def make(directory, mock):
    factory = Factory(directory, mock)
    yield factory
    factory.stop()


@pytest.fixture
def rid():
    return wire.new_id()


class Admin:
    """The admin surface in short words."""

    def __init__(self, port, key=KEYS["admin"]):
        self.port, self.key = port, key

    def ask(self, method, path, body=None, key=None, **options):
        return wire.request(self.port, method, path, body=body, key=key or self.key, **options)

    def preview(self, agent, key_id=None, **options):
        body = {"agent": agent} if key_id is None else {"agent": agent, "key_id": key_id}
        return self.ask("POST", "/security/preview", body, **options)

    def override(self, agent, ttl_seconds, **more):
        return self.ask("POST", "/security/override",
                        {"agent": agent, "ttl_seconds": ttl_seconds, **more})


@pytest.fixture
def admin_for():
    return Admin


@pytest.fixture
def runner(directory):
    runners = []

    def make(**options):
        runners.append(Runner(directory, **options))
        return runners[-1]
    yield make
    for one in runners:
        family = one.family() if one.process else []
        assert one.stop() in (0, None), one.output()[-3000:]
        assert not [pid for pid in family if is_running(pid)]
