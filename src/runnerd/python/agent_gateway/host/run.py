# SPDX-License-Identifier: MIT
"""One run: its connection to the gateway, what it asks there, and how it ends."""
import asyncio
import contextvars
import itertools
import socket

from agent_gateway.host import outcome
from agent_gateway.host.calls import Call, Context, RunEnded, Threads, current_run, depth
from agent_gateway.host.output import Sink
from agent_gateway.host.wire import VERSION, TooLong, Wire

_HIGH_WATER = 1 << 20
_DELTA_MAX = 1 << 20
_HEARTBEAT_MS = 2000
_CANCEL_AGAIN_SECONDS = 1


class Run:
    def __init__(self, host, fd, number):
        self.host, self.loop, self.number = host, host.loop, number
        self.over, self.cancelled, self.task = False, None, None
        self.calls, self._numbers = {}, itertools.count(1)
        self.limits, self.gateway_tools, self.start = {}, {}, {}
        self.usage = {"prompt_tokens": 0, "completion_tokens": 0}
        self.finish_reason, self.cut = None, None
        self.cleanups, self.threads = [], Threads()
        self._timers = {}
        self.wire = Wire(socket.socket(fileno=fd), host.loop, self._message, self._closed)
        self.sink = Sink(self.wire)
        self.wire.send({"t": "hello", "v": VERSION, **host.identity})

    # ---- what the gateway says ----

    def _message(self, message, _):
        kind = message.get("t")
        if kind in ("llm.chunk", "llm.head", "llm.end", "llm.response", "llm.error",
                    "tool.verdict", "tool.result"):
            call = self.calls.get(message.get("id"))
            if call is not None:
                call.put(message)
        elif kind == "hello":
            if message.get("v") != VERSION:
                self.wire.send({"t": "run.error", "class": "internal", "status": 500,
                                "code": "wire_version",
                                "message": f"this host speaks version {VERSION} of the wire"})
                self._end()
                return
            self.limits = message.get("limits") or {}
            self.gateway_tools = message.get("gateway_tools") or {}
        elif kind == "run.start" and self.task is None:
            self._begin(message)
        elif kind == "run.cancel":
            self.cancel(str(message.get("reason") or "cancelled"))

    def _closed(self, reason):
        if self.over:
            self.host.run_ended(self)
        elif self.task is None:
            self._end()
        else:
            self.cancel(reason)

    def _begin(self, message):
        self.start = message
        self.beat_again()
        if message.get("deadline_ms"):
            self._timers["deadline"] = self.loop.call_later(
                message["deadline_ms"] / 1000, self.cancel, "deadline")
        context = contextvars.copy_context()
        context.run(current_run.set, self)
        self.task = context.run(self.loop.create_task, self._serve())

    @property
    def context(self):
        return Context(self.start.get("context") or {})

    @property
    def attr(self):
        """The export that answers."""
        return (self.start.get("agent") or {}).get("attr") or "agent"

    @property
    def given_model(self):
        """The model that all of the run has to ask, or None when each Agent asks its own."""
        return self.start.get("model") if self.start.get("model_given") else None

    # ---- the course of it ----

    async def _serve(self):
        from agent_gateway.host import serve

        try:
            last = await serve.serve(self)
            self.sink.flush()
            self.wire.send({"t": "run.done", "usage": self.usage, **last})
        except BaseException as error:  # An agent may raise whatever there is.
            self._fail(error)
        finally:
            if "cancel" in self._timers:
                self._timers["cancel"].cancel()
            for cleanup in reversed(self.cleanups):
                try:
                    await asyncio.wait_for(cleanup(), 10)
                except BaseException as error:
                    self.sink.log("warning", f"cleaning up: {error!r}")
            self._end()

    def _fail(self, error):
        last = outcome.of_error(self, error)
        details = last.pop("details", None)
        if details:
            self.sink.log("error", details)
        self.sink.flush()
        try:
            self.wire.send({"t": "run.done" if "refusal" in last else "run.error",
                            "usage": self.usage, **last})
        except (TooLong, ValueError):
            self.wire.send({"t": "run.error", **outcome.INTERNAL})

    def _end(self):
        self.over = True
        for timer in self._timers.values():
            timer.cancel()
        for call in list(self.calls.values()):
            call.close()
        if self.cancelled is not None:
            self.host.stop_threads(self)
        if self.wire.closed:
            self.host.run_ended(self)
        else:
            self.wire.finish()

    def cancel(self, reason):
        """Ends the agent's code as far as Python can: again and again, until it has ended."""
        if self.over or self.task is None or self.task.done():
            return
        if self.cancelled is None:
            self.cancelled = reason
        self.task.cancel()
        # A blocked thread sees it at its next question, or in this one.
        for call in list(self.calls.values()):
            call.close()
        self._timers["cancel"] = self.loop.call_later(_CANCEL_AGAIN_SECONDS, self.cancel, reason)

    def beat(self):
        self.wire.send({"t": "hb"})

    def beat_again(self):
        self.beat()
        self._timers["beat"] = self.loop.call_later(
            (self.limits.get("heartbeat_ms") or _HEARTBEAT_MS) / 1000, self.beat_again)

    # ---- what the agent asks ----

    def ask(self, message):
        """Sends it with an id of its own. -> the Call with its answers."""
        if self.over or self.cancelled is not None:
            raise RunEnded("the run has ended")
        call = Call(self, next(self._numbers))
        self.calls[call.id] = call
        try:
            self.wire.send({**message, "id": call.id})
        except BaseException:
            call.end()
            raise
        return call

    async def ask_once(self, message):
        call = self.ask(message)
        try:
            return await call.get()
        finally:
            call.end()

    def ask_once_blocking(self, message):
        call = self.ask(message)
        try:
            return call.get_blocking()
        finally:
            call.end()

    def tool_done(self, number, name, ok, milliseconds):
        self.wire.send({"t": "tool.done", "id": number, "name": name, "ok": ok,
                        "ms": milliseconds})

    async def delta(self, **fields):
        """Text for the client; waits while the gateway is slower than the agent."""
        for name, text in fields.items():
            for at in range(0, len(text), _DELTA_MAX):
                self.wire.send({"t": "delta", name: text[at:at + _DELTA_MAX]})
                while self.wire.pending > _HIGH_WATER and not self.wire.closed:
                    await asyncio.sleep(0.01)

    # ---- what passes by ----

    def adjust(self, body):
        """The client's wishes that the SDK has no setting for."""
        body.setdefault("model", self.start.get("model"))
        wanted = (self.start.get("params") or {}).get("response_format")
        if wanted is not None and depth.get() <= 1 and not body.get("response_format"):
            body["response_format"] = wanted

    def _note_usage(self, usage):
        if isinstance(usage, dict):
            for name in self.usage:
                value = usage.get(name)
                if isinstance(value, int) and value > 0:
                    self.usage[name] += value

    def note_answer(self, body):
        if isinstance(body, dict):
            self._note_usage(body.get("usage"))
            self._note_finish(body)

    def note_chunk(self, data):
        if isinstance(data, dict):
            self._note_usage(data.get("usage"))
            self._note_finish(data)

    def _note_finish(self, body):
        choices = body.get("choices")
        if depth.get() <= 1 and isinstance(choices, list) and choices \
                and isinstance(choices[0], dict) and choices[0].get("finish_reason"):
            self.finish_reason = choices[0]["finish_reason"]
