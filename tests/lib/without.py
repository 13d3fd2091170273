# SPDX-License-Identifier: MIT
"""without.py WHAT... -- PROGRAM...: runs PROGRAM as on a kernel, or in a container, that has not
WHAT: namespaces, landlock, seccomp, proc. A seccomp filter refuses the calls, as Docker's does;
proc: it is covered in part, as in most containers, and so cannot be mounted anew (for root)."""
import ctypes
import os
import platform
import struct
import sys

CALLS = {"x86_64": {"clone": 56, "clone3": 435, "unshare": 272, "prctl": 157, "landlock": 444},
         "aarch64": {"clone": 220, "clone3": 435, "unshare": 97, "prctl": 167, "landlock": 444}}
EPERM, EINVAL, ENOSYS, EOPNOTSUPP = 1, 22, 38, 95
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, MODE_FILTER = 22, 38, 2
NAMESPACES = 0x7e020000
ALLOW, ERRNO = 0x7fff0000, 0x00050000
LOAD, EQUAL, ANY, RETURN = 0x20, 0x15, 0x45, 0x06


def refuse(call, problem):
    return [(EQUAL, 0, 1, call), (RETURN, 0, 0, ERRNO | problem)]


def refuse_argument(call, test, value, problem):
    return [(EQUAL, 0, 4, call), (LOAD, 0, 0, 16), (test, 0, 1, value),
            (RETURN, 0, 0, ERRNO | problem), (LOAD, 0, 0, 0)]


def program(what):
    calls = CALLS[platform.machine()]
    code = [(LOAD, 0, 0, 0)]
    if "landlock" in what:
        code += refuse(calls["landlock"], EOPNOTSUPP)
    if "namespaces" in what:
        code += refuse(calls["unshare"], EPERM) + refuse(calls["clone3"], ENOSYS)
        code += refuse_argument(calls["clone"], ANY, NAMESPACES, EPERM)
    if "seccomp" in what:
        code += refuse_argument(calls["prctl"], EQUAL, PR_SET_SECCOMP, EINVAL)
    return code + [(RETURN, 0, 0, ALLOW)]


def cover_proc(libc):
    if libc.unshare(0x20000) != 0 or libc.mount(b"none", b"/", None, 0x44000, None) != 0 or \
            libc.mount(b"tmpfs", b"/proc/fs", b"tmpfs", 0, None) != 0:
        sys.exit(f"without.py: {os.strerror(ctypes.get_errno())}")


def main():
    end = sys.argv.index("--")
    what = sys.argv[1:end]
    code = program(what)
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in code))
    header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(packed))
    libc = ctypes.CDLL(None, use_errno=True)
    if "proc" in what:
        cover_proc(libc)
    for word in what:
        if word.startswith("user="):
            os.setgroups([])
            os.setgid(int(word[5:]))
            os.setuid(int(word[5:]))
    if len(code) > 1 and (libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                          or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, header, 0, 0) != 0):
        sys.exit(f"without.py: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[end + 1], sys.argv[end + 1:])


main()
