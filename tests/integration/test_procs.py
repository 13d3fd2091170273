# SPDX-License-Identifier: MIT
"""The tests' own look at processes, which every test of kills relies on."""
import subprocess
import sys

from procs import is_running, wait_until

FIRST_THREAD_ENDS = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def _first_thread(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_a_process_runs_as_long_as_one_of_its_threads():
    """Under load the first thread of a killed process is a zombie before the others have ended;
    a gateway that is started then finds the socket still taken."""
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS],
                          stdin=subprocess.PIPE) as process:
        wait_until(lambda: _first_thread(process.pid) == "Z", what="end of its first thread")
        assert is_running(process.pid)
        process.stdin.close()
        wait_until(lambda: not is_running(process.pid), what="end of the other")
    assert not is_running(process.pid)
