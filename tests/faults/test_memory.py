# SPDX-License-Identifier: MIT
"""T32: allocation number n fails, for many n, in every endpoint: an error or an honest end, no
crash, no hang, and the next request is served."""
import random
import signal
import threading

import pytest

import fcgi
import invariants
from gateway import KEYS
from procs import wait_until
from routes import ROUTES
from scale import count, limit, report
from wire import chat_body

ADMIN, CLIENT = KEYS["admin"], KEYS["client"]
PER_ENDPOINT = count("AGW_FAULT_MALLOCS", 25, 250, 100000)
CHATS = {"json": chat_body("mock/ok"), "stream": chat_body("mock/ok", True),
         "echo": chat_body("echo/echo"), "denied": chat_body("mock/forbidden"),
         "unknown": chat_body("mock/nothing"), "bad": {"model": 7}}
CALLS = [(f"{method} {path}", method, path, body)
         for method, path, _, body in ROUTES if not path.startswith("/v1/chat")]
CALLS += [(f"chat {name}", "POST", "/v1/chat/completions", body) for name, body in CHATS.items()]


class Starved:
    """One worker whose memory fails on command."""

    def __init__(self, gateway, shim):
        self.gateway, self.shim = gateway, shim
        self.crashes = 0

    def call(self, method, path, body):
        return fcgi.call(self.gateway.socket, method, path, ADMIN, body, timeout=15)

    def allocations(self, method, path, body):
        """How many a request makes when all goes well (another thread's are among them)."""
        self.shim.refuse_memory(1 << 60)
        assert self.call(method, path, body) is not None
        self.shim.malloc_at = 0
        return self.shim.malloc_count

    def starve(self, at, more, method, path, body):
        self.shim.refuse_memory(at, more)
        # Workers that cannot even start use up few failures each: there is memory again soon.
        relief = threading.Timer(1, self.shim.behave)
        relief.start()
        try:
            answer = self.call(method, path, body)
        except (ConnectionError, FileNotFoundError):
            answer = None
        except TimeoutError:
            raise AssertionError(f"{method} {path} {body} hangs at allocation {at}") from None
        finally:
            relief.cancel()
            self.shim.malloc_at = 0
        if answer is not None:
            assert 200 <= answer.status < 600, answer
        return answer

    def serves(self):
        def again():
            try:
                answer = fcgi.chat(self.gateway.socket, CLIENT, "echo/echo", timeout=15)
            except (ConnectionError, FileNotFoundError):
                return False
            return answer is not None and answer.status == 200
        wait_until(again, 10, "service after a failed allocation", step=0.01)


@pytest.fixture
def starved(make, shim):
    return Starved(make.gateway(environment=shim.environment,
                                gateway={"workers": 1, "audit": {"wait": 2}}), shim)


@pytest.mark.alone
@pytest.mark.timeout(limit(PER_ENDPOINT * len(CALLS) / 10))
@pytest.mark.parametrize("more", [0, 300], ids=["one", "hundreds"])
def test_T32_nth_malloc_fails_in_every_endpoint(starved, more):
    dice, tried, answers, silent = random.Random(32), 0, {}, 0
    # Hundreds of failures mostly cost the worker, whose restarts take their time.
    per_endpoint = PER_ENDPOINT if more == 0 else max(1, min(PER_ENDPOINT // 50, 40))
    for name, method, path, body in CALLS:
        most = min(starved.allocations(method, path, body), 3000)
        points = range(1, most + 1)
        if len(points) > per_endpoint:
            points = sorted(dice.sample(points, per_endpoint))
        for at in points:
            answer = starved.starve(at, more, method, path, body)
            tried += 1
            silent += answer is None
            status = answer.status if answer else None
            answers[status] = answers.get(status, 0) + 1
            signals = [line for line in starved.gateway.events("worker.exited")
                       if "signal" in line] if answer is None else []
            assert signals == [], (name, at, signals)
        starved.serves()
    gateway = starved.gateway
    signals = [line for line in gateway.events("worker.exited") if "signal" in line]
    assert signals == []
    wait_until(lambda: not invariants.open_requests(gateway), 10, "end of every request")
    assert invariants.verify_chain(gateway.database)[1] == 0
    assert gateway.sql("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    report(endpoints=len(CALLS), failures=tried, unanswered=silent, crashes=0,
           **{f"s{status}": number for status, number in answers.items() if status})


def test_T32_libfcgi_aborts_and_the_worker_is_replaced(starved):
    """The one library here that answers a failed allocation with abort(): the worker dies by
    it, and another takes its place."""
    gateway = starved.gateway
    starved.shim.malloc_fcgi = 1
    for at in (1, 2, 3, 4):
        starved.starve(at, 0, "GET", "/health", None)
        starved.serves()
    signals = [line["signal"] for line in gateway.events("worker.exited") if "signal" in line]
    assert set(signals) <= {signal.SIGABRT}
    assert gateway.process.stderr().count("fcgiapp.c") == len(signals)
    report(aborts=len(signals))


def test_T32_workers_inherit_what_openssl_looks_up(starved):
    """A first use without memory is one that OpenSSL never gets over, so it happens before the
    first worker is made: no worker asks for it, whenever it starts."""
    gateway = starved.gateway
    starved.shim.no_digests = 1
    for _ in range(3):
        gateway.restarted(gateway.kill_workers())
        starved.serves()
    rows, bad, _ = invariants.verify_chain(gateway.database)
    assert rows > 3 and bad == 0
    gateway.stop()
    status, said = gateway.refuses_to_start()
    assert status == 3 and "SHA-256 is not available" in said


@pytest.mark.timeout(limit(count("AGW_FAULT_STARTS", 25, 100, 1000) * 4))
def test_T32_nth_malloc_fails_at_start(make, shim):
    """It says why and ends, or starts and serves, never by halves. Libraries that cannot begin
    (OpenSSL, GnuTLS) may end it with a signal, but before it has done anything."""
    gateway = make.gateway(start=False, environment=shim.environment, gateway={"workers": 1})
    dice, ended, early = random.Random(23), 0, 0
    turns = count("AGW_FAULT_STARTS", 25, 100, 1000)
    for _ in range(turns):
        shim.refuse_memory(dice.randrange(1, 4000), 0)
        gateway.start(wait=False)
        wait_until(lambda: not gateway.process.running() or gateway.events("gateway.started"),
                   15, "start or refusal")
        shim.malloc_at = 0
        ended += not gateway.process.running()
        if gateway.process.running():
            Starved(gateway, shim).serves()
        status = gateway.stop()
        early += status < 0
        assert status >= 0 or not gateway.log_path.exists(), (status, gateway.output()[-2000:])
        if gateway.log_path.exists():
            signals = [line for line in gateway.events("worker.exited") if "signal" in line]
            assert signals == []
            gateway.log_path.unlink()
    report(starts=turns, refused_to_start=ended, ended_by_libraries=early)
