/* SPDX-License-Identifier: MIT */
/* agwctl: operates the gateway, directly on its database and files. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ctl/call.h"
#include "ctl/context.h"
#include "util/json_memory.h"
#include "util/log.h"
#include "util/sha.h"

/* As the gateway does: memory may hold secrets. */
static void protect(void)
{
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    prctl(PR_SET_DUMPABLE, 0);
#endif
    umask(0027);
}

int main(int argc, char **argv)
{
    struct call call;
    int status;

    setlocale(LC_CTYPE, "C.UTF-8"); /* what is shown is UTF-8, whatever the environment says */
    protect();
    json_memory_init();
    if (sha_algorithm() == NULL)
        return call_fail("SHA-256 is not available");
    log_set_level(LOG_WARN);
    status = call_parse(argc, argv, &call);
    if (status == CALL_RUN)
        status = call.command->run(&call);
    context_close(&call);
    if (fflush(stdout) != 0 || ferror(stdout))
        return call_fail("standard output: %s", strerror(errno));
    return status;
}
