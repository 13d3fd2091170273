# SPDX-License-Identifier: MIT
"""T35: keys and overrides are made, used, rotated and revoked by eight processes at once,
through two gateways on one database and through agwctl. Whatever was answered holds for every
request that begins later."""
import collections
import contextlib
import json
import multiprocessing
import queue
import random
import time

import pytest

import invariants
from agwctl import Agwctl
from gateway import KEYS, agent, default_agents
from scale import count, limit, report
from wire import chat, request

ADMIN = KEYS["admin"]
PROCESSES, AGENTS = 8, 40
SECONDS = count("AGW_FAULT_RACE_SECONDS", 6, 30, 300)


class Player:
    """One process: does something at random, tells the others, and notes what it saw. Times are
    those of CLOCK_MONOTONIC, which all processes share."""

    def __init__(self, number, ports, ctl, boxes, path):
        self.number, self.ports, self.ctl, self.boxes = number, ports, ctl, boxes
        self.path, self.dice = path, random.Random(number)
        self.secrets, self.grants = [], []
        self.made = self.granted = 0

    def play(self, seconds):
        end = time.monotonic() + seconds
        moves = [(self.use, 60), (self.use_grant, 20), (self.create, 6), (self.rotate, 5),
                 (self.revoke, 3), (self.grant, 4), (self.ungrant, 3)]
        with open(self.path, "w") as self.out:
            while time.monotonic() < end:
                self.listen()
                self.dice.choices([move for move, _ in moves], [odds for _, odds in moves])[0]()

    def listen(self):
        with contextlib.suppress(queue.Empty):
            while True:
                kind, *news = self.boxes[self.number].get_nowait()
                (self.secrets if kind == "key" else self.grants).append(news)
        del self.secrets[:-60], self.grants[:-60]

    def tell(self, *news):
        for box in self.boxes:
            box.put(news)

    def note(self, what, begun, **more):
        json.dump({"what": what, "begun": begun, "ended": time.monotonic(), **more}, self.out)
        self.out.write("\n")

    def port(self):
        return self.dice.choice(self.ports)

    def command(self, *words):
        """By agwctl, now and then; else None."""
        if self.dice.random() > 0.3:
            return None
        answer = self.ctl.run("key", *words, "--json", status=None)
        assert answer.status in (0, 1), answer
        return json.loads(answer.stdout) if answer.status == 0 else {}

    def call(self, method, path, body=None):
        answer = request(self.port(), method, path, key=ADMIN, body=body)
        assert answer.status in (200, 404, 409), answer
        return answer.json() if answer.status == 200 else {}

    def use(self):
        if self.secrets:
            name, secret = self.dice.choice(self.secrets)
            begun = time.monotonic()
            self.note("use", begun, secret=secret,
                      status=chat(self.port(), secret, "echo/echo").status)

    def use_grant(self):
        if self.secrets and self.grants:
            _, secret = self.dice.choice(self.secrets)
            ident, model = self.dice.choice(self.grants)
            begun = time.monotonic()
            self.note("use_grant", begun, secret=secret, id=ident,
                      status=chat(self.port(), secret, model).status)

    def create(self):
        name, begun = f"key-{self.number}-{self.made}", time.monotonic()
        self.made += 1
        made = self.command("create", name)
        if made is None:
            made = self.call("POST", "/security/keys", {"id": name})
        self.note("create", begun, name=name, secret=made["secret"])
        self.tell("key", name, made["secret"])

    def rotate(self):
        if not self.secrets:
            return
        name, overlap = self.dice.choice(self.secrets)[0], self.dice.choice([0, 0, 1])
        begun = time.monotonic()
        made = self.command("rotate", name, "--overlap", overlap)
        if made is None:
            made = self.call("POST", f"/security/keys/{name}/rotate",
                             {"overlap_seconds": overlap})
        self.note("rotate", begun, name=name, overlap=overlap, secret=made.get("secret"))
        if made:
            self.tell("key", name, made["secret"])

    def revoke(self):
        if not self.secrets:
            return
        name, begun = self.dice.choice(self.secrets)[0], time.monotonic()
        gone = self.command("revoke", name)
        if gone is None:
            gone = self.call("DELETE", f"/security/keys/{name}")
        self.note("revoke", begun, name=name, done=bool(gone))

    def grant(self):
        if self.granted == AGENTS:
            return
        model, begun = f"vault/p{self.number}-{self.granted}", time.monotonic()
        self.granted += 1
        made = self.call("POST", "/security/override", {
            "agent": model, "ttl_seconds": 600, "reason": "race"})
        self.note("grant", begun, id=made["id"], agent=model)
        self.tell("grant", made["id"], model)

    def ungrant(self):
        if self.grants:
            ident, begun = self.dice.choice(self.grants)[0], time.monotonic()
            gone = self.call("DELETE", f"/security/overrides/{ident}")
            self.note("ungrant", begun, id=ident, done=bool(gone))


def _ends(events):
    """secret or override -> (from when on it may fail, from when on it must)."""
    may, must = {}, {}
    secrets = collections.defaultdict(list)
    for event in events:
        if event.get("secret") and event["what"] in ("create", "rotate"):
            secrets[event["name"]].append(event)

    def end(what, begun, ended):
        may[what] = min(may.get(what, begun), begun)
        must[what] = min(must.get(what, ended), ended)
    for event in events:
        if event["what"] == "ungrant" and event["done"]:
            end(event["id"], event["begun"], event["ended"])
        if event["what"] == "revoke" and event["done"]:
            for issued in secrets[event["name"]]:
                end(issued["secret"], event["begun"], event["ended"])
        if event["what"] == "rotate" and event["secret"]:
            for issued in secrets[event["name"]]:
                # Of two rotations at once either may have been the first.
                if issued["secret"] == event["secret"] or issued["begun"] > event["ended"]:
                    continue
                if issued["ended"] < event["begun"]:
                    end(issued["secret"], event["begun"], event["ended"] + event["overlap"])
                else:
                    may[issued["secret"]] = min(may.get(issued["secret"], event["begun"]),
                                                event["begun"])
    return may, must


def _judge(events):
    may, must = _ends(events)
    never = float("inf")
    late = good = refused = 0
    for event in events:
        if event["what"] not in ("use", "use_grant"):
            continue
        needed = [event["secret"]] + ([event["id"]] if "id" in event else [])
        if any(event["begun"] > must.get(what, never) for what in needed):
            late += 1
            assert event["status"] in (401, 403), ("a grant after an answered revocation", event)
        elif all(event["ended"] < may.get(what, never) for what in needed):
            good += 1
            assert event["status"] == 200, ("nobody had ended it", event)
        refused += event["status"] in (401, 403)
    return late, good, refused


@pytest.mark.alone
@pytest.mark.timeout(limit(4 * SECONDS))
def test_T35_what_was_answered_holds(make, directory):
    agents = default_agents()["agents"] + [
        agent(f"p{number}-{at}", namespace="vault", upstream="echo", model="echo-1")
        for number in range(PROCESSES) for at in range(AGENTS)]
    one = make.gateway(agents={"agents": agents})
    ports = [make.server(one).port]
    two = make.gateway(agents={"agents": agents},
                       gateway={"database": {"path": str(one.database)}})
    ports.append(make.server(two).port)
    fork = multiprocessing.get_context("fork")
    boxes = [fork.Queue() for _ in range(PROCESSES)]
    players = [Player(number, ports, Agwctl(one), boxes, directory / f"events-{number}")
               for number in range(PROCESSES)]
    processes = [fork.Process(target=player.play, args=(SECONDS,)) for player in players]
    for process in processes:
        process.start()
    for box in boxes:
        box.cancel_join_thread()
    for process in processes:
        process.join(SECONDS + 60)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    events = [json.loads(line) for player in players
              for line in player.path.read_text().splitlines()]
    late, good, refused = _judge(events)
    done = collections.Counter(
        event["what"] for event in events
        if event.get("done", True) and event.get("secret", True))
    assert late > 20 and good > 20 and done["revoke"] > 2 and done["ungrant"] > 2, (done, late)
    # What clients were told is what the trail says, and nothing more.
    rows = {row["kind"]: row["n"] for row in one.sql(
        "SELECT kind, count(*) AS n FROM audit_event WHERE kind LIKE 'key.%' OR kind LIKE"
        " 'override.%' GROUP BY kind")}
    assert rows == {"key.created": done["create"], "key.rotated": done["rotate"],
                    "key.revoked": done["revoke"], "override.created": done["grant"],
                    "override.revoked": done["ungrant"]}
    assert one.events("api_key.unrecorded", "override.unrecorded") == []
    _, bad, _ = invariants.verify_chain(one.database)
    assert bad == 0
    report(seconds=SECONDS, uses=done["use"] + done["use_grant"], changes=sum(rows.values()),
           late=late, granted_late=0, refused=refused)
