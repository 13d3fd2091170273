# SPDX-License-Identifier: MIT
"""T35: eight processes (two gateways of four workers, one database) and agwctl make and revoke
keys and overrides at once, while workers are killed. Whoever has the answer to a revocation
sees that it holds, in each process; whoever has the answer to a grant may use it."""
import os
import random
import signal
import threading
import time

import pytest

import fcgi
import invariants
from agwctl import Agwctl
from gateway import KEYS
from procs import wait_until
from scale import count, limit, report
from wire import chat, request

ADMIN = KEYS["admin"]
ROUNDS = count("AGW_FAULT_REVOCATIONS", 4, 12, 120)
WATCHERS = 3  # requests right after an answer: connections go to whichever worker is free


class Administrator:
    """Makes and revokes its own key and override, by the endpoints or by agwctl, and looks at
    the other gateway."""

    def __init__(self, number, ports, ctl, wrong):
        self.number, self.ctl, self.wrong = number, ctl, wrong
        self.here, self.there = ports[number % 2], ports[(number + 1) % 2]
        self.checked = 0

    def ask(self, method, path, body=None):
        """The kills cost answers; what they have asked for may have happened all the same."""
        for _ in range(50):
            answer = request(self.here, method, path, key=ADMIN, body=body)
            if answer.status < 500:
                return answer
            time.sleep(0.02)
        raise AssertionError(f"{method} {path}: no answer: {answer}")

    def expect(self, what, secret, agent, status):
        """In the other gateway; a worker that is killed meanwhile answers nothing."""
        for _ in range(WATCHERS):
            seen = chat(self.there, secret, agent).status
            if seen not in (status, 500, 502, 503):
                self.wrong.append((what, self.number, seen))
            self.checked += 1

    def key(self, turn):
        name = f"t35-{self.number}-{turn}"
        by_hand = self.number % 4 == 3  # with agwctl, a process of its own
        if by_hand:
            secret = self.ctl.json("key create", name)["secret"]
        else:
            made = self.ask("POST", "/security/keys", {"id": name})
            if made.status != 200:  # made by a request whose worker was killed
                return
            secret = made.json()["secret"]
        self.expect("new key", secret, "mock/ok", 200)
        rotated = self.ask("POST", f"/security/keys/{name}/rotate", {"overlap_seconds": 0})
        self.expect("rotated key", secret, "mock/ok", 401)
        secret = rotated.json()["secret"]
        if by_hand:
            self.ctl.run("key", "revoke", name)
        else:
            self.ask("DELETE", f"/security/keys/{name}")
        self.expect("revoked key", secret, "mock/ok", 401)

    def override(self):
        agent = f"vault/door-{self.number}"
        made = self.ask("POST", "/security/override",
                        {"agent": agent, "ttl_seconds": 600, "reason": "race"})
        self.expect("granted", KEYS["client"], agent, 200)
        self.ask("DELETE", f"/security/overrides/{made.json()['id']}")
        # One whose answer was lost to a kill is revoked as well: the list has it.
        for grant in self.ask("GET", "/security/overrides").json()["overrides"]:
            if grant["agent"] == agent:
                self.ask("DELETE", f"/security/overrides/{grant['id']}")
        self.expect("revoked grant", KEYS["client"], agent, 403)

    def work(self):
        try:
            for turn in range(ROUNDS):
                self.key(turn)
                self.override()
        except Exception as error:  # a thread's failure must reach the test
            self.wrong.append(("broken", self.number, repr(error)))


@pytest.mark.alone
@pytest.mark.timeout(limit(ROUNDS * 20))
def test_T35_eight_processes_never_use_what_was_revoked(make):
    agents = {"agents": [{"name": f"door-{n}", "namespace": "vault", "upstream": "echo",
                          "model": "echo-1"} for n in range(8)] +
              [{"name": "ok", "namespace": "mock", "upstream": "echo", "model": "echo-1"}]}
    one = make.gateway(name="one", agents=agents, gateway={"workers": 4})
    two = make.gateway(name="two", agents=agents, gateway={
        "workers": 4, "database": {"path": str(one.database)}})
    ports = [make.server(gateway, "nginx").port for gateway in (one, two)]
    wrong = []
    team = [Administrator(number, ports, Agwctl(one), wrong) for number in range(8)]
    threads = [threading.Thread(target=member.work) for member in team]
    for thread in threads:
        thread.start()
    kills = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(random.uniform(0.2, 0.6))
        victims = random.choice((one, two)).workers()
        if victims:
            os.kill(random.choice(victims), signal.SIGKILL)
            kills += 1
    for thread in threads:
        thread.join()
    assert wrong == []
    for gateway in (one, two):
        gateway.wait_ready()
        wait_until(lambda g=gateway: fcgi.chat(g.socket, KEYS["client"], "vault/door-0").status
                   == 403, 10, "denial in the end")
    figures = invariants.check(one, ports[0], {}, least=0, drift_max=4 * kills)
    report(rounds=8 * ROUNDS, checked=sum(member.checked for member in team), kills=kills,
           used_after_revocation=0, rows=figures["rows"])
