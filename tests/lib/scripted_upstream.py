# SPDX-License-Identifier: MIT
"""A provider of models over HTTP that answers from the scripts of tests/cases/hosts/."""
import http.server
import json
import select
import socket
import threading

import runner_peer


class ScriptedUpstream:
    """`play(script)` says what the model answers from now on; `requests` are the bodies since,
    and `left` says of how many the connection was closed before the answer's end.
    Answers that are `held` wait for release()."""

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                try:
                    outer._answer(self, body)
                except ConnectionError:  # The gateway may give up.
                    outer.left += 1

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

        self.play([])
        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()

    def play(self, script):
        self.model, self.requests, self.failures = runner_peer.Model(script), [], []
        self.left = 0
        self.held = threading.Event()

    def release(self):
        self.held.set()

    def _answer(self, handler, body):
        self.requests.append(body)
        try:
            reply = self.model.reply(body)
        except AssertionError as error:
            self.failures.append(str(error))
            reply = {"error": {"status": 400, "body": {"message": "not in the script",
                                                       "type": "invalid_request_error"}}}
        if "error" in reply and "after" not in reply:
            error = reply["error"]
            self._send(handler, error["status"], {"error": error["body"]},
                       error.get("headers", {}))
        elif not body.get("stream"):
            self._send(handler, 200, runner_peer.completion(reply), cut="after" in reply)
        else:
            self._stream(handler, reply, body)

    @staticmethod
    def _send(handler, status, value, headers=(), cut=False):
        text = json.dumps(value).encode()
        handler.send_response(status)
        for name, header in dict(headers).items():
            handler.send_header(name, header)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text[:len(text) // 2] if cut else text)
        handler.close_connection = cut

    @staticmethod
    def _wait(handler, held):
        while not held.wait(0.05):
            if select.select([handler.connection], [], [], 0)[0] and \
                    not handler.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError

    def _stream(self, handler, reply, body):
        """`after`: the connection is cut after so many chunks; `held`: it is silent then, until
        release() or the other side leaves."""
        held = self.held
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("connection", "close")
        handler.end_headers()
        handler.close_connection = True
        with_usage = (body.get("stream_options") or {}).get("include_usage")
        for index, chunk in enumerate(runner_peer.chunks(reply, with_usage)):
            if index == reply.get("after", -1):
                return
            if index == reply.get("held", -1):
                self._wait(handler, held)
            handler.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            handler.wfile.flush()
        handler.wfile.write(b"data: [DONE]\n\n")
