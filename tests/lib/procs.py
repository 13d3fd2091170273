# SPDX-License-Identifier: MIT
"""Processes that a test starts, and that are gone when it ends, however it ends."""
import contextlib
import ctypes
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(condition, timeout=10.0, what="condition", step=0.02):
    """The first true value of condition(); an AssertionError when there is none in time."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {timeout} s (last: {value!r})")
        time.sleep(step)


def free_port():
    """A port that nobody listens on, below the range that outgoing connections take."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def is_running(pid):
    """Whether any thread of it still runs: after a kill the first may be a zombie while others
    are yet to end, and until then the process keeps its sockets and locks."""
    with contextlib.suppress(OSError):  # it may end meanwhile
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                if path.read_text().rpartition(")")[2].split()[0] not in "ZX":
                    return True
    return False


def children(pid):
    """Direct children, over all threads of the parent."""
    found = []
    with contextlib.suppress(OSError):  # it may end meanwhile
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in path.read_text().split()]
    return sorted(child for child in found if is_running(child))


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


class Process:
    """A child process with its output in files."""

    def __init__(self, argv, directory, name, env=None, pass_fds=(), stdin=subprocess.DEVNULL,
                 capture_stdout=False, before=None):
        self.name = name
        self.stderr_path = pathlib.Path(directory) / f"{name}.stderr"

        def prepare():
            _die_with_parent()
            if before:
                before()

        with open(self.stderr_path, "ab") as err:
            self.popen = subprocess.Popen(
                [str(word) for word in argv], cwd=directory, env=env, stdin=stdin,
                stdout=subprocess.PIPE if capture_stdout else err, stderr=err,
                pass_fds=pass_fds, preexec_fn=prepare, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def stderr(self):
        return self.stderr_path.read_text(errors="replace")

    def send(self, signum):
        if self.running():
            self.popen.send_signal(signum)

    def wait(self, timeout=15):
        return self.popen.wait(timeout)

    def stop(self, signum=signal.SIGTERM, timeout=15):
        """Ends it and everything below it. -> exit status, negative when it had to be killed."""
        family = descendants(self.pid) if self.running() else []
        self.send(signum)
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            status = -self.popen.wait() or -9
        for pid in family:
            end = time.monotonic() + 5
            while is_running(pid) and time.monotonic() < end:
                time.sleep(0.01)
            if is_running(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.popen.stdout:
            self.popen.stdout.close()
        return status
