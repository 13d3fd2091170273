# SPDX-License-Identifier: MIT
"""agwctl audit nightly and contrib/nightly-audit: what is planted is found, what is healthy is
called so, whatever else is broken."""
import contextlib
import datetime
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess

import pytest

import env
import trail
from agwctl import FAILED, FINDING, FINE, HOSTILE, USAGE, Agwctl, schema
from gateway import KEYS
from wire import chat, request


def in_days(days):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def hashed(secret):
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def healthy_keys():
    return [{"id": name, "hashed_key": hashed(KEYS[name]), "roles": roles, "expires_at": in_days(60),
             "allow_agents": ["mock/*"]}
            for name, roles in (("client", ["client"]), ("admin", ["client", "admin"]))]


def protect(gateway):
    for path in gateway.conf.iterdir():
        path.chmod(0o640)


@pytest.fixture
def healthy(make):
    """A gateway that serves, with nothing to find."""
    gateway = make.gateway(start=False)
    gateway.security["api_keys"] = healthy_keys()
    gateway.write_all()
    protect(gateway)
    gateway.start()
    gateway.port = make.server(gateway).port
    gateway.ctl = Agwctl(gateway)
    assert chat(gateway.port, KEYS["client"], "mock/ok").status == 200
    return gateway


def nightly(ctl, *words, **options):
    return ctl.json("audit nightly", *words, **options)


def found(report, least="warning"):
    order = ("info", "warning", "critical")
    return [(f["kind"], f["subject"]) for f in report["security_findings"]
            if order.index(f["severity"]) >= order.index(least)]


def kinds(report, least="warning"):
    return {kind for kind, _ in found(report, least)}


# --- what is healthy ------------------------------------------------------------------------

def test_nothing_to_find(healthy):
    first = nightly(healthy.ctl)
    assert first["healthy"] and found(first) == []
    assert first["total_api_keys"] == first["hashed_api_keys"] == 2
    assert first["audit"]["ok"] and first["database"]["ok"]
    assert not first["requests"]["compared"] and "first audit" in first["requests"]["not_compared"]
    for i in range(7):
        assert chat(healthy.port, KEYS["client"], "mock/ok").status == 200
    assert chat(healthy.port, KEYS["client"], "vault/secret-plan").status == 403
    second = nightly(healthy.ctl)
    assert second["healthy"], second["security_findings"]
    assert second["requests"]["compared"]
    assert second["requests"]["outcomes"]["completed"] == \
        {"rows": 7, "metrics_least": 7, "metrics_most": 7}
    assert second["requests"]["outcomes"]["denied"]["rows"] == 1
    assert second["audit"]["known"] == "present"
    assert second["audit"]["first_seq"] == first["audit"]["head"]["seq"]
    assert second["denials"]["by_agent"] == [{"agent": "vault/secret-plan", "denials": 1, "keys": 1}]
    assert ("agent.denied", "vault/secret-plan") in found(second, "info")
    text = healthy.ctl.run("audit", "nightly", "--text", "--full").stdout
    assert text.startswith("Nightly audit of ") and "healthy" in text.splitlines()[0]
    assert "rows and metrics were compared" in text
    head = healthy.database.with_name(healthy.database.name + ".nightly")
    assert healthy.ctl.json("audit verify", "--since-head", head)["known"] == "present"


def test_it_is_healthy_under_load(healthy):
    nightly(healthy.ctl)
    load = subprocess.Popen(
        ["sh", "-c", "while :; do curl -s -o /dev/null -H 'authorization: Bearer "
         f"{KEYS['client']}' -H 'content-type: application/json' -d "
         "'{\"model\": \"mock/ok\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}'"
         f" http://127.0.0.1:{healthy.port}/v1/chat/completions; done"])
    try:
        for _ in range(3):
            report = nightly(healthy.ctl)
            assert report["healthy"] and report["requests"]["compared"], report
            assert report["requests"]["outcomes"]["completed"]["rows"] > 0
    finally:
        load.kill()
        load.wait()


# --- what is planted ------------------------------------------------------------------------

def test_the_sample_configuration(directory):
    """Without a database: as CI runs it before a release."""
    conf = directory / "conf"
    shutil.copytree(env.SOURCE / "conf", conf)
    with open(conf / "security.yaml", "a") as file:
        file.write(f"""
  - {{id: laptop, key: some-secret, expires_at: {in_days(300)}}}
  - {{id: soon, hashed_key: "{hashed('a')}", expires_at: {in_days(3)}}}
  - {{id: past, hashed_key: "{hashed('b')}", expires_at: {in_days(-3)}}}
""")
    for path in conf.iterdir():
        path.chmod(0o640)
    (conf / "security.yaml").chmod(0o644)
    done = subprocess.run([env.SOURCE / "contrib" / "nightly-audit", "--config",
                           conf / "gateway.yaml"], capture_output=True, text=True,
                          env={**os.environ, "AGWCTL": str(env.AGWCTL)}, timeout=60)
    assert done.returncode == FINDING, done.stderr
    report = json.loads(done.stdout)
    schema("audit nightly").validate(report)
    assert set(found(report)) == {
        *(("key.published", name) for name in ("dev", "client", "audit")),
        *(("key.no_expiry", name) for name in ("dev", "client", "audit")),
        ("key.wildcard_admin", "dev"), ("key.plaintext", "laptop"), ("key.expiring", "soon"),
        ("key.expired", "past"), ("file.exposed", str(conf / "security.yaml"))}
    assert report["total_api_keys"] == 6 and report["hashed_api_keys"] == 5
    assert report["api_keys_without_expiry"] == 3 and report["wildcard_admin_keys"] == 1
    assert report["audit"] is None and ("database.missing", report["security_findings"][-1]
                                        ["subject"]) in found(report, "info")
    text = Agwctl(None, "--config", conf / "gateway.yaml").run("audit", "nightly", "--text",
                                                               status=FINDING).stdout
    assert "key.plaintext" in text and "6, 5 hashed, 3 without expiry" in text
    assert "some-secret" not in done.stdout + text


def test_grants_denials_and_unused_keys(healthy):
    admin = lambda body: request(healthy.port, "POST", "/security/override", key=KEYS["admin"],
                                 body=body).json()["id"]
    nameless = admin({"agent": "vault/*", "ttl_seconds": 600})
    used = admin({"agent": "vault/secret-plan", "ttl_seconds": 500, "reason": "incident 7",
                  "key_id": "client"})
    assert chat(healthy.port, KEYS["client"], "vault/secret-plan").status == 200
    gone = admin({"agent": "nowhere/*", "ttl_seconds": 600, "reason": "never mind"})
    request(healthy.port, "DELETE", f"/security/overrides/{gone}", key=KEYS["admin"])
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("UPDATE api_key SET last_used_at = ?, created_at = ? WHERE id = 'admin'",
                   (trail.days_ago(91), trail.days_ago(200)))
        db.commit()
    report = nightly(healthy.ctl, status=FINDING)
    assert set(found(report)) == {("override.no_reason", nameless), ("key.unused", "admin")}
    assert {("override.active", nameless), ("override.active", used), ("override.unused", gone)} \
        <= set(found(report, "info"))
    grants = {o["id"]: o for o in report["overrides"]["list"]}
    assert grants[used]["uses"] == 1 and grants[used]["active"] and not grants[gone]["active"]
    assert report["overrides"]["total"] == 3 and report["overrides"]["used"] == 1
    assert report["api_keys_unused"] == 1
    # Somebody with a shell gives himself more time: it counts for nothing, and is told.
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("UPDATE override SET expires_at = expires_at + 1000 WHERE id = ?", (used,))
        db.commit()
    assert "override.unrecorded" in kinds(nightly(healthy.ctl, status=FINDING), "critical")


def test_requests_that_did_not_end(healthy):
    rows = trail.requests(2, 0.1)[::2]  # decisions alone
    rows[1].update(kind="end", outcome="internal", detail='{"unfinished":true}', decision=None)
    rows[0]["ts"] = trail.days_ago(0.5)
    heads = trail.append(healthy.database, rows)
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("INSERT INTO process VALUES ('test:1:1', 'boot', ?, 1)",
                   (int(heads[0].split(":")[0]),))
        db.commit()
    report = nightly(healthy.ctl, status=FINDING)
    assert kinds(report) == {"request.unfinished", "request.cut_off"}
    assert report["unfinished"]["running"] >= 1 and report["unfinished"]["cut_off"] == 1


def test_forged_keys(healthy):
    made = request(healthy.port, "POST", "/security/keys", key=KEYS["admin"], body={
        "id": "made", "roles": ["client"], "allow_agents": ["mock/*"], "expires_at": in_days(30)})
    assert made.status in (200, 201), made
    report = nightly(healthy.ctl)
    assert report["healthy"] and report["total_api_keys"] == 3
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("UPDATE api_key SET allow_agents = NULL, expires_at = NULL WHERE id = 'made'")
        db.commit()
    report = nightly(healthy.ctl, status=FINDING)
    assert set(found(report)) == {("key.unrecorded", "made"), ("key.no_expiry", "made")}
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("DROP TRIGGER audit_event_no_delete")
        db.commit()
    assert "database.damaged" in kinds(nightly(healthy.ctl, status=FINDING), "critical")


# --- the trail ------------------------------------------------------------------------------

def test_rows_that_nobody_counted(healthy):
    nightly(healthy.ctl)
    trail.append(healthy.database, trail.requests(3, 0.1)[1::2])
    report = nightly(healthy.ctl, status=FINDING)
    assert found(report) == [("audit.outcomes", "completed")]
    assert report["requests"]["outcomes"]["completed"] == \
        {"rows": 3, "metrics_least": 0, "metrics_most": 0}
    assert nightly(healthy.ctl)["healthy"]  # each night is compared by itself


def test_tampering(healthy):
    for _ in range(5):
        chat(healthy.port, KEYS["client"], "mock/ok")
    state = healthy.database.with_name(healthy.database.name + ".nightly")
    nightly(healthy.ctl)
    verified = state.read_text()
    for _ in range(5):
        chat(healthy.port, KEYS["client"], "mock/ok")
    assert healthy.stop() == 0
    whole = healthy.directory / "whole.db"
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("VACUUM INTO ?", (str(whole),))
    with contextlib.closing(sqlite3.connect(whole)) as db:
        db.execute("PRAGMA journal_mode = wal")
    whole.chmod(0o640)
    newest = int(healthy.ctl.json("audit head")["seq"])

    def tampered(sql, *words):
        copy = healthy.directory / "copy.db"
        for side in ("-wal", "-shm"):
            copy.with_name(copy.name + side).unlink(missing_ok=True)
        shutil.copy(whole, copy)
        trail.tamper(copy, sql, cover_up=True)
        return nightly(healthy.ctl, "--database", copy, "--state", state, "--keep-state", *words,
                       status=None)
    assert found(tampered("SELECT 1")) == []
    for sql, kind in ((f"UPDATE audit_event SET agent = 'x' WHERE seq = {newest}", "audit.chain"),
                      (f"DELETE FROM audit_event WHERE seq > {newest - 11}", "audit.head"),
                      ("DELETE FROM audit_event", "audit.head")):
        report = tampered(sql)
        assert kind in kinds(report, "critical"), (sql, report)
        assert not report["requests"]["compared"]
    old = "UPDATE audit_event SET agent = 'x' WHERE seq = 2"
    assert tampered(old)["healthy"]  # what was verified is not read every night ...
    assert "audit.chain" in kinds(tampered(old, "--full"), "critical")  # ... but it can be
    assert state.read_text() == verified

    trail.tamper(healthy.database, f"UPDATE audit_event SET agent = 'x' WHERE seq = {newest}",
                 cover_up=True)
    nightly(healthy.ctl, status=FINDING)
    assert state.read_text() == verified  # a head is only kept of a trail that holds


def test_a_head_that_was_pruned(healthy):
    state, old = healthy.directory / "state", trail.create(healthy.directory / "old.db")
    old.chmod(0o640)
    heads = trail.append(old, trail.requests(20, 100, 50))
    state.write_text(heads[3].replace(":", " ") + " 2026-01-01T00:00:00Z\n")
    ctl = Agwctl(healthy, "--database", old)
    ctl.run("audit", "prune", "--keep", "70d", "--yes")
    report = nightly(ctl, "--state", state, status=FINDING)
    assert found(report) == [("audit.head", None)] and report["audit"]["known"] == "pruned"
    assert nightly(ctl, "--state", state)["healthy"]


# --- what is broken -------------------------------------------------------------------------

def test_a_configuration_that_cannot_be_loaded(healthy):
    (healthy.conf / "agents.yaml").write_text("version: 1\nagents: [{nme: x}]\n")
    protect(healthy)
    report = nightly(healthy.ctl, status=FINDING)
    assert kinds(report, "critical") == {"config.invalid"}
    assert report["total_api_keys"] == 2 and report["audit"]["ok"]  # the rest is said


def test_a_damaged_database(healthy):
    nightly(healthy.ctl)
    assert healthy.stop() == 0
    with contextlib.closing(sqlite3.connect(healthy.database)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = db.execute("SELECT rootpage FROM sqlite_master WHERE name IN ('audit_event',"
                           " 'audit_event_ts') ORDER BY name").fetchall()
    content = healthy.database.read_bytes()
    for damaged in (content[:len(content) // 2], b"\0" * 4096 + content[4096:],
                    *(content[:4096 * (page - 1)] + b"\xaa" * 4096 + content[4096 * page:]
                      for page, in pages)):
        for side in ("-wal", "-shm"):
            healthy.database.with_name(healthy.database.name + side).unlink(missing_ok=True)
        healthy.database.write_bytes(damaged)
        report = nightly(healthy.ctl, status=FINDING)
        assert kinds(report, "critical") & {"database.damaged", "database.unreadable"}, report
        assert report["total_api_keys"] == 2
    healthy.database.unlink()
    assert "database.missing" in kinds(nightly(healthy.ctl, status=FINDING), "critical")


def test_bad_words_and_files(healthy):
    ctl, state = healthy.ctl, healthy.directory / "state"
    for words in (["--json", "--text"], ["--since", "x"], ["--hook"], ["word"], ["--state"]):
        ctl.run("audit", "nightly", *words, status=USAGE)
    for content in ("", "hello\n", "\0" * 5000, f"1 {'0' * 63}\n"):
        state.write_text(content)
        answer = ctl.run("audit", "nightly", "--state", state, status=FAILED)
        assert str(state) in answer.stderr and state.read_text() == content
    head = ctl.json("audit head")
    for more in ("", "{}", "[1]", '{"metrics": {"completed": [1]}}', "\xff" * 9000, HOSTILE):
        state.write_text(f"{head['seq']} {head['hash']} x\n{more}\n")
        report = nightly(ctl, "--state", state, "--keep-state")
        assert report["healthy"] and not report["requests"]["compared"]
    answer = ctl.run("audit", "nightly", "--state", "/nowhere/state", status=FAILED)
    assert "/nowhere/state" in answer.stderr and json.loads(answer.stdout)["healthy"]


# --- the hook -------------------------------------------------------------------------------

@pytest.fixture
def hook(directory):
    """A program that keeps its words and what it was given."""
    program = directory / "the hook"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.words"\ncat > "$0.input"\n')
    program.chmod(0o755)
    return program


def given(hook):
    words, text = (hook.with_name(hook.name + end) for end in (".words", ".input"))
    if not text.exists():
        return None
    result = words.read_text().splitlines(), text.read_text()
    words.unlink()
    text.unlink()
    return result


def test_the_hook_gets_the_report(healthy, hook, directory):
    ctl = healthy.ctl
    call = f"'{hook}' one  \"two words\" $(touch {directory}/owned);`id` '' 'a'\"b\"c"
    assert nightly(ctl, "--hook", call)["healthy"] and given(hook) is None
    report = nightly(ctl, "--hook", call, "--hook-always")
    words, text = given(hook)
    assert words == ["one", "two words", "$(touch", f"{directory}/owned);`id`", "", "abc"]
    assert json.loads(text) == report and not (directory / "owned").exists()
    healthy.conf.joinpath("security.yaml").chmod(0o644)
    nightly(ctl, "--hook", call, "--hook-text", status=FINDING)
    assert "file.exposed" in given(hook)[1]
    for bad in ("/nowhere/program", "false", "", "  ", "'open", "sh -c 'kill -9 $$'", "x " * 100):
        answer = ctl.run("audit", "nightly", "--hook", bad, status=FAILED)
        assert "hook" in answer.stderr and json.loads(answer.stdout)["timestamp"], answer


def test_contrib_nightly_audit_mails(healthy, hook):
    def run(**environment):
        return subprocess.run(
            [env.SOURCE / "contrib" / "nightly-audit", "--config", healthy.conf / "gateway.yaml"],
            capture_output=True, text=True, timeout=60,
            env={**(healthy.environment or os.environ), "AGWCTL": str(env.AGWCTL),
                 "NIGHTLY_MAIL": "ops@example.org", "NIGHTLY_MAILER": f"'{hook}' -s Findings",
                 **environment})
    done = run()
    assert done.returncode == FINE and json.loads(done.stdout)["healthy"] and given(hook) is None
    healthy.conf.joinpath("security.yaml").chmod(0o644)
    done = run()
    assert done.returncode == FINDING and not json.loads(done.stdout)["healthy"]
    words, text = given(hook)
    assert words == ["-s", "Findings", "ops@example.org"] and "file.exposed" in text
    assert run(AGWCTL="/nowhere/agwctl").returncode == 127


def test_the_samples_call_it_right():
    """What systemd and cron would run is understood, and systemd reads the units."""
    unit = (env.SOURCE / "contrib/systemd/agent-gateway-nightly.service").read_text()
    cron = (env.SOURCE / "contrib/cron/agent-gateway-nightly").read_text()
    lines = [line.split("agwctl ", 1)[1].split("2>&1")[0].split()
             for text in (unit, cron) for line in text.splitlines()
             if "agwctl audit" in line and not line.startswith("#")]
    assert len(lines) == 3
    for words in lines:
        assert "Usage: agwctl audit nightly" in Agwctl().run(*words, "--help").stdout
