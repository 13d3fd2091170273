# SPDX-License-Identifier: MIT
"""What tests of all hosts ask: runs that are played to their end, and what a catalog says."""
import runner_peer
from procs import wait_until


def answer(host, stream=False, **scenario):
    """Plays a run to its end. -> its last message, the run."""
    run = runner_peer.Run(host, scenario, stream)
    last = run.play()
    run.close()
    return last, run


def works(host, attr="poet"):
    last, _ = answer(host, attr=attr, model=[{"content": "Fine."}])
    assert last.get("output") == "Fine.", last


def is_idle(host):
    wait_until(lambda: host.ping()["runs"] == 0, runner_peer.LONG, "end of all runs")


def only(catalog, severity="error"):
    """The one diagnostic of that severity."""
    found = [d for d in catalog["diagnostics"] if d["severity"] == severity]
    assert len(found) == 1, catalog
    return found[0]


def attrs(catalog):
    return [(export["attr"], export["kind"]) for export in catalog["exports"]]
