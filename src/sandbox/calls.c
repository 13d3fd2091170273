/* SPDX-License-Identifier: MIT */
/* seccomp: refuses system calls that no tool needs, and sockets where there is to be no network. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/sandbox.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER == __LITTLE_ENDIAN
#define ARCHITECTURE AUDIT_ARCH_PPC64LE
#endif

#define NAMESPACES                                                                             \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
     CLONE_NEWPID | CLONE_NEWNET)

/* Other processes' insides, the kernel's, and large attack surfaces. */
static const int refused[] = {
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_getfd,
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, /* they open sockets too */
    SYS_add_key, SYS_request_key, SYS_keyctl,
    SYS_unshare, SYS_setns, SYS_chroot, SYS_pivot_root, SYS_mount, SYS_umount2, SYS_move_mount,
    SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    SYS_name_to_handle_at, SYS_open_by_handle_at,
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot,
    SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_syslog, SYS_vhangup,
    SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname,
    SYS_setdomainname,
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm,
#endif
};

enum { FILTER_MAX = 160, X32_BIT = 0x40000000 };

/* Its low half. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
enum { FIRST_ARGUMENT = offsetof(struct seccomp_data, args[0]) + 4 };
#else
enum { FIRST_ARGUMENT = offsetof(struct seccomp_data, args[0]) };
#endif

struct filter {
    unsigned short count;
    struct sock_filter code[FILTER_MAX];
};

static void add(struct filter *f, struct sock_filter instruction)
{
    if (f->count < FILTER_MAX)
        f->code[f->count++] = instruction;
}

static void load(struct filter *f, size_t offset)
{
    add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

static void give(struct filter *f, int problem)
{
    unsigned value = problem == 0 ? SECCOMP_RET_ALLOW
                                  : SECCOMP_RET_ERRNO | ((unsigned)problem & SECCOMP_RET_DATA);

    add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value));
}

static void jump(struct filter *f, unsigned short test, unsigned value, unsigned char yes,
                 unsigned char no)
{
    add(f, (struct sock_filter)BPF_JUMP((unsigned short)(BPF_JMP | test | BPF_K), value, yes, no));
}

/* With the call's number loaded: the call ends with this error. */
static void refuse(struct filter *f, int call, int problem)
{
    jump(f, BPF_JEQ, (unsigned)call, 0, 1);
    give(f, problem);
}

/* The call is refused when the low half of its first argument has one of these bits; if `bits`
 * is 0, when it is not 0. Loads the number again. */
static void refuse_argument(struct filter *f, int call, unsigned bits)
{
    jump(f, BPF_JEQ, (unsigned)call, 0, 4);
    load(f, FIRST_ARGUMENT);
    if (bits != 0)
        jump(f, BPF_JSET, bits, 0, 1);
    else
        jump(f, BPF_JEQ, 0, 1, 0);
    give(f, EPERM);
    load(f, offsetof(struct seccomp_data, nr));
}

/* Sockets of other families: services of this host and of its kernel. Loads the number again. */
static void internet_only(struct filter *f)
{
    static const unsigned families[] = {AF_INET, AF_INET6, AF_NETLINK /* names are looked up */};
    enum { FAMILIES = sizeof families / sizeof families[0] };

    jump(f, BPF_JEQ, SYS_socket, 0, FAMILIES + 3);
    load(f, FIRST_ARGUMENT);
    for (size_t i = 0; i < FAMILIES; i++)
        jump(f, BPF_JEQ, families[i], (unsigned char)(FAMILIES - i), 0);
    give(f, EACCES);
    load(f, offsetof(struct seccomp_data, nr));
}

/* One end of a pair of datagram sockets can send to any other one of this host that has a name; of
 * the two other kinds it is connected for good. Loads the number again. */
static void stream_pairs_only(struct filter *f)
{
    enum { DATAGRAMS = SOCK_DGRAM & SOCK_RAW, SECOND_ARGUMENT = FIRST_ARGUMENT + 8 };

    jump(f, BPF_JEQ, SYS_socketpair, 0, 4);
    load(f, SECOND_ARGUMENT);
    jump(f, BPF_JSET, DATAGRAMS, 0, 1);
    give(f, EACCES);
    load(f, offsetof(struct seccomp_data, nr));
}

#ifdef ARCHITECTURE
static void build(struct filter *f, const struct sandbox_spec *spec)
{
    load(f, offsetof(struct seccomp_data, arch));
    jump(f, BPF_JEQ, ARCHITECTURE, 1, 0);
    give(f, EPERM);
    load(f, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    jump(f, BPF_JGE, X32_BIT, 0, 1);
    give(f, ENOSYS);
#endif
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        refuse(f, refused[i], EPERM);
    refuse(f, SYS_clone3, ENOSYS); /* its flags are out of sight; libraries then take clone */
    if (!spec->network)
        refuse(f, SYS_socket, EACCES);
    else if (spec->no_unix)
        internet_only(f);
    if (!spec->network || spec->no_unix)
        stream_pairs_only(f);
    refuse_argument(f, SYS_clone, NAMESPACES);
    refuse_argument(f, SYS_prlimit64, 0); /* of other processes */
    give(f, 0);
}
#endif

void calls_filter(const struct sandbox_spec *spec, struct report *report)
{
#ifdef ARCHITECTURE
    struct filter f = {0};
    struct sock_fprog program = {.filter = f.code};

    build(&f, spec);
    program.len = f.count;
    if (f.count < FILTER_MAX && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0)
        report_layer(report, REPORT_SECCOMP, REPORT_APPLIED, "%s",
                     !spec->network  ? "no sockets"
                     : spec->no_unix ? "sockets of the network"
                                     : "sockets allowed");
    else
        report_layer(report, REPORT_SECCOMP, REPORT_MISSING, "%s", strerror(errno));
#else
    (void)spec;
    report_layer(report, REPORT_SECCOMP, REPORT_MISSING, "not for this processor");
#endif
}
