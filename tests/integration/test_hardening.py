# SPDX-License-Identifier: MIT
"""What the system is told about the processes (modes of new files, no core dumps, no looking
in), and that a client's secret does not outlive its request in their memory."""
import itertools
import os
import pathlib
import re
import resource
import shutil
import time

import pytest

import env
from gateway import KEYS, UNKNOWN_KEY, UPSTREAM_SECRET
from procs import Process
from webserver import NAMES
from wire import chat, request, stream, together

NOBODY = 65534
LONG = 30 * env.SLOW
# Sanitizers reserve terabytes of addresses for themselves; nothing of ours is that large.
MAPPING_MAX = 1 << 30


def proc_field(pid, file, name):
    text = pathlib.Path(f"/proc/{pid}/{file}").read_text()
    return next(line for line in text.splitlines() if line.startswith(name))[len(name):].split()


def copies(pid, secret):
    """Each place in the process's own memory where the text stands, with what is around it."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, mode, *_ = line.split()
            first, last = (int(part, 16) for part in span.split("-"))
            if not mode.startswith("rw") or last - first > MAPPING_MAX:
                continue
            try:
                memory.seek(first)
                data = memory.read(last - first)
            except OSError:
                continue  # a guard page, or gone since
            found += [(line.split()[-1], data[max(0, one.start() - 40):one.end() + 40])
                      for one in re.finditer(re.escape(secret.encode()), data)]
    return found


def assert_forgotten(pids, *secrets):
    """A client has its answer a moment before the process is done with its request. What nobody
    wipes stays where it is: nothing is asked meanwhile that could overwrite it."""
    for pid, secret in itertools.product(pids, secrets):
        end = time.monotonic() + LONG
        while (left := copies(pid, secret)) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []


@pytest.fixture
def as_another_user(make, directory):
    """A gateway that was started with a loose umask and core dumps on, and, where the tests run
    as root, as another user."""
    # A path that this user can reach, wherever the build is.
    program = shutil.copy(env.GATEWAY, directory / "agent-gateway")
    gateway = make.gateway(start=False, gateway={"socket": {"group": None}, "workers": 1})

    def before():
        os.umask(0)
        most = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    if os.geteuid() == 0:
        for path in (gateway.directory, *gateway.directory.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    gateway.process = Process([program, *gateway.argv()[1:]], gateway.directory, "gateway-1",
                              env=gateway.environment, before=before)
    gateway.wait_ready()
    return gateway


def test_no_core_dumps_and_nobody_looks_in(as_another_user):
    for pid in as_another_user.family():
        assert proc_field(pid, "limits", "Max core file size")[:2] == ["0", "0"]
        user = int(proc_field(pid, "status", "Uid:")[0])
        assert user == (NOBODY if os.geteuid() == 0 else os.geteuid())
        # Whoever may not be looked into belongs to root there. The leak checker has to look in.
        if not env.SANITIZED:
            assert os.stat(f"/proc/{pid}/mem").st_uid == 0
            assert os.stat(f"/proc/{pid}/environ").st_uid == 0


def test_files_are_closed_to_others_whatever_the_umask_was(as_another_user, make):
    gateway = as_another_user
    gateway.socket.chmod(0o666)  # the web server is another user still
    assert chat(make.server(gateway).port, KEYS["client"], "mock/ok").status == 200
    for pid in gateway.family():
        assert proc_field(pid, "status", "Umask:") == ["0027"]
    made = [path for path in gateway.run.iterdir() if not path.is_socket()]
    assert {path.name for path in made} >= {"gateway.db", "gateway.db-wal", "gateway.db.gate",
                                            "gateway.db.shared", "gateway.log"}
    for path in made:
        assert path.stat().st_mode & 0o027 == 0, f"{path.name} has mode {path.stat().st_mode:o}"


@pytest.mark.parametrize("name", NAMES)
def test_secrets_of_clients_are_wiped_when_their_request_ends(make, name):
    """Answered, refused, streamed, left, and with bodies of all sizes."""
    gateway = make.gateway(gateway={"workers": 2})
    port = make.server(gateway, name).port
    seen = together(
        *[stream(port, KEYS["client"], "mock/chunks-5-100") for _ in range(10)],
        *[stream(port, KEYS["client2"], "mock/chunks-20-100", leave_after=0.3)
          for _ in range(5)])
    assert [one.status for one in seen] == [200] * 15
    for size in (1, 5000, 9000, 200000, 2 << 20):
        chat(port, KEYS["client"], "mock/ok", text="x" * size)
    assert request(port, "GET", "/v1/models", {"x-api-key": KEYS["client2"]}).status == 200
    assert chat(port, KEYS["narrow"], "mock/ok").status == 403
    assert chat(port, UNKNOWN_KEY, "mock/ok").status == 401
    assert chat(port, KEYS["expired"], "mock/ok").status == 401
    assert request(port, "POST", "/v1/chat/completions", body=b"{", key=KEYS["limited"]).status \
        in (400, 429)
    for pid in gateway.workers():  # or else nothing could have been found
        assert copies(pid, UPSTREAM_SECRET) != []
    assert_forgotten(gateway.family(),
                     *(KEYS[name] for name in ("client", "client2", "narrow", "expired", "limited")))
    assert_forgotten(gateway.workers(), UNKNOWN_KEY)


def test_secrets_of_clients_that_are_turned_away_are_wiped(make):
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 1, "max": 2}})
    port = make.server(gateway).port
    seen = together(*[stream(port, KEYS["client"], "mock/chunks-5-100") for _ in range(20)])
    assert {one.status for one in seen} == {200, 503}
    assert_forgotten(gateway.family(), KEYS["client"])


def test_keys_of_the_configuration_are_wiped_when_it_has_been_read(make):
    """Their hashes stay. So for the start, for a reload, and for one that is refused."""
    gateway = make.gateway(gateway={"workers": 2})
    assert_forgotten(gateway.family(), *KEYS.values())
    gateway.reload()
    gateway.security["api_keys"][0]["description"] = "changed"
    gateway.write("security", gateway.security)
    gateway.reload()
    assert chat(make.server(gateway).port, KEYS["client"], "mock/ok").status == 200
    assert_forgotten(gateway.family(), *KEYS.values())
    gateway.security["api_keys"][0]["roles"] = ["nobody"]
    gateway.write("security", gateway.security)
    gateway.reload()
    assert gateway.events("config.rejected")
    assert_forgotten(gateway.family(), *KEYS.values())


def test_secrets_that_were_made_here_are_wiped_when_they_have_been_told(make):
    gateway = make.gateway(gateway={"workers": 2})
    port = make.server(gateway).port
    secrets = []
    for number in range(4):
        made = request(port, "POST", "/security/keys", key=KEYS["admin"],
                       body={"id": f"made-{number}"})
        turned = request(port, "POST", f"/security/keys/made-{number}/rotate", key=KEYS["admin"])
        secrets += [made.json()["secret"], turned.json()["secret"]]
        assert chat(port, secrets[-1], "mock/ok").status == 200
    assert_forgotten(gateway.family(), *secrets)
