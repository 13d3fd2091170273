# SPDX-License-Identifier: MIT
"""Starts the mock upstream and asks it what it saw."""
import json
import pathlib
import sys
import urllib.parse
import urllib.request

from procs import Process, wait_until


class Mock:
    def __init__(self, directory):
        script = pathlib.Path(__file__).with_name("mock_upstream.py")
        self.process = Process([sys.executable, script, "0"], directory, "mock",
                               capture_stdout=True)
        self.port = int(self.process.popen.stdout.readline())

    def base_url(self, site="main"):
        return f"http://127.0.0.1:{self.port}/{site}/v1"

    def _ask(self, path, value=None):
        data = None if value is None else json.dumps(value).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}/_mock/{path}", data, 10) as answer:
            return json.load(answer)

    def requests(self, tag=None, site=None):
        wanted = {"tag": tag, "site": site}
        query = urllib.parse.urlencode({k: v for k, v in wanted.items() if v is not None})
        return self._ask(f"requests?{query}")

    def request(self, tag, timeout=10):
        """The one request that carries `tag`, once it has arrived."""
        found = wait_until(lambda: self.requests(tag=tag), timeout, f"request {tag} at the mock")
        assert len(found) == 1, found
        return found[0]

    def behave(self, site, script, model="*"):
        self._ask("behave", {"site": site, "model": model, "script": script})

    def turns(self, model, turns):
        """What the requests of each tag get from a model `turns-...`, one after the other."""
        self._ask("turns", {"model": model, "turns": turns})

    def stats(self):
        return self._ask("stats")

    def wait_ended(self, tag, timeout):
        """The record of `tag` once it has ended."""
        return wait_until(lambda: next((r for r in self.requests(tag=tag) if r["ended"]), None),
                          timeout, f"end of {tag} at the mock")

    def stop(self):
        self.process.stop()
