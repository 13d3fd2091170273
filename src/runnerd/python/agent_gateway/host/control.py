# SPDX-License-Identifier: MIT
"""The host's process: what the runner tells it on descriptor 3, and the loop that runs agents."""
import asyncio
import concurrent.futures
import contextlib
import ctypes
import fcntl
import gc
import importlib.metadata
import os
import signal
import socket
import sys
import threading
import time

from agent_gateway.host import imports, output, transport
from agent_gateway.host.calls import carry_runs_into_threads
from agent_gateway.host.module import Module
from agent_gateway.host.run import Run
from agent_gateway.host.wire import VERSION, Wire

_CONTROL = 3
_BLOCKED_STEP_SECONDS = 0.5
_STUBBORN_SECONDS = 15
# Tools that are plain functions run in threads, and wait in them. The runner limits a process's
# address space, and by default a thread takes 8 MiB of it for its stack and 64 for its heap.
_THREADS = 64
_STACK_BYTES = 1 << 20
_M_ARENA_MAX, _ARENAS = -8, 2


def _sdk_version():
    try:
        return f"openai-agents {importlib.metadata.version('openai-agents')}"
    except importlib.metadata.PackageNotFoundError:
        return None


class Host:
    def __init__(self, fd):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.current_thread()
        self.identity = {"lang": "python", "sdk": _sdk_version(), "pid": os.getpid()}
        self.module, self.runs, self.draining = None, set(), False
        self._to_load = None
        self._servers = None
        self.wire = Wire(socket.socket(fileno=fd), self.loop, self._message, self._closed,
                         takes_fds=True)
        self.sink = output.Sink(self.wire)

    # ---- the loop ----

    def serve(self):
        """Never returns."""
        self.loop.set_default_executor(
            concurrent.futures.ThreadPoolExecutor(_THREADS, "agent"))
        # Not the loop's handlers: a forked child would report its signals to this loop.
        signal.signal(signal.SIGTERM, lambda *_: self.exit())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.register_at_fork(after_in_child=self.forked)
        self.wire.send({"t": "hello", "v": VERSION, **self.identity})
        while True:
            asyncio.set_event_loop(self.loop)
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # A task of an agent called exit(); whoever awaits it is told.
                self.sink.log("error", f"the agent's code called exit(): {error!r}")
            if self._to_load is not None:
                message, self._to_load = self._to_load, None
                self._load(message)

    def forked(self):
        """Programs of an agent that fork must neither speak for it nor keep its runs open."""
        self.wire.leave()
        for run in self.runs:
            run.wire.leave()

    def exit(self, status=0):
        # At once: threads of agents may never end.
        os._exit(status)

    def _closed(self, _):
        self.exit()

    # ---- what the runner says ----

    def _message(self, message, fd):
        kind = message.get("t")
        if kind == "conn" and fd is None:  # This process has too many open.
            self.wire.send({"t": "lost", "id": message.get("id")})
        elif kind == "conn":
            self._connect(fd, message.get("id"))
        elif kind == "ping":
            self.wire.send({"t": "pong", "n": message.get("n"), "rss": _rss(),
                            "runs": len(self.runs)})
        elif kind == "load" and self.module is None:
            # Outside of the loop, so that a module may call asyncio.run() while it is loaded.
            self._to_load = message
            self.loop.stop()
        elif kind == "drain":
            self.draining = True
            self._drained()
        elif kind == "shutdown":
            self.exit()
        elif kind == "hello" and message.get("v") != VERSION:
            self.sink.log("error", f"the runner speaks version {message.get('v')} of the wire, "
                                   f"this host {VERSION}")
            self.exit(1)

    def _load(self, message):
        module = Module(message)
        # What nobody names: the SDK's own default would bring parameters of that model.
        os.environ["OPENAI_DEFAULT_MODEL"] = \
            str((message.get("defaults") or {}).get("model") or "default")
        began = time.monotonic()
        # What an import makes stays. Searching it for garbage takes a fifth of an SDK's import, and
        # would stop all runs for 0.1 s now and then.
        gc.disable()
        try:
            catalog = module.load(self.loop)
        finally:
            gc.freeze()
            gc.enable()
        self.module = module
        self.wire.send({"t": "catalog", "sdk": self.identity["sdk"],
                        "ms": round((time.monotonic() - began) * 1000), **catalog})

    def _connect(self, fd, number):
        if self.draining or self.module is None:
            os.close(fd)
            return
        self.runs.add(Run(self, fd, number))

    def run_ended(self, run):
        self.runs.discard(run)
        self._drained()

    def _drained(self):
        if self.draining and not self.runs:
            self.exit()

    # ---- for runs ----

    def stop_threads(self, run, seconds=0, ticks=None):
        """Each second, until what a cancelled run has begun in threads has ended.

        One that waits may go on waiting; one that computes takes the processor from all others,
        and when it cannot be stopped, the process has to go.
        """
        if not run.threads:
            return
        run.threads.interrupt()
        used = run.threads.ticks()
        ticks = used if ticks is None else ticks
        if seconds >= _STUBBORN_SECONDS and used - ticks > os.sysconf("SC_CLK_TCK"):
            self.sink.log("error", "a cancelled run computes on in a thread that cannot be "
                                   "stopped: this process ends")
            self.exit(1)
        self.loop.call_later(1, self.stop_threads, run, seconds + 1, ticks)

    @property
    def servers(self):
        if self._servers is None:
            from agent_gateway.host.sdk import Servers

            self._servers = Servers()
        return self._servers

    def wait_blocking(self, run, event, seconds):
        """A thread waits for the gateway. -> False when `seconds` are over.

        In the event loop's own thread (a blocking client in a coroutine) nobody else reads the
        connection, and nobody beats: it is waiting, not hanging.
        """
        end = None if seconds is None else time.monotonic() + seconds
        here = threading.current_thread() is self.thread
        beaten = time.monotonic()
        while not event.is_set():
            left = _BLOCKED_STEP_SECONDS if end is None else min(
                _BLOCKED_STEP_SECONDS, end - time.monotonic())
            if left <= 0:
                return False
            if not here:
                event.wait(left)
                continue
            run.wire.pump(left)
            self.wire.pump(0)
            if time.monotonic() - beaten >= _BLOCKED_STEP_SECONDS:
                beaten = time.monotonic()
                for other in list(self.runs):
                    other.beat()
        return True


def _rss():
    """0: it is not known, as too many files are open."""
    try:
        with open("/proc/self/statm", "rb") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _environment():
    """For clients that agents build themselves; there is no key that could leak."""
    os.environ.update({"OPENAI_BASE_URL": transport.BASE_URL, "OPENAI_API_KEY": "agent-gateway",
                       "OPENAI_AGENTS_DISABLE_TRACING": "1"})


def _spare_address_space():
    threading.stack_size(_STACK_BYTES)
    with contextlib.suppress(OSError, AttributeError):  # Not every C library has it.
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _configure_sdk(agents):
    if hasattr(agents, "AgentBase"):  # Else it is a helper of the agent with the same name.
        from agent_gateway.host import sdk

        sdk.configure(agents)


def main():
    # Away from the number that everybody knows: a stray write must not break the wire.
    control = fcntl.fcntl(_CONTROL, fcntl.F_DUPFD_CLOEXEC, 64)
    os.close(_CONTROL)
    os.dup2(2, 1)
    _spare_address_space()
    host = Host(control)
    output.redirect(host.sink)
    _environment()
    carry_runs_into_threads()
    imports.after({"agents": _configure_sdk, "httpx2": transport.install,
                   "httpx": transport.install})
    sys.argv = ["agent.py"]
    host.serve()
