# SPDX-License-Identifier: MIT
"""Socket activation as sd_listen_fds(3) describes it: activate.py FD PROGRAM ARG..."""
import os
import sys

fd = int(sys.argv[1])
if fd != 3:
    os.dup2(fd, 3, inheritable=True)
    os.close(fd)
else:
    os.set_inheritable(3, True)
os.environ["LISTEN_FDS"] = "1"
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
