# SPDX-License-Identifier: MIT
"""agwctl db: check, migrate, backup while serving, restore without bringing back what ended."""
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest

import env
import fcgi
from agwctl import CONTROL, FAILED, FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS
from procs import wait_until

NEWEST = max(int(path.name[:4]) for path in (env.SOURCE / "sql").glob("[0-9]*.sql"))


def ask(gateway, agent="mock/ok", key="client"):
    return fcgi.chat(gateway.socket, KEYS[key], agent).status


def override(gateway, agent, seconds=600, **more):
    answer = fcgi.call(gateway.socket, "POST", "/security/override", KEYS["admin"],
                       {"agent": agent, "ttl_seconds": seconds, "reason": "test", **more})
    assert answer.status in (200, 201), answer.body
    return answer.json()["id"]


def revoke(gateway, identifier):
    assert fcgi.call(gateway.socket, "DELETE", f"/security/overrides/{identifier}",
                     KEYS["admin"]).status == 200


def edit(path, *statements, script=None):
    """As somebody with a shell does it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        if script:
            connection.executescript(script)
        return [connection.execute(statement).fetchall() for statement in statements][-1] \
            if statements else None
    finally:
        connection.close()


def states(report):
    return {check["name"]: check["state"] for check in report["checks"]}


@pytest.fixture(scope="module")
def stopped(session_dir, mock):
    """A database with a history, which no gateway uses; tests take copies."""
    from gateway import Gateway
    instance = Gateway(session_dir / "db", mock, gateway={"workers": 1})
    instance.start()
    for _ in range(30):
        assert ask(instance) == 200
    assert ask(instance, "mock/forbidden") == 403
    assert instance.stop() == 0
    return instance


@pytest.fixture
def copy(stopped, directory):
    path = directory / "copy.db"
    for end in ("", "-wal"):
        source = stopped.database.with_name(stopped.database.name + end)
        if source.exists():
            shutil.copy(source, str(path) + end)
    path.chmod(0o640)
    return path


def on(path):
    return Agwctl(None, "--database", path)


def litter(folder):
    """Files that no finished command leaves behind."""
    return [p.name for p in folder.iterdir() if ".new-" in p.name]


# --- check ----------------------------------------------------------------------------------

def test_check_of_a_sound_database(make, copy):
    report = on(copy).json("db check")
    assert report["ok"] and list(states(report)) == [
        "journal mode", "schema version", "integrity", "foreign keys", "schema", "audit chain"]
    assert "audit chain" not in states(on(copy).json("db check", "--quick"))
    gateway = make.gateway(gateway={"workers": 1})
    assert ask(gateway) == 200
    assert Agwctl(gateway).json("db check")["ok"]
    assert ask(gateway) == 200


@pytest.mark.parametrize("statement, check, state, word", [
    ("DROP INDEX audit_event_ts", "schema", "failed", "index audit_event_ts is missing"),
    ("DROP TRIGGER audit_event_no_delete", "schema", "failed", "audit_event_no_delete"),
    ("DROP VIEW decisions; CREATE VIEW decisions AS SELECT 1 AS seq", "schema", "failed",
     "view decisions was changed"),
    ("CREATE TRIGGER mine AFTER INSERT ON audit_event BEGIN SELECT 1; END", "schema", "failed",
     "trigger mine"),
    ("CREATE INDEX mine ON audit_event (route)", "schema", "warning", "index mine"),
    ("DROP TRIGGER audit_event_no_update; UPDATE audit_event SET key_id = 'x' WHERE seq = 7",
     "audit chain", "failed", "row 7"),
    ("PRAGMA user_version = 9999", "schema version", "failed", "newer"),
    ("PRAGMA user_version = 0", "schema version", "failed", "no database of the gateway"),
    ("PRAGMA journal_mode = DELETE", "journal mode", "failed", "only 'wal' is safe"),
    ("PRAGMA foreign_keys = 0; INSERT INTO configuration_current VALUES ('x', 99, 1)",
     "foreign keys", "failed", "configuration"),
    ('CREATE TABLE "a\x1b]0;owned\x07" (x)', "schema", "warning", "owned"),
])
def test_check_finds(copy, statement, check, state, word):
    edit(copy, script=statement)
    report = on(copy).json("db check", status=FINDING)
    found = {c["name"]: c for c in report["checks"]}[check]
    assert found["state"] == state and word in found["detail"], report
    assert word in on(copy).run("db", "check", status=FINDING).stdout


def test_check_of_damaged_files(copy, directory):
    edit(copy, "PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(copy.read_bytes())
    seed = random.Random(7)
    for _ in range(200):
        data[seed.randrange(4096, len(data))] ^= 0xff
    copy.write_bytes(data)
    assert "failed" in states(on(copy).json("db check", status=FINDING)).values()
    copy.write_bytes(bytes(data[:5000]))
    on(copy).json("db check", status=FINDING)
    text = directory / "text.db"
    text.write_text("no database at all, but longer than a header has to be" * 100)
    on(text).json("db check", status=FINDING)
    empty = directory / "empty.db"
    empty.touch()
    assert states(on(empty).json("db check", status=FINDING))["schema version"] == "failed"
    assert empty.stat().st_size == 0


def test_check_fails_clearly(directory):
    assert "No such file" in on(directory / "none.db").run("db", "check", status=FAILED).stderr
    assert "not a file" in on(directory).run("db", "check", status=FAILED).stderr
    on(str(directory / "x") + HOSTILE.replace("/", "")).run("db", "check", status=FAILED)
    on(directory / "none.db").run("db", "check", "--nothing", status=USAGE)
    assert not list(directory.iterdir())


# --- migrate --------------------------------------------------------------------------------

def old_database(path, version=1):
    scripts = sorted((env.SOURCE / "sql").glob("[0-9]*.sql"))
    edit(path, script="PRAGMA journal_mode = wal;" + "".join(
        script.read_text() for script in scripts if int(script.name[:4]) <= version) +
        f"; PRAGMA user_version = {version}")


def test_migrate(directory):
    path = directory / "gateway.db"
    assert "No such file" in on(path).run("db", "migrate", status=FAILED).stderr
    assert not path.exists()
    report = on(path).json("db migrate", "--create")
    assert (report["before"], report["after"]) == (0, NEWEST)
    assert len(report["applied"]) == NEWEST and path.stat().st_mode & 0o777 == 0o640
    report = on(path).json("db migrate")
    assert report["before"] == NEWEST and report["applied"] == []
    assert "already" in on(path).run("db", "migrate").stdout
    old = directory / "old.db"
    old_database(old)
    assert f"schema 1 -> {NEWEST}" in on(old).run("db", "migrate").stdout
    assert on(old).json("db check")["ok"]


def test_migrate_refuses(copy, directory):
    edit(copy, "PRAGMA user_version = 9999")
    answer = on(copy).run("db", "migrate", status=FAILED)
    assert "newer agent-gateway" in answer.stderr
    assert edit(copy, "PRAGMA user_version") == [(9999,)]
    text = directory / "text.db"
    text.write_text("this is not a database" * 500)
    before = text.read_bytes()
    on(text).run("db", "migrate", status=FAILED)
    assert text.read_bytes() == before


def test_T42_migrate_killed_at_any_time(directory):
    """Old or new, never mixed: each step ends with its version in the same transaction."""
    path = directory / "gateway.db"
    seed = random.Random(42)
    versions = set()
    for _ in range(25):
        for end in ("", "-wal", "-shm", ".gate", ".shared"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        old_database(path)
        process = subprocess.Popen([env.AGWCTL, "db", "migrate", "--database", path],
                                   stdout=subprocess.DEVNULL)
        time.sleep(seed.random() * 0.03 * env.SLOW)
        process.kill()
        process.wait()
        version, = edit(path, "PRAGMA user_version")[0]
        versions.add(version)
        report = on(path).json("db check", status=None)
        assert states(report)["schema"] == "ok", report  # as that version has it
        on(path).json("db migrate")
        assert on(path).json("db check")["ok"]
    assert versions <= set(range(1, NEWEST + 1))


# --- backup ---------------------------------------------------------------------------------

def test_T46_backup_under_load(make, directory):
    gateway = make.gateway(gateway={"workers": 2})
    ctl = Agwctl(gateway)
    stop = threading.Event()
    statuses = []

    def load():
        while not stop.is_set():
            statuses.append(ask(gateway))

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for number in range(4):
            wait_until(lambda: len(statuses) > 100 * number, 30 * env.SLOW, "load")
            target = directory / f"backup-{number}.db"
            report = ctl.json("db backup", target)
            assert report["verified"] == "full" and report["bytes"] == target.stat().st_size
            assert target.stat().st_mode & 0o777 == 0o640
            assert not list(directory.glob(f"backup-{number}.db?*"))  # one file, alone
            # what it says of itself is what was true in the gateway
            head = gateway.sql("SELECT hash FROM audit_event WHERE seq = ?", report["head"]["seq"])
            assert head == [{"hash": report["head"]["hash"]}]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}  # nobody was refused because of it
    sizes = [edit(directory / f"backup-{n}.db", "SELECT count(*) FROM audit_event")[0][0]
             for n in range(4)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert on(directory / "backup-3.db").json("db check")["ok"]
    assert litter(directory) == []


def test_backup_names(copy, directory):
    ctl = on(copy)
    target = directory / "backup.db"
    assert "audit chain verified" in ctl.run("db", "backup", target).stdout
    before = target.read_bytes()
    assert "--force" in ctl.run("db", "backup", target, status=FAILED).stderr
    assert target.read_bytes() == before
    assert ctl.json("db backup", target, "--force", "--quick")["verified"] == "quick"
    for name in ("copy.db", "copy.db-wal", "copy.db-shm"):
        (directory / name).exists() and \
            ctl.run("db", "backup", directory / name, "--force", status=FAILED)
    link = directory / "link.db"
    link.symlink_to(copy)
    assert "itself" in ctl.run("db", "backup", link, "--force", status=FAILED).stderr
    link.unlink()
    link.symlink_to(directory / "elsewhere")
    ctl.run("db", "backup", link, "--force", status=FAILED)
    ctl.run("db", "backup", directory, status=FAILED)
    ctl.run("db", "backup", directory / "no" / "folder.db", status=FAILED)
    ctl.run("db", "backup", "/dev/full", "--force", status=FAILED)
    ctl.run("db", "backup", str(directory / "n") + "x" * 5000, status=FAILED)
    ctl.run("db", "backup", status=USAGE)
    hostile = str(directory / "h") + HOSTILE.replace("/", "")
    ctl.run("db", "backup", hostile)
    assert litter(directory) == []
    assert edit(copy, "SELECT count(*) FROM audit_event")[0][0] > 30


def test_backup_of_what_is_not_sound(copy, directory):
    edit(copy, script="DROP TRIGGER audit_event_no_update;"
                      "UPDATE audit_event SET outcome = 'completed' WHERE outcome = 'denied'")
    target = directory / "backup.db"
    answer = on(copy).run("db", "backup", target, status=FAILED)
    assert "no backup was made" in answer.stderr and not target.exists()
    assert litter(directory) == []


def test_backup_that_has_no_room_or_is_interrupted(copy, directory):
    for number in range(3):
        edit(copy, script="INSERT INTO recent_error (ts, component, kind, severity, message)"
                          " SELECT 1, 'a', 'b', 'c', printf('%.*c', 9000, 'x') FROM audit_event")
    target = directory / "backup.db"
    done = subprocess.run(
        [env.AGWCTL, "db", "backup", target, "--database", copy], capture_output=True, text=True,
        preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000)),
                            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)))
    assert done.returncode == FAILED and "no backup was made" in done.stderr, done.stderr
    assert litter(directory) == [] and not target.exists()
    seed = random.Random(1)
    for _ in range(15):
        process = subprocess.Popen([env.AGWCTL, "db", "backup", target, "--database", copy],
                                   stdout=subprocess.DEVNULL)
        time.sleep(seed.random() * 0.03)
        process.send_signal(signal.SIGINT)
        ended = process.wait()
        assert litter(directory) == [] and (ended != 0 or target.exists())
        if target.exists():  # whole, or not at all
            assert on(target).json("db check")["ok"]
            for path in directory.glob("backup.db*"):
                path.unlink()


# --- restore --------------------------------------------------------------------------------

def test_restore_is_refused_while_anybody_has_it_open(make, directory):
    gateway = make.gateway(gateway={"workers": 2})
    assert ask(gateway) == 200
    ctl = Agwctl(gateway)
    backup = directory / "backup.db"
    ctl.run("db", "backup", backup)
    before = gateway.database.stat().st_ino
    answer = ctl.run("db", "restore", backup, status=FAILED)
    assert "in use by process" in answer.stderr
    assert int(re.search(r"process (\d+)", answer.stderr).group(1)) in gateway.workers()
    assert gateway.database.stat().st_ino == before and litter(gateway.run) == []
    assert ask(gateway) == 200
    gateway.stop()
    reader = sqlite3.connect(gateway.database)
    reader.execute("BEGIN").execute("SELECT count(*) FROM meta").fetchall()
    assert "in use" in ctl.run("db", "restore", backup, status=FAILED).stderr
    reader.close()
    ctl.json("db restore", backup)


def test_a_link_to_the_database_is_the_database(make, directory):
    (directory / "link.db").symlink_to(directory / "run" / "volume.db")
    (directory / "run").mkdir(exist_ok=True)
    gateway = make.gateway(gateway={"database": {"path": str(directory / "link.db")}})
    assert ask(gateway) == 200
    real = directory / "run" / "volume.db"
    for name in (real, directory / "link.db"):
        ctl = on(name)
        backup = directory / f"{name.stem}.backup"
        ctl.run("db", "backup", backup)
        assert "in use by process" in ctl.run("db", "restore", backup, status=FAILED).stderr
        assert "itself" in ctl.run("db", "backup", f"{real}-wal", status=FAILED).stderr
        grant = override(gateway, "labs/closed-door")
        assert ask(gateway, "labs/closed-door") == 200
        ctl.run("override", "revoke", grant)
        assert ask(gateway, "labs/closed-door") == 403
    assert not list(directory.glob("link.db?*"))
    gateway.stop()
    on(directory / "link.db").run("db", "restore", directory / "link.backup")
    assert (directory / "link.db").is_symlink() and real.is_file() and not real.is_symlink()
    gateway.start()
    assert ask(gateway) == 200


def test_restore_brings_nothing_back_that_has_ended(make, directory):
    gateway = make.gateway(gateway={"workers": 2})
    ctl = Agwctl(gateway)
    lasting = override(gateway, "vault/*")
    revoked = override(gateway, "labs/closed-door")
    short = override(gateway, "mock/status-400", 2)
    assert ask(gateway, "labs/closed-door") == 200
    backup = directory / "backup.db"
    ctl.run("db", "backup", backup)
    revoke(gateway, revoked)
    later = override(gateway, "vault/secret-plan")
    assert ask(gateway, "labs/closed-door") == 403
    revision = gateway.sql("SELECT value FROM meta WHERE name = 'revision'")[0]["value"]
    rows = gateway.sql("SELECT max(seq) AS n FROM audit_event")[0]["n"]
    gateway.database.chmod(0o660)
    gateway.stop()
    time.sleep(2)
    report = ctl.json("db restore", backup)
    assert report["replaced_readable"]
    assert (report["overrides_kept"], report["overrides_revoked"]) == (1, 1)
    assert gateway.database.stat().st_mode & 0o777 == 0o660
    kept = on(report["aside"])
    assert kept.json("db check")["ok"]
    assert edit(report["aside"], "SELECT max(seq) FROM audit_event")[0][0] >= rows
    assert gateway.sql("SELECT value FROM meta WHERE name = 'revision'")[0]["value"] > revision
    assert ctl.json("db check")["ok"]
    gateway.start()
    assert ask(gateway, "vault/secret-plan") == 200  # by the lasting one
    assert ask(gateway, "labs/closed-door") == 403
    assert ask(gateway, "mock/status-400", "narrow") == 403
    active = {row["id"] for row in gateway.sql("SELECT id FROM active_overrides")}
    assert active == {lasting} and later not in active and short not in active
    row, = gateway.audit(kind="database.restored")
    assert '"by":"cli:' in row["detail"]
    assert Agwctl(gateway).json("db check")["ok"]


def test_restore_knows_what_became_of_run_time_keys(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    ctl = Agwctl(gateway)

    def change(method, path, body=None):
        answer = fcgi.call(gateway.socket, method, "/security/keys" + path, KEYS["admin"], body)
        assert answer.status in (200, 201), answer.body
        return answer.json().get("secret")

    def status(secret):
        return fcgi.chat(gateway.socket, secret, "mock/ok").status

    secrets = {name: change("POST", "", {"id": name, "allow_agents": ["mock/*"]})
               for name in ("steady", "revoked", "rotated", "overlapping")}
    secrets["reborn"] = change("POST", "", {"id": "reborn", "roles": ["client", "admin"]})
    assert {status(secret) for secret in secrets.values()} == {200}
    backup = directory / "backup.db"
    ctl.run("db", "backup", backup)
    change("DELETE", "/revoked")
    rotated = change("POST", "/rotated/rotate", {"overlap_seconds": 0})
    change("DELETE", "/reborn")
    reborn = change("POST", "", {"id": "reborn"})
    overlapping = change("POST", "/overlapping/rotate", {"overlap_seconds": 600})
    gateway.stop()
    report = ctl.json("db restore", backup)
    assert (report["keys_kept"], report["keys_revoked"]) == (3, 2)
    assert ctl.json("db check")["ok"]
    gateway.start()
    assert status(secrets["steady"]) == 200
    assert status(secrets["revoked"]) == 401
    # Its successor of the same name is lost; it must not get the rights of the first.
    assert (status(secrets["reborn"]), status(reborn)) == (401, 401)
    assert (status(secrets["rotated"]), status(rotated)) == (401, 200)
    assert (status(secrets["overlapping"]), status(overlapping)) == (200, 200)
    gateway.stop()
    ruin(gateway)
    report = ctl.json("db restore", backup)
    assert (report["keys_kept"], report["keys_revoked"]) == (0, 5)
    gateway.start()
    assert {status(secret) for secret in secrets.values()} == {401}


def test_restore_gives_no_uses_back(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    ctl = Agwctl(gateway)
    used = override(gateway, "labs/closed-door", max_uses=2)
    unused = override(gateway, "vault/secret-plan", max_uses=2)
    backup = directory / "backup.db"
    ctl.run("db", "backup", backup)
    assert ask(gateway, "labs/closed-door") == 200
    gateway.stop()
    report = ctl.json("db restore", backup)
    assert (report["overrides_kept"], report["overrides_revoked"]) == (1, 1)
    gateway.start()
    assert ask(gateway, "labs/closed-door") == 403
    assert ask(gateway, "vault/secret-plan") == 200
    assert {row["id"] for row in gateway.sql("SELECT id FROM active_overrides")} == {unused}
    assert used != unused


def test_what_root_makes_belongs_to_the_databases_owner(copy, directory):
    os.chown(copy, 65534, 65534)
    on(copy).run("db", "migrate")
    for end in (".gate", ".shared"):
        assert copy.with_name(copy.name + end).stat().st_uid == 65534
    backup = directory / "backup.db"
    on(copy).run("db", "backup", backup)
    on(copy).run("db", "restore", backup)
    assert copy.stat().st_uid == 65534


def test_root_gives_no_other_file_away(copy, directory):
    """Whoever owns the folder may have laid something in root's way."""
    victim = directory / "victim"
    victim.write_text("root's own")
    os.chown(copy, 65534, 65534)
    gate = copy.with_name(copy.name + ".gate")
    for lay in (os.symlink, os.link):
        gate.unlink(missing_ok=True)
        lay(victim, gate)
        answer = on(copy).run("db", "migrate", status=FAILED)
        assert "link" in answer.stderr
        assert victim.stat().st_uid == 0 and victim.read_text() == "root's own"


def test_root_writes_nothing_where_a_link_leads(copy, directory):
    elsewhere = directory / "elsewhere"
    for end in (".gate", ".shared"):
        link = copy.with_name(copy.name + end)
        link.unlink(missing_ok=True)
        link.symlink_to(elsewhere)
        assert "link" in on(copy).run("db", "migrate", status=FAILED).stderr
        assert not elsewhere.exists() and link.is_symlink()
        link.unlink()
    state = copy.with_name(copy.name + ".nightly")
    for lay in (os.symlink, os.link):
        elsewhere.write_text("root's own")
        lay(elsewhere, f"{state}.tmp")
        assert "link" in on(copy).run("audit", "nightly", status=FAILED).stderr
        assert elsewhere.read_text() == "root's own" and not state.exists()
        os.unlink(f"{state}.tmp")
    on(copy).run("audit", "nightly", status=None)
    assert state.is_file()


def test_who_may_only_read_can_ask(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    assert ask(gateway) == 200
    for path in gateway.run.glob("gateway.db*"):
        os.chown(path, -1, 65534)

    def as_reader(*words):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                               env.AGWCTL, *words, "--database", gateway.database],
                              capture_output=True, text=True)
    for stopped in (False, True):
        if stopped:
            gateway.stop()
        assert as_reader("db", "check").returncode == 0
        assert as_reader("audit", "query").returncode == 0
        done = as_reader("db", "migrate")
        assert done.returncode == FAILED and "ermission" in done.stderr, done


def test_restore_never_turns_the_clock_back(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    override(gateway, "labs/closed-door", 3600)
    backup = directory / "backup.db"
    ctl = Agwctl(gateway)
    ctl.run("db", "backup", backup)
    gateway.stop()
    # the host's clock was a day ahead once, and the grant has expired then
    edit(gateway.database, "UPDATE meta SET value = value + 86400000 WHERE name = 'time'")
    report = ctl.json("db restore", backup)
    assert report["overrides_kept"] == 0
    gateway.start()
    assert ask(gateway, "labs/closed-door") == 403


def ruin(gateway):
    """Its log alone could still tell what was in it."""
    gateway.database.write_bytes(b"nothing is left of it" * 1000)
    gateway.database.with_name("gateway.db-wal").unlink(missing_ok=True)


def test_restore_leaves_what_is_used_up_so(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    ctl = Agwctl(gateway)
    override(gateway, "labs/closed-door", max_uses=1)
    assert ask(gateway, "labs/closed-door") == 200
    gateway.wait_event("agent.security.override.used_up")
    backup = directory / "backup.db"
    ctl.run("db", "backup", backup)
    gateway.stop()
    ruin(gateway)
    report = ctl.json("db restore", backup)
    assert (report["overrides_kept"], report["overrides_revoked"]) == (0, 0)
    gateway.start()
    assert ask(gateway, "labs/closed-door") == 403
    assert gateway.sql("SELECT state FROM override_history") == [{"state": "used_up"}]


def test_restore_in_place_of_a_broken_or_missing_database(make, directory):
    gateway = make.gateway(gateway={"workers": 1})
    override(gateway, "labs/closed-door", 3600)
    backup = directory / "backup.db"
    ctl = Agwctl(gateway)
    ctl.run("db", "backup", backup)
    gateway.stop()
    ruin(gateway)
    report = ctl.json("db restore", backup)
    assert not report["replaced_readable"] and report["overrides_revoked"] == 1
    assert open(report["aside"], "rb").read(7) == b"nothing"
    gateway.start()
    assert ask(gateway, "labs/closed-door") == 403
    gateway.stop()

    ruin(gateway)
    assert ctl.json("db restore", backup, "--keep-grants")["overrides_kept"] == 1
    gateway.start()
    assert ask(gateway, "labs/closed-door") == 200
    gateway.stop()

    for path in gateway.run.glob("gateway.db*"):
        path.unlink()
    report = ctl.json("db restore", backup)
    assert report["aside"] is None and not report["replaced_readable"]
    assert gateway.database.stat().st_mode & 0o777 == 0o640
    gateway.start()
    assert ask(gateway) == 200


def test_restore_checks_the_backup_first(copy, directory):
    backup = directory / "backup.db"
    database = directory / "gateway.db"
    on(copy).run("db", "backup", backup)
    on(database).run("db", "restore", backup)
    before = database.read_bytes()
    good = backup.read_bytes()

    def refused(word):
        answer = on(database).run("db", "restore", backup, status=FAILED)
        assert word in answer.stderr and "nothing was restored" in answer.stderr, answer
        assert database.read_bytes() == before and litter(directory) == []
        assert not list(directory.glob("gateway.db.before-*"))

    trigger = edit(backup, "SELECT sql FROM sqlite_schema WHERE name = 'audit_event_no_delete'")
    edit(backup, script="DROP TRIGGER audit_event_no_delete; DELETE FROM audit_event WHERE seq = 5")
    refused("audit_event_no_delete")
    edit(backup, trigger[0][0])
    refused("row 5 is missing")
    backup.write_bytes(good[:len(good) // 2])
    for end in ("-wal", "-shm"):
        backup.with_name("backup.db" + end).unlink(missing_ok=True)
    refused("not sound")
    backup.write_bytes(b"text" * 5000)
    refused("not sound")
    backup.write_bytes(good)
    edit(backup, "PRAGMA user_version = 9999")
    refused("newer")
    for name in (directory, directory / "none", "/dev/null"):
        on(database).run("db", "restore", name, status=FAILED)
    assert "itself" in on(database).run("db", "restore", database, status=FAILED).stderr
    on(database).run("db", "restore", status=USAGE)
    assert database.read_bytes() == before


def test_restore_of_an_old_backup_migrates_it(directory):
    backup, database = directory / "old.db", directory / "gateway.db"
    old_database(backup)
    on(database).run("db", "restore", backup)
    assert on(database).json("db check")["ok"]
    assert edit(backup, "PRAGMA user_version") == [(1,)]


def test_restore_killed_at_any_time(copy, directory):
    """The old database or the new one, whole."""
    backup, database = directory / "backup.db", directory / "gateway.db"
    on(copy).run("db", "backup", backup)
    on(database).run("db", "restore", backup)
    edit(database, "UPDATE meta SET value = 777777 WHERE name = 'revision'")
    seed = random.Random(3)
    for _ in range(25):
        process = subprocess.Popen([env.AGWCTL, "db", "restore", backup, "--database", database],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seed.random() * 0.06 * env.SLOW)
        process.kill()
        process.wait()
        assert on(database).json("db check")["ok"]
        assert edit(database, "SELECT value FROM meta WHERE name = 'revision'")[0][0] >= 777777
        for path in directory.glob("gateway.db.before-*"):
            path.unlink()


def test_progress_is_for_terminals_only(copy, directory):
    assert on(copy).run("db", "check").stderr == ""
    shown = on(copy).terminal("db", "check")
    assert "audit chain" in shown and "\x1b[32m" in shown
    plain = on(copy).terminal("db", "check", "--no-color").replace("\r\n", "\n")
    assert not CONTROL.search(plain)
