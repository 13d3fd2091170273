# SPDX-License-Identifier: MIT
"""agwctl doctor: each check tells what is wrong, and is silent when nothing is."""
import fcntl
import os
import signal
import socket
import sqlite3
import threading
import time

import pytest

import fcgi
from agwctl import FINDING, HOSTILE, USAGE, Agwctl
from gateway import KEYS
from procs import wait_until

ALWAYS = {"configuration", "file modes", "disk", "SQLite", "gate", "journal mode",
          "schema version", "database", "clock", "file owners", "audit head", "requests", "recent errors",
          "socket mode", "gateway", "runner"}


def checks(report):
    return {check["name"]: check for check in report["checks"]}


def healthy(make, **options):
    options.setdefault("gateway", {"workers": 1})
    gateway = make.gateway(start=False, **options)
    gateway.write_all()
    for path in gateway.conf.iterdir():
        path.chmod(0o640)
    return gateway.start()


def edit(path, statement):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()


def test_a_healthy_gateway(make):
    gateway = healthy(make)
    assert fcgi.chat(gateway.socket, KEYS["client"], "mock/ok").status == 200
    ctl = Agwctl(gateway)
    report = ctl.json("doctor")
    assert report["ok"] and set(checks(report)) == ALWAYS
    head = gateway.sql("SELECT seq, hash FROM audit_event ORDER BY seq DESC LIMIT 1")[0]
    assert checks(report)["audit head"]["detail"] == f"row {head['seq']} {head['hash']}"
    text = ctl.run("doctor").stdout
    assert text.count("\n") >= len(ALWAYS) and "failed" not in text
    url = f"http://127.0.0.1:{make.server(gateway, 'nginx').port}"
    for form in (url, url + "/", url + "/?x=1#y"):
        assert checks(ctl.json("doctor", "--url", form))["web server"]["state"] == "ok"
    assert "\x1b[32mok" in ctl.terminal("doctor")


def test_nothing_is_there(directory):
    ctl = Agwctl(None, "--config", directory / "none.yaml")
    report = ctl.json("doctor", status=FINDING)
    assert checks(report)["configuration"]["state"] == "failed"
    gateway = Agwctl(None, "--config", directory / "none.yaml", "--database", directory / "x.db")
    report = gateway.json("doctor", "--socket", directory / "no.sock", status=FINDING)
    assert checks(report)["database"]["state"] == "failed"
    assert checks(report)["socket"]["state"] == "failed"
    assert checks(report)["configuration"]["advice"]
    assert not list(directory.iterdir())


def test_the_gateway_does_not_run(make):
    gateway = healthy(make)
    gateway.signal(signal.SIGKILL)
    wait_until(lambda: not gateway.process.running(), 5, "death")
    wait_until(lambda: checks(Agwctl(gateway).json("doctor", status=FINDING))
               ["gateway"]["state"] == "failed", 10, "finding")
    report = Agwctl(gateway).json("doctor", "--url", "http://127.0.0.1:9", status=FINDING)
    assert "nobody listens" in checks(report)["gateway"]["detail"]
    assert checks(report)["web server"]["state"] == "failed"
    gateway.socket.unlink(missing_ok=True)
    report = Agwctl(gateway).json("doctor", status=FINDING)
    assert checks(report)["socket"]["advice"] == "start agent-gateway"


def test_files_that_everybody_may_use(make):
    gateway = healthy(make)
    (gateway.conf / "security.yaml").chmod(0o644)
    gateway.database.chmod(0o644)
    gateway.socket.chmod(0o666)
    report = Agwctl(gateway).json("doctor", status=FINDING)
    modes = [c for c in report["checks"] if c["name"] == "file modes"]
    assert {m["advice"] for m in modes} == {f"chmod o= {gateway.conf}/security.yaml",
                                            f"chmod o= {gateway.database}"}
    assert checks(report)["socket mode"]["state"] == "warning"


def test_files_of_somebody_else(make):
    gateway = healthy(make)
    gateway.stop()  # its start gives such a file back
    os.chown(f"{gateway.database}.gate", 65534, 65534)
    found = [c for c in Agwctl(gateway).json("doctor", status=FINDING)["checks"]
             if c["name"] == "file owners"]
    assert len(found) == 1 and found[0]["state"] == "failed"
    assert found[0]["advice"] == f"chown --reference={gateway.database} {gateway.database}.gate"


def test_a_held_gate_names_its_holder(make):
    gateway = healthy(make)
    with open(f"{gateway.database}.gate", "r+") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        check = checks(Agwctl(gateway).json("doctor", status=FINDING))["gate"]
    assert check["state"] == "failed" and f"by process {os.getpid()} (" in check["detail"]


def test_clock_schema_and_errors(make):
    gateway = healthy(make)
    gateway.write("security", "version: 1\napi_keys: [{id: \x1b}]\n")
    gateway.reload()
    gateway.write_all()
    gateway.stop()
    edit(gateway.database, "UPDATE meta SET value = value + 86400000 WHERE name = 'time'")
    edit(gateway.database, "DROP TRIGGER audit_event_no_delete")
    report = Agwctl(gateway).json("doctor", status=FINDING)
    assert "audit_event_no_delete" in checks(report)["schema"]["detail"]
    with sqlite3.connect(gateway.database) as connection:
        connection.execute("CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event\n"
                           "BEGIN\n    SELECT RAISE(ABORT, 'audit_event is append-only');\nEND")
    connection.close()
    edit(gateway.database, "PRAGMA user_version = 9999")
    assert "newer" in checks(Agwctl(gateway).json("doctor", status=FINDING))[
        "schema version"]["detail"]


def test_clock_that_stepped_back_and_recent_errors(make):
    gateway = healthy(make)
    gateway.write("security", "version: 1\nnothing: [\n")
    gateway.reload()
    edit(gateway.database, "UPDATE meta SET value = value + 86400000 WHERE name = 'time'")
    edit(gateway.database, "INSERT INTO recent_error (ts, component, kind, severity, message)"
         f" VALUES ({int(time.time() * 1000)}, 'a', 'b', 'error', 'x' || char(27) || '[2Jy')")
    report = Agwctl(gateway).json("doctor", status=FINDING)
    assert "behind the highest time" in checks(report)["clock"]["detail"]
    assert checks(report)["configuration"]["state"] == "failed"
    assert "\x1b[2J" in checks(report)["recent errors"]["detail"]
    assert "\\x1b[2J" in Agwctl(gateway).run("doctor", status=FINDING).stdout


def test_requests_that_were_cut_off(make, mock):
    gateway = healthy(make)
    worker = gateway.workers()[0]
    thread = threading.Thread(target=fcgi.chat, args=(gateway.socket, KEYS["client"],
                                                      "mock/chunks-40-250"))
    thread.start()
    wait_until(lambda: "1 run" in checks(Agwctl(gateway).json("doctor", status=None))[
        "requests"]["detail"], 15, "a request in progress")
    gateway.signal(signal.SIGSTOP)  # no replacement that would close it
    os.kill(worker, signal.SIGKILL)
    thread.join()
    try:
        wait_until(lambda: checks(Agwctl(gateway).json("doctor", status=None))["requests"][
            "state"] == "warning", 10, "the finding")
    finally:
        gateway.signal(signal.SIGCONT)


@pytest.mark.parametrize("answer", [
    b"", b"\x00", b"HTTP/1.1 200 OK\r\n\r\n", b"\x01\x06\x00\x01\xff\xff\xff\x00" + b"x" * 9,
    b"\x01\x06\x00\x01\x00\x08\x00\x00Status: ", fcgi.record(fcgi.END, b"\0" * 8),
    fcgi.record(fcgi.STDOUT, b"Status: 503 \x1b[2J\r\n\r\n") + fcgi.record(fcgi.END, b"\0" * 8),
], ids=range(7))
def test_a_stranger_on_the_socket(directory, answer):
    path = directory / "stranger.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.sendall(answer)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    report = Agwctl(None, "--database", directory / "x.db").json(
        "doctor", "--socket", path, status=FINDING)
    thread.join()
    listener.close()
    assert checks(report)["gateway"]["state"] == "failed", report


def test_hostile_options(directory):
    ctl = Agwctl(None, "--database", directory / "x.db", "--config", directory / "none.yaml")
    for url in ("", "/", "?x", "gopher://127.0.0.1:9/", "file:///etc/passwd", "http://", HOSTILE,
                "http://127.0.0.1:9/" + "x" * 100000):
        report = ctl.json("doctor", "--url", url, status=FINDING)
        assert checks(report)["web server"]["state"] == "failed"
        assert "root:" not in str(report)
    (directory / "file").touch()
    for path in (directory / "file", directory, "x" * 300, HOSTILE, ""):
        report = ctl.json("doctor", "--socket", path, status=FINDING)
        assert "failed" in (checks(report).get("socket") or checks(report)["gateway"])["state"]
    ctl.run("doctor", "--url", HOSTILE, "--socket", HOSTILE, status=FINDING)
    ctl.run("doctor", "x", status=USAGE)
