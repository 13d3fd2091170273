# SPDX-License-Identifier: MIT
"""An HTTP tool that counts: counting_server.py SOCKET FILE. Notes in FILE that the call with this
id began, and that it ended `wait` seconds later. SOCKET is a descriptor that listens."""
import http.server
import json
import socket
import sys
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def note(self, text):
        with open(sys.argv[2], "a") as file:
            file.write(text + "\n")

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.note(f"start {call['id']}")
        time.sleep(float(call["wait"]))
        self.note(f"end {call['id']}")
        body = f"did {call['id']}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.serve_forever()
