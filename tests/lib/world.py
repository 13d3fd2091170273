# SPDX-License-Identifier: MIT
"""A network in which every address there is leads to this test, and a resolver that says what
the test wants: what is connected to is seen, wherever it was meant to go.

A thread leaves for namespaces of its own (network and mounts), so that what it starts is in
that world, by the ordinary harness; World.run() is how others use it. Root is needed.
"""
import contextlib
import ctypes
import http.server
import ipaddress
import queue
import socket
import socketserver
import struct
import subprocess
import threading

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE, MS_BIND = 16384, 1 << 18, 4096
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "namespaces need root")


class Resolver:
    """Answers A and AAAA. names: name -> list of answers, one a query (the last repeats); an
    answer is a list of addresses. What is not in it does not exist."""

    def __init__(self, names):
        self.names, self.asked = names, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                query, peer = self.socket.recvfrom(4096)
                self.socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += query[at] + 1
        name, kind = ".".join(name), struct.unpack("!H", query[at + 1:at + 3])[0]
        question, answers = query[12:at + 5], self.names.get(name)
        if answers is None:
            return query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + question
        turn = self.asked[name, kind] = self.asked.get((name, kind), -1) + 1
        version = {1: 4, 28: 6}.get(kind)
        data = [address.packed for address in
                map(ipaddress.ip_address, answers[min(turn, len(answers) - 1)])
                if address.version == version]
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one)) + one
                           for one in data)
        return (query[:2] + b"\x81\x80\0\1" + struct.pack("!H", len(data)) + b"\0\0\0\0" +
                question + records)

    def close(self):
        self.socket.close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        address = ipaddress.ip_address(self.connection.getsockname()[0].partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        self.server.reached.append(str(address))

    def do_GET(self):
        self.server.paths.append(self.path)
        target = self.server.redirects.get(self.path)
        body = b"reached " + self.path.encode()
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    do_POST = do_GET

    def log_message(self, *words):
        pass


class Everywhere(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens at one port of all addresses. reached: each connection's, in order."""

    daemon_threads = True
    address_family = socket.AF_INET6
    request_queue_size = 256

    def __init__(self, port):
        self.reached, self.paths, self.redirects = [], [], {}
        super().__init__(("::", port), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)

    def close(self):
        self.shutdown()
        self.server_close()


class World:
    def __init__(self, directory):
        self.directory = directory
        self.tasks = queue.Queue()
        threading.Thread(target=self._live, daemon=True).start()
        self.run(self._enter)

    def _live(self):
        while True:
            task, done = self.tasks.get()
            if task is None:
                return
            try:
                done.put((task(), None))
            except BaseException as problem:  # is raised where run() was called
                done.put((None, problem))

    def run(self, task):
        """What task() returns, called inside."""
        done = queue.Queue()
        self.tasks.put((task, done))
        value, problem = done.get()
        if problem is not None:
            raise problem
        return value

    def _enter(self):
        _check(_libc.unshare(CLONE_NEWNS | CLONE_NEWNET))
        _check(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        for path, text in [("/etc/resolv.conf", "nameserver 127.0.0.1\noptions attempts:1\n"),
                           ("/etc/nsswitch.conf", "hosts: files dns\npasswd: files\n"
                                                  "group: files\n"),
                           ("/etc/hosts", "127.0.0.1 localhost\n")]:
            mine = self.directory / path.rpartition("/")[2]
            mine.write_text(text)
            _check(_libc.mount(str(mine).encode(), path.encode(), None, MS_BIND, None))
        for words in ("link set lo up", "route add local 0.0.0.0/0 dev lo",
                      "-6 route add local ::/0 dev lo"):
            subprocess.run(["ip", *words.split()], check=True)

    def close(self):
        self.tasks.put((None, None))
