# SPDX-License-Identifier: MIT
"""What agents print becomes log messages: of their run, or of the module."""
import io
import sys
import threading
import time

from agent_gateway.host.calls import current_run

_LINE_MAX = 8 << 10
# So much a second passes, and as much at once; what is more is counted and dropped.
_BYTES_A_SECOND = 64 << 10
_BURST = 256 << 10


class Sink:
    """One place for log messages, with a limit: endless output must not fill anybody's disk."""

    def __init__(self, wire):
        self._wire, self._lock = wire, threading.Lock()
        self._room, self._at, self._dropped = _BURST, time.monotonic(), 0
        self._parts = {}

    def log(self, level, message, stream=None):
        with self._lock:
            now = time.monotonic()
            self._room = min(_BURST, self._room + (now - self._at) * _BYTES_A_SECOND)
            self._at = now
            size = len(message) + 32
            if size > self._room or self._wire.pending > 4 * _BURST:
                self._dropped += size
                return
            self._room -= size
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._wire.send({"t": "log", "level": "warning",
                             "message": f"{dropped} bytes of output were dropped"})
        line = {"t": "log", "level": level, "message": message[:_LINE_MAX]}
        if stream:
            line["stream"] = stream
        self._wire.send(line)

    def write(self, stream, text):
        """Collects lines; what never ends a line is logged in pieces."""
        with self._lock:
            lines = (self._parts.pop(stream, "") + text).split("\n")
            rest = lines.pop()
            while len(rest) > _LINE_MAX:
                lines.append(rest[:_LINE_MAX])
                rest = rest[_LINE_MAX:]
            if rest:
                self._parts[stream] = rest
        for line in lines:
            if line.strip():
                self.log("info", line, stream)

    def flush(self):
        with self._lock:
            parts, self._parts = self._parts, {}
        for stream, text in parts.items():
            self.log("info", text, stream)


class _Raw(io.RawIOBase):
    def __init__(self, stream, sink):
        self._stream, self._sink = stream, sink

    def writable(self):
        return True

    def write(self, data):
        run = current_run.get()
        sink = self._sink if run is None or run.over else run.sink
        sink.write(self._stream, bytes(data).decode("utf-8", "replace"))
        return len(data)

    def fileno(self):
        # For programs that an agent starts: theirs is the runner's to log.
        return 1 if self._stream == "stdout" else 2


def redirect(sink):
    for name in ("stdout", "stderr"):
        stream = io.TextIOWrapper(_Raw(name, sink), encoding="utf-8", errors="backslashreplace",
                                  write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
