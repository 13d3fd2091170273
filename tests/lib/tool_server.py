# SPDX-License-Identifier: MIT
"""An HTTP endpoint for tools, whose path says what it does:

    /echo        the arguments, as "echo: {...}" with sorted keys
    /meet/N      answers once N calls are there at the same time (or 503 after 30 s)
    /status/N    an error with that status
    /text/N      N letters
    /hang        until the caller leaves

What was asked is in `seen`, one dict a call: path, arguments, how it ended ("answered" "left").
"""
import json
import select
import socket
import socketserver
import threading
import http.server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        call = {"path": self.path, "arguments": json.loads(body or b"{}"), "end": None}
        self.server.owner.note(call)
        action, _, number = self.path.lstrip("/").partition("/")
        status, text = getattr(self, f"_{action}")(call, int(number or 0))
        if text is None:
            call["end"] = "left"
            self.close_connection = True
            return
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
            call["end"] = "answered"
        except OSError:
            call["end"] = "left"

    def _echo(self, call, _):
        return 200, "echo: " + json.dumps(call["arguments"], sort_keys=True)

    def _meet(self, call, number):
        here = self.server.owner.meet(number)
        return (200, f"met {call['arguments'].get('name', '')}") if here else (503, "nobody came")

    def _status(self, _call, number):
        return number, "the tool is out of order"

    def _text(self, _call, number):
        return 200, "x" * number

    def _hang(self, _call, _):
        while not self.server.owner.stopping.is_set():
            if select.select([self.connection], [], [], 0.1)[0]:
                try:
                    if not self.connection.recv(1, socket.MSG_PEEK):
                        return 0, None
                except OSError:
                    return 0, None
        return 0, None


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


class ToolServer:
    def __init__(self):
        self.seen, self.lock, self.stopping = [], threading.Condition(), threading.Event()
        self.waiting = 0
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def note(self, call):
        with self.lock:
            self.seen.append(call)

    def calls(self, path):
        with self.lock:
            return [dict(call) for call in self.seen if call["path"] == path]

    def meet(self, number):
        with self.lock:
            self.waiting += 1
            wanted = -(-self.waiting // number) * number
            self.lock.notify_all()
            here = self.lock.wait_for(
                lambda: self.waiting >= wanted or self.stopping.is_set(), 30)
            return here and not self.stopping.is_set()

    def tool(self, name, path, **more):
        """Its entry for tools.yaml."""
        return {"name": name, "provider": "http", "method": "POST", "allow_private": True,
                "url": f"http://127.0.0.1:{self.port}{path}", "timeout": 20, **more}

    def stop(self):
        self.stopping.set()
        with self.lock:
            self.lock.notify_all()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
