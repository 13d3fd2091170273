# SPDX-License-Identifier: MIT
"""On random policies, five ways to ask give one answer: the server (what a chat request gets),
/security/preview, /v1/models, agwctl explain, and agwctl access and replay. And it is the one of
a model that is written here as the contract reads.

AGW_AGREE_CASES: how many (policy, key, agent, time) cases; AGW_AGREE_SEED repeats a run."""
import fnmatch
import json
import os
import random
import time

import pytest
import yaml

import fcgi
from agwctl import Agwctl
from gateway import Gateway
from wire import new_id

CASES = int(os.environ.get("AGW_AGREE_CASES", "2000"))
SEED = int(os.environ.get("AGW_AGREE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

AGENTS = [f"{space}/{name}" for space in ("a", "b", "labs", "x.y") for name in
          ("one", "two", "three", "o-ne")] + ["labs/secret"]
NOBODY = ["labs/nobody", "nowhere"]
PATTERNS = ["*", "a/*", "b/*", "labs/*", "*/one", "*/t*", "a/one", "labs/secret", "[ab]/two",
            "[!a]/*", "?/three", "x.y/o?ne", "*o*", "labs/nobody", "none", "b/[a-o]*"]
KEYS = [f"k{n}" for n in range(8)]
RUNTIME = [f"r{n}" for n in range(3)]  # made, and revoked, at run time
ADMIN = "sk-test-agree-admin"


def secret(key):
    return f"sk-test-agree-{key}-5d1f"


# -- policies ------------------------------------------------------------------------------

def rules(rng, likely):
    """A list, or None: absent."""
    if rng.random() > likely:
        return None
    made = []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        pattern = rng.choice(PATTERNS)
        mode = rng.choice([None, None, None, "enforce", "shadow", "shadow"])
        made.append(pattern if mode is None else {"pattern": pattern, "mode": mode})
    return made


def with_lists(value, rng, **likely):
    for name, chance in likely.items():
        made = rules(rng, chance)
        if made is not None:
            value[name] = made
    return value


def policy(rng):
    keys = []
    for key in KEYS:
        if rng.random() < 0.1:
            continue  # the key is not in this policy
        value = {"id": key, "key": secret(key)}
        value["roles"] = rng.choice([["client"]] * 8 + [["client", "auditor"], ["auditor"]])
        if rng.random() < 0.15:
            value["expires_at"] = rng.choice(["2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"])
        keys.append(with_lists(value, rng, allow_agents=0.6, deny_agents=0.35))
    keys.append({"id": "admin", "key": ADMIN, "roles": ["admin"], "allow_agents": []})
    default = {"rate_limit": {"per_minute": 0}}
    with_lists(default, rng, allow_agents=0.7, deny_agents=0.4)
    default["namespace_defaults"] = {
        space: with_lists({}, rng, allow_agents=0.7)
        for space in ("a", "labs", "x.y") if rng.random() < 0.6}
    return {"version": 1, "default": default, "api_keys": keys}


# -- the model -----------------------------------------------------------------------------

def enforced(entries, trial):
    return [one if isinstance(one, str) else one["pattern"] for one in entries or []
            if isinstance(one, str) or one["mode"] == "enforce" or trial]


def first(entries, agent, trial):
    return next((one for one in enforced(entries, trial) if fnmatch.fnmatchcase(agent, one)), None)


def decide(security, key, agent, grants, at, trial=False):
    """-> (decision, source, pattern)"""
    default = security["default"]
    for entries in (key.get("deny_agents"), default.get("deny_agents")):
        pattern = first(entries, agent, trial)
        if pattern:
            return "deny", "deny", pattern
    for bound in (key["id"], None):
        found = [grant for grant in grants if grant["key_id"] == bound
                 and grant["from"] <= at < grant["until"]
                 and fnmatch.fnmatchcase(agent, grant["pattern"])]
        if found:
            return "allow", "override", max(found, key=lambda one: one["expires"])["pattern"]
    space = default["namespace_defaults"].get(agent.partition("/")[0] if "/" in agent else "")
    pattern = first((space or {}).get("allow_agents"), agent, trial)
    if pattern:
        return "allow", "namespace_default", pattern
    own = key.get("allow_agents")
    if own is None or (own and not enforced(own, trial)):
        own = default.get("allow_agents")
    pattern = first(own, agent, trial)
    return ("allow", "api_key", pattern) if pattern else ("deny", "deny", None)


def find_key(security, key_id, at):
    return next((one for one in security["api_keys"] if one["id"] == key_id
                 and one.get("from", at) <= at < one.get("until", at + 1)), None)


def verdict(security, key_id, agent, grants, at, exists=True):
    """-> (status, decision, source, pattern); decision None: there was none."""
    key = find_key(security, key_id, at)
    if key is None:
        return 401, None, None, None
    decided = decide(security, key, agent, grants, at)
    if key.get("expires_at", "9") < "2026":
        return 401, *decided
    if "client" not in key["roles"]:
        return 403, *decided
    if not exists:
        return 404, *decided
    return 200 if decided[0] == "allow" else 403, *decided


def millis(text):
    whole, _, rest = text.rstrip("Z").partition(".")
    seconds = time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) - time.timezone
    return int(seconds) * 1000 + int((rest + "000")[:3])


# -- one policy ----------------------------------------------------------------------------

class Round:
    def __init__(self, gateway, ctl, rng, security):
        self.gateway, self.ctl, self.rng = gateway, ctl, rng
        self.grants, self.uses, self.cases, self.secrets = [], None, 0, {}
        # What the file says, and with the run-time keys.
        self.security = {**security, "api_keys": list(security["api_keys"])}
        gateway.write("security", security)
        answer = self.admin("POST", "/security/refresh")
        assert answer.status == 200, answer
        self.begin = gateway.sql("SELECT max(seq) AS seq FROM audit_event")[0]["seq"]
        for key in RUNTIME:
            if rng.random() < 0.8:
                self.make_key(key)
        for _ in range(rng.randrange(5)):
            self.grant()

    def admin(self, method, path, body=None, headers=()):
        return fcgi.call(self.gateway.socket, method, path, ADMIN, body, headers)

    def make_key(self, key):
        body = {"id": key, "roles": self.rng.choice([["client"]] * 4 + [["auditor"]])}
        for name in ("allow_agents", "deny_agents"):
            if self.rng.random() < 0.5:
                body[name] = self.rng.sample(PATTERNS, self.rng.randrange(3))
        answer = self.admin("POST", "/security/keys", body)
        assert answer.status in (200, 201), answer
        made = answer.json()
        self.secrets[key] = made["secret"]
        self.security["api_keys"].append({**body, "from": millis(made["created_at"])})

    def revoke_some_keys(self):
        for one in self.security["api_keys"]:
            if one["id"] in RUNTIME and "until" not in one and self.rng.random() < 0.5:
                self.revoke_key(one)

    def revoke_key(self, one):
        answer = self.admin("DELETE", "/security/keys/" + one["id"])
        assert answer.status == 200, answer
        one["until"] = millis(answer.json()["revoked_at"])

    def secret(self, key):
        return self.secrets.get(key, secret(key))

    def grant(self):
        body = {"agent": self.rng.choice(PATTERNS), "ttl_seconds": self.rng.choice([1, 1, 900])}
        if self.rng.random() < 0.3:
            body["max_uses"] = self.rng.choice([1, 2, 5])
        if self.rng.random() < 0.5:
            body["key_id"] = self.rng.choice(KEYS + RUNTIME)
        answer = self.admin("POST", "/security/override", body)
        if answer.status == 400:  # no such key in this policy
            return
        made = answer.json()
        expires = millis(made["expires_at"])
        grant = {"id": made["id"], "pattern": made["pattern"], "key_id": made["key_id"],
                 "from": millis(made["created_at"]), "until": expires, "expires": expires,
                 "max_uses": body.get("max_uses")}
        self.grants.append(grant)
        if self.rng.random() < 0.2:
            answer = self.admin("DELETE", "/security/overrides/" + made["id"])
            assert answer.status == 200, answer
            grant["until"] = millis(answer.json()["revoked_at"])

    def ask(self):
        """Chat and preview of every pair. -> {(key, agent): [chat id, status, preview id, doc]}"""
        asked = {}
        for key in KEYS + RUNTIME:
            for agent in [*AGENTS, *NOBODY]:
                ids = new_id("agree"), new_id("agree")
                status = fcgi.chat(self.gateway.socket, self.secret(key), agent,
                                   request_id=ids[0]).status
                answer = self.admin("POST", "/security/preview", {"agent": agent, "key_id": key},
                                    [("X-Request-Id", ids[1])])
                asked[key, agent] = [ids[0], status, ids[1],
                                     answer.json() if answer.status == 200 else None]
        self.cases += len(asked)
        return asked

    def grants_at(self, seq=None):
        """Those that have uses left before the row `seq`, None: by now."""
        uses = self.gateway.sql(
            "SELECT seq, ts, override_id FROM audit_event WHERE seq > ? AND kind = 'decision'"
            " AND override_id IS NOT NULL", self.begin) if self.uses is None else self.uses
        return [grant for grant in self.grants if not grant["max_uses"] or sum(
            row["override_id"] == grant["id"] and (seq is None or row["seq"] < seq)
            for row in uses) < grant["max_uses"]]

    def check(self, asked):
        """Each at its own moment, by the rows of the audit trail."""
        rows = {row["request_id"]: row for row in self.gateway.sql(
            "SELECT * FROM audit_event WHERE seq > ? AND decision IS NOT NULL", self.begin)}
        limited = {grant["id"] for grant in self.grants if grant["max_uses"]}
        self.uses = [row for row in sorted(rows.values(), key=lambda row: row["seq"])
                     if row["kind"] == "decision" and row["override_id"] in limited]
        ticks = {row["ts"] for row in self.uses}
        questions, wanted = [], []
        for (key, agent), (chat, status, previewed, document) in asked.items():
            for request_id, kind in ((chat, "chat"), (previewed, "preview")):
                row = rows.get(request_id)
                at = row["ts"] if row else int(time.time() * 1000)
                grants = self.grants_at(row and row["seq"])
                model = verdict(self.security, key, agent, grants, at, agent in AGENTS)
                what = (SEED, key, agent, kind, at, model, document, dict(row or {}))
                if row is None:  # refused before the decision: at what moment is not known
                    model = model[0], None, None, None
                if kind == "chat":
                    assert status == model[0], what
                    if row:
                        assert (row["decision"], row["source"], row["pattern"]) == model[1:], what
                        questions.append({"request": request_id})
                    else:
                        assert status in (401, 403), what
                        questions.append({"key": key, "agent": agent})
                elif document is None:
                    assert model[0] == 401, what
                    questions.append({"key": key, "agent": agent})
                else:
                    assert (document["answer"]["status"], document["decision"],
                            document["source"], document["pattern"]) == model, what
                    self.check_shadow(key, agent, grants, at, document, what)
                    if at in ticks:  # a use in this very millisecond: before or after?
                        continue
                    questions.append({"key": key, "agent": agent, "at": stamp(at)})
                wanted.append((model, document if kind == "preview" else None, what))
        self.check_explained(questions, wanted)
        self.uses = None

    def check_shadow(self, key, agent, grants, at, document, what):
        value = find_key(self.security, key, at)
        real = decide(self.security, value, agent, grants, at)
        trial = decide(self.security, value, agent, grants, at, True)
        would = None if real[0] == trial[0] else f"would_{trial[0]}"
        assert (document["shadow"] or {}).get("decision") == would, what

    def check_explained(self, questions, wanted):
        told = self.ctl.run("explain", "--batch", stdin="\n".join(map(json.dumps, questions)),
                            timeout=300).lines()
        assert len(told) == len(questions)
        for line, question, (model, document, what) in zip(told, questions, wanted):
            one = json.loads(line)
            assert "error" not in one and one.get("reproduced", True), (what, one)
            assert one["answer"]["status"] == model[0], (what, one)
            if model[1] is not None:
                assert (one["decision"], one["source"], one["pattern"]) == model[1:], (what, one)
            if document is not None:
                for name in document:
                    if name != "override":  # ended or not is known by now
                        assert one[name] == document[name], (name, what, one)

    def check_lists(self):
        """What a key sees as its models, and what access says, are what it may call."""
        access = {}
        for one in self.ctl.json("access")["entries"]:
            access.setdefault(one["key_id"], []).append(one["agent"])
        at, grants = int(time.time() * 1000), self.grants_at()
        for key in KEYS + RUNTIME:
            may = [agent for agent in sorted(AGENTS)
                   if verdict(self.security, key, agent, grants, at)[0] == 200]
            answer = fcgi.call(self.gateway.socket, "GET", "/v1/models", self.secret(key))
            seen = [one["id"] for one in answer.json()["data"]] if answer.status == 200 else []
            assert seen == may == access.get(key, []), (SEED, key)
            self.cases += len(AGENTS)

    def check_replay(self, proposal, path):
        """The requests of this round against another policy flip as the model says."""
        path.write_text(yaml.safe_dump(proposal, sort_keys=False))
        rows = self.gateway.sql(
            "SELECT * FROM audit_event WHERE seq > ? AND decision IS NOT NULL"
            " AND kind IN ('decision', 'refusal')", self.begin)
        since = min(row["ts"] for row in rows)
        self.uses = [row for row in rows if row["kind"] == "decision" and row["override_id"]]
        rows = self.gateway.sql(
            "SELECT * FROM audit_event WHERE ts >= ? AND decision IS NOT NULL"
            " AND kind IN ('decision', 'refusal')", since)
        # Run-time keys stay what they are, whatever the file says.
        policy_then = {**proposal, "api_keys": proposal["api_keys"] + [
            one for one in self.security["api_keys"] if one["id"] in RUNTIME]}
        flips = {}
        for row in rows:
            status = verdict(policy_then, row["key_id"], row["agent"],
                             self.grants_at(row["seq"]), row["ts"])[0]
            if (status == 200) != (row["decision"] == "allow"):
                pair = row["key_id"], row["agent"], row["decision"]
                flips[pair] = flips.get(pair, 0) + 1
        told = self.ctl.json("replay", "--security", path, "--since", stamp(since))
        found = {}
        for one in told["flips"]:
            pair = one["key_id"], one["agent"], one["was"]["decision"]
            found[pair] = found.get(pair, 0) + one["requests"]
        assert found == flips and told["requests"] == len(rows), SEED
        self.uses = None


    def end(self):
        """Nothing of this round is in force in the next one."""
        for grant in self.grants:
            answer = self.admin("DELETE", "/security/overrides/" + grant["id"])
            assert answer.status in (200, 404), answer
        for one in self.security["api_keys"]:
            if one["id"] in RUNTIME and "until" not in one:
                self.revoke_key(one)


def stamp(ms):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


@pytest.mark.timeout(max(300, CASES // 10))
def test_all_ways_to_ask_agree(directory, mock):
    rng = random.Random(SEED)
    gateway = Gateway(
        directory / "agree", mock,
        agents={"agents": [{"name": agent.partition("/")[2], "namespace": agent.partition("/")[0],
                            "upstream": "echo", "model": "echo-1"} for agent in AGENTS]})
    security = policy(rng)
    gateway.write("security", security)
    gateway.start()
    ctl = Agwctl(None, "--config", gateway.conf / "gateway.yaml")
    cases, rounds = 0, 0
    try:
        while cases < CASES:
            one = Round(gateway, ctl, rng, security)
            one.check(one.ask())
            ends = [grant["expires"] for grant in one.grants]
            soon = [end for end in ends if end < time.time() * 1000 + 5000]
            if soon:
                time.sleep(max(0, max(soon) / 1000 - time.time()) + 0.01)
            one.revoke_some_keys()
            one.check(one.ask())
            one.check_lists()
            proposal = policy(rng)
            one.check_replay(proposal, directory / "proposal.yaml")
            one.end()
            cases, rounds, security = cases + one.cases, rounds + 1, proposal
    finally:
        print(f"seed {SEED}: {cases} cases, {rounds} policies")
        gateway.stop()
