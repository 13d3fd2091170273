# SPDX-License-Identifier: MIT
"""Calls of agwctl: what it answers, checked against the schema of the command."""
import functools
import json
import os
import pathlib
import pty
import re
import select
import subprocess
import tempfile

import jsonschema

import env

FINE, FINDING, USAGE, FAILED = 0, 1, 2, 3

# What a terminal would act on; nothing of it may come from data.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp\u200b\r\n\x7f"


@functools.lru_cache(maxsize=None)
def schema(command):
    path = env.SOURCE / "doc" / "schemas" / f"agwctl-{command.replace(' ', '-')}.json"
    loaded = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return jsonschema.Draft202012Validator(
        loaded, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


class Answer:
    def __init__(self, words, status, stdout, stderr):
        self.words, self.status = words, status
        self.raw, self.stdout, self.stderr = stdout, stdout.decode("utf-8"), \
            stderr.decode("utf-8", "replace")
        for sign in ("Sanitizer", "runtime error:"):
            assert sign not in self.stderr, self.stderr

    def __repr__(self):
        return f"{self.words} -> {self.status}\n{self.stdout}\n{self.stderr}"

    def lines(self):
        return self.stdout.splitlines()


class Agwctl:
    """agwctl with the same global options for each call. Takes a gateway (its configuration
    and environment), or the options themselves."""

    def __init__(self, gateway=None, *options, environment=None):
        self.options = [str(option) for option in options]
        self.environment = dict(os.environ if environment is None else environment)
        if gateway is not None:
            self.options += ["--config", str(gateway.conf / "gateway.yaml")]
            if environment is None and gateway.environment is not None:
                self.environment = dict(gateway.environment)

    def run(self, *words, stdin="", status=FINE, timeout=60):
        """Standard streams are pipes. status None: any."""
        argv = [str(env.AGWCTL), *[str(word) for word in words], *self.options]
        done = subprocess.run(argv, input=stdin.encode() if isinstance(stdin, str) else stdin,
                              capture_output=True, timeout=timeout * env.SLOW,
                              env=self.environment)
        answer = Answer(words, done.returncode, done.stdout, done.stderr)
        assert status is None or answer.status == status, answer
        assert not CONTROL.search(answer.stderr), answer
        if "--json" not in words:
            assert not CONTROL.search(answer.stdout), answer
        return answer

    def json(self, command, *words, lines=False, **options):
        """`command` as in the table ("key list"): its --json output, valid by its schema. With
        `lines` each line is a document."""
        answer = self.run(*command.split(" "), *words, "--json", **options)
        texts = answer.lines() if lines else [answer.stdout]
        documents = [json.loads(text) for text in texts]
        for document in documents:
            schema(command).validate(document)
        return documents if lines else documents[0]

    def terminal(self, *words, status=FINE, typed=None, timeout=60):
        """Standard streams are a terminal. -> what is shown on it"""
        master, slave = pty.openpty()
        environment = {**self.environment, "TERM": self.environment.get("TERM", "xterm")}
        process = subprocess.Popen(
            [str(env.AGWCTL), *[str(word) for word in words], *self.options],
            stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True)
        os.close(slave)
        shown = b""
        try:
            while True:
                ready, _, _ = select.select([master], [], [], timeout * env.SLOW)
                assert ready, f"{words} hangs after {shown!r}"
                try:
                    data = os.read(master, 65536)
                except OSError:  # the other end is closed
                    break
                if not data:
                    break
                shown += data
                if typed is not None and b": " in shown:
                    os.write(master, typed.encode())
                    typed = None
            assert process.wait(timeout) == status, shown
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(master)
        return shown.decode("utf-8", "replace")


def complete(*words):
    """What bash offers at the end of `agwctl WORDS...`, through the installed script."""
    script = env.SOURCE / "contrib" / "completion" / "agwctl"
    with tempfile.TemporaryDirectory(prefix="agw-") as where:
        os.symlink(env.AGWCTL, pathlib.Path(where) / "agwctl")
        done = subprocess.run(
            ["bash", "--norc", "-c",
             'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _agwctl;'
             ' printf "%s\\n" "${COMPREPLY[@]}"', "bash", str(script), "agwctl", *words],
            capture_output=True, text=True, timeout=20 * env.SLOW, cwd=where,
            env={**os.environ, "PATH": f"{where}:{os.environ['PATH']}"})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout.split("\n")[:-1]
