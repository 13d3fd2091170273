# SPDX-License-Identifier: MIT
"""Somebody changes the database or the clock behind the gateway's back: it is noticed, and
nobody is let in by it."""
import contextlib
import random
import shutil
import sqlite3
import subprocess
import time

import pytest

import invariants
from gateway import KEYS, Gateway
from procs import wait_until
from scale import count, limit, report
from wire import chat, request

CLIENT, ADMIN = KEYS["client"], KEYS["admin"]
DAY = 86400 * 10 ** 9
PLANTED = {}  # secrets of two keys made at run time: one with few rights, one revoked


def _verify(port):
    answer = request(port, "GET", "/security/audit/verify", key=ADMIN)
    assert answer.status == 200, answer
    return answer.json()


@pytest.fixture(scope="module")
def trail(session_dir, mock):
    """A stopped gateway's database with a trail of some length, an expired and a revoked
    override, and the keys of PLANTED."""
    from webserver import WebServer
    gateway = Gateway(session_dir / "trail", mock)
    gateway.start()
    web = WebServer(gateway.directory, gateway.socket, "nginx")
    for name, terms in (("narrow-one", {"allow_agents": ["mock/ok"]}), ("dead", {})):
        PLANTED[name] = request(web.port, "POST", "/security/keys", key=ADMIN,
                                body={"id": name, **terms}).json()["secret"]
    request(web.port, "DELETE", "/security/keys/dead", key=ADMIN)
    for ttl in (1, 600):
        grant = request(web.port, "POST", "/security/override", key=ADMIN, body={
            "agent": "vault/*", "ttl_seconds": ttl, "reason": "to be over"}).json()
    assert chat(web.port, CLIENT, "vault/secret-plan").status == 200
    request(web.port, "DELETE", f"/security/overrides/{grant['id']}", key=ADMIN)
    time.sleep(1.1)
    assert chat(web.port, CLIENT, "vault/secret-plan").status == 403
    for _ in range(20):
        chat(web.port, CLIENT, "mock/ok")
    web.stop()
    assert gateway.stop() == 0
    with contextlib.closing(sqlite3.connect(gateway.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    yield gateway.database
    shutil.rmtree(gateway.directory, ignore_errors=True)


def _tampered(make, trail, change=None, **options):
    """A gateway, not started, over a copy of `trail` that `change(connection)` has edited."""
    gateway = make.gateway(start=False, **options)
    shutil.copy(trail, gateway.database)
    if change:
        with contextlib.closing(sqlite3.connect(gateway.database, isolation_level=None)) as db:
            for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND"
                                  " tbl_name = 'audit_event'").fetchall():
                db.execute(f"DROP TRIGGER {row[0]}")
            change(db)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return gateway


COLUMNS = ["ts", "kind", "request_id", "key_id", "agent", "decision", "source", "pattern",
           "generation", "outcome", "status", "reason", "detail", "prev_hash", "hash"]


def _edit(column):
    def change(db):
        db.execute(f"UPDATE audit_event SET {column} = CASE typeof({column}) WHEN 'integer' THEN"
                   f" {column} + 1 ELSE coalesce({column}, '') || 'x' END WHERE seq = 17"
                   if column not in ("status", "generation") else
                   f"UPDATE audit_event SET {column} = coalesce({column}, 0) + 1 WHERE seq = 17")
    return change


def _swap(db):
    db.execute("UPDATE audit_event SET seq = -1 WHERE seq = 17")
    db.execute("UPDATE audit_event SET seq = 17 WHERE seq = 18")
    db.execute("UPDATE audit_event SET seq = 18 WHERE seq = -1")


def _insert(db):
    for seq, in db.execute("SELECT seq FROM audit_event WHERE seq >= 17 ORDER BY seq DESC"
                           ).fetchall():
        db.execute("UPDATE audit_event SET seq = seq + 1 WHERE seq = ?", (seq,))
    db.execute("INSERT INTO audit_event (seq, ts, kind, prev_hash, hash) SELECT 17, ts, kind,"
               " prev_hash, hash FROM audit_event WHERE seq = 16")


CHANGES = {**{f"edit-{column}": _edit(column) for column in COLUMNS},
           "delete": lambda db: db.execute("DELETE FROM audit_event WHERE seq = 17"),
           "delete-the-first": lambda db: db.execute("DELETE FROM audit_event WHERE seq = 1"),
           "swap": _swap, "insert": _insert}


@pytest.mark.parametrize("kind", CHANGES)
def test_T38_changed_trail_is_named(make, trail, kind):
    gateway = _tampered(make, trail, CHANGES[kind]).start()
    port = make.server(gateway).port
    verdict = _verify(port)
    _, bad, _ = invariants.verify_chain(gateway.database)
    assert verdict["ok"] is False and verdict["problem"], verdict
    assert verdict["bad_seq"] == bad
    assert bad in ((2,) if kind == "delete-the-first" else (17, 18)), bad


def test_T38_cut_off_rows_are_missed_by_the_exported_head(make, trail, directory):
    """A chain whose newest rows are gone looks whole; the head kept elsewhere does not fit."""
    head_file = directory / "head"
    whole, _, head = invariants.verify_chain(trail)
    gateway = _tampered(make, trail, lambda db: db.execute(
        "DELETE FROM audit_event WHERE seq > ?", (whole - 5,)),
        gateway={"audit": {"head_file": str(head_file)}}).start()
    assert gateway.sql("SELECT * FROM audit_event WHERE seq = ? AND hash = ?", whole, head) == []
    port = make.server(gateway).port
    rows = _verify(port)
    assert rows["ok"] is True
    # What the gateway exports is the head of the chain, whenever it is written.
    for _ in range(5):
        chat(port, CLIENT, "mock/ok")
    assert gateway.stop() == 0
    exported = [line for line in gateway.events("audit.head")]
    if head_file.exists():
        seq, digest, _ = head_file.read_text().split(" ", 2)
        exported.append({"seq": int(seq), "hash": digest})
    for line in exported:
        assert gateway.sql("SELECT hash FROM audit_event WHERE seq = ?", line["seq"]) == [
            {"hash": line["hash"]}]


# -- T37 ---------------------------------------------------------------------------------------

def _dump(path):
    """What security rests on, as text; None when it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            db.text_factory = bytes
            return [db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
                    for table in ("audit_event",)]
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def _integrity(path):
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    except sqlite3.Error:
        return False


@pytest.mark.timeout(limit(count("AGW_FAULT_FLIPS", 400, 2000, 20000)))
def test_T37_flipped_bits_in_the_trail_are_detected(trail, directory):
    """Each flip that changes a row of the trail is found by the chain, the database's own
    check, or because it cannot be read at all."""
    data = bytearray(trail.read_bytes())
    dice, copy = random.Random(37), directory / "flipped.db"
    sound, changed = _dump(trail), 0
    for _ in range(count("AGW_FAULT_FLIPS", 400, 2000, 20000)):
        at, bit = dice.randrange(len(data)), 1 << dice.randrange(8)
        data[at] ^= bit
        copy.write_bytes(data)
        data[at] ^= bit
        seen = _dump(copy)
        if seen == sound:
            continue
        changed += 1
        if seen is not None and _integrity(copy):
            try:
                assert invariants.verify_chain(copy)[1] != 0, (at, bit)
            except (sqlite3.Error, UnicodeDecodeError):
                pass
    assert changed > 0
    report(flips=count("AGW_FAULT_FLIPS", 400, 2000, 20000), changed_rows=changed, missed=0)


@pytest.mark.timeout(limit(count("AGW_FAULT_FLIP_STARTS", 12, 60, 600) * 6))
def test_T37_flipped_bits_let_nobody_in(make, trail):
    """A gateway over a damaged database refuses to start, or serves, but grants nothing; and
    it does not crash."""
    import fcgi
    size, dice = trail.stat().st_size, random.Random(73)
    refused = served = 0
    turns = count("AGW_FAULT_FLIP_STARTS", 12, 60, 600)
    gateway = _tampered(make, trail, gateway={"workers": 1})
    for _ in range(turns):
        shutil.copy(trail, gateway.database)
        for side in ("-wal", "-shm"):
            gateway.database.with_name(gateway.database.name + side).unlink(missing_ok=True)
        with open(gateway.database, "r+b") as file:
            for _ in range(8):
                at = dice.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << dice.randrange(8)]))
        gateway.start(wait=False)
        wait_until(lambda: not gateway.process.running() or gateway.events("gateway.started")
                   or gateway.events("worker.failed"), 10, "start or refusal")
        if gateway.process.running():
            with contextlib.suppress(OSError):
                for secret, agent in ((CLIENT, "vault/secret-plan"), (CLIENT, "mock/forbidden"),
                                      (PLANTED["narrow-one"], "echo/echo"),
                                      (PLANTED["dead"], "mock/ok")):
                    answer = fcgi.chat(gateway.socket, secret, agent)
                    # 401: a key made at run time that was damaged is none.
                    fine = (403, 503, 500) if secret == CLIENT else (401, 403, 503, 500)
                    assert answer is None or answer.status in fine, answer
                    served += answer is not None
        else:
            refused += 1
        gateway.stop()
        for line in gateway.events("worker.exited"):
            assert "signal" not in line, line
        gateway.log_path.unlink()
    report(starts=turns, refused_to_start=refused, denials=served, granted=0)


def _flip(value, dice):
    """`value` with one bit turned."""
    if isinstance(value, int):
        return value ^ 1 << dice.randrange(42)
    data = bytearray(value.encode())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(7)
    return data.decode("latin-1")


@pytest.mark.timeout(limit(count("AGW_FAULT_KEY_FLIPS", 10, 60, 600) * 4))
def test_T37_flipped_bits_of_keys_let_nobody_in(make, trail):
    """The rows of keys alone, so that each flip hits one: no key gets a right by it, and none of
    the dead comes back."""
    import fcgi
    dice, gateway = random.Random(3737), _tampered(make, trail, gateway={"workers": 1})
    kept = gone = 0
    for _ in range(count("AGW_FAULT_KEY_FLIPS", 10, 60, 600)):
        shutil.copy(trail, gateway.database)
        for side in ("-wal", "-shm"):
            gateway.database.with_name(gateway.database.name + side).unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(gateway.database)) as db, db:
            db.row_factory = sqlite3.Row
            row = dict(db.execute("SELECT * FROM api_key WHERE id = ?",
                                  (dice.choice(["narrow-one", "dead"]),)).fetchone())
            column = dice.choice([name for name, value in row.items() if value not in (None, "")])
            with contextlib.suppress(sqlite3.IntegrityError):
                db.execute(f"UPDATE api_key SET {column} = ? WHERE id = ?",
                           (_flip(row[column], dice), row["id"]))
        gateway.start()
        seen = [fcgi.chat(gateway.socket, PLANTED["narrow-one"], agent).status
                for agent in ("mock/ok", "echo/echo", "vault/secret-plan")]
        assert seen in ([200, 403, 403], [401, 401, 401]), (column, seen)
        assert fcgi.chat(gateway.socket, PLANTED["dead"], "mock/ok").status == 401, column
        kept += seen[0] == 200
        gone += seen[0] == 401
        assert gateway.stop() == 0
    assert kept and gone
    report(flips=kept + gone, keys_gone=gone, granted=0)


# -- T39 ---------------------------------------------------------------------------------------

def _clock_to(shim, when):
    shim.clock_ns = int((when - time.time()) * 10 ** 9)


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
def test_T39_expired_stays_expired_however_the_clock_jumps(make, shim, restart):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
    security = {"api_keys": [
        {"id": "client", "key": CLIENT}, {"id": "admin", "key": ADMIN,
                                          "roles": ["client", "admin"], "allow_agents": ["*"]},
        {"id": "short", "key": KEYS["client2"], "expires_at": soon}]}
    gateway = make.gateway(environment=shim.environment, security=security)
    port = make.server(gateway).port
    grant = request(port, "POST", "/security/override", key=ADMIN, body={
        "agent": "vault/*", "ttl_seconds": 3600, "reason": "an hour"})
    assert grant.status in (200, 201), grant

    def statuses():
        return (chat(port, CLIENT, "vault/secret-plan").status,
                chat(port, KEYS["client2"], "mock/ok").status)
    assert statuses() == (200, 200)
    shim.clock_ns = -DAY  # not expired: a step back takes nothing away either
    assert statuses() == (200, 200)
    shim.clock_ns = DAY
    assert statuses() == (403, 401)
    time.sleep(1.5)  # the highest time seen is stored by housekeeping
    now = time.time()
    jumps = {"back": now, "a day back": now - 86400, "epoch": 0.5, "2038": 2 ** 31 - 1,
             "after 2038": 2 ** 31 + 10, "back again": now}
    for name, when in jumps.items():
        _clock_to(shim, when)
        if restart:
            assert gateway.stop() == 0
            gateway.start()
        assert statuses() == (403, 401), name
        assert chat(port, CLIENT, "mock/ok").status == 200, name
    assert _verify(port)["ok"] is True
    report(jumps=len(jumps) + 2, granted_again=0)
