# SPDX-License-Identifier: MIT
"""Questions to the gateway and their answers, for coroutines of any loop and for threads."""
import asyncio
import collections
import concurrent.futures
import contextvars
import ctypes
import threading

# The run that the code at hand belongs to; tasks and threads inherit it.
current_run = contextvars.ContextVar("agent_gateway_run", default=None)

# How many runs of the SDK are around the code at hand: 1 in the run that answers the client,
# more in those that its tools and guardrails begin.
depth = contextvars.ContextVar("agent_gateway_depth", default=0)


class Context(dict):
    """What the gateway says of the request; attributes are its members."""

    __getattr__ = dict.get


class RunEnded(Exception):
    """The run is over: its client left, its time is up, or it has answered."""


class Timeout(Exception):
    """The caller's own time limit, not the gateway's."""


class Call:
    """The answers to one message: put() in the event loop of the host, get() anywhere."""

    def __init__(self, run, number):
        self.run, self.id = run, number
        self.depth = depth.get()
        self.ended = False
        self._answers = collections.deque()
        self._lock = threading.Lock()
        self._wake = None

    def put(self, message):
        with self._lock:
            self._answers.append(message)
            wake, self._wake = self._wake, None
        if wake:
            wake()

    def close(self):
        """No further answer will come."""
        self.put(None)

    def end(self):
        """The answer is complete."""
        self.ended = True
        self.run.calls.pop(self.id, None)

    def cancel(self):
        """The answer is not wanted any more."""
        if not self.ended:
            self.end()
            self.run.wire.send({"t": "llm.cancel", "id": self.id})

    def _take(self, wake):
        """An answer, or None after wake was left to be called when there is one."""
        with self._lock:
            if not self._answers:
                self._wake = wake
                return None
            answer = self._answers[0]
            if answer is not None:
                self._answers.popleft()
        if answer is None:
            raise RunEnded("the run has ended")
        return answer

    async def get(self, seconds=None):
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle():
            if not future.done():
                future.set_result(True)

        wake = settle if loop is self.run.loop else lambda: loop.call_soon_threadsafe(settle)
        answer = self._take(wake)
        if answer is not None:
            return answer
        timer = loop.call_later(seconds, lambda: future.done() or future.set_result(False)) \
            if seconds else None
        try:
            if not await future:
                raise Timeout
        finally:
            if timer:
                timer.cancel()
        return self._take(None) or await self.get(seconds)

    def get_blocking(self, seconds=None):
        event = threading.Event()
        answer = self._take(event.set)
        if answer is not None:
            return answer
        if not self.run.host.wait_blocking(self.run, event, seconds):
            raise Timeout
        return self._take(None) or self.get_blocking(seconds)


class Interrupted(BaseException):
    """Raised in a thread whose run was cancelled, as CancelledError is in a task."""


class Threads:
    """The threads of pools that work for one run, so that they can be made to stop."""

    def __init__(self):
        self._lock = threading.Lock()
        self._busy = {}  # identity -> the kernel's number

    def __bool__(self):
        return bool(self._busy)

    def work(self, function, *args, **kwargs):
        identity = threading.get_ident()
        with self._lock:
            self._busy[identity] = threading.get_native_id()
        try:
            return function(*args, **kwargs)
        finally:
            while identity in self._busy:
                try:
                    with self._lock:
                        del self._busy[identity]
                        # One that has not arrived yet must not meet the thread's next work.
                        _raise_in(identity, None)
                except Interrupted:
                    pass

    def interrupt(self):
        """Python code sees it at its next step; what waits in C, when that returns."""
        with self._lock:
            for identity in self._busy:
                _raise_in(identity, Interrupted)

    def ticks(self):
        """What they have used of the processors."""
        with self._lock:
            numbers = list(self._busy.values())
        return sum(_ticks_of(number) for number in numbers)


def _raise_in(identity, exception):
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(identity), ctypes.py_object(exception) if exception else None)


def _ticks_of(number):
    try:
        with open(f"/proc/self/task/{number}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def carry_runs_into_threads():
    """Threads of an agent belong to the run that started them, as its tasks do."""
    thread_start, submit = threading.Thread.start, concurrent.futures.ThreadPoolExecutor.submit

    def start(self):
        if current_run.get() is not None:
            run = self.run
            context = contextvars.copy_context()
            self.run = lambda: context.run(run)
        return thread_start(self)

    def submit_in_context(self, function, /, *args, **kwargs):
        # A pool's thread outlives the run that happened to start it.
        run, context = current_run.get(), contextvars.copy_context()
        if run is None:
            return submit(self, context.run, function, *args, **kwargs)
        return submit(self, run.threads.work, context.run, function, *args, **kwargs)

    threading.Thread.start = start
    concurrent.futures.ThreadPoolExecutor.submit = submit_in_context
