/* SPDX-License-Identifier: MIT */
/* The line to the runner: it is made anew when it breaks, lists are passed on, questions get their
 * answers or a reason; against a runner that the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "count_entries.h"
#include "inject.h"
#include "runner/link.h"
#include "runner/wire.h"
#include "util/clock.h"
#include "util/log.h"

enum { LONG_MS = 60000 };

/* How the played runner behaves; changed while no connection stands. */
enum manner { FINE, OTHER_VERSION, NO_HELLO, SAYS_ERROR, NONSENSE, LEAVES_ON_OPEN, NEVER_ANSWERS };

struct stage {
    char folder[64], path[96];
    struct config config;
    struct link *link;
    int listener;
    pthread_t thread;
    _Atomic int manner, connections, opens, refreshes, kills;
    _Atomic int up_news, down_news, lists;
    _Atomic bool stop, drop;
    char refusal[256];       /* members of `refused`; "" = none is refused */
};

static int64_t soon(void)
{
    return clock_mono_ms() + LONG_MS;
}

/* ---- the runner ---- */

static void say(struct wire *wire, const char *text)
{
    struct err e;

    wire_send_text(wire, text, strlen(text), &e);
}

static void say_list(struct stage *s, struct wire *wire)
{
    char text[512];

    snprintf(text, sizeof text,
             "{\"t\":\"agents\",\"watch\":{\"state\":\"started\"},\"agents\":[{\"id\":\"a/n%d\","
             "\"namespace\":\"a\",\"name\":\"n%d\",\"lang\":\"python\",\"module\":\"m\","
             "\"path\":\"/p\",\"attr\":\"agent\",\"model\":\"m\",\"available\":true}]}",
             s->connections, s->connections);
    say(wire, text);
}

static void greet(struct stage *s, struct wire *wire)
{
    int manner = atomic_load(&s->manner);

    say(wire, manner == OTHER_VERSION ? "{\"t\":\"hello\",\"v\":2}"
              : manner == NO_HELLO    ? "{\"t\":\"news\"}"
              : manner == SAYS_ERROR  ? "{\"t\":\"error\",\"message\":\"not today\"}"
              : manner == NONSENSE    ? "nonsense"
                                      : "{\"t\":\"hello\",\"v\":1,\"pid\":77}");
    if (manner != NO_HELLO && manner != SAYS_ERROR && manner != NONSENSE)
        say_list(s, wire);
}

static void open_one(struct stage *s, struct wire *wire, json_int_t id)
{
    char text[512];
    json_t *message;
    struct err e;
    int ends[2];

    atomic_fetch_add(&s->opens, 1);
    if (atomic_load(&s->manner) == NEVER_ANSWERS)
        return;
    if (s->refusal[0] != '\0') {
        snprintf(text, sizeof text, "{\"t\":\"refused\",\"id\":%lld,%s}", (long long)id,
                 s->refusal);
        say(wire, text);
        return;
    }
    message = json_pack("{s:s,s:I,s:i}", "t", "opened", "id", id, "process", 7);
    if (message == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return; /* memory is out here, too */
    (void)!send(ends[1], "host", 4, 0);
    wire_send_fd(wire, message, ends[0], &e);
    json_decref(message);
    close(ends[1]);
}

/* False: the connection is to end. */
static bool obey(struct stage *s, struct wire *wire, const json_t *message)
{
    const char *type = wire_type(message);
    json_int_t id = json_integer_value(json_object_get(message, "id"));
    char text[64];

    if (strcmp(type, "open") == 0) {
        if (atomic_load(&s->manner) == LEAVES_ON_OPEN) {
            atomic_store(&s->manner, FINE);
            return false;
        }
        open_one(s, wire, id);
    } else if (strcmp(type, "refresh") == 0) {
        atomic_fetch_add(&s->refreshes, 1);
        snprintf(text, sizeof text, "{\"t\":\"refreshed\",\"id\":%lld}", (long long)id);
        say_list(s, wire);
        say(wire, text);
    } else if (strcmp(type, "kill") == 0) {
        assert_string_equal(json_string_value(json_object_get(message, "agent")), "a/x");
        assert_string_equal(json_string_value(json_object_get(message, "reason")), "hang");
        assert_int_equal(json_integer_value(json_object_get(message, "process")), 7);
        atomic_fetch_add(&s->kills, 1);
    }
    return true;
}

static void serve(struct stage *s, int fd)
{
    struct wire wire;
    struct err e;
    bool on = true;

    wire_init(&wire, fd, NULL);
    atomic_fetch_add(&s->connections, 1);
    greet(s, &wire);
    while (on && !atomic_load(&s->stop) && !atomic_exchange(&s->drop, false)) {
        json_t *message;
        int status = wire_receive_until(&wire, clock_mono_ms() + 20, &message, NULL, &e);

        if (status == 1) {
            on = obey(s, &wire, message);
            json_decref(message);
        } else {
            on = status == AGW_ETIMEOUT;
        }
    }
    wire_close(&wire);
}

static void *play(void *arg)
{
    struct stage *s = arg;

    while (!atomic_load(&s->stop)) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            serve(s, fd);
    }
    return NULL;
}

static void raise_curtain(struct stage *s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", s->path);
    unlink(s->path);
    atomic_store(&s->stop, false);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 8), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, play, s), 0);
}

static void drop_curtain(struct stage *s)
{
    atomic_store(&s->stop, true);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    unlink(s->path);
}

/* ---- whose the runner is ---- */

enum { NOT_ASKED = -1, UNKNOWN = -2 };

static _Atomic int64_t peer_uid = NOT_ASKED; /* what the kernel says of it; it is this process */

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int status = __real_getsockopt(fd, level, name, value, size);
    int64_t uid = atomic_load(&peer_uid);

    if (level == SOL_SOCKET && name == SO_PEERCRED && uid == UNKNOWN) {
        errno = EINVAL;
        return -1;
    }
    if (status == 0 && level == SOL_SOCKET && name == SO_PEERCRED && uid >= 0)
        ((struct ucred *)value)->uid = (uid_t)uid;
    return status;
}

/* ---- the gateway ---- */

static void on_change(void *arg, const struct dropins *now, const struct dropins *before)
{
    struct stage *s = arg;

    (void)before;
    if (now != NULL)
        atomic_fetch_add(&s->lists, 1);
    else if (link_is_up(s->link))
        atomic_fetch_add(&s->up_news, 1);
    else
        atomic_fetch_add(&s->down_news, 1);
}

static int setup(void **state)
{
    struct stage *s = calloc(1, sizeof *s);

    snprintf(s->folder, sizeof s->folder, "/tmp/agw-link-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->path, sizeof s->path, "%s/runner.sock", s->folder);
    s->config.generation = 1;
    s->config.gateway.discovery_path = s->folder;
    s->config.gateway.runner.socket = s->path;
    s->link = link_new();
    assert_non_null(s->link);
    link_on_change(s->link, on_change, s);
    raise_curtain(s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct stage *s = *state;

    link_free(&s->link);
    assert_null(s->link);
    link_free(&s->link);
    drop_curtain(s);
    rmdir(s->folder);
    free(s);
    return 0;
}

static void update(struct stage *s)
{
    struct err e;

    assert_int_equal(link_update(s->link, &s->config, &e), 0);
}

static void await_true(bool (*holds)(struct stage *s), struct stage *s)
{
    int64_t until = soon();

    while (!holds(s)) {
        assert_true(clock_mono_ms() < until);
        usleep(5000);
    }
}

static bool has_list(struct stage *s)
{
    return link_is_up(s->link) && atomic_load(&s->lists) > 0;
}

static bool is_away(struct stage *s)
{
    return !link_is_up(s->link);
}

static const char *state_of(struct stage *s, const char *member)
{
    static char text[512];
    json_t *object = link_json(s->link);
    const char *value = json_string_value(json_object_get(object, member));

    snprintf(text, sizeof text, "%s", value == NULL ? "" : value);
    json_decref(object);
    return text;
}

/* ---- tests ---- */

static void nobody_wants_it_nobody_calls_it(void **state)
{
    struct stage *s = *state;
    struct err e;
    int fd;

    s->config.gateway.discovery_path = NULL;
    update(s);
    assert_false(link_is_wanted(s->link));
    assert_string_equal(state_of(s, "state"), "unused");
    assert_null(link_dropins(s->link, NULL));
    assert_int_equal(link_open(s->link, "a/x", soon(), -1, &fd, NULL, &e), AGW_EUNAVAILABLE);
    assert_false(link_refresh(s->link, 100));
    assert_int_equal(atomic_load(&s->connections), 0);
}

static void an_agent_of_agents_yaml_wants_it_too(void **state)
{
    struct stage *s = *state;
    struct config_agent agents[] = {{.kind = AGENT_DECLARATIVE}, {.kind = AGENT_SDK}};

    s->config.gateway.discovery_path = NULL;
    s->config.agents = agents;
    s->config.agent_count = 1;
    update(s);
    assert_false(link_is_wanted(s->link));
    s->config.agent_count = 2;
    update(s);
    await_true(has_list, s);
}

static void lists_are_passed_on(void **state)
{
    struct stage *s = *state;
    struct dropins *dropins;
    uint64_t serial, before = link_serial(s->link);

    update(s);
    await_true(has_list, s);
    dropins = link_dropins(s->link, &serial);
    assert_int_equal(dropins->count, 1);
    assert_string_equal(dropins->list[0].spec.id, "a/n1");
    assert_true(serial > before);
    assert_int_equal(serial, link_serial(s->link));
    assert_int_equal(atomic_load(&s->up_news), 1);
    assert_string_equal(state_of(s, "state"), "connected");

    atomic_store(&s->drop, true);
    await_true(is_away, s);
    assert_string_equal(dropins->list[0].spec.id, "a/n1"); /* for who has it */
    dropins_release(&dropins);
    atomic_store(&s->lists, 0);
    await_true(has_list, s);
    dropins = link_dropins(s->link, &serial);
    assert_string_equal(dropins->list[0].spec.id, "a/n2");
    dropins_release(&dropins);
    assert_int_equal(atomic_load(&s->down_news), 1);

    s->config.gateway.discovery_path = NULL;
    update(s);
    assert_true(link_serial(s->link) > serial); /* there are none now */
    assert_null(link_dropins(s->link, NULL));
}

static bool has_reason(struct stage *s)
{
    return strcmp(state_of(s, "state"), "away") == 0 &&
           strcmp(state_of(s, "reason"), "it was not asked yet") != 0;
}

static void where_everybody_may_write_a_stranger_is_no_runner(void **state)
{
    enum { STRANGER = 4711, OTHER = 4712 };
    const struct {
        mode_t folder;
        int64_t uid;
        const char *reason; /* NULL: it is taken */
        uid_t owner;        /* of the folder, which lies in /tmp; only root can give it away */
    } cases[] = {
        {0755, STRANGER, NULL, 0},
        {0770, STRANGER, NULL, 0},
        {0777, STRANGER, "who listens is user 4711, neither this one nor root", 0},
        {01777, OTHER, "user 4712", 0},
        {01777, UNKNOWN, "Invalid argument", 0},
        {0777, 0, NULL, 0},
        {01777, geteuid(), NULL, 0},
        {0755, STRANGER, "user 4711", STRANGER}, /* who may have made it */
        {0777, STRANGER, "user 4711", STRANGER},
        {0755, 0, NULL, STRANGER},
    };
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (geteuid() != 0 && cases[i].owner != 0) {
            print_message("case %zu is left out: only root can give a folder away\n", i);
            continue;
        }
        assert_int_equal(chown(s->folder, cases[i].owner != 0 ? cases[i].owner : geteuid(), -1),
                         0);
        assert_int_equal(chmod(s->folder, cases[i].folder), 0);
        atomic_store(&peer_uid, cases[i].uid);
        atomic_store(&s->lists, 0);
        link_free(&s->link);
        s->link = link_new();
        link_on_change(s->link, on_change, s);
        update(s);
        await_true(cases[i].reason == NULL ? has_list : has_reason, s);
        assert_true(cases[i].reason == NULL ||
                    strstr(state_of(s, "reason"), cases[i].reason) != NULL);
        assert_int_equal(atomic_load(&s->lists) > 0, cases[i].reason == NULL);
    }
    atomic_store(&peer_uid, NOT_ASKED);
}

static void a_connection_is_handed_over(void **state)
{
    struct stage *s = *state;
    int before, fd;
    int64_t until = soon(), process;
    char said[4];
    struct err e;

    update(s);
    await_true(has_list, s);
    before = count_entries("/proc/self/fd");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(link_open(s->link, "a/x", soon(), -1, &fd, &process, &e), 0);
        assert_int_equal(process, 7);
        assert_int_equal(recv(fd, said, sizeof said, MSG_WAITALL), 4);
        assert_memory_equal(said, "host", 4);
        close(fd);
    }
    while (count_entries("/proc/self/fd") > before) { /* the runner is a thread of this process */
        assert_true(clock_mono_ms() < until);
        usleep(5000);
    }
}

static const struct refusal_case {
    const char *members;
    int status, retry_s;
    const char *message;
} refusals[] = {
    {"\"class\":\"unknown\",\"message\":\"gone\"", AGW_EMODEL, 0, "a/x: the runner refuses: gone"},
    {"\"class\":\"blocked\",\"message\":\"no\"", AGW_EMODEL, 0, "a/x: the runner refuses: no"},
    {"\"class\":\"busy\",\"message\":\"full\",\"retry_after_ms\":2001", AGW_EUNAVAILABLE, 3,
     "The agent 'a/x' cannot be run now: full."},
    {"\"class\":\"backoff\",\"message\":\"it fails\",\"retry_after_ms\":1", AGW_EUNAVAILABLE, 1,
     "The agent 'a/x' cannot be run now: it fails."},
    {"\"class\":\"start_failed\",\"retry_after_ms\":-5", AGW_EUNAVAILABLE, 2,
     "The agent 'a/x' cannot be run now: its runner does not say why."},
    {"\"class\":7,\"message\":[]", AGW_EUNAVAILABLE, 2,
     "The agent 'a/x' cannot be run now: its runner does not say why."},
};

static void refusals_say_what_to_do(void **state)
{
    struct stage *s = *state;

    update(s);
    await_true(has_list, s);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal_case *c = &refusals[i];
        struct err e = {0};
        int fd;

        snprintf(s->refusal, sizeof s->refusal, "%s", c->members);
        assert_int_equal(link_open(s->link, "a/x", soon(), -1, &fd, NULL, &e), c->status);
        assert_int_equal(fd, -1);
        assert_int_equal(e.retry_after_s, c->retry_s);
        assert_string_equal(e.message, c->message);
        assert_true(e.is_public == (c->status == AGW_EUNAVAILABLE));
    }
}

static void who_asks_waits_no_longer_than_wanted(void **state)
{
    struct stage *s = *state;
    struct err e;
    int fd, client[2];

    atomic_store(&s->manner, NEVER_ANSWERS);
    update(s);
    await_true(has_list, s);
    assert_int_equal(link_open(s->link, "a/x", clock_mono_ms() + 100, -1, &fd, NULL, &e),
                     AGW_ETIMEOUT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client), 0);
    close(client[1]);
    assert_int_equal(link_open(s->link, "a/x", soon(), client[0], &fd, NULL, &e), AGW_EGONE);
    close(client[0]);
}

static void a_runner_that_stays_away_is_no_long_wait(void **state)
{
    struct stage *s = *state;
    struct err e;
    int fd;

    drop_curtain(s);
    update(s);
    assert_int_equal(link_open(s->link, "a/x", soon(), -1, &fd, NULL, &e), AGW_EUNAVAILABLE);
    assert_true(e.is_public && e.retry_after_s > 0);
    assert_string_equal(state_of(s, "state"), "away");
    assert_non_null(strstr(state_of(s, "reason"), "runner.sock"));
    link_report_hang(s->link, "a/x", 7); /* nobody is there to hear it */
    raise_curtain(s);
    await_true(has_list, s);
    assert_int_equal(link_open(s->link, "a/x", soon(), -1, &fd, NULL, &e), 0);
    close(fd);
}

static void who_was_not_answered_is_asked_again(void **state)
{
    struct stage *s = *state;
    struct err e;
    int fd;

    atomic_store(&s->manner, LEAVES_ON_OPEN);
    update(s);
    await_true(has_list, s);
    assert_int_equal(link_open(s->link, "a/x", soon(), -1, &fd, NULL, &e), 0);
    close(fd);
    assert_int_equal(atomic_load(&s->connections), 2);
}

static void one_that_breaks_the_rules_is_left(void **state)
{
    static const struct {
        enum manner manner;
        const char *reason;
    } faults[] = {{OTHER_VERSION, "version 2"}, {SAYS_ERROR, "not today"}, {NONSENSE, "JSON"},
                  {NO_HELLO, "no hello within"}};
    struct stage *s = *state;

    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        int64_t until = soon();

        atomic_store(&s->manner, faults[i].manner);
        update(s);
        atomic_store(&s->drop, true);
        while (strstr(state_of(s, "reason"), faults[i].reason) == NULL) {
            assert_true(clock_mono_ms() < until);
            usleep(5000);
        }
        assert_false(link_is_up(s->link));
    }
    atomic_store(&s->manner, FINE);
    atomic_store(&s->lists, 0);
    await_true(has_list, s);
}

static bool was_refreshed(struct stage *s)
{
    return atomic_load(&s->refreshes) > 0;
}

static bool was_told_of_hang(struct stage *s)
{
    return atomic_load(&s->kills) > 0;
}

static void it_is_told_of_configurations_and_hangs(void **state)
{
    struct stage *s = *state;

    update(s);
    await_true(has_list, s);
    update(s); /* the same */
    assert_true(link_refresh(s->link, LONG_MS));
    assert_int_equal(atomic_load(&s->refreshes), 1);
    atomic_store(&s->refreshes, 0);
    s->config.generation = 2;
    update(s);
    await_true(was_refreshed, s);
    atomic_store(&s->refreshes, 0);
    drop_curtain(s); /* also when it comes while the runner is away */
    await_true(is_away, s);
    s->config.generation = 3;
    update(s);
    raise_curtain(s);
    await_true(was_refreshed, s);
    link_report_hang(s->link, "a/x", 7);
    await_true(was_told_of_hang, s);
}

static void another_socket_is_another_runner(void **state)
{
    struct stage *s = *state;
    char elsewhere[128];

    update(s);
    await_true(has_list, s);
    snprintf(elsewhere, sizeof elsewhere, "%s/nobody.sock", s->folder);
    s->config.gateway.runner.socket = elsewhere;
    update(s);
    await_true(is_away, s);
    s->config.gateway.runner.socket = s->path;
    atomic_store(&s->lists, 0);
    update(s);
    await_true(has_list, s);
}

struct asker {
    struct stage *s;
    int failures;
};

static void *ask_often(void *arg)
{
    struct asker *a = arg;

    for (int i = 0; i < 50; i++) {
        struct err e;
        int fd;

        if (link_open(a->s->link, "a/x", soon(), -1, &fd, NULL, &e) != 0)
            a->failures++;
        else
            close(fd);
    }
    return NULL;
}

static void many_may_ask_at_once(void **state)
{
    enum { ASKERS = 8 };
    struct stage *s = *state;
    struct asker askers[ASKERS];
    pthread_t threads[ASKERS];

    update(s);
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.s = s};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &askers[i]), 0);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].failures, 0);
    }
}

/* ---- without memory ---- */

struct attempt {
    struct link *link;
};

static void make(void *arg)
{
    struct attempt *a = arg;

    a->link = link_new();
}

static void unmake(void *arg)
{
    struct attempt *a = arg;

    link_free(&a->link);
}

static void without_memory_there_is_none(void **state)
{
    struct attempt a = {0};

    (void)state;
    assert_true(inject_each(INJECT_MEMORY, make, unmake, &a) > 0);
}

static void it_gets_over_a_lack_of_memory(void **state)
{
    struct stage *s = *state;

    update(s);
    await_true(has_list, s);
    for (long at = 0; at < 60; at += 3) {
        struct err e;
        int fd;

        inject_start(INJECT_MEMORY, at, false);
        atomic_store(&s->drop, true);
        if (link_open(s->link, "a/x", clock_mono_ms() + 2000, -1, &fd, NULL, &e) == 0)
            close(fd);
        inject_stop();
        atomic_store(&s->lists, 0);
        atomic_store(&s->drop, true);
        await_true(has_list, s);
    }
    await_true(has_list, s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_wants_it_nobody_calls_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_agent_of_agents_yaml_wants_it_too, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_passed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(where_everybody_may_write_a_stranger_is_no_runner, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_connection_is_handed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals_say_what_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asks_waits_no_longer_than_wanted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_runner_that_stays_away_is_no_long_wait, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_was_not_answered_is_asked_again, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_breaks_the_rules_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(it_is_told_of_configurations_and_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(another_socket_is_another_runner, setup, teardown),
        cmocka_unit_test_setup_teardown(many_may_ask_at_once, setup, teardown),
        cmocka_unit_test(without_memory_there_is_none),
        cmocka_unit_test_setup_teardown(it_gets_over_a_lack_of_memory, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
