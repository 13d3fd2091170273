# SPDX-License-Identifier: MIT
"""agwctl itself: help, options, completion, exit statuses, and hash-key."""
import hashlib
import os
import subprocess

import pytest

import env
from agwctl import CONTROL, FAILED, FINE, HOSTILE, USAGE, Agwctl, complete

ctl = Agwctl()


def commands():
    """(words, summary) of every command, from the program's own help."""
    text = ctl.run("--help").stdout.split("\n\n")[1]
    found = []
    for line in text.splitlines()[1:]:
        if not line.startswith("   "):
            found.append(line[2:26].split())
    return found


def test_help_of_everything():
    assert ["hash-key"] in commands()
    for words in commands():
        text = ctl.run(*words, "--help").stdout
        assert text.startswith(f"Usage: agwctl {' '.join(words)}"), text
        assert "Options of every command:" in text
        assert max(len(line) for line in text.splitlines()) <= 100, text
        if len(words) == 2:
            assert " ".join(words) in ctl.run(words[0], "--help").stdout
            assert " ".join(words) in ctl.run(words[0], status=USAGE).stdout


def test_usage_errors_say_where_help_is():
    for words in ([], ["nothing"], ["--nothing"], ["hash-key", "x"], ["hash-key", "--x"],
                  ["--config"]):
        answer = Agwctl().run(*words, status=USAGE)
        assert "--help" in answer.stderr + answer.stdout


def test_hostile_words_are_shown_harmlessly():
    for words in ([HOSTILE], ["--" + HOSTILE], ["hash-key", HOSTILE], ["hash-key", "-\x1b"],
                  ["--config", "/nowhere/" + HOSTILE, "nothing"]):
        ctl.run(*words, status=USAGE)  # run() looks for control characters
    ctl.run(b"\xff\xfe".decode("utf-8", "surrogateescape"), status=USAGE)


def test_unwritable_output_is_a_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([env.AGWCTL, "--help"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == FAILED and b"standard output" in done.stderr


# --- completion -----------------------------------------------------------------------------

def test_completion_offers_what_the_table_has(directory):
    firsts = {words[0] for words in commands()}
    assert set(complete("")) == firsts
    assert complete("hash") == ["hash-key"]
    for words in commands():
        assert words[-1] in complete(*words[:-1], words[-1][:1])
        offered = complete(*words, "--")
        assert {"--json", "--config", "--help"} <= set(offered)
        assert len(offered) == len(set(offered))
    assert complete("nothing", "") == [""]
    path = directory / "a b.yaml"
    path.touch()
    assert complete("--config", str(directory) + "/") == [str(path)]
    assert complete("--config", "=", str(directory) + "/") == [str(path)]


# --- hash-key -------------------------------------------------------------------------------

SECRET = "sk-test-hash-key-71c0e5"
HASHED = "sha256:" + hashlib.sha256(SECRET.encode()).hexdigest()


def test_hash_key_reads_one_line():
    for text in (SECRET, SECRET + "\n", SECRET + "\r\n"):
        assert ctl.run("hash-key", stdin=text).stdout == HASHED + "\n"
    assert ctl.json("hash-key", stdin=SECRET) == {"hashed_key": HASHED}


def test_hash_key_prompts_without_echo():
    shown = ctl.terminal("hash-key", typed=SECRET + "\n")
    assert HASHED in shown and shown.startswith("Key: ")
    assert SECRET not in shown


def test_hash_key_takes_no_key_from_the_command_line():
    answer = ctl.run("hash-key", SECRET, status=USAGE)
    assert answer.stdout == ""


@pytest.mark.parametrize("text, reason", [
    ("", "empty"), ("\n", "empty"), ("two words\n", "visible ASCII"), ("kéy\n", "visible ASCII"),
    ("a\nb\n", "more than one line"), ("x" * 513, "512"), ("x" * 10000, "longer"),
    ("a\0b\n", "NUL"), ("sha256:" + "0" * 64, "hash"), ("${KEY}", "variables"),
    ("\x1b[31m\n", "visible ASCII"), (b"\xff\xff\n", "visible ASCII"),
])
def test_hash_key_refuses(text, reason):
    answer = ctl.run("hash-key", stdin=text, status=FAILED)
    assert reason in answer.stderr and answer.stdout == ""
    assert len(text) < 5 or str(text[:5]) not in answer.stderr  # never shows the key


def test_colours_only_on_a_terminal():
    environment = {**os.environ, "NO_COLOR": "1"}
    assert not CONTROL.search(Agwctl(environment=environment).terminal("--help")
                              .replace("\r\n", "\n"))
    assert ctl.run("--help", status=FINE).stdout
