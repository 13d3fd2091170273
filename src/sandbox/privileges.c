/* SPDX-License-Identifier: MIT */
/* Gives up all privileges, for good. */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

enum { CAPABILITIES_MAX = 64 };

/* What a later exec could give back to root. Who may not change that has no capability that
 * an exec could give, once no_new_privs is set. */
static void close_the_way_back(void)
{
    for (unsigned long c = 0; c < CAPABILITIES_MAX; c++)
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0 && errno == EINVAL)
            break;
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static bool root_stays_powerless(void)
{
    return geteuid() != 0 || (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & SECBIT_NOROOT) != 0;
}

/* Who has none need not ask: filters of service managers refuse the call. */
static int give_up_all(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}}, now[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, now) == 0 && memcmp(now, none, sizeof none) == 0)
        return 0;
    return (int)syscall(SYS_capset, &header, none);
}

void privileges_drop(struct report *report)
{
    close_the_way_back();
    if (give_up_all() != 0)
        report_layer(report, REPORT_CAPABILITIES, REPORT_MISSING, "%s", strerror(errno));
    else if (!root_stays_powerless())
        report_layer(report, REPORT_CAPABILITIES, REPORT_MISSING,
                     "root would get them back with its next program");
    else
        report_layer(report, REPORT_CAPABILITIES, REPORT_APPLIED, "none left");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        report_layer(report, REPORT_NO_NEW_PRIVS, REPORT_APPLIED, "%s", "");
    else
        report_layer(report, REPORT_NO_NEW_PRIVS, REPORT_MISSING, "%s", strerror(errno));
}
