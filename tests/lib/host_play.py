# SPDX-License-Identifier: MIT
"""What tests of all hosts ask: runs that are played to their end, and what a catalog says."""
import time

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


def beats_while(run, began, ended):
    """Begins the run. -> when heartbeats came between the two conditions, in seconds after the
    first."""
    times = []
    run.before["hb"] = lambda _: times.append(time.monotonic())
    run.begin()
    run.until(began)
    times.clear()
    start = time.monotonic()
    run.until(ended)
    return [at - start for at in times]


def held(host):
    """A run whose model says nothing yet. -> the run, the number of its request for respond()."""
    run = runner_peer.Run(host, {"model": [{"silent": True}]})
    numbers = []
    run.before["llm.request"] = lambda message: numbers.append(message["id"])
    run.begin()
    run.until(lambda: numbers)
    return run, numbers[0]


def respond(run, number, text):
    run.lines.send({"t": "llm.response", "id": number, "status": 200, "headers": {},
                    "body": runner_peer.completion({"content": text})})


def only(catalog, severity="error"):
    """The one diagnostic of that severity."""
    found = [d for d in catalog["diagnostics"] if d["severity"] == severity]
    assert len(found) == 1, catalog
    return found[0]


def attrs(catalog):
    return [(export["attr"], export["kind"]) for export in catalog["exports"]]


def each(**cases):
    """The cases of each language in one list, to parametrize `language` and what a case has."""
    return [(language, *case) for language, own in cases.items() for case in own]
