# SPDX-License-Identifier: MIT
"""T45: load for a long time with a fault every ten seconds; memory, descriptors and threads
must not grow, and all invariants hold at the end. Run by tests/faults/soak.

Growth of memory is the slope of a straight line (least squares) through samples taken while the
load runs. The first third warms up and is not looked at: heaps, caches and pools fill, while a
leak goes on. With SOAK_LEAK=N the gateway then forgets N bytes for each connection, and the
test must notice that."""
import contextlib
import errno
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fixtures
import invariants
from gateway import KEYS, Gateway
from mock import Mock
from shim import SYNCS, WRITES, Shim
from webserver import WebServer
from wire import request, stream, together

SECONDS = int(os.environ.get("SOAK_SECONDS", "1800"))
EVERY = float(os.environ.get("SOAK_FAULT_EVERY", "10"))
LEAK = int(os.environ.get("SOAK_LEAK", "0"))
WARM = SECONDS / 3
SAMPLE_EVERY = 5
GROWTH_KIB = 64  # of memory for 10,000 requests
ENOUGH = 50000   # requests after warming up, to tell that from the ups and downs
MODELS = ["mock/ok", "echo/echo", "mock/ok", "mock/chunks-5-100", "mock/forbidden"]


def slope(samples):
    """KiB for 10,000 requests, of [(requests, KiB)]."""
    n = len(samples)
    x, y = (sum(column) / n for column in zip(*samples))
    spread = sum((requests - x) ** 2 for requests, _ in samples)
    return 10000 * sum((requests - x) * (kib - y) for requests, kib in samples) / max(spread, 1)


class Soak:
    def __init__(self, directory):
        self.mock, self.shim = Mock(directory), Shim(directory)
        # One worker is never killed, so that its growth can be seen.
        self.gateway = Gateway(directory / "soak", self.mock, mode="activated",
                               environment=self.shim.environment,
                               gateway={"workers": 2, "threads": {"min": 4, "max": 64, "idle": 2},
                                        "audit": {"wait": 2}, "database": {"gate_wait": 2}})
        self.gateway.start()
        self.server = WebServer(self.gateway.directory, self.gateway.socket, "lighttpd")
        self.watched = self.gateway.workers()[0]
        self.faults, self.aside = {}, []
        self.served, self.counted_to = 0, 0
        self.samples = []  # (requests, KiB)

    def size(self):
        """Resident memory (KiB), descriptors and threads of the watched worker."""
        text = pathlib.Path(f"/proc/{self.watched}/status").read_text()
        memory = next(int(line.split()[1]) for line in text.splitlines()
                      if line.startswith("RssAnon"))
        return memory, self.descriptors(), len(os.listdir(f"/proc/{self.watched}/task"))

    def descriptors(self):
        """But for kept connections to the provider: up to 64, as many as it has not closed."""
        to = f":{self.mock.port:04X}"
        kept = {f"socket:[{line.split()[9]}]"
                for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()
                if line.split()[2].endswith(to)}
        count = 0
        for path in pathlib.Path(f"/proc/{self.watched}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                count += os.readlink(path) not in kept
        return count

    def quiet_size(self):
        """The same after the threads past `min` have ended."""
        time.sleep(4)
        return self.size()

    # -- faults -------------------------------------------------------------------------

    def kill_the_other_worker(self):
        others = [pid for pid in self.gateway.workers() if pid != self.watched]
        if others:
            os.kill(others[0], signal.SIGKILL)

    def restart_the_web_server(self):
        self.server.kill()
        self.server.restart()

    def failing_disk(self):
        self.shim.refuse_io(random.choice([WRITES, SYNCS]), errno.EIO, random.choice([1, 3]))
        time.sleep(1)
        self.shim.behave()

    def no_threads(self):
        self.shim.no_threads = 1
        time.sleep(1)
        self.shim.behave()

    def held_lock(self):
        subprocess.run(["flock", f"{self.gateway.database}.gate", "sleep", "1"], check=False)

    def streams(self, models, **more):
        self.aside += together(*[stream(self.server.port, KEYS["client"], f"mock/{model}", **more)
                                 for model in models])

    def clients_leave(self):
        self.streams(["chunks-40-250"] * 20, leave_after=1)

    def bad_provider(self):
        self.streams(["cut-3", "stall", "reset", "big-line", "not-json", "forged"], leave_after=5)

    def reload(self):
        self.gateway.signal(signal.SIGHUP)

    def strike(self):
        name = random.choice(["kill_the_other_worker", "restart_the_web_server", "failing_disk",
                              "no_threads", "held_lock", "clients_leave", "bad_provider", "reload"])
        self.faults[name] = self.faults.get(name, 0) + 1
        getattr(self, name)()

    # -- the run ------------------------------------------------------------------------

    def load(self, seconds):
        begun = look_at = time.monotonic()
        strike_at = begun + EVERY
        self.samples.clear()
        with invariants.Load(self.server.port, clients=10, models=MODELS, streams=0.2) as load:
            while time.monotonic() < begun + seconds:
                time.sleep(0.2)
                if time.monotonic() >= strike_at:
                    self.strike()
                    strike_at = time.monotonic() + EVERY
                if time.monotonic() >= look_at:
                    self.samples.append((self.count(), self.size()[0]))
                    look_at = time.monotonic() + SAMPLE_EVERY
        return load.seen

    def count(self):
        """Requests that the watched worker has answered."""
        row = self.gateway.sql(
            "SELECT count(*) AS n, max(seq) AS seq FROM audit_event WHERE outcome IS NOT NULL"
            " AND process LIKE ? AND seq > ?", f"%:{self.watched}:%", self.counted_to)[0]
        self.served += row["n"]
        self.counted_to = row["seq"] or self.counted_to
        return self.served

    def run(self):
        for name in ("failing_disk", "no_threads", "held_lock", "clients_leave", "bad_provider",
                     "reload"):
            getattr(self, name)()  # caches and pools fill with the first of each
        self.streams(["chunks-5-100"] * 150)
        seen = self.load(WARM)
        low, high = (f(kib for _, kib in self.samples) for f in (min, max))
        print(f"soak: warm after {WARM:.0f} s: {low} to {high} KiB", flush=True)
        before, answered = self.quiet_size(), self.count()
        self.shim.leak = LEAK
        seen.update(self.load(SECONDS - WARM))
        after, answered = self.quiet_size(), self.count() - answered
        refused = sum(one.status == 503 for one in [*seen.values(), *self.aside])
        figures = invariants.check(
            self.gateway, self.server.port, seen, unrecorded=refused,
            drift_max=2 * self.faults.get("kill_the_other_worker", 0))
        looked_at, growth = self.samples[-1][0] - self.samples[0][0], slope(self.samples)
        print(f"soak: {SECONDS} s, {len(seen)} requests, faults {self.faults}, {figures}")
        print(f"soak: the watched worker answered {answered}; before and after: memory"
              f" {before[0]} {after[0]} KiB, descriptors {before[1]} {after[1]}, threads"
              f" {before[2]} {after[2]}")
        print(f"soak: memory in {len(self.samples)} samples over the last {looked_at} requests:"
              f" {growth:.0f} KiB more for 10,000 requests")
        return self.problems(before, after, growth, looked_at)

    def problems(self, before, after, growth, looked_at):
        problems = [line for line in self.gateway.events("worker.exited")
                    if line.get("signal") not in (None, signal.SIGKILL)]
        if growth > GROWTH_KIB and LEAK == 0 and looked_at >= ENOUGH:
            problems.append(f"memory grows by {growth:.0f} KiB for 10,000 requests")
        if growth <= GROWTH_KIB and LEAK > 0:
            problems.append(f"{LEAK} bytes are lost with each connection, and nobody notices")
        if after[1] > before[1] + 8:
            problems.append("descriptors stay behind")
        if after[2] > before[2] + 2:
            problems.append("threads stay behind")
        return problems

    def stop(self):
        self.server.stop()
        self.gateway.stop()
        self.mock.stop()


def main():
    fixtures.pytest_configure()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="agw-", dir="/tmp"))
    directory.chmod(0o755)
    soak = Soak(directory)
    try:
        problems = soak.run()
        assert request(soak.server.port, "GET", "/health").status == 200
    finally:
        soak.stop()
        shutil.rmtree(directory, ignore_errors=True)
    for problem in problems:
        print(f"soak: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
