# SPDX-License-Identifier: MIT
"""Keys made at run time: their life from POST to DELETE, in every process, over restarts, and
between two gateways on one database; and what nobody may do with them."""
import re
import sqlite3
import threading
import time
import zlib

import pytest

from gateway import KEYS
from procs import wait_until
from wire import chat, new_id, request

ADMIN, CLIENT, AUDITOR = KEYS["admin"], KEYS["client"], KEYS["auditor"]
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def create(port, name, key=ADMIN, **terms):
    answer = request(port, "POST", "/security/keys", key=key, body={"id": name, **terms})
    assert answer.status == 200, answer
    return answer.json()


def rotate(port, name, key=ADMIN, body=None):
    return request(port, "POST", f"/security/keys/{name}/rotate", key=key, body=body)


def revoke(port, name, key=ADMIN):
    return request(port, "DELETE", f"/security/keys/{name}", key=key)


def listed(port, query=""):
    answer = request(port, "GET", f"/security/keys{query}", key=ADMIN)
    assert answer.status == 200, answer
    return {key["id"]: key for key in answer.json()["keys"]}


def checksum(secret):
    """Whether a scanner that reads doc/API.md would take it for a key."""
    if not re.fullmatch(r"agw_[0-9A-Za-z]{36}", secret):
        return False
    crc, said = zlib.crc32(secret[4:34].encode()), 0
    for letter in secret[34:]:
        said = 62 * said + LETTERS.index(letter)
    return said == crc


@pytest.fixture(scope="module")
def served(session_dir, mock):
    from gateway import Gateway
    from webserver import WebServer
    gateway = Gateway(session_dir / "keys", mock)
    gateway.start()
    gateway.web = WebServer(gateway.directory, gateway.socket, "lighttpd")
    gateway.port = gateway.web.port
    yield gateway
    gateway.web.stop()
    gateway.stop()


def test_a_key_lives_from_post_to_delete(served):
    port, name = served.port, new_id("life").replace("_", "-")
    made = create(port, name, description="Build server", roles=["client", "auditor"],
                  allow_agents=["mock/ok"], deny_agents=["mock/json"],
                  rate_limit={"per_minute": 1000}, ttl_seconds=3600)
    secret = made["secret"]
    assert checksum(secret)
    assert made["origin"] == "database" and made["created_by"] == "admin"
    assert made["allow_agents"] == ["mock/ok"] and made["rate_limit_per_minute"] == 1000
    tag = new_id("use")
    assert chat(port, secret, "mock/ok", request_id=tag).status == 200
    assert chat(port, secret, "mock/json").status == 403
    assert chat(port, secret, "echo/echo").status == 403
    assert request(port, "GET", "/security/audit", key=secret).status == 200
    assert request(port, "GET", "/security/keys", key=secret).status == 403
    models = request(port, "GET", "/v1/models", key=secret).json()["data"]
    assert [model["id"] for model in models] == ["labs/open-door", "mock/ok"]  # the first by its namespace
    preview = request(port, "POST", "/security/preview", key=ADMIN,
                      body={"agent": "mock/ok", "key_id": name}).json()
    assert preview["allowed"] and preview["rule"] == f"key:{name}"
    row = served.audit(request_id=tag, kind="decision")[0]
    assert (row["key_id"], row["place"]) == (name, f"key:{name}")
    wait_until(lambda: listed(port)[name]["last_used_at"], 15, "its last use in the list")
    shown = listed(port)[name]
    assert shown["health"] == "expiring" and shown["origin"] == "database"
    assert not any("hash" == field or "secret" in field for field in shown)
    gone = revoke(port, name)
    assert gone.status == 200 and gone.json()["revoked_by"] == "admin"
    assert "secret" not in gone.json()
    for _ in range(8):  # whichever worker it is
        assert chat(port, secret, "mock/ok").status == 401
    assert name not in listed(port)
    assert listed(port, f"?all=true&id={name}")[name]["health"] == "revoked"
    again = revoke(port, name)
    assert again.status == 409 and again.error()["code"] == "conflict"
    assert "revoked at 20" in again.error()["message"]
    assert rotate(port, name).status == 409
    kinds = [row["kind"] for row in served.sql(
        "SELECT kind FROM audit_event WHERE place = ? AND kind LIKE 'key.%' ORDER BY seq",
        f"key:{name}")]
    assert kinds == ["key.created", "key.revoked"]
    for event in ("api_key.created", "api_key.revoked"):
        assert served.wait_event(event, key_id=name)["by"] == "admin"
    assert served.has_secret(secret) == []
    # The id is free again; the old secret stays dead.
    other = create(port, name)
    assert chat(port, other["secret"], "mock/ok").status == 200
    assert chat(port, secret, "mock/ok").status == 401
    assert revoke(port, name).status == 200


def test_a_wrong_checksum_is_a_wrong_key(served):
    secret = create(served.port, "checksum")["secret"]
    for at in (4, 20, 34, 39):
        wrong = secret[:at] + ("0" if secret[at] != "0" else "1") + secret[at + 1:]
        answer = chat(served.port, wrong, "mock/ok")
        assert answer.status == 401 and answer.error()["code"] == "invalid_api_key"
        assert answer.error() == chat(served.port, "sk-other", "mock/ok").error()
    for wrong in (secret[:-1], secret + "0", secret[4:], secret.upper()):
        assert chat(served.port, wrong, "mock/ok").status == 401
    assert revoke(served.port, "checksum").status == 200


BAD = [
    ({}, "id"), ({"id": ""}, "id"), ({"id": 5}, "id"), ({"id": "Upper"}, "id"),
    ({"id": "a b"}, "id"), ({"id": "a/b"}, "id"), ({"id": "a" * 101}, "id"),
    ({"id": "cli:root"}, "id"), ({"id": "x'; DROP TABLE api_key; --"}, "id"),
    ({"id": "x", "key": "mine"}, "key"), ({"id": "x", "secret": "mine"}, "secret"),
    ({"id": "x", "hash": "0" * 64}, "hash"), ({"id": "x", "origin": "file"}, "origin"),
    ({"id": "x", "created_by": "boss"}, "created_by"),
    ({"id": "x", "roles": []}, "roles"), ({"id": "x", "roles": "admin"}, "roles"),
    ({"id": "x", "roles": ["root"]}, "roles"), ({"id": "x", "roles": [1]}, "roles"),
    ({"id": "x", "roles": ["client", "client"]}, "roles"),
    ({"id": "x", "roles": ["client", "auditor", "admin", "client"]}, "roles"),
    ({"id": "x", "allow_agents": "mock/*"}, "allow_agents"),
    ({"id": "x", "allow_agents": [5]}, "allow_agents"),
    ({"id": "x", "allow_tools": [5]}, "allow_tools"),
    ({"id": "x", "deny_tools": ["a"] * 257}, "deny_tools"),
    ({"id": "x", "allow_agents": ["a" * 300]}, "allow_agents"),
    ({"id": "x", "allow_agents": ["a\nb"]}, "allow_agents"),
    ({"id": "x", "deny_agents": ["a"] * 257}, "deny_agents"),
    ({"id": "x", "description": "a" * 501}, "description"),
    ({"id": "x", "description": "a\u0000b"}, None),
    ({"id": "x", "description": "a\u001bb"}, "description"),
    ({"id": "x", "rate_limit": 5}, "rate_limit"), ({"id": "x", "rate_limit": {}}, "per_minute"),
    ({"id": "x", "rate_limit": {"per_minute": -1}}, "per_minute"),
    ({"id": "x", "rate_limit": {"per_minute": 1, "per_hour": 1}}, "per_hour"),
    ({"id": "x", "budget": {"requests_per_day": -1}}, "requests_per_day"),
    ({"id": "x", "budget": {"dollars": 1}}, "dollars"),
    ({"id": "x", "ttl_seconds": 0}, "ttl_seconds"), ({"id": "x", "ttl_seconds": 1.5},
                                                     "ttl_seconds"),
    ({"id": "x", "ttl_seconds": 315360001}, "ttl_seconds"),
    ({"id": "x", "expires_at": "tomorrow"}, "expires_at"),
    ({"id": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ({"id": "x", "expires_at": "2099-01-01T00:00:00Z", "ttl_seconds": 5}, "ttl_seconds"),
]


@pytest.mark.parametrize("body,param", BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_bad_request_makes_no_key(served, body, param):
    before = served.sql("SELECT count(*) AS n FROM api_key")
    answer = request(served.port, "POST", "/security/keys", key=ADMIN, body=body)
    assert answer.status == 400, answer
    assert answer.error()["param"] == param and answer.error()["message"]
    assert served.sql("SELECT count(*) AS n FROM api_key") == before


def test_bad_rotations(served):
    secret = create(served.port, "steady")["secret"]
    for body, param in (({"overlap_seconds": -1}, "overlap_seconds"),
                        ({"overlap_seconds": 2592001}, "overlap_seconds"),
                        ({"overlap_seconds": "5"}, "overlap_seconds"),
                        ({"secret": "mine"}, "secret")):
        answer = rotate(served.port, "steady", body=body)
        assert answer.status == 400 and answer.error()["param"] == param
    assert rotate(served.port, "nobody").status == 404
    assert revoke(served.port, "nobody").error()["code"] == "not_found"
    assert chat(served.port, secret, "mock/ok").status == 200
    assert revoke(served.port, "steady").status == 200


def test_a_key_of_the_file_belongs_to_the_file(served):
    for answer in (rotate(served.port, "client"), revoke(served.port, "client"),
                   request(served.port, "POST", "/security/keys", key=ADMIN,
                           body={"id": "client"})):
        assert answer.status == 409, answer
        assert re.search(r"security\.yaml:\d+\)", answer.error()["message"]), answer
    assert chat(served.port, CLIENT, "mock/ok").status == 200
    assert listed(served.port, "?origin=file")["client"]["health"] == "plaintext"
    assert listed(served.port, "?origin=database&health=plaintext") == {}


def test_roles_are_those_of_the_key(served):
    """What tests/lib/routes.py says of keys of the file goes for these as well."""
    wanted = {"client": (200, 403, 403), "auditor": (403, 200, 403), "admin": (403, 200, 200)}
    for role, (models, audit, keys) in wanted.items():
        secret = create(served.port, f"role-{role}", roles=[role])["secret"]
        seen = tuple(request(served.port, "GET", path, key=secret).status
                     for path in ("/v1/models", "/security/audit", "/security/keys"))
        assert seen == (models, audit, keys), role
        assert revoke(served.port, f"role-{role}").status == 200


def test_an_administrator_may_revoke_itself(served):
    secret = create(served.port, "brief", roles=["admin"])["secret"]
    assert create(served.port, "offspring", key=secret)["created_by"] == "brief"
    assert revoke(served.port, "brief", key=secret).status == 200
    assert revoke(served.port, "offspring", key=secret).status == 401
    assert revoke(served.port, "offspring").status == 200


def test_rate_and_expiry_hold(served):
    secret = create(served.port, "slow", rate_limit={"per_minute": 2},
                    ttl_seconds=2)["secret"]
    assert [chat(served.port, secret, "mock/ok").status for _ in range(3)] == [200, 200, 429]
    time.sleep(2.1)
    assert chat(served.port, secret, "mock/ok").status == 401
    assert listed(served.port)["slow"]["health"] == "expired"
    assert rotate(served.port, "slow").status == 409
    assert revoke(served.port, "slow").status == 200


def test_an_override_may_be_bound_to_it(served):
    secret = create(served.port, "bound")["secret"]
    assert chat(served.port, secret, "vault/secret-plan").status == 403
    grant = request(served.port, "POST", "/security/override", key=ADMIN, body={
        "agent": "vault/*", "ttl_seconds": 60, "reason": "test", "key_id": "bound"}).json()
    assert chat(served.port, secret, "vault/secret-plan").status == 200
    assert chat(served.port, CLIENT, "vault/secret-plan").status == 403
    # The grant must not pass to the next key of that name.
    assert revoke(served.port, "bound").status == 200
    answer = request(served.port, "POST", "/security/keys", key=ADMIN, body={"id": "bound"})
    assert answer.status == 409 and grant["id"] in answer.error()["message"]
    request(served.port, "DELETE", f"/security/overrides/{grant['id']}", key=ADMIN)
    assert create(served.port, "bound")["id"] == "bound"
    assert revoke(served.port, "bound").status == 200


def test_inside_the_overlap_both_secrets_work(served):
    """A client that alternates sees no failure in the overlap, and for the old one only 401
    after it."""
    port = served.port
    old = create(port, "turning")["secret"]
    seen, stop = [], threading.Event()
    new = []

    def alternate():
        turn = 0
        while not stop.is_set():
            secret = new[0] if new and turn % 2 else old
            begun = time.time()
            seen.append((begun, time.time(), secret,
                         request(port, "GET", "/v1/models", key=secret).status))
            turn += 1
    threads = [threading.Thread(target=alternate) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        answer = rotate(port, "turning", body={"overlap_seconds": 2})
        assert answer.status == 200 and answer.json()["secret"] != old
        new.append(answer.json()["secret"])
        # To the millisecond, by the gateway's clock.
        row = served.sql("SELECT previous_until FROM api_key WHERE id = 'turning'")[0]
        ends = row["previous_until"] / 1000
        time.sleep(max(0, ends - time.time()) + 1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for begun, _, secret, status in seen if secret != old} == {200}
    assert {status for begun, _, secret, status in seen
            if secret == old and begun < ends - 0.25} == {200}
    late = {status for begun, _, secret, status in seen if secret == old and begun > ends + 0.05}
    assert late == {401}
    refusal = served.sql("SELECT key_id, reason FROM audit_event WHERE kind = 'refusal' AND"
                         " key_id = 'turning' ORDER BY seq DESC LIMIT 1")[0]
    assert "replaced" in refusal["reason"]
    assert listed(port)["turning"]["overlap_ends_at"] is None
    # Without an overlap the old one ends at once, and so does the one before.
    middle = rotate(port, "turning").json()["secret"]
    assert request(port, "GET", "/v1/models", key=new[0]).status == 200
    last = rotate(port, "turning", body={"overlap_seconds": 0}).json()["secret"]
    assert [request(port, "GET", "/v1/models", key=secret).status
            for secret in (old, new[0], middle, last)] == [401, 401, 401, 200]
    assert revoke(port, "turning").status == 200


def test_a_restart_keeps_them(make):
    gateway = make.gateway()
    port = make.server(gateway).port
    old = create(port, "ci")["secret"]
    new = rotate(port, "ci", body={"overlap_seconds": 600}).json()["secret"]
    dead = create(port, "dead")["secret"]
    assert revoke(port, "dead").status == 200

    def statuses():
        return [chat(port, secret, "mock/ok").status for secret in (old, new, dead)]
    assert statuses() == [200, 200, 401]
    gateway.restarted(gateway.kill_workers())
    assert statuses() == [200, 200, 401]
    assert gateway.stop() == 0
    gateway.start()
    assert statuses() == [200, 200, 401]
    assert gateway.stop() == 0
    # What a key used is written down at the latest when its process ends.
    assert gateway.sql("SELECT last_used_at IS NOT NULL AS used FROM api_key WHERE id ="
                       " 'ci'") == [{"used": 1}]


def test_two_gateways_on_one_database(make):
    first = make.gateway()
    one = make.server(first).port
    second = make.gateway(gateway={"database": {"path": str(first.database)}})
    two = make.server(second).port
    secret = create(one, "both")["secret"]
    for _ in range(4):
        assert chat(two, secret, "mock/ok").status == 200
    new = rotate(two, "both", body={"overlap_seconds": 0}).json()["secret"]
    for _ in range(4):
        assert chat(one, secret, "mock/ok").status == 401
        assert chat(one, new, "mock/ok").status == 200
    assert revoke(one, "both").status == 200
    for _ in range(4):
        assert chat(two, new, "mock/ok").status == 401


def test_a_file_may_not_take_the_id_or_secret_of_a_living_key(make):
    gateway = make.gateway()
    port = make.server(gateway).port
    secret = create(port, "ci")["secret"]
    keys = gateway.security["api_keys"]
    for taken, words in (({"id": "ci", "key": "another"}, "'ci' is taken"),
                         ({"id": "other", "key": secret}, "same secret under another id")):
        gateway.write("security", {**gateway.security, "api_keys": [*keys, taken]})
        answer = request(port, "POST", "/security/refresh", key=ADMIN)
        assert answer.status == 422, answer
        problem = answer.json()["errors"]
        assert len(problem) == 1 and words in problem[0]["message"], problem
        assert problem[0]["file"].endswith("security.yaml") and problem[0]["line"] > 1
        assert secret not in answer.body.decode()
        assert chat(port, secret, "mock/ok").status == 200
    # Nor at a start.
    assert gateway.stop() == 0
    status, said = gateway.refuses_to_start()
    assert status != 0 and "same secret" in said and secret not in said
    gateway.write("security", gateway.security)
    gateway.start()
    assert revoke(port, "ci").status == 200
    gateway.write("security", {**gateway.security, "api_keys": [
        *keys, {"id": "ci", "key": "sk-of-the-file"}]})
    assert request(port, "POST", "/security/refresh", key=ADMIN).status == 200
    assert chat(port, "sk-of-the-file", "mock/ok").status == 200
    assert chat(port, secret, "mock/ok").status == 401
    assert listed(port)["ci"]["origin"] == "file"
    assert listed(port, "?all=true&origin=database")["ci"]["health"] == "revoked"


def test_warnings_cover_them(make):
    gateway = make.gateway()
    port = make.server(gateway).port
    create(port, "soon", ttl_seconds=3600)
    create(port, "never")
    create(port, "past", ttl_seconds=1)
    time.sleep(1.1)
    assert gateway.stop() == 0
    gateway.start()
    assert gateway.wait_event("api_key.expiring", key_id="soon")
    assert gateway.wait_event("api_key.expired", key_id="past")
    assert gateway.events("api_key.expiring", key_id="never") == []


TAMPERING = ["allow_tools = '[\"*\"]'", "deny_tools = '[]'", "roles = 'client,auditor,admin'", "allow_agents = '[\"*\"]'",
             "expires_at = expires_at + 86400000", "rate_limit_per_minute = NULL",
             "previous_hash = (SELECT hash FROM api_key WHERE id = 'client'),"
             " previous_until = 99999999999999", "hash = (SELECT hash FROM api_key WHERE id ="
             " 'client')"]


@pytest.mark.parametrize("change", TAMPERING, ids=[str(n) for n in range(len(TAMPERING))])
def test_T37_a_changed_row_is_no_key(make, change):
    """Somebody with a shell changes the table: the key is gone, and everybody hears why."""
    gateway = make.gateway()
    port = make.server(gateway).port
    secret = create(port, "ci", allow_agents=["mock/ok"], ttl_seconds=3600,
                    rate_limit={"per_minute": 1000})["secret"]
    dead = create(port, "dead", roles=["admin"])["secret"]
    assert revoke(port, "dead").status == 200
    assert gateway.stop() == 0
    connection = sqlite3.connect(gateway.database)
    with connection:
        connection.execute(f"UPDATE api_key SET {change} WHERE id = 'ci'")
        connection.execute("UPDATE api_key SET revoked_at = NULL WHERE id = 'dead'")
    connection.close()
    gateway.start()
    for agent in ("mock/ok", "vault/secret-plan"):
        assert chat(port, secret, agent).status == 401
    assert request(port, "GET", "/security/keys", key=dead).status == 401
    assert gateway.wait_event("api_key.unrecorded")
    shown = listed(port)
    assert shown["ci"]["health"] == shown["dead"]["health"] == "unrecorded"
    assert rotate(port, "ci").status == 409
    assert revoke(port, "ci").status == 200 and revoke(port, "dead").status == 200
    # The file's keys are not touched by it.
    assert chat(port, CLIENT, "mock/ok").status == 200
