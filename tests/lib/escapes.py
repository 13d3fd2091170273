# SPDX-License-Identifier: MIT
"""A hostile program: tries to get out of the sandbox in every way it knows. Reads from standard
input where to (JSON), and writes what came of each attempt: null when it worked, else why not.
Modules of agents import it too."""
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import sys

# What refuses each attempt; one is enough.
REFUSED_BY = {
    "tcp": {"seccomp", "network_namespace", "landlock_network"},
    "tcp_listen": {"seccomp", "landlock_network"},
    "udp": {"seccomp", "network_namespace"},
    "unix_socket": {"seccomp"},
    "abstract_socket": {"seccomp", "network_namespace", "landlock_scope"},
    "datagram_pair": {"seccomp"},
    "read_file": {"landlock"},
    "list_folder": {"landlock"},
    "read_shadow": {"landlock"},
    "write_file": {"landlock"},
    "make_file": {"landlock"},
    "remove_file": {"landlock"},
    "kill": {"pid_namespace", "landlock_scope"},
    "ptrace": {"pid_namespace", "user_namespace", "seccomp", "landlock"},
    "environment_of": {"private_proc", "user_namespace", "landlock"},
    "memory_of": {"private_proc", "user_namespace", "landlock"},
    "copy_memory": {"pid_namespace", "user_namespace", "seccomp", "landlock"},
    "limit_of": {"pid_namespace", "seccomp"},
    "user_namespace": {"seccomp"},
    "io_uring": {"seccomp"},
    "shared_memory": {"ipc_namespace"},
    "fork_bomb": {"process_limit"},
    "memory": {"rlimits"},
    "descriptors": {"rlimits"},
    "disk": {"rlimits"},
}

libc = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20


def in_child(function, *arguments):
    """What it leaves behind ends with the child. Raises what the function would have set."""
    pid = os.fork()
    if pid == 0:
        os._exit(ctypes.get_errno() if function(*arguments) < 0 else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, "")


def tcp(to):
    with socket.create_connection(("127.0.0.1", to["port"]), timeout=5):
        pass


def tcp_listen(to):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()


def udp(to):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", to["port"]))


def unix_socket(to):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(to["socket"])


def abstract_socket(to):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + to["abstract"])


def datagram_pair(to):
    """One end of a pair is a socket that nobody had to be asked for."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendto(b"escaped", to["datagrams"])


def read_file(to):
    with open(to["file"]) as one:
        one.read()


def list_folder(to):
    os.listdir(os.path.dirname(to["file"]))


def read_shadow(to):
    with open("/etc/shadow") as one:
        one.read()


def write_file(to):
    with open(to["file"], "a") as one:
        one.write("escaped")


def make_file(to):
    with open(to["file"] + ".new", "w") as one:
        one.write("escaped")


def remove_file(to):
    os.unlink(to["victim_file"])


def rename_out(to):
    inside = os.path.join(os.environ["TMPDIR"], "inside")
    with open(inside, "w"):
        pass
    os.link(inside, to["file"] + ".link")


def kill(to):
    os.kill(to["victim"], signal.SIGUSR1)


def ptrace(to):
    in_child(libc.ptrace, 0x4206, to["victim"], 0, 0)  # PTRACE_SEIZE


def environment_of(to):
    with open(f"/proc/{to['victim']}/environ") as one:
        one.read()


def memory_of(to):
    with open(f"/proc/{to['victim']}/mem", "rb") as one:
        one.read(0)


def copy_memory(to):
    """Nothing is there, but who gets as far as to be told that may look elsewhere."""
    some = ctypes.create_string_buffer(8)
    here = struct.pack("PN", ctypes.addressof(some), len(some))
    there = struct.pack("PN", 0, len(some))
    libc.process_vm_readv(to["victim"], here, 1, there, 1, 0)
    if ctypes.get_errno() != errno.EFAULT:
        raise OSError(ctypes.get_errno(), "")


def limit_of(to):
    resource.prlimit(to["victim"], resource.RLIMIT_CORE, (0, 0))


def user_namespace(to):
    in_child(libc.unshare, 0x10000000)


def io_uring(to):
    in_child(libc.syscall, 425, 1, ctypes.create_string_buffer(120))


def mount(to):
    if libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "")


def shared_memory(to):
    if libc.shmget(to["shared"], 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "")


def fork_bomb(to):
    """As many as the limit or more: it worked."""
    family = []
    try:
        while len(family) < to["processes"]:
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            family.append(pid)
    finally:
        for pid in family:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def memory(to):
    keep = bytearray(to["memory"])
    keep[::4096] = b"x" * len(keep[::4096])


def descriptors(to):
    held = []
    try:
        while len(held) < to["files"]:
            held.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for fd in held:
            os.close(fd)


def disk(to):
    with open(os.path.join(os.environ["TMPDIR"], "big"), "wb", buffering=0) as one:
        while one.tell() < to["disk"]:
            one.write(b"\0" * MIB)


def core_file(to):
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise OSError(errno.EPERM, "")


def descriptor_of_parent(to):
    for fd in range(3, 64):
        try:
            os.fstat(fd)
        except OSError:
            continue
        if not os.readlink(f"/proc/self/fd/{fd}").startswith("/"):
            return
    raise OSError(errno.EBADF, "")


def secret_in_environment(to):
    if not any("SECRET" in name for name in os.environ):
        raise OSError(errno.ENOENT, "")


def status(name):
    with open("/proc/self/status") as one:
        for line in one:
            if line.startswith(name + ":"):
                return line.split()[1]
    return None


def attempt_all(to):
    """-> {attempt: None or why not}"""
    problems = {}
    for attempt in to["attempts"]:
        problem = None
        try:
            globals()[attempt](to)
        except OSError as error:
            problem = errno.errorcode.get(error.errno, str(error))
        except MemoryError:
            problem = "ENOMEM"
        problems[attempt] = problem
    return problems


def main():
    to = json.load(sys.stdin)
    json.dump({"no_new_privs": status("NoNewPrivs"), "capabilities": status("CapEff"),
               "bounding": status("CapBnd"), "seccomp": status("Seccomp"), "uid": os.getuid(),
               "session": os.getsid(0) == os.getpid(), "umask": os.umask(0),
               "attempts": attempt_all(to)}, sys.stdout)


if __name__ == "__main__":
    main()
