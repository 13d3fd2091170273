/* SPDX-License-Identifier: MIT */
/* agw-native: the process of a drop-in agent in C. agw-runner starts it; doc/RUNNER.md. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runnerd/native/native_host.h"
#include "util/json_memory.h"

enum { CONTROL = 3, AWAY = 64, USAGE = 2, ARENAS = 2 };

int main(int argc, char **argv)
{
    int control, status;

    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("agw-native %s\n", PACKAGE_VERSION);
        return 0;
    }
    /* Away from the number that everybody knows: a stray write must not break the wire. */
    control = fcntl(CONTROL, F_DUPFD_CLOEXEC, AWAY);
    if (control < 0 || argc > 1) {
        fprintf(stderr, "agw-native: agw-runner starts this program; see agw-runner(8)\n");
        return USAGE;
    }
    close(CONTROL);
    json_memory_init();
    /* The runner limits the address space, of which each heap of the C library takes 64 MiB. */
    mallopt(M_ARENA_MAX, ARENAS);
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    status = native_host_serve(control);
    (void)fflush(stdout);
    /* At once: threads of the agent may never end, and its destructors are not worth a crash. */
    _exit(status);
}
