/* SPDX-License-Identifier: MIT */
/* Agents in C whose code misbehaves. */
#include <agent_gateway/agent.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int crash(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    (void)result;
    raise(SIGSEGV);
    return AGW_DONE;
}

static int spin(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    volatile bool goes_on = true;

    (void)run;
    (void)arguments;
    (void)result;
    while (goes_on)
        ;
    return AGW_DONE;
}

/* Computes long, and says now and then that it lives. */
static int toil(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)arguments;
    for (int i = 0; i < 20; i++) {
        usleep(100000);
        if (agw_cancelled(run))
            return AGW_CANCELLED;
    }
    return agw_text_add(result, "toiled");
}

static int leave(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    (void)result;
    exit(3);
}

/* More than a text may have. */
static int flood(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    static char page[1 << 20];

    (void)run;
    (void)arguments;
    memset(page, 'x', sizeof page);
    for (int i = 0; i < 64; i++)
        agw_text_add_bytes(result, page, sizeof page);
    return AGW_DONE;
}

static int bytes(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    return agw_text_add_bytes(result, "a\xff\0b", 4);
}

static int print(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    (void)run;
    (void)arguments;
    printf("a line of the agent\n");
    return agw_text_add(result, "printed");
}

/* From now on the process gets no thread any more, as if others took all that it may have. */
static int starve(struct agw_run *run, const char *arguments, struct agw_text *result)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    (void)run;
    (void)arguments;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return AGW_FATAL;
    return agw_text_add(result, "starved");
}

static const struct agw_tool tools[] = {
    {"crash", "Crashes.", NULL, crash}, {"spin", "Never ends.", NULL, spin},
    {"toil", "Takes two seconds.", NULL, toil}, {"leave", "Ends the process.", NULL, leave},
    {"flood", "Writes too much.", NULL, flood}, {"bytes", "Writes what is no text.", NULL, bytes},
    {"print", "Prints.", NULL, print},
    {"starve", "Leaves no thread to be had.", NULL, starve}, {0}};

/* ---- agents that answer themselves ---- */

/* Says more and more, whatever the host tells it. */
static int babble(struct agw_run *run, struct agw_text *answer)
{
    static char page[(64 << 10) + 1];

    (void)answer;
    memset(page, 'x', sizeof page - 1);
    while (agw_say(run, page) != AGW_CANCELLED)
        ;
    return AGW_DONE;
}

static int talks(struct agw_run *run, struct agw_text *answer)
{
    static char page[(64 << 10) + 1];
    int status;

    (void)answer;
    memset(page, 'x', sizeof page - 1);
    do
        status = agw_say(run, page);
    while (status == AGW_DONE);
    return status;
}

/* Fails, and does not say why. */
static int mute(struct agw_run *run, struct agw_text *answer)
{
    (void)run;
    (void)answer;
    return AGW_FAILED;
}

static int stubborn(struct agw_run *run, struct agw_text *answer)
{
    volatile bool goes_on = true;

    (void)answer;
    while (goes_on)
        agw_wait(run, 10);
    return AGW_DONE;
}

static int deaf(void *arg, const char *chunk)
{
    struct agw_run *run = arg;

    (void)chunk;
    return agw_wait(run, 2);
}

#define QUESTION "{\"messages\":[{\"role\":\"user\",\"content\":\"Go on.\"}]}"

static int reads_slowly(struct agw_run *run, struct agw_text *answer)
{
    agw_text_add(answer, "heard");
    return agw_ask_stream(run, QUESTION, deaf, run);
}

static int stop_early(void *arg, const char *chunk)
{
    (void)arg;
    (void)chunk;
    return AGW_FAILED;
}

static int stops(struct agw_run *run, struct agw_text *answer)
{
    agw_text_addf(answer, "stopped with %d",
                  agw_ask_stream(run, QUESTION, stop_early, run));
    return AGW_DONE;
}

static int senseless(struct agw_run *run, struct agw_text *answer)
{
    return agw_ask(run, "{\"messages\":", answer);
}

extern const struct agw_agent agent;

static const struct agw_agent again;

static int itself(struct agw_run *run, struct agw_text *instructions)
{
    struct agw_text *text = agw_text_new(run);

    agw_text_addf(instructions, "inner: %d", agw_run_agent(run, &again, "again", text));
    return AGW_DONE;
}

#define AGENT(variable, label, function) \
    static const struct agw_agent variable = { \
        .version = AGW_AGENT_VERSION, .name = label, .run = function}
AGENT(babbling, "Babbling", babble);
AGENT(talking, "Talking", talks);
AGENT(mute_one, "Mute", mute);
AGENT(stubborn_one, "Stubborn", stubborn);
AGENT(slow_reader, "Slow reader", reads_slowly);
AGENT(stopping, "Stopping", stops);
AGENT(senseless_one, "Senseless", senseless);
static const struct agw_agent again = {
    .version = AGW_AGENT_VERSION, .name = "Again", .instruct = itself};

static const struct agw_agent *const others[] = {&babbling, &talking, &mute_one, &stubborn_one,
                                                 &slow_reader, &stopping, &senseless_one, &again,
                                                 NULL};

const struct agw_agent agent = {
    .version = AGW_AGENT_VERSION, .name = "Faults", .instructions = "You are Faults.",
    .tools = tools, .others = others};
