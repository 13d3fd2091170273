# SPDX-License-Identifier: MIT
"""Real web servers in front of a gateway, with the configurations of contrib/.

What contrib/ ships is used as it is: only the socket's path and the address are replaced
(Apache takes them as defines). Around it stands the least that the distribution's main
configuration would say: modules, logs, pid file, user.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import time

import env
from procs import Process, descendants, free_port, is_running, wait_until

SOCKET = "/run/agent-gateway/fcgi.sock"
LISTEN = "127.0.0.1:8000"
APACHE_MODULES = pathlib.Path("/usr/lib/apache2/modules")
NAMES = ["lighttpd", "apache", "nginx"]


def _program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert found, f"{name} is not installed; the integration tests need it"
    return found


def _replace(text, old, new):
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
    return text.replace(old, new)


class WebServer:
    """One running web server; `port` is where clients connect."""

    def __init__(self, directory, gateway_socket, name, edit=None):
        self.name = name
        self.directory = pathlib.Path(directory) / f"{name}-{os.urandom(3).hex()}"
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.socket = gateway_socket
        self.edit = edit or (lambda text: text)
        for attempt in range(3):  # somebody else may take the port between look and use
            self.port = free_port()
            self.argv = getattr(self, "_" + name)()
            self.process = Process(self.argv, self.directory, name)
            try:
                wait_until(self._answers, 10, f"{name} on port {self.port}")
                return
            except AssertionError:
                self.process.stop()
                if attempt == 2:
                    raise AssertionError(f"{name} does not start:\n{self.logs()}") from None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _answers(self):
        if not self.process.running():
            raise AssertionError("it has ended")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _contrib(self):
        path = env.SOURCE / "contrib" / self.name / "agent-gateway.conf"
        return self.edit(path.read_text())

    def _write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path

    def _lighttpd(self):
        self._write("gateway.conf", _replace(self._contrib(), SOCKET, str(self.socket)))
        main = self._write("lighttpd.conf", f"""
server.port = {self.port}
server.bind = "127.0.0.1"
server.document-root = "{self.directory}"
server.errorlog = "{self.directory}/error.log"
server.upload-dirs = ( "{self.directory}" )
include "{self.directory}/gateway.conf"
""")
        return [_program("lighttpd"), "-D", "-f", main]

    def _nginx(self):
        text = _replace(self._contrib(), SOCKET, str(self.socket))
        self._write("gateway.conf", _replace(text, LISTEN, f"127.0.0.1:{self.port}"))
        user = "user root;" if os.geteuid() == 0 else ""
        main = self._write("nginx.conf", f"""
{user}
worker_processes 2;
worker_rlimit_nofile 8192;
pid {self.directory}/nginx.pid;
error_log {self.directory}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {self.directory}/body;
    fastcgi_temp_path {self.directory}/fastcgi;
    proxy_temp_path {self.directory}/proxy;
    uwsgi_temp_path {self.directory}/uwsgi;
    scgi_temp_path {self.directory}/scgi;
    include {self.directory}/gateway.conf;
}}
""")
        return [_program("nginx"), "-p", self.directory, "-e", self.directory / "error.log",
                "-c", main, "-g", "daemon off;"]

    def _apache(self):
        self._write("gateway.conf", self._contrib())
        modules = ["mpm_event", "authz_core", "proxy", "proxy_fcgi", "headers", "reqtimeout",
                   "env", "unixd"]
        load = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so"
                         for name in modules if (APACHE_MODULES / f"mod_{name}.so").exists())
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        main = self._write("apache.conf", f"""
ServerRoot "{self.directory}"
DefaultRuntimeDir "{self.directory}"
PidFile "{self.directory}/apache.pid"
ErrorLog "{self.directory}/error.log"
LogLevel warn
{load}
{user}
Define AGW_LISTEN 127.0.0.1:{self.port}
Define AGW_SOCKET {self.socket}
Include "{self.directory}/gateway.conf"
""")
        return [_program("apache2"), "-f", main, "-DFOREGROUND"]

    def logs(self):
        log = self.directory / "error.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return f"--- {self.name}\n{self.process.stderr()}{text}"

    def kill(self):
        """kill -9 of all its processes."""
        family = [self.process.pid, *descendants(self.process.pid)]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(is_running(pid) for pid in family), 5, f"death of {self.name}")

    def restart(self):
        """The same server on the same port, after kill() or stop(). Another test's server may
        have taken the port meanwhile: then it cannot begin before that one ends."""
        self.process = Process(self.argv, self.directory, self.name)

        def again():
            if not self.process.running():
                time.sleep(0.2)
                self.process = Process(self.argv, self.directory, self.name)
            return self._answers()
        wait_until(again, 30 * env.SLOW, f"{self.name} on port {self.port} again", step=0.005)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        return self.process.stop(timeout=10)
