/* SPDX-License-Identifier: MIT */
/* Landlock: only the files that a program needs, no TCP, no signals to the outside. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

/* The kernel's interface, of which older headers know less than newer kernels. */
enum {
    ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NETWORK = 4, ABI_IOCTL = 5, ABI_SCOPE = 6,
};
#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_MAKE_CHAR (UINT64_C(1) << 6)
#define FS_MAKE_BLOCK (UINT64_C(1) << 11)
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define FS_IOCTL_DEV (UINT64_C(1) << 15)
#define FS_FIRST_ABI ((UINT64_C(1) << 13) - 1)
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define NET_TCP UINT64_C(3)   /* bind, connect */
#define SCOPE_ALL UINT64_C(3) /* abstract Unix sockets, signals */

#define READ (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define DEVICE (FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE)

struct ruleset {
    uint64_t fs, net, scoped;
};

/* What programs of a Debian system read to run at all; secrets of /etc are not there. Of /usr not
 * the whole: below the prefix /usr/local are this gateway's own configuration and database. */
static const char *const system_paths[] = {
    "/usr/bin", "/usr/sbin", "/usr/games", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32",
    "/usr/libexec", "/usr/include", "/usr/share",
    "/usr/local/bin", "/usr/local/sbin", "/usr/local/lib", "/usr/local/lib64",
    "/usr/local/libexec", "/usr/local/include", "/usr/local/share",
    "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc",
    "/sys/devices/system/cpu",
    "/etc/alternatives", "/etc/ca-certificates", "/etc/debian_version", "/etc/fonts",
    "/etc/gai.conf", "/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/inputrc",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/locale.alias",
    "/etc/localtime", "/etc/magic", "/etc/mime.types", "/etc/nsswitch.conf", "/etc/os-release",
    "/etc/passwd", "/etc/perl", "/etc/protocols", "/etc/python3", "/etc/python3.11",
    "/etc/resolv.conf", "/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
    "/etc/terminfo", "/etc/timezone", NULL};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                      "/dev/urandom", NULL};

static uint64_t fs_of(int abi)
{
    return FS_FIRST_ABI | (abi >= ABI_REFER ? FS_REFER : 0) |
           (abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0) | (abi >= ABI_IOCTL ? FS_IOCTL_DEV : 0);
}

/* 0, or errno. Paths that are not there need no rule. */
static int allow(int ruleset, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat what;
    int problem = 0;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : errno;
    if (fstat(rule.parent_fd, &what) == 0 && !S_ISDIR(what.st_mode))
        rule.allowed_access &= FS_OF_FILES;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        problem = errno;
    close(rule.parent_fd);
    return problem;
}

static int allow_all(int ruleset, const struct sandbox_spec *spec, uint64_t handled)
{
    uint64_t writing = handled & ~(FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_IOCTL_DEV);
    int problem = 0;

    for (size_t i = 0; system_paths[i] != NULL && problem == 0; i++)
        problem = allow(ruleset, system_paths[i], READ);
    for (size_t i = 0; devices[i] != NULL && problem == 0; i++)
        problem = allow(ruleset, devices[i], DEVICE & handled);
    for (size_t i = 0; i < spec->read_count && problem == 0; i++)
        problem = allow(ruleset, spec->read[i], READ);
    for (size_t i = 0; i < spec->write_count && problem == 0; i++)
        problem = allow(ruleset, spec->write[i], writing);
    if (problem == 0 && spec->tmp[0] != '\0')
        problem = allow(ruleset, spec->tmp, writing);
    return problem;
}

/* 0, or errno. */
static int enter(const struct sandbox_spec *spec, int abi)
{
    struct ruleset wanted = {.fs = fs_of(abi), .net = spec->network ? 0 : NET_TCP,
                             .scoped = SCOPE_ALL};
    size_t size = abi >= ABI_SCOPE ? sizeof wanted
                  : abi >= ABI_NETWORK ? offsetof(struct ruleset, scoped)
                                       : offsetof(struct ruleset, net);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &wanted, size, 0);
    int problem;

    if (fd < 0)
        return errno;
    problem = allow_all(fd, spec, wanted.fs);
    if (problem == 0 && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        problem = errno;
    close(fd);
    return problem;
}

static void tell(struct report *report, enum report_layer layer, int abi, int needed,
                 bool wanted, int problem)
{
    if (!wanted)
        report_layer(report, layer, REPORT_UNWANTED, "%s", "");
    else if (problem != 0)
        report_layer(report, layer, REPORT_MISSING, "%s", strerror(problem));
    else if (abi < needed)
        report_layer(report, layer, REPORT_MISSING, "this kernel has ABI %d, %d is needed", abi,
                     needed);
    else
        report_layer(report, layer, REPORT_APPLIED, "ABI %d", abi);
}

void files_confine(const struct sandbox_spec *spec, struct report *report)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int problem = version < 0 ? errno : 0, abi = version < 0 ? 0 : (int)version;

    if (problem == 0)
        problem = enter(spec, abi);
    tell(report, REPORT_LANDLOCK, abi, 1, true, problem);
    tell(report, REPORT_LANDLOCK_NETWORK, abi, ABI_NETWORK, !spec->network, problem);
    tell(report, REPORT_LANDLOCK_SCOPE, abi, ABI_SCOPE, true, problem);
}
