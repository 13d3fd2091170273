# SPDX-License-Identifier: MIT
"""The sandbox of tools: a hostile program tries to get out, on this kernel as it is and as on
kernels that have less, as root and as somebody else. Whatever a layer is there for is refused
when the report says that the layer is applied, and works when no layer is: so neither the
sandbox nor its report can be wrong unnoticed. What must always hold is asserted besides."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys

import pytest

import env
from escapes import REFUSED_BY
from procs import is_running, wait_until

LIB = pathlib.Path(__file__).parents[1] / "lib"
NOBODY = 65534
MIB = 1 << 20
PROCESSES, FILES = 64, 256
TIMEOUT = 120 * env.SLOW

# Root's processes have privileges that the program has not, so these are out of its reach too.
PRIVILEGED = {"ptrace", "environment_of", "memory_of", "copy_memory"}
# No kernel gives these away.
NEVER = ["mount", "core_file", "descriptor_of_parent", "secret_in_environment"]

PROFILES = [[], *([["proc"]] if os.geteuid() == 0 else []), ["namespaces"], ["landlock"], ["seccomp"], ["namespaces", "landlock"],
            *([["proc", "landlock"]] if os.geteuid() == 0 else []), ["namespaces", "landlock", "seccomp"]]


def identities():
    return ["root", "nobody"] if os.geteuid() == 0 else ["self"]


class Outside:
    """What the hostile program is after, in the name of one user."""

    def __init__(self, directory, identity):
        self.directory = directory
        self.identity = identity
        self.program = directory / "agw-exec"
        shutil.copy(env.BUILD / "agw-exec", self.program)
        for name in ("without.py", "escapes.py"):
            shutil.copy(LIB / name, directory / name)
        self.secrets = directory / "secrets"
        self.secrets.mkdir()
        (directory / "tmp").mkdir()
        (directory / "tmp").chmod(0o1777)
        self.stack = contextlib.ExitStack()
        self.listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.unix = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        self.unix.bind(str(self.secrets / "socket"))
        self.unix.listen()
        self.datagrams = self.stack.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.datagrams.bind(str(self.secrets / "datagrams"))
        self.abstract = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        self.abstract.bind(f"\0agw-test-{os.getpid()}-{directory.name}")
        self.abstract.listen()
        (self.secrets / "file").write_text("secret")
        (self.secrets / "victim").write_text("secret")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.key = 0x41470000 | (os.getpid() & 0xffff)
        self.shared = self.libc.shmget(self.key, 4096, 0o1666)  # IPC_CREAT
        assert self.shared >= 0
        if identity == "nobody":
            for path in [self.secrets, *self.secrets.iterdir()]:
                os.chown(path, NOBODY, NOBODY)
        self.victim = subprocess.Popen(
            ["sh", "-c", "trap : USR1; echo up; while :; do sleep 1000 & wait $!; done"],
            stdout=subprocess.PIPE, start_new_session=True, **self.who())
        assert self.victim.stdout.readline() == b"up\n"

    def who(self):
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} \
            if self.identity == "nobody" else {}

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.victim.pid, signal.SIGKILL)
        self.victim.wait()
        self.victim.stdout.close()
        self.libc.shmctl(self.shared, 0, None)
        self.stack.close()

    def targets(self, attempts):
        return {"attempts": attempts, "port": self.listener.getsockname()[1],
                "socket": str(self.secrets / "socket"),
                "datagrams": str(self.secrets / "datagrams"),
                "abstract": self.abstract.getsockname()[1:].decode(),
                "file": str(self.secrets / "file"),
                "victim_file": str(self.secrets / "victim"), "victim": self.victim.pid,
                "shared": self.key, "processes": 500, "memory": 700 * MIB, "files": 2 * FILES,
                "disk": 100 * MIB}

    def argv(self, missing, *options, command=None):
        argv = [str(self.program), "--report", "%d", "--memory", str(512 * MIB), "--processes",
                str(PROCESSES), "--files", str(FILES), "--file-size", str(64 * MIB),
                "--tmp-size", str(64 * MIB), "--cpu", "60", *options, "--",
                *(command or ["/usr/bin/python3", str(self.directory / "escapes.py")])]
        if "--off" not in options:
            argv[1:1] = ["--read", str(self.directory / "escapes.py")]
        if not missing:
            return argv
        if self.identity == "nobody":
            missing = [*missing, f"user={NOBODY}"]
        return [sys.executable, str(self.directory / "without.py"), *missing, "--", *argv]

    def as_user(self, missing):
        """without.py changes the user itself: to cover /proc it has to be root."""
        return {} if missing else self.who()

    def run(self, missing, *options, attempts=(), command=None):
        """-> exit status, what it wrote, its report {layer: (state, detail)}, why it failed"""
        read, write = os.pipe()
        argv = [word.replace("%d", str(write)) if word == "%d" else word
                for word in self.argv(missing, *options, command=command)]
        try:
            done = subprocess.run(
                argv, input=json.dumps(self.targets(list(attempts))).encode(),
                capture_output=True, timeout=TIMEOUT, pass_fds=[write], cwd="/",
                env={"TMPDIR": str(self.secrets.parent / "tmp"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}, **self.as_user(missing))
        finally:
            os.close(write)
            with os.fdopen(read) as end:
                lines = end.read().splitlines()
        report = {}
        why = None
        for line in lines:
            name, _, rest = line.partition(" ")
            if name == "failed":
                why = rest
            elif name == "tmp":
                self.tmp = pathlib.Path(rest)
            elif name != "started":
                report[name] = tuple(rest.partition(" ")[::2])
        return done, report, why


@pytest.fixture(params=identities())
def outside(request, directory):
    one = Outside(directory, request.param)
    yield one
    one.close()


def applied(report):
    return {name for name, (state, _) in report.items() if state == "applied"}


def has(call, *arguments):
    """Whether this kernel has a system call at all, and for us."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.syscall(call, *arguments) >= 0


@pytest.mark.parametrize("missing", PROFILES, ids=lambda missing: "+".join(missing) or "all")
def test_what_is_refused(outside, missing):
    attempts = [*REFUSED_BY, *NEVER]
    # Without any limit these would harm the host, not only the test.
    if "namespaces" in missing and outside.identity != "self":
        attempts.remove("fork_bomb")
    done, report, why = outside.run(missing, attempts=attempts)
    assert why is None and done.returncode == 0, (why, done, report)
    answer = json.loads(done.stdout)
    layers = applied(report)
    # What can be told from outside about the layers is as the report says.
    assert len(report) == 15
    assert (answer["no_new_privs"] == "1") == ("no_new_privs" in layers)
    assert "no_new_privs" in layers and "capabilities" in layers and "rlimits" in layers
    assert int(answer["capabilities"], 16) == 0
    filtered = "seccomp" in layers or set(missing) - {"proc"}
    assert answer["seccomp"] == ("2" if filtered else "0")
    assert answer["session"] and answer["umask"] == 0o077
    assert answer["uid"] == (NOBODY if outside.identity == "nobody" else os.geteuid())
    if "landlock" in missing:
        assert not {"landlock", "landlock_network", "landlock_scope"} & layers
    if "seccomp" in missing:
        assert "seccomp" not in layers
    if "namespaces" in missing:
        assert not {name for name in layers if name.endswith("_namespace")}
    for attempt, problem in answer["attempts"].items():
        guards = set(REFUSED_BY.get(attempt, ()))
        if attempt in PRIVILEGED and outside.identity == "root":
            guards.add("capabilities")
        if attempt in NEVER or guards & layers:
            assert problem is not None, (attempt, report)
        elif attempt == "read_shadow" and answer["uid"] != 0:
            assert problem == "EACCES"
        elif attempt in ("io_uring", "user_namespace"):
            pass  # kernels may refuse these by themselves
        else:
            assert problem is None, (attempt, problem, report)
    assert (outside.secrets / "file").read_text().count("escaped") == (
        0 if "landlock" in layers else 1)


def test_this_kernel_has_what_the_report_says(outside):
    _, report, _ = outside.run([], command=["/bin/true"])
    assert (report["landlock"][0] == "applied") == has(444, None, 0, 1), report
    probe = subprocess.run(["unshare", "--user", "--pid", "--fork", "true"], **outside.who(),
                           capture_output=True)
    assert (report["pid_namespace"][0] == "applied") == (probe.returncode == 0), report
    for state, detail in report.values():
        assert state in ("applied", "missing", "unwanted")
        assert state != "missing" or detail


def test_network_when_it_is_given(outside):
    done, report, _ = outside.run([], "--network", attempts=[
        "tcp", "tcp_listen", "udp", "unix_socket", "read_file", "kill", "ptrace"])
    attempts = json.loads(done.stdout)["attempts"]
    assert [attempts[name] for name in ("tcp", "tcp_listen", "udp", "unix_socket")] == [None] * 4
    assert report["network_namespace"][0] == report["landlock_network"][0] == "unwanted"
    assert attempts["read_file"] and attempts["kill"] and attempts["ptrace"]


def test_network_without_the_sockets_of_this_host(outside):
    done, _, _ = outside.run([], "--network", "--no-unix", attempts=[
        "tcp", "udp", "unix_socket", "abstract_socket", "datagram_pair"])
    attempts = json.loads(done.stdout)["attempts"]
    assert [attempts[name] for name in ("tcp", "udp")] == [None] * 2
    assert attempts["unix_socket"] and attempts["abstract_socket"] and attempts["datagram_pair"]


def test_files_that_are_given(outside):
    folder = str(outside.secrets)
    done, _, _ = outside.run([], "--read", folder, attempts=["read_file", "write_file"])
    attempts = json.loads(done.stdout)["attempts"]
    assert attempts["read_file"] is None and attempts["write_file"] is not None
    done, _, _ = outside.run([], "--write", folder, attempts=[
        "read_file", "write_file", "make_file", "remove_file", "rename_out"])
    attempts = json.loads(done.stdout)["attempts"]
    refused = attempts.pop("rename_out")  # another file system, or another folder
    assert refused is not None
    assert set(attempts.values()) == {None}


def test_below_usr_only_what_programs_need(outside):
    """Installed below /usr/local, the gateway has its configuration and database there."""
    done, _, _ = outside.run([], command=["/bin/ls", "/usr/bin", "/usr/lib"])
    assert done.returncode == 0, done
    for folder in ("/usr", "/usr/local"):
        done, report, _ = outside.run([], command=["/bin/ls", folder])
        assert (done.returncode != 0) == ("landlock" in applied(report)), (folder, done)


@pytest.mark.parametrize("missing, part", [
    ([], None), (["namespaces"], None), (["landlock"], "landlock"), (["seccomp"], "seccomp")])
def test_required(outside, missing, part):
    done, report, why = outside.run(missing, "--require", command=["/bin/echo", "ran"])
    if part is None:
        assert done.stdout == b"ran\n" and done.returncode == 0, why
    else:
        assert done.stdout == b"" and done.returncode == 126
        assert "the sandbox is required" in why and part in why


def test_without_it(outside):
    done, report, _ = outside.run([], "--off", attempts=["tcp", "read_file", "write_file"])
    assert set(json.loads(done.stdout)["attempts"].values()) == {None}
    assert not {"landlock", "seccomp", "no_new_privs"} & set(report)


@pytest.mark.parametrize("missing", [one for one in PROFILES if one in (
    [], ["proc"], ["namespaces"])], ids=lambda missing: "+".join(missing) or "all")
@pytest.mark.parametrize("victim", ["outer", "inner", "program"])
def test_nothing_outlives_a_killed_keeper(outside, missing, victim):
    """kill -9 of each of the three processes: the program, and a daemon of it in a session of
    its own, end too."""
    script = "setsid sh -c 'setsid sleep 86399 &' & sleep 86399"
    argv = outside.argv(missing, command=["/bin/sh", "-c", f"{script}; : up"])
    argv = [word for word in argv if word != "%d"]
    argv.remove("--report")
    outer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, cwd="/",
                             env={**os.environ, "TMPDIR": str(outside.directory / "tmp")}, **outside.as_user(missing))
    try:
        family, chosen = wait_until(lambda: complete_tree(outer.pid), 60 * env.SLOW, "daemon")
        os.kill(chosen[victim], signal.SIGKILL)
        wait_until(lambda: not any(is_running(pid) for pid in family), 60 * env.SLOW,
                   "end of all", step=0.05)
        assert outer.wait(60 * env.SLOW) == (-9 if victim == "outer" else 137)
    finally:
        outer.kill()
        outer.wait()


def complete_tree(outer):
    """-> all descendants and the three to choose from, once two sleep."""
    parents, words = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            rest = path.read_text().rpartition(")")[2]
            pid = int(path.parent.name)
            parents[pid] = int(rest.split()[1])
            words[pid] = (path.parent / "cmdline").read_bytes().split(b"\0")
    found, more = [], [outer]
    while more:
        parent = more.pop()
        fresh = [pid for pid, of in parents.items() if of == parent and pid in words]
        found += fresh
        more += fresh
    inner = [pid for pid in found if parents[pid] == outer]
    program = [pid for pid in found if parents[pid] in inner and words[pid][0] == b"/bin/sh"
               and words[pid][2].endswith(b": up")]
    sleeping = [pid for pid in found if words[pid][0] == b"sleep"]
    if len(inner) != 1 or len(program) != 1 or len(sleeping) != 2:
        return None
    return found, {"outer": outer, "inner": inner[0], "program": program[0]}


def test_the_temporary_folder_is_removed(outside):
    script = 'mkdir -p "$TMPDIR/a/b" && touch "$TMPDIR/a/b/c" && ln -s / "$TMPDIR/root" && ' \
             'chmod 0 "$TMPDIR/a" && echo "$TMPDIR"'
    for missing in ([], ["namespaces"]):
        done, _, _ = outside.run(missing, command=["/bin/sh", "-c", script])
        folder = done.stdout.decode().strip()
        assert "agw-tool-" in folder and str(outside.tmp) == folder
        assert not os.path.exists(folder)
    assert os.path.exists("/etc/passwd")


@pytest.mark.parametrize("words, says", [
    (["--memory", "x", "--", "/bin/true"], "not a usable number"),
    (["--report", "77", "--", "/bin/true"], "no such descriptor"),
    (["--off", "--require", "--", "/bin/true"], "do not go together"),
    (["--nonsense", "--", "/bin/true"], "usage:"),
    (["--", "true"], "usage:"), ([], "usage:")])
def test_usage(words, says):
    done = subprocess.run([env.BUILD / "agw-exec", *words], capture_output=True, text=True)
    assert done.returncode == 2 and says in done.stderr
