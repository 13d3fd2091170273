# SPDX-License-Identifier: MIT
"""Who has begun a request while it was allowed, and sends the rest of it when it is not."""
import json

import pytest

import fcgi
from gateway import KEYS, settle
from wire import chat_body


@pytest.fixture(scope="module")
def gateway(session_dir, mock):
    from gateway import Gateway
    gateway = Gateway(session_dir / "slow-bodies", mock)
    gateway.start()
    yield gateway
    gateway.stop()


def admin(gateway, method, target, body=None):
    answer = fcgi.call(gateway.socket, method, target, KEYS["admin"], body)
    assert answer.status == 200, answer
    return answer.json()


class Slow:
    """A request whose last byte is still to come."""

    def __init__(self, gateway, key, target, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.rest = fcgi.stream_of(fcgi.STDIN, body[-1:])
        self.sock = fcgi.connect(gateway.socket)
        whole = fcgi.request_bytes("POST", target, [("Authorization", f"Bearer {key}")], body)
        self.sock.sendall(whole[:-len(fcgi.stream_of(fcgi.STDIN, body))] +
                          fcgi.record(fcgi.STDIN, body[:-1]))
        settle(0.3)

    def finish(self):
        with self.sock:
            self.sock.sendall(self.rest)
            return fcgi.read_answer(self.sock)


def test_a_key_that_is_revoked_meanwhile_does_nothing_any_more(gateway):
    made = admin(gateway, "POST", "/security/keys",
                 {"id": "leaked", "roles": ["client", "admin"], "allow_agents": ["*"]})
    slow = [Slow(gateway, made["secret"], "/security/keys", {"id": "heir", "roles": ["admin"]}),
            Slow(gateway, made["secret"], "/security/override",
                 {"agent": "*", "ttl_seconds": 600, "reason": "x"}),
            Slow(gateway, made["secret"], "/v1/chat/completions", chat_body("mock/ok"))]
    admin(gateway, "DELETE", "/security/keys/leaked")
    assert [one.finish().status for one in slow] == [401, 401, 401]
    assert "heir" not in {key["id"] for key in admin(gateway, "GET", "/security/keys")["keys"]}
    assert gateway.sql("SELECT count(*) AS n FROM audit_event WHERE key_id = 'leaked' AND kind"
                       " IN ('decision', 'override.created')")[0]["n"] == 0


def test_a_grant_that_is_revoked_meanwhile_grants_nothing_any_more(gateway):
    grant = admin(gateway, "POST", "/security/override",
                  {"agent": "labs/closed-door", "ttl_seconds": 600, "reason": "x"})["id"]
    slow = Slow(gateway, KEYS["client"], "/v1/chat/completions", chat_body("labs/closed-door"))
    admin(gateway, "DELETE", f"/security/overrides/{grant}")
    assert slow.finish().status == 403


def test_what_is_granted_meanwhile_is_granted(gateway):
    slow = Slow(gateway, KEYS["client"], "/v1/chat/completions", chat_body("labs/closed-door"))
    admin(gateway, "POST", "/security/override",
          {"agent": "labs/closed-door", "ttl_seconds": 600, "reason": "x"})
    assert slow.finish().status == 200
