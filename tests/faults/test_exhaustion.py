# SPDX-License-Identifier: MIT
"""T34: no descriptors, no threads, no processes: refused, not hung, and all is well again when
there are some."""
import os
import resource
import time

import pytest

import invariants
from gateway import KEYS
from procs import wait_until
from scale import report
from wire import chat, request, stream, together

CLIENT = KEYS["client"]


def _descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def _leave(pid, spare):
    """Lets the process open `spare` descriptors more than it has; None: as many as it likes."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir(f"/proc/{pid}/fd")) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE,
                     (hard if spare is None else min(used + spare, hard), hard))


@pytest.mark.alone
@pytest.mark.parametrize("spare", [0, 1, 2, 3, 5, 8])
def test_T34_out_of_descriptors(make, spare):
    gateway = make.gateway(gateway={"workers": 1, "threads": {"idle": 1}})
    port = make.server(gateway, "lighttpd").port
    assert chat(port, CLIENT, "mock/ok").status == 200
    pid = gateway.workers()[0]
    before = _descriptors(pid)
    _leave(pid, spare)
    began = time.monotonic()
    seen = together(*[stream(port, CLIENT, "mock/chunks-5-100", request_id=f"fd-{n}-{spare}",
                             leave_after=6) for n in range(40)])
    took = time.monotonic() - began
    _leave(pid, None)
    statuses = [one.status for one in seen]
    # Who waits in the socket's queue meanwhile may see nothing; whoever is answered is
    # answered in full or refused.
    assert set(statuses) <= {None, 200, 503, 504}, statuses
    for one in seen:
        if one.status == 200 and one.complete and b"[DONE]" not in one.body:
            assert b'"error"' in one.body, one.body
    wait_until(lambda: chat(port, CLIENT, "mock/ok").status == 200, 5, "service")
    assert gateway.workers() == [pid]
    figures = invariants.check(gateway, port, {f"fd-{n}-{spare}": one for n, one in
                                               enumerate(seen)}, least=0)
    wait_until(lambda: _descriptors(pid) <= before + 6, 10, "descriptors given back")
    report(spare=spare, refused=len(seen) - figures["answered"], took_s=round(took, 1), **figures)


@pytest.mark.alone
def test_T34_out_of_threads(make, shim):
    """No new thread can be had: those that are there serve, the rest are refused at once."""
    gateway = make.gateway(environment=shim.environment,
                           gateway={"workers": 1, "threads": {"min": 4, "max": 100}})
    port = make.server(gateway, "lighttpd").port
    together(*[stream(port, CLIENT, "mock/ok") for _ in range(4)])
    shim.no_threads = 1
    seen = together(*[stream(port, CLIENT, "mock/chunks-20-100") for _ in range(40)])
    for one in seen:
        assert one.status in (200, 503), one.status
        assert one.status == 503 or one.payloads()[-1] == "[DONE]"
        assert one.status == 200 or one.ended - one.started < 2
    served = sum(one.status == 200 for one in seen)
    assert 0 < served < 40
    shim.behave()
    seen = together(*[stream(port, CLIENT, "mock/chunks-5-100") for _ in range(40)])
    assert {one.status for one in seen} == {200}
    invariants.check(gateway, port, {}, least=0)
    report(served=served, refused=40 - served)


@pytest.mark.alone
def test_T34_thread_and_descriptor_count_return(make):
    gateway = make.gateway(gateway={"workers": 1, "threads": {"min": 4, "max": 200, "idle": 1}})
    port = make.server(gateway, "lighttpd").port
    pid = gateway.workers()[0]

    def burst():
        together(*[stream(port, CLIENT, "mock/chunks-5-100") for _ in range(100)])
    burst()
    time.sleep(2.5)
    descriptors, threads = _descriptors(pid), len(os.listdir(f"/proc/{pid}/task"))
    burst()
    wait_until(lambda: _descriptors(pid) <= descriptors + 2
               and len(os.listdir(f"/proc/{pid}/task")) <= threads, 10, "start values")
    assert request(port, "GET", "/health").status == 200
    report(descriptors=descriptors, threads=threads)
