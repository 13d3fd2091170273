# SPDX-License-Identifier: MIT
"""Operators with the sqlite3 shell get sensible answers from every view and from every file
in sql/queries/, while the gateway runs, without hurting it."""
import json
import re
import shutil
import subprocess

import pytest

import env
from gateway import KEYS
from procs import wait_until
from wire import chat, request, stream, together

VIEWS = ["decisions", "denials", "active_overrides", "override_history", "key_health",
         "requests", "usage_by_key_day"]
QUERIES = sorted((env.SOURCE / "sql" / "queries").glob("*.sql"))


def shell(gateway, text, *options):
    done = subprocess.run([shutil.which("sqlite3"), *options, str(gateway.database)], input=text,
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout


def rows(gateway, text):
    out = shell(gateway, text, "-json", "-readonly")
    return json.loads(out) if out.strip() else []


@pytest.fixture(scope="module")
def used(session_dir, mock):
    """A gateway with a bit of everything in its database."""
    from gateway import Gateway
    from webserver import WebServer
    instance = Gateway(session_dir / "shell", mock)
    instance.start()
    web = WebServer(instance.directory, instance.socket, "nginx")
    port = web.port
    for _ in range(3):
        chat(port, KEYS["client"], "mock/ok")
        chat(port, KEYS["client2"], "mock/ok", True)
        chat(port, KEYS["client"], "mock/forbidden")
        chat(port, KEYS["narrow"], "mock/ok")
    chat(port, KEYS["client"], "mock/status-500")
    chat(port, KEYS["expired"], "mock/ok")
    for agent, ttl in (("labs/closed-door", 600), ("vault/*", 1)):
        request(port, "POST", "/security/override", key=KEYS["admin"],
                body={"agent": agent, "ttl_seconds": ttl, "reason": "shell"})
    chat(port, KEYS["client"], "labs/closed-door")
    together(stream(port, KEYS["client"], "mock/stall", leave_after=0.3))
    wait_until(lambda: instance.sql("SELECT 1 FROM audit_event WHERE kind ="
                                    " 'override.expired'"), 10, "expired override")
    instance.port = port
    yield instance
    web.stop()
    instance.stop()


@pytest.mark.parametrize("view", VIEWS)
def test_view(used, view):
    found = rows(used, f"SELECT * FROM {view}")
    assert found, view
    # Times are for people: UTC, readable.
    for row in found:
        for name, value in row.items():
            if name in ("time", "created", "expires", "revoked", "last_used", "removed"):
                assert value is None or re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
                                                 value), (name, value)


def test_denials_tell_who_and_why(used):
    found = rows(used, "SELECT * FROM denials")
    assert {"client", "narrow"} <= {row["key_id"] for row in found}
    assert any(row["agent"] == "mock/forbidden" and row.get("pattern") == "mock/forbidden"
               for row in found)


def test_active_overrides_and_history(used):
    active = rows(used, "SELECT * FROM active_overrides")
    assert [row["pattern"] for row in active] == ["labs/closed-door"]
    assert len(rows(used, "SELECT * FROM override_history")) == 2


def test_requests_have_one_outcome_each(used):
    found = rows(used, "SELECT * FROM requests")
    outcomes = {row["outcome"] for row in found}
    assert {"completed", "denied", "upstream_error"} <= outcomes


def test_usage_adds_up(used):
    found = rows(used, "SELECT * FROM usage_by_key_day")
    assert {"client", "client2"} <= {row["key_id"] for row in found}


def test_key_health_knows_plaintext_and_expiry(used):
    found = {row["id"] if "id" in row else row["key_id"]: row
             for row in rows(used, "SELECT * FROM key_health")}
    assert set(KEYS) <= set(found)
    assert not any(secret in json.dumps(found) for secret in KEYS.values())


def test_there_are_ten_questions():
    assert len(QUERIES) >= 10


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.stem)
def test_query_file(used, path):
    """Runs as it stands, says in its first line what it answers."""
    text = path.read_text()
    assert text.startswith("--"), "a query begins with the question it answers"
    shell(used, text, "-readonly", "-box")


def test_queries_answer(used):
    """Most of the questions have something to say about this little history."""
    answered = [path.stem for path in QUERIES if shell(used, path.read_text(), "-readonly")]
    assert len(answered) >= 7, answered


def test_reading_does_not_block_writing(used):
    shell_process = subprocess.Popen(
        [shutil.which("sqlite3"), "-readonly", str(used.database)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    try:
        shell_process.stdin.write("BEGIN; SELECT count(*) FROM audit_event;\n")
        shell_process.stdin.flush()
        assert int(shell_process.stdout.readline()) > 0
        for _ in range(20):
            assert chat(used.port, KEYS["client"], "mock/ok").status == 200
    finally:
        shell_process.communicate("COMMIT;\n", timeout=10)
