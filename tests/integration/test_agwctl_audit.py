# SPDX-License-Identifier: MIT
"""agwctl audit query, verify, head, export and prune."""
import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

import env
import trail
from agwctl import FAILED, FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS
from wire import chat, request


@pytest.fixture
def database(directory):
    return trail.create(directory / "gateway.db")


@pytest.fixture
def ctl(database):
    return Agwctl(None, "--database", database)


def snippet(document, marker):
    """The first Python block behind `marker` in a document."""
    text = (env.SOURCE / "doc" / document).read_text()
    return re.search(r"```python\n(.*?)```", text[text.index(marker):], re.S)[1]


def run_snippet(code, *arguments):
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)],
                          capture_output=True, text=True, timeout=60)


# --- verify, head ---------------------------------------------------------------------------

def test_a_whole_trail_holds(database, ctl):
    empty = ctl.json("audit verify")
    assert empty["ok"] and empty["checked"] == 0 and empty["first_seq"] is None
    assert "no rows" in ctl.run("audit", "verify").stdout
    heads = trail.append(database, trail.requests(20, 10))
    verdict = ctl.json("audit verify")
    assert verdict["ok"] and verdict["checked"] == 40 and verdict["bad_seq"] is None
    assert f"{verdict['head']['seq']}:{verdict['head']['hash']}" == heads[-1]
    text = ctl.run("audit", "verify").stdout
    assert "Rows 1 to 40 hold." in text and heads[-1] in text
    assert ctl.json("audit verify", "--from", 31)["checked"] == 10


def test_the_first_bad_row_is_named(database, ctl):
    trail.append(database, trail.requests(20, 10))
    trail.tamper(database, "UPDATE audit_event SET key_id = 'other' WHERE seq IN (17, 30)")
    verdict = ctl.json("audit verify", status=FINDING)
    assert not verdict["ok"] and verdict["bad_seq"] == 17
    assert "does not match its hash" in verdict["problem"]
    assert "Row 17 does not hold" in ctl.run("audit", "verify", status=FINDING).stdout
    assert ctl.json("audit verify", "--from", 18, status=FINDING)["bad_seq"] == 30
    assert ctl.json("audit verify", "--from", 31)["ok"]


def test_an_exported_head_shows_what_the_chain_cannot(database, ctl, directory):
    heads = trail.append(database, trail.requests(20, 10))
    file = directory / "head"
    printed = ctl.run("audit", "head", "--output", file).stdout
    assert printed.split()[:2] == heads[-1].split(":") and file.read_text() == printed
    assert ctl.json("audit head") | {"at": 0} == {"seq": 40, "hash": heads[-1][3:], "at": 0}
    for head in (file, heads[-1], heads[5], heads[5].upper()):
        assert ctl.json("audit verify", "--head", head)["known"] == "present"
    since = ctl.json("audit verify", "--since-head", heads[29])
    assert since["known"] == "present" and since["first_seq"] == 30 and since["checked"] == 11

    trail.tamper(database, "DELETE FROM audit_event WHERE seq > 35")
    assert ctl.json("audit verify")["ok"]  # from inside it looks whole
    for option in ("--head", "--since-head"):
        cut = ctl.json("audit verify", option, file, status=FINDING)
        assert cut["known"] == "missing" and cut["bad_seq"] == 36, cut
    trail.append(database, trail.requests(3, 1, key_id="mallory"))
    assert ctl.json("audit verify")["ok"]
    for option in ("--head", "--since-head"):
        forged = ctl.json("audit verify", option, file, status=FINDING)
        assert forged["known"] == "changed" and forged["bad_seq"] == 40, forged
    assert "written anew" in ctl.run("audit", "verify", "--head", file, status=FINDING).stdout


def test_bad_heads_are_refused(database, ctl, directory):
    heads = trail.append(database, trail.requests(2, 10))
    bad = directory / "bad"
    for text in ("", "17\n", "x" * 100000, f"0 {'0' * 64}\n", f"3 {'z' * 64}\n", "\0" * 200):
        bad.write_text(text)
        answer = ctl.run("audit", "verify", "--head", bad, status=FAILED)
        assert str(bad) in answer.stderr
    for head in ("/nowhere", "5", f"5:{'0' * 63}", HOSTILE):
        ctl.run("audit", "verify", "--head", head, status=FAILED)
    ctl.run("audit", "verify", "--head", heads[0], "--since-head", heads[0], status=USAGE)
    for number in ("0", "-1", "x", "1e3", str(2 ** 63)):
        ctl.run("audit", "verify", "--from", number, status=USAGE)
    answer = ctl.run("audit", "head", "--output", "/nowhere/head", status=FAILED)
    assert "/nowhere/head" in answer.stderr


def test_head_of_an_empty_trail(ctl, directory):
    answer = ctl.run("audit", "head", "--output", directory / "head", status=FINDING)
    assert "empty" in answer.stderr and not (directory / "head").exists()


def test_no_database_and_no_sqlite(directory):
    for content in (None, b"", b"not a database" * 100):
        path = directory / "some.db"
        if content is not None:
            path.write_bytes(content)
        for words in (["verify"], ["query"], ["head"], ["export"],
                      ["prune", "--keep", "90d", "--dry-run"]):
            answer = Agwctl(None, "--database", path).run("audit", *words, status=FAILED)
            assert str(path) in answer.stderr, answer


@pytest.mark.parametrize("pruned", [False, True])
def test_the_documents_own_verification(database, ctl, pruned):
    code = snippet("AUDIT.md", "## The chain")
    assert "no rows" in run_snippet(code, database).stdout
    trail.append(database, trail.requests(50, 100, reason=b"\xff\xfe", status=None))
    if pruned:
        ctl.run("audit", "prune", "--keep", "50d", "--yes")
    done = run_snippet(code, database)
    verdict = ctl.json("audit verify")
    assert done.returncode == 0 and done.stdout.strip().endswith(
        f"{verdict['head']['seq']}:{verdict['head']['hash']}"), done
    trail.tamper(database, "UPDATE audit_event SET agent = 'x' WHERE seq = 90")
    assert "row 90 does not hold" in run_snippet(code, database).stderr
    trail.tamper(database, "DELETE FROM audit_event WHERE seq < 60")
    assert "row 60 does not hold" in run_snippet(code, database).stderr


# --- query ----------------------------------------------------------------------------------

@pytest.fixture
def mixed(database):
    rows = trail.requests(30, 10, 2.5)
    rows += [{"ts": trail.days_ago(1), "kind": "refusal", "key_id": "dev", "agent": "vault/x",
              "decision": "deny", "source": "deny", "outcome": "denied", "status": 403,
              "request_id": "denied-1"},
             {"ts": trail.days_ago(0.5), "kind": "override.created", "key_id": HOSTILE,
              "agent": b"\xff\x1b[31m", "reason": HOSTILE, "override_id": "ovr_1"}]
    trail.append(database, rows)
    return database


def test_query_filters(mixed, ctl):
    def seqs(*words):
        return [row["seq"] for row in ctl.json("audit query", *words, lines=True)]
    assert seqs() == list(range(62, 12, -1))
    assert seqs("--limit", 1000) == list(range(62, 0, -1))
    assert seqs("--decision", "deny") == [61]
    assert seqs("--outcome", "denied", "--key", "dev") == [61]
    assert seqs("--agent", "vault/x") == [61] and seqs("--request", "denied-1") == [61]
    assert seqs("--kind", "override.created") == [62]
    assert seqs("--since", "-2d") == [62, 61] and seqs("--since", "-2d", "--until", "-18h") == [61]
    assert len(seqs("--since", "2000-01-01", "--until", "now", "--limit", 100)) == 62
    assert seqs("--key", "nobody") == [] and seqs("--key", HOSTILE[:-1]) == []
    assert seqs("--key", HOSTILE) == [62]
    assert seqs("--limit", 3, "--before", 60) == [59, 58, 57]


def test_query_pages_over_many(database, ctl):
    trail.append(database, trail.requests(1300, 10))
    rows = ctl.json("audit query", "--limit", 10000, "--kind", "end", lines=True)
    assert [row["seq"] for row in rows] == list(range(2600, 0, -2))
    assert len(ctl.json("audit query", "--limit", 1001, lines=True)) == 1001
    assert len(ctl.json("audit query", "--limit", 1000, lines=True)) == 1000


def test_query_table(mixed, ctl):
    lines = ctl.run("audit", "query", "--limit", 2).lines()
    assert lines[0].split() == ["SEQ", "TIME", "KIND", "KEY", "AGENT", "DECISION", "RULE",
                                "OUTCOME", "STATUS", "MS", "REQUEST"]
    assert lines[2].split()[:6] == ["61", lines[2].split()[1], "refusal", "dev", "vault/x", "deny"]
    assert lines[3] == "There may be more: --before 61 shows the next."
    assert "No rows" in ctl.run("audit", "query", "--key", "nobody").stdout
    assert "\x1b[" in ctl.terminal("audit", "query") and "owned\x07" not in \
        ctl.terminal("audit", "query")


def test_query_refuses_what_makes_no_sense(ctl):
    for words in (["--limit", "0"], ["--limit", "x"], ["--since", "yesterday"], ["--before", "0"],
                  ["--since", HOSTILE], ["--nothing"], ["word"], ["--key"]):
        ctl.run("audit", "query", *words, status=USAGE)


# --- export ---------------------------------------------------------------------------------

def seqs_in(path):
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def test_export_proves_itself(database, ctl, directory):
    code = snippet("AUDIT.md", "proves itself")
    rows = trail.requests(30, 10) + [
        {"ts": 1, "kind": "x", "reason": b"\xff\xfe", "detail": "\u2028\"\\\n\x00\x7f\u00e9",
         "status": -5, "agent": ""}]
    heads = trail.append(database, rows)
    file = directory / "trail.jsonl"
    report = ctl.json("audit export", "--output", file)
    assert report["rows"] == 61 and f"{report['last']['seq']}:{report['last']['hash']}" == heads[-1]
    assert seqs_in(file) == list(range(1, 62))
    last = json.loads(file.read_text().splitlines()[-1])
    assert last["reason"] == {"base64": "//4="} and last["detail"] == rows[-1]["detail"]
    done = run_snippet(code, file)
    assert done.stdout.strip() == f"61 lines hold, the head is {heads[-1]}", done
    text = file.read_text()
    file.write_text(text.replace('"key_id":"dev"', '"key_id":"eve"', 1))
    assert "line 1 does not hold" in run_snippet(code, file).stderr
    lines = text.splitlines(keepends=True)
    file.write_text("".join(lines[:10] + lines[11:]))
    assert "line 11 does not hold" in run_snippet(code, file).stderr


def test_export_goes_on_wherever_it_was_cut(database, ctl, directory):
    trail.append(database, trail.requests(20, 10))
    file, whole = directory / "trail.jsonl", directory / "whole"
    ctl.run("audit", "export", "--output", whole)
    text, dice = whole.read_bytes(), random.Random(4)
    cuts = [0, 1, 5, 7, 8, len(text) - 1, len(text)] + [dice.randrange(len(text))
                                                        for _ in range(30)]
    for cut in cuts:
        file.write_bytes(text[:cut])
        ctl.run("audit", "export", "--output", file)
        assert file.read_bytes() == text, cut
    trail.append(database, trail.requests(5, 1))
    assert "rows 41 to 50" in ctl.run("audit", "export", "--output", file).stdout
    assert "all rows already" in ctl.run("audit", "export", "--output", file).stdout
    assert seqs_in(file) == list(range(1, 51))


def test_export_killed_in_the_middle(database, ctl, directory):
    trail.append(database, trail.requests(20000, 100))
    file = directory / "trail.jsonl"
    for delay in (0.01, 0.03, 0.06, 0.1):
        process = subprocess.Popen([env.AGWCTL, "audit", "export", "--output", file, "--database",
                                    database])
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ctl.run("audit", "export", "--output", file)
    assert seqs_in(file) == list(range(1, 40001))


def test_export_leaves_other_files_alone(database, ctl, directory):
    heads = trail.append(database, trail.requests(3, 10))
    file = directory / "file"
    for content in ("hello", "hello\n", "{}\n", '{"seq":1}\n', '{"seq":"1","hash":"x"}\n',
                    "\n\n", "x" * 200000, json.dumps({"seq": 99, "hash": "0" * 64}) + "\n",
                    json.dumps({"seq": 2, "hash": "0" * 64}) + "\n"):
        file.write_text(content)
        answer = ctl.run("audit", "export", "--output", file, status=FAILED)
        assert file.read_text() == content, answer
    link = directory / "link"
    link.symlink_to(file)
    for path in (directory, "/nowhere/x", link, "/dev/full"):
        ctl.run("audit", "export", "--output", path, status=FAILED)
    ctl.run("audit", "export", "--output", file, "--after", 1, status=USAGE)
    ctl.run("audit", "export", "--json", status=USAGE)
    ctl.run("audit", "export", "--after", 99, status=FAILED)
    assert ctl.run("audit", "export", "--after", 5).stdout.count("\n") == 1
    assert heads[-1][2:] in ctl.run("audit", "export", "--after", 5).stdout
    with open("/dev/full", "w") as full:
        done = subprocess.run([env.AGWCTL, "audit", "export", "--database", database],
                              stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == FAILED and b"standard output" in done.stderr


def test_export_says_when_rows_were_removed_before(database, ctl, directory):
    trail.append(database, trail.requests(20, 100))
    file = directory / "trail.jsonl"
    lines = ctl.run("audit", "export").stdout.splitlines(keepends=True)
    ctl.run("audit", "prune", "--keep", "50d", "--yes")
    file.write_text("".join(lines[:10]))
    answer = ctl.run("audit", "export", "--output", file, status=FAILED)
    assert "removed before they were exported" in answer.stderr
    first = int(ctl.json("audit verify")["first_seq"])
    file.write_text("".join(lines[:first - 1]))  # up to the anchor: nothing is missing
    ctl.run("audit", "export", "--output", file)
    assert seqs_in(file)[0] == 1 and seqs_in(file)[-1] == 41


# --- prune ----------------------------------------------------------------------------------

def test_prune(database, ctl):
    heads = trail.append(database, trail.requests(50, 100))
    plan = ctl.json("audit prune", "--keep", "50d", "--dry-run")
    assert plan["dry_run"] and plan["rows"] == 52 and plan["removed"] == 0
    assert ctl.json("audit verify")["first_seq"] == 1
    report = ctl.json("audit prune", "--keep", "50d", "--yes")
    assert report["removed"] == 52 and report["anchor"]["hash"] == heads[51][3:]
    verdict = ctl.json("audit verify")
    assert verdict["ok"] and verdict["first_seq"] == 53 and verdict["anchor"]["seq"] == 52
    row = ctl.json("audit query", "--kind", "audit.pruned", lines=True)[0]
    detail = json.loads(row["detail"])
    assert detail["through_seq"] == 52 and detail["rows"] == 52 and \
        detail["by"].startswith("cli:")
    assert ctl.json("audit verify", "--head", heads[60])["known"] == "present"
    assert ctl.json("audit verify", "--head", heads[51])["known"] == "present"
    old = ctl.json("audit verify", "--head", heads[3], status=FINDING)
    assert old["known"] == "pruned" and "newer head" in old["problem"]
    assert "newer head" in ctl.run("audit", "verify", "--head", heads[3], status=FINDING).stdout
    again = ctl.json("audit prune", "--before", "2000-01-01", "--yes")
    assert again["rows"] == 0 and again["anchor"] is None


def test_prune_asks(database, ctl):
    trail.append(database, trail.requests(50, 100))
    answer = ctl.run("audit", "prune", "--keep", "50d", status=USAGE)
    assert "--yes" in answer.stderr
    shown = ctl.terminal("audit", "prune", "--keep", "50d", typed="n\n", status=FINDING)
    assert "This removes 52 rows: 1 to 52" in shown and "nothing was removed" in shown
    assert ctl.json("audit verify")["first_seq"] == 1
    assert "Removed 52 rows" in ctl.terminal("audit", "prune", "--keep", "50d", typed="y\n")
    assert ctl.json("audit verify")["first_seq"] == 53


def test_prune_refuses(database, ctl):
    trail.append(database, trail.requests(50, 100))
    for words in ([], ["--keep", "90d", "--before", "-90d"], ["--keep", "1d"], ["--keep", "now"],
                  ["--keep", "-90d"], ["--keep", ""], ["--keep", "90"], ["--keep", HOSTILE],
                  ["--keep", "9" * 100 + "d"], ["--before", "-1h"], ["--before", "+1d"],
                  ["--before", "never"]):
        ctl.run("audit", "prune", *words, "--yes", status=USAGE)
    trail.tamper(database, "UPDATE audit_event SET agent = 'x' WHERE seq = 9")
    answer = ctl.run("audit", "prune", "--keep", "50d", "--yes", status=FINDING)
    assert "row 9 does not hold" in answer.stderr
    with contextlib.closing(sqlite3.connect(database)) as db:
        assert db.execute("SELECT count(*) FROM audit_event").fetchone() == (100,)
    if os.geteuid() != 0:
        database.chmod(0o440)
        ctl.run("audit", "prune", "--keep", "50d", "--yes", status=FAILED)


def test_prune_beside_a_gateway_that_serves(make):
    gateway = make.gateway(start=False)
    trail.create(gateway.database)
    trail.append(gateway.database, trail.requests(8000, 400))
    gateway.start()
    port = make.server(gateway).port
    took, stop = [], threading.Event()

    def serve():
        while not stop.is_set():
            began = time.monotonic()
            assert chat(port, KEYS["client"], "mock/ok").status == 200
            took.append(time.monotonic() - began)
    clients = [threading.Thread(target=serve) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        time.sleep(0.3)
        report = Agwctl(gateway).json("audit prune", "--keep", "90d", "--yes")
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert report["removed"] > 12000 and len(took) > 4
    assert max(took) < 2 * env.SLOW, max(took)
    verdict = request(port, "GET", "/security/audit/verify", key=KEYS["admin"]).json()
    assert verdict["ok"] and verdict["anchor"]["seq"] == report["anchor"]["seq"]
    assert Agwctl(gateway).json("audit verify")["ok"]
