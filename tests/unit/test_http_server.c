/* SPDX-License-Identifier: MIT */
/* The waiter and its threads against well-behaved, odd and hostile web servers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/count_entries.h"
#include "../lib/fcgi_client.h"
#include "http/response.h"
#include "http/server.h"
#include "util/clock.h"
#include "util/permit.h"

static char directory[] = "/tmp/agw-server-XXXXXX";
static char path[64];

static atomic_int gate_closed; /* handlers of /hold wait while it is set */
static atomic_int holding, overloads, served, most_at_once, at_once;

static const char *const hello[] = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/hello",
                                    "HTTP_X_REQUEST_ID", "rid-1", NULL};
static const char *const hold[] = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/hold", NULL};
static const char *const big[] = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/big", NULL};
static const char *const post[] = {"REQUEST_METHOD", "POST", "REQUEST_URI", "/echo", NULL};
static const char *const refuse[] = {"REQUEST_METHOD", "POST", "REQUEST_URI", "/refuse",
                                     "CONTENT_LENGTH", "3000000", NULL};

static void nap(int ms)
{
    usleep((useconds_t)ms * 1000);
}

static void answer(struct response *response)
{
    struct request *r = response->request;
    struct err e = {0};
    int rc;

    if (strcmp(r->path, "/hold") == 0) {
        atomic_fetch_add(&holding, 1);
        permit_wait_begin();
        while (atomic_load(&gate_closed))
            nap(5);
        permit_wait_end();
        atomic_fetch_sub(&holding, 1);
    }
    if (strcmp(r->path, "/big") == 0) {
        char *text = malloc(1500000);

        memset(text, 'x', 1500000);
        response_text(response, 200, "text/plain", text, 1500000);
        free(text);
    } else if (strcmp(r->path, "/refuse") == 0) {
        response_error(response, AGW_EBADKEY, NULL);
    } else if (strcmp(r->path, "/echo") == 0) {
        rc = request_read_body(r, 100000, &e);
        if (rc != 0)
            response_error(response, rc, &e);
        else
            response_text(response, 200, "text/plain", r->body, r->body_length);
    } else {
        response_text(response, 200, "text/plain", "hello", 5);
    }
}

static void handle(void *arg, struct fcgi *x)
{
    struct arena *arena = arena_new(1 << 20);
    struct request request;
    struct response response;
    int now = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once);

    (void)arg;
    while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
        ;
    if (request_parse(x, arena, &request, NULL) == 0) {
        response_init(&response, &request);
        answer(&response);
        response_free(&response);
    }
    arena_free(&arena);
    atomic_fetch_sub(&at_once, 1);
    atomic_fetch_add(&served, 1);
}

static void overloaded(void *arg)
{
    (void)arg;
    atomic_fetch_add(&overloads, 1);
}

struct scene {
    int listen_fd;
    struct server *server;
};

static void open_with(struct scene *s, struct server_options *options)
{
    struct err e = {0};

    unlink(path);
    s->listen_fd = options->listen_fd = fcgi_client_listen(path);
    assert_true(s->listen_fd >= 0);
    gate_closed = holding = overloads = served = most_at_once = 0;
    assert_int_equal(server_start(options, &s->server, &e), 0);
}

static void open_scene(struct scene *s, int max_threads)
{
    struct server_options options = {.min_threads = 1, .max_threads = max_threads,
                                     .thread_idle_ms = 200, .read_timeout_ms = 400,
                                     .write_timeout_ms = 400, .handle = handle,
                                     .overloaded = overloaded};

    open_with(s, &options);
}

static void close_scene(struct scene *s)
{
    assert_int_equal(server_drain(&s->server, 5000), 0);
}

static void expect_hello(const struct fcgi_client_reply *reply)
{
    char id[64];

    assert_true(reply->ended);
    assert_int_equal(reply->status, 200);
    assert_string_equal(reply->body, "hello");
    fcgi_client_header(reply, "x-request-id", id, sizeof id);
    assert_string_equal(id, "rid-1");
}

static void ask_hello(void)
{
    struct fcgi_client_reply reply;

    assert_true(fcgi_client_ask(path, &(struct fcgi_client_request){.params = hello}, &reply));
    expect_hello(&reply);
    fcgi_client_reply_free(&reply);
}

static void wait_until(const atomic_int *value, int wanted)
{
    for (int i = 0; i < 1000 && atomic_load(value) != wanted; i++)
        nap(5);
    assert_int_equal(atomic_load(value), wanted);
}

static void one_connection_a_request(void **state)
{
    struct scene s;

    (void)state;
    open_scene(&s, 4);
    for (int i = 0; i < 200; i++)
        ask_hello();
    close_scene(&s);
}

static void kept_connection(void **state)
{
    struct fcgi_client_request request = {.params = hello, .keep = true};
    struct fcgi_client_reply reply;
    struct scene s;
    int fd;

    (void)state;
    open_scene(&s, 2);
    fd = fcgi_client_connect(path);
    for (int i = 0; i < 100; i++) {
        request.params = i % 2 == 0 ? hello : refuse; /* its body is announced, not sent */
        assert_int_equal(fcgi_client_send(fd, &request), 0);
        assert_true(fcgi_client_receive(fd, &reply));
        assert_true(reply.ended);
        assert_int_equal(reply.status, i % 2 == 0 ? 200 : 401);
        fcgi_client_reply_free(&reply);
    }
    close(fd);
    close_scene(&s);
}

/* Idle kept connections cost no thread: many of them, two threads. */
static void idle_connections_pin_no_thread(void **state)
{
    struct fcgi_client_request request = {.params = hello, .keep = true};
    struct fcgi_client_reply reply;
    struct scene s;
    int fds[50];

    (void)state;
    open_scene(&s, 2);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 50; i++) {
            if (round == 0)
                fds[i] = fcgi_client_connect(path);
            assert_int_equal(fcgi_client_send(fds[i], &request), 0);
            assert_true(fcgi_client_receive(fds[i], &reply));
            expect_hello(&reply);
            fcgi_client_reply_free(&reply);
        }
    assert_int_equal(overloads, 0);
    for (int i = 0; i < 50; i++)
        close(fds[i]);
    close_scene(&s);
}

static void a_body_in_pieces(void **state)
{
    struct fcgi_client_request request = {.params = post, .body = "0123456789",
                                          .body_length = 10, .record = 1};
    struct fcgi_client_reply reply;
    struct buf bytes;
    struct scene s;
    int fd;

    (void)state;
    open_scene(&s, 2);
    buf_init(&bytes, 1 << 20);
    fcgi_client_build(&request, &bytes);
    fd = fcgi_client_connect(path);
    for (size_t i = 0; i < bytes.length; i++) {
        assert_int_equal(fcgi_client_send_bytes(fd, bytes.data + i, 1), 0);
        if (i % 16 == 0)
            nap(2);
    }
    assert_true(fcgi_client_receive(fd, &reply));
    assert_string_equal(reply.body, "0123456789");
    fcgi_client_reply_free(&reply);
    buf_free(&bytes);
    close(fd);
    close_scene(&s);
}

/* The refusal arrives although megabytes that nobody wants are still coming. */
static void unwanted_bodies(void **state)
{
    char *body = calloc(1, 3000000);
    struct fcgi_client_reply reply;
    struct scene s;

    (void)state;
    open_scene(&s, 2);
    for (int keep = 0; keep < 2; keep++) {
        struct fcgi_client_request request = {.params = refuse, .body = body, .keep = keep,
                                              .body_length = 3000000};

        assert_true(fcgi_client_ask(path, &request, &reply));
        assert_int_equal(reply.status, 401);
        assert_true(reply.ended);
        fcgi_client_reply_free(&reply);
        request.params = post; /* over its cap, without a length */
        assert_true(fcgi_client_ask(path, &request, &reply));
        assert_int_equal(reply.status, 413);
        fcgi_client_reply_free(&reply);
    }
    free(body);
    close_scene(&s);
}

static void large_answer(void **state)
{
    struct fcgi_client_reply reply;
    struct scene s;

    (void)state;
    open_scene(&s, 2);
    assert_true(fcgi_client_ask(path, &(struct fcgi_client_request){.params = big}, &reply));
    assert_int_equal(reply.body_length, 1500000);
    assert_int_equal(strspn(reply.body, "x"), 1500000);
    assert_true(reply.ended);
    fcgi_client_reply_free(&reply);
    close_scene(&s);
}

/* T11: mutated records. Others keep being served. */
static void hostile_bytes(void **state)
{
    unsigned seed = 20261125;
    struct buf bytes;
    struct scene s;

    (void)state;
    open_scene(&s, 4);
    buf_init(&bytes, 1 << 20);
    for (int round = 0; round < 300; round++) {
        int fd = fcgi_client_connect(path);

        buf_reset(&bytes);
        fcgi_client_build(&(struct fcgi_client_request){.params = hello, .keep = round % 2 == 0},
                          &bytes);
        /* any byte but the lengths inside PARAMS: libfcgi would wait for what they promise */
        for (int i = 0; i < 3; i++)
            bytes.data[rand_r(&seed) % 24] ^= (char)(1 << rand_r(&seed) % 8);
        if (round % 5 == 0)
            bytes.length = (size_t)rand_r(&seed) % bytes.length;
        fcgi_client_send_bytes(fd, bytes.data, bytes.length);
        close(fd);
        if (round % 20 == 0)
            ask_hello();
    }
    buf_free(&bytes);
    ask_hello();
    close_scene(&s);
}

/* T18: connections that stall in the middle of a request lose their thread in time. */
static void half_requests(void **state)
{
    struct buf bytes;
    struct scene s;
    int fds[4];
    char byte;

    (void)state;
    open_scene(&s, 4);
    buf_init(&bytes, 1 << 20);
    fcgi_client_build(&(struct fcgi_client_request){.params = hello}, &bytes);
    for (int i = 0; i < 4; i++) {
        fds[i] = fcgi_client_connect(path);
        fcgi_client_send_bytes(fds[i], bytes.data, 20);
    }
    for (int i = 0; i < 4; i++) /* closed after the read timeout, without an answer */
        assert_true(recv(fds[i], &byte, 1, 0) <= 0);
    ask_hello();
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    buf_free(&bytes);
    close_scene(&s);
}

static void silent_and_leaving_peers(void **state)
{
    struct scene s;
    int before = 0;

    (void)state;
    open_scene(&s, 2);
    ask_hello();
    before = count_entries("/proc/self/fd");
    for (int i = 0; i < 100; i++) {
        int fd = fcgi_client_connect(path);

        close(fd);
    }
    ask_hello();
    for (int i = 0; i < 200 && count_entries("/proc/self/fd") > before; i++)
        nap(10);
    assert_true(count_entries("/proc/self/fd") <= before);
    close_scene(&s);
}

struct asker {
    pthread_t thread;
    const char *const *params;
    bool keep, good;
    int status, rounds;
    char retry_after[16], id[64], body[512];
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct fcgi_client_request request = {.params = a->params, .keep = a->keep};

    a->good = true;
    for (int i = 0; i < a->rounds; i++) {
        struct fcgi_client_reply reply;

        a->good = fcgi_client_ask(path, &request, &reply) && reply.ended && a->good;
        a->status = reply.status;
        fcgi_client_header(&reply, "retry-after", a->retry_after, sizeof a->retry_after);
        fcgi_client_header(&reply, "x-request-id", a->id, sizeof a->id);
        snprintf(a->body, sizeof a->body, "%s", reply.body == NULL ? "" : reply.body);
        fcgi_client_reply_free(&reply);
    }
    return NULL;
}

static void start(struct asker *a, const char *const *params, int rounds)
{
    *a = (struct asker){.params = params, .rounds = rounds};
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static void sixty_four_at_once(void **state)
{
    struct asker askers[64];
    struct scene s;

    (void)state;
    open_scene(&s, 96); /* who asks again may be quicker than the thread that served them */
    for (int i = 0; i < 64; i++)
        start(&askers[i], hello, 20);
    for (int i = 0; i < 64; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_true(askers[i].good);
        assert_int_equal(askers[i].status, 200);
    }
    assert_int_equal(overloads, 0);
    assert_int_equal(served, 64 * 20);
    close_scene(&s);
}

/* T21: exactly as many as there are threads are served, the others refused at once. */
static void overload(void **state)
{
    static const char *const wanting[] = {"REQUEST_METHOD", "GET", "REQUEST_URI", "/hello",
                                          "HTTP_X_REQUEST_ID", "mine", NULL};
    struct asker holders[8], refused[20];
    struct scene s;
    int64_t before;

    (void)state;
    open_scene(&s, 8);
    gate_closed = 1;
    for (int i = 0; i < 8; i++)
        start(&holders[i], hold, 1);
    wait_until(&holding, 8);
    before = clock_mono_ms();
    for (int i = 0; i < 20; i++)
        start(&refused[i], wanting, 1);
    for (int i = 0; i < 20; i++) {
        pthread_join(refused[i].thread, NULL);
        assert_true(refused[i].good);
        assert_int_equal(refused[i].status, 503);
        assert_string_equal(refused[i].retry_after, "1");
        assert_string_equal(refused[i].id, "mine");
        assert_non_null(strstr(refused[i].body, "\"code\":\"overloaded\""));
        assert_non_null(strstr(refused[i].body, "\"param\":null"));
    }
    assert_true(clock_mono_ms() - before < 1500);
    assert_int_equal(overloads, 20);
    gate_closed = 0;
    for (int i = 0; i < 8; i++) {
        pthread_join(holders[i].thread, NULL);
        assert_int_equal(holders[i].status, 200);
    }
    assert_int_equal(most_at_once, 8);
    for (int i = 0; i < 10; i++) /* all slots are back */
        ask_hello();
    assert_int_equal(overloads, 20);
    close_scene(&s);
}

/* A kept connection survives a refusal, even with a body behind it. */
static void overload_on_a_kept_connection(void **state)
{
    struct fcgi_client_request request = {.params = hello, .keep = true, .body = "body",
                                          .body_length = 4};
    struct fcgi_client_reply reply;
    struct asker holder;
    struct scene s;
    int fd;

    (void)state;
    open_scene(&s, 1);
    gate_closed = 1;
    start(&holder, hold, 1);
    wait_until(&holding, 1);
    fd = fcgi_client_connect(path);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fcgi_client_send(fd, &request), 0);
        assert_true(fcgi_client_receive(fd, &reply));
        assert_int_equal(reply.status, 503);
        assert_true(reply.ended);
        fcgi_client_reply_free(&reply);
    }
    gate_closed = 0;
    pthread_join(holder.thread, NULL);
    assert_int_equal(fcgi_client_send(fd, &request), 0);
    assert_true(fcgi_client_receive(fd, &reply));
    expect_hello(&reply);
    fcgi_client_reply_free(&reply);
    close(fd);
    close_scene(&s);
}

/* Never two processes' worth of refusals for one's worth of load: a sibling with room takes
 * what a full one leaves. */
static void a_full_server_leaves_connections_to_its_sibling(void **state)
{
    struct server_options options = {.min_threads = 1, .max_threads = 8, .thread_idle_ms = 200,
                                     .read_timeout_ms = 400, .write_timeout_ms = 400,
                                     .handle = handle, .overloaded = overloaded};
    struct asker holders[16], last;
    struct server *sibling;
    struct scene s;

    (void)state;
    options.siblings = siblings_new();
    open_with(&s, &options);
    options.slot = 1;
    options.listen_fd = dup(s.listen_fd);
    assert_int_equal(server_start(&options, &sibling, NULL), 0);
    gate_closed = 1;
    for (int i = 0; i < 16; i++)
        start(&holders[i], hold, 1);
    wait_until(&holding, 16);
    assert_int_equal(overloads, 0);
    start(&last, hello, 1);
    pthread_join(last.thread, NULL);
    assert_int_equal(last.status, 503);
    gate_closed = 0;
    for (int i = 0; i < 16; i++) {
        pthread_join(holders[i].thread, NULL);
        assert_int_equal(holders[i].status, 200);
    }
    assert_int_equal(server_drain(&sibling, 2000), 0);
    close_scene(&s);
    siblings_free(&options.siblings);
}

static void threads_retire(void **state)
{
    struct asker askers[16];
    struct scene s;
    int before;

    (void)state;
    open_scene(&s, 16);
    ask_hello();
    before = count_entries("/proc/self/task");
    gate_closed = 1;
    for (int i = 0; i < 16; i++)
        start(&askers[i], hold, 1);
    wait_until(&holding, 16);
    assert_true(count_entries("/proc/self/task") >= before + 15);
    gate_closed = 0;
    for (int i = 0; i < 16; i++)
        pthread_join(askers[i].thread, NULL);
    for (int i = 0; i < 100 && count_entries("/proc/self/task") > before; i++)
        nap(20);
    assert_true(count_entries("/proc/self/task") <= before);
    ask_hello();
    close_scene(&s);
}

/* T34: out of descriptors. Who comes then waits, nothing dies, and it recovers. */
static void descriptors_exhausted(void **state)
{
    struct fcgi_client_reply reply;
    struct rlimit old, tight;
    struct scene s;
    int fd;

    (void)state;
    open_scene(&s, 4);
    ask_hello();
    fd = fcgi_client_connect(path);
    nap(50); /* accepted */
    close(fd);
    nap(50);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    close(fd);
    fd = fcgi_client_connect(path); /* pending or accepted by now */
    nap(50);
    tight = old;
    tight.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    fcgi_client_send(fd, &(struct fcgi_client_request){.params = hello});
    nap(150);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(fcgi_client_receive(fd, &reply));
    expect_hello(&reply);
    fcgi_client_reply_free(&reply);
    close(fd);
    for (int i = 0; i < 10; i++)
        ask_hello();
    close_scene(&s);
}

static struct server *volatile kept; /* still reachable for the leak checker */

static void drain_waits_for_what_runs(void **state)
{
    struct asker holder;
    struct scene s;
    struct server *server;
    int idle, left;

    (void)state;
    open_scene(&s, 4);
    gate_closed = 1;
    start(&holder, hold, 1);
    wait_until(&holding, 1);
    idle = fcgi_client_connect(path);
    server = s.server;
    left = server_drain(&s.server, 1500); /* too short: one is left */
    assert_int_equal(left, 1);
    gate_closed = 0;
    pthread_join(holder.thread, NULL);
    assert_int_equal(holder.status, 200); /* still answered */
    close(idle);
    kept = server; /* what a left-over thread may still use is not freed */
}

static void *open_gate_later(void *arg)
{
    (void)arg;
    nap(300);
    atomic_store(&gate_closed, 0);
    return NULL;
}

static void drain_under_load(void **state)
{
    struct asker holder;
    struct scene s;
    pthread_t opener;
    int fd;
    char byte;

    (void)state;
    open_scene(&s, 4);
    gate_closed = 1;
    start(&holder, hold, 1);
    wait_until(&holding, 1);
    fd = fcgi_client_connect(path);
    assert_int_equal(fcgi_client_send(fd, &(struct fcgi_client_request){.params = hello,
                                                                        .keep = true}), 0);
    nap(50);
    pthread_create(&opener, NULL, open_gate_later, NULL);
    assert_int_equal(server_drain(&s.server, 5000), 0);
    pthread_join(opener, NULL);
    pthread_join(holder.thread, NULL);
    assert_int_equal(holder.status, 200);
    while (recv(fd, &byte, 1, 0) > 0)
        ; /* the kept connection was closed after its answer */
    close(fd);
    assert_int_equal(fcgi_client_connect(path), -1); /* nobody listens any more */
}

static int setup(void **state)
{
    (void)state;
    permit_init(4);
    if (fcgi_init() != 0 || mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/socket", directory);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_a_request),
        cmocka_unit_test(kept_connection),
        cmocka_unit_test(idle_connections_pin_no_thread),
        cmocka_unit_test(a_body_in_pieces),
        cmocka_unit_test(unwanted_bodies),
        cmocka_unit_test(large_answer),
        cmocka_unit_test(hostile_bytes),
        cmocka_unit_test(half_requests),
        cmocka_unit_test(silent_and_leaving_peers),
        cmocka_unit_test(sixty_four_at_once),
        cmocka_unit_test(overload),
        cmocka_unit_test(overload_on_a_kept_connection),
        cmocka_unit_test(a_full_server_leaves_connections_to_its_sibling),
        cmocka_unit_test(threads_retire),
        cmocka_unit_test(descriptors_exhausted),
        cmocka_unit_test(drain_waits_for_what_runs),
        cmocka_unit_test(drain_under_load),
    };

    return cmocka_run_group_tests_name("http/server", tests, setup, teardown);
}
