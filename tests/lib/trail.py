# SPDX-License-Identifier: MIT
"""Databases with a trail of one's own making: schema and chain by what is documented, with none
of the gateway's code."""
import contextlib
import hashlib
import sqlite3
import time

import env

COLUMNS = ("ts kind request_id request_uid process route key_id agent namespace decision source"
           " pattern place override_id generation outcome status streaming prompt_tokens"
           " completion_tokens duration_ms upstream model reason detail").split()
DAY = 86400 * 1000


def now_ms():
    return time.time_ns() // 10 ** 6


def days_ago(days):
    return now_ms() - int(days * DAY)


def create(path):
    """An empty database with the newest schema."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = wal")
        for file in sorted((env.SOURCE / "sql").glob("[0-9]*.sql")):
            db.executescript(f"BEGIN; {file.read_text()}; PRAGMA user_version ="
                             f" {int(file.name[:4])}; COMMIT")
    return path


def row_hash(cells):
    """`cells`: all columns from seq to prev_hash."""
    text = b""
    for cell in cells:
        data = cell if isinstance(cell, (bytes, type(None))) else str(cell).encode()
        text += b"-," if data is None else b"%d:%s," % (len(data), data)
    return hashlib.sha256(cells[-1].encode() + text).hexdigest()


def append(path, rows):
    """Appends rows (dicts of columns; bytes stand for texts that are not UTF-8). -> the heads,
    as "seq:hash"."""
    heads = []
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")  # a gateway may append meanwhile
        seq, before = db.execute("SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1"
                                 ).fetchone() or (0, "0" * 64)
        for row in rows:
            seq += 1
            cells = [seq, *(row.get(name) for name in COLUMNS), before]
            before = row_hash(cells)
            values = ["CAST(? AS TEXT)" if isinstance(c, bytes) else "?" for c in cells]
            db.execute(f"INSERT INTO audit_event VALUES ({', '.join(values)}, ?)",
                       [*cells, before])
            heads.append(f"{seq}:{before}")
        db.execute("COMMIT")
    return heads


def tamper(path, sql, cover_up=False):
    """What somebody does who owns the file; `cover_up`: and makes the triggers again."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        made = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND"
                          " tbl_name = 'audit_event'").fetchall()
        for name, _ in made:
            db.execute(f"DROP TRIGGER {name}")
        db.executescript(sql)
        for _, text in made if cover_up else ():
            db.execute(text)


def requests(count, oldest_days, newest_days=0, **columns):
    """Rows of `count` requests, decision and end, evenly in time."""
    rows = []
    for i in range(count):
        ts = days_ago(oldest_days - (oldest_days - newest_days) * i / count)
        common = {"ts": ts, "request_id": f"req-{i}", "request_uid": f"uid-{i}",
                  "process": "test:1:1", "route": "POST /v1/chat/completions", "key_id": "dev",
                  "agent": "default/a", "namespace": "default", "generation": 1, **columns}
        rows.append({**common, "kind": "decision", "decision": "allow", "source": "api_key",
                     "pattern": "*", "place": "security.yaml:7"})
        rows.append({**common, "kind": "end", "outcome": "completed", "status": 200,
                     "streaming": 0, "duration_ms": 12, "model": "m"})
    return rows
