# SPDX-License-Identifier: MIT
"""The command block of shim.c: makes a running gateway's C library fail."""
import mmap
import struct

import env

FIELDS = ["malloc_at", "malloc_more", "malloc_count", "malloc_failed", "malloc_fcgi", "io_what",
          "io_errno", "io_every", "io_count", "io_failed", "no_threads", "clock_ns",
          "no_digests", "leak"]
WRITES, SYNCS = 1, 2


class Shim:
    """Give `environment` to the gateway; assign to the fields of shim.c's struct control."""

    def __init__(self, directory):
        path = directory / "shim"
        path.write_bytes(b"\0" * 4096)
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self.__dict__["map"] = mmap.mmap(file.fileno(), 4096)
        library = env.BUILD / "tests" / "faults" / "shim.so"
        assert library.exists(), f"{library} is not built (make check-faults builds it)"
        self.__dict__["environment"] = {
            "LD_PRELOAD": str(library), "AGW_FAULT_CONTROL": str(path),
            "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def __getattr__(self, name):
        return struct.unpack_from("=q", self.map, FIELDS.index(name) * 8)[0]

    def __setattr__(self, name, value):
        struct.pack_into("=q", self.map, FIELDS.index(name) * 8, value)

    def refuse_io(self, what, errno, every=1):
        self.io_errno, self.io_every, self.io_count, self.io_failed = errno, every, 0, 0
        self.io_what = what

    def refuse_memory(self, at, more=0):
        """Allocation number `at` from now fails, and `more` after it."""
        self.malloc_at = 0
        self.malloc_count = self.malloc_failed = 0
        self.malloc_more = more
        self.malloc_at = at

    def behave(self):
        """No more faults; the clock stays where it was put."""
        self.malloc_at = self.io_what = self.no_threads = self.no_digests = 0
