# SPDX-License-Identifier: MIT
"""JSON lines over a Unix socket, read by the event loop, written by any thread."""
import array
import json
import os
import re
import select
import socket
import threading

LINE_MAX = 16 << 20
VERSION = 1
_CHUNK = 256 << 10
_FDS_MAX = 8
_LAST_WORDS_SECONDS = 10
# An escaped NUL, however many escaped backslashes stand before it: the C side takes none.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class TooLong(ValueError):
    """A message does not fit into a line."""


def encode(message):
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if "\\u0000" in text:
        text = _NUL.sub("\\1\ufffd", text)
    line = text.encode("utf-8", "replace")
    if len(line) > LINE_MAX:
        raise TooLong(f"a message of {len(line)} bytes; at most {LINE_MAX} are allowed")
    return line + b"\n"


class Wire:
    """Calls on_message(message, descriptor or None) for each line, and on_closed(reason) once."""

    def __init__(self, sock, loop, on_message, on_closed, takes_fds=False):
        self.closed = False
        self._sock, self._loop = sock, loop
        self._on_message, self._on_closed = on_message, on_closed
        self._takes_fds, self._fds = takes_fds, []
        self._in, self._searched = bytearray(), 0
        self._out, self._lock, self._writing = bytearray(), threading.RLock(), False
        self._last_words = False
        sock.setblocking(False)
        sock.set_inheritable(False)
        loop.add_reader(sock, self._readable)

    # ---- sending ----

    @property
    def pending(self):
        """Bytes that the other side has not taken yet."""
        return len(self._out)

    def send(self, message):
        """From any thread. A closed wire swallows it: whoever waits is told by on_closed."""
        line = encode(message)
        with self._lock:
            if self.closed:
                return
            self._out += line
            if not self._writing:
                self._send_some()
                if self._out:
                    self._writing = True
                    self._loop.call_soon_threadsafe(self._watch_writes)

    def _send_some(self):
        """Takes off what could be sent now; a broken connection shows when it is read."""
        try:
            sent = self._sock.send(self._out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            sent = len(self._out)
        del self._out[:sent]

    def _watch_writes(self):
        with self._lock:
            if not self.closed:
                self._loop.add_writer(self._sock, self._writable)

    def _writable(self):
        with self._lock:
            if self.closed:
                return
            self._send_some()
            if self._out:
                return
            self._writing = False
            self._loop.remove_writer(self._sock)
        if self._last_words:
            self.close()

    # ---- receiving ----

    def _receive(self):
        if not self._takes_fds:
            return self._sock.recv(_CHUNK)
        data, ancillary, _, _ = self._sock.recvmsg(
            _CHUNK, socket.CMSG_LEN(_FDS_MAX * 4), socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
                self._fds += fds
        return data

    def _readable(self):
        try:
            data = self._receive()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.close(error.strerror)
            return
        if not data:
            self.close("the other side has closed the connection")
            return
        self._in += data
        while not self.closed:
            end = self._in.find(b"\n", self._searched)
            if end < 0:
                self._searched = len(self._in)
                if self._searched > LINE_MAX:
                    self.close("a line is too long")
                return
            line = bytes(self._in[:end])
            del self._in[:end + 1]
            self._searched = 0
            self._line(line)

    def _line(self, line):
        try:
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("no object")
        except (ValueError, RecursionError):
            self.close("a line is not a JSON object")
            return
        fd = self._fds.pop(0) if self._fds and message.get("t") == "conn" else None
        self._on_message(message, fd)

    def pump(self, seconds):
        """For a thread that blocks the event loop: reads and writes what is there by itself."""
        with self._lock:
            events = select.POLLIN | (select.POLLOUT if self._out else 0)
        poller = select.poll()
        poller.register(self._sock, events)
        for _, what in poller.poll(seconds * 1000):
            if what & select.POLLOUT:
                with self._lock:
                    self._send_some()
            if what & ~select.POLLOUT:
                self._readable()

    # ---- the end ----

    def finish(self):
        """Closes when all that was sent is taken, or when nobody takes it."""
        if self._out and not self.closed:
            self._last_words = True
            self._loop.call_later(_LAST_WORDS_SECONDS, self.close)
        else:
            self.close()

    def leave(self):
        """In a forked child: the connection is the parent's alone, and so is its loop."""
        self.closed = True
        self._sock.close()

    def close(self, reason="closed"):
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._out.clear()
            self._sock.close()
        for fd in self._fds:
            os.close(fd)
        self._on_closed(reason)
