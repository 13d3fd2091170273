# SPDX-License-Identifier: MIT
"""A guide whose commands are run. In its ```console blocks a line that begins with "# " is a
command (lines that begin with "> " go on with it) and the others are what it prints; "…" stands
for anything on a line, a line of "…" alone for any number of lines."""
import dataclasses
import os
import queue
import re
import secrets
import subprocess
import threading

from env import BUILD, SLOW, SOURCE


@dataclasses.dataclass
class Step:
    line: int
    command: str
    expected: list


def steps(text):
    """The commands of all console blocks, in order."""
    found, inside = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("# "):
            found.append(Step(number, line[2:], []))
        elif inside and line.startswith("> ") and not found[-1].expected:
            found[-1].command += "\n" + line[2:]
        elif inside:
            found[-1].expected.append(line)
    return found


def pattern(expected):
    """A regular expression for what a command prints."""
    out = ""
    for line in expected:
        if line.strip() == "…":
            out += r"(?:.*\n)*?"
        else:
            words = [r"\s+".join(map(re.escape, part.split(" "))) for part in line.split("…")]
            out += ".*".join(words) + r"[ \t]*\n"
    return re.compile(out)


def matches(expected, printed):
    printed = printed if not printed or printed.endswith("\n") else printed + "\n"
    return pattern(expected).fullmatch(printed) is not None


class Room:
    """A shell in tests/guide/room."""

    def __init__(self):
        self.shell = subprocess.Popen(
            [SOURCE / "tests/guide/room", BUILD, SOURCE], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1,
            env={k: v for k, v in os.environ.items() if not k.startswith(("AGW_", "GATEWAY_"))})
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.shell.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def run(self, command, timeout=60):
        """-> what it printed on both outputs, and its exit status."""
        mark = secrets.token_hex(8)
        self.shell.stdin.write(f"{command}\nprintf '\\n{mark} %d\\n' $?\n")
        self.shell.stdin.flush()
        printed = ""
        while True:
            try:
                line = self.lines.get(timeout=timeout * SLOW)
            except queue.Empty:
                raise AssertionError(f"{command!r} does not end; so far:\n{printed}") from None
            assert line is not None, f"the room is gone at {command!r}:\n{printed}"
            if line.startswith(mark):
                return printed.removesuffix("\n"), int(line.split()[1])
            printed += line

    def close(self):
        self.shell.stdin.close()
        try:
            self.shell.wait(15)
        except subprocess.TimeoutExpired:
            self.shell.kill()
            self.shell.wait()
