/* SPDX-License-Identifier: MIT */
/* http_client.c: where a call may go, whatever names resolve to, and that it is sent once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_scene.h"

/* ---- a resolver that says what a test wants: libcurl finds this one first ---- */

static const char *const *answers; /* addresses, NULL-terminated */
static atomic_int asked;

static struct addrinfo *one(const char *text, int port)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in6 six;
    } *made = calloc(1, sizeof *made);
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)&made->six;

    assert_non_null(made);
    made->info.ai_socktype = SOCK_STREAM;
    made->info.ai_protocol = IPPROTO_TCP;
    made->info.ai_addr = (struct sockaddr *)(void *)&made->six;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        made->info.ai_family = four->sin_family = AF_INET;
        made->info.ai_addrlen = sizeof *four;
        four->sin_port = htons((uint16_t)port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &made->six.sin6_addr), 1);
        made->info.ai_family = made->six.sin6_family = AF_INET6;
        made->info.ai_addrlen = sizeof made->six;
        made->six.sin6_port = htons((uint16_t)port);
    }
    return &made->info;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **list)
{
    (void)name, (void)hints;
    *list = NULL;
    for (size_t i = 0; answers != NULL && answers[i] != NULL; i++) {
        *list = one(answers[i], service == NULL ? 0 : (int)strtol(service, NULL, 10));
        list = &(*list)->ai_next;
    }
    atomic_fetch_add(&asked, 1);
    return answers == NULL ? EAI_NONAME : 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;

        free(list);
        list = next;
    }
}

/* ---- tests ---- */

static void go_to(struct scene *s, const char *host)
{
    snprintf(s->url, sizeof s->url, "http://%s:%d/x", host, mock_http_port(s->server));
}

static void assert_refused(struct scene *s, const char *what)
{
    assert_int_equal(scene_call(s), AGW_EUPSTREAM);
    assert_true(s->result.refused_address);
    assert_false(s->result.connected);
    assert_int_equal(s->result.status, 0);
    if (strstr(s->e.message, what) == NULL ||
        strstr(s->e.message, "allow_private: true") == NULL)
        fail_msg("%s: %s", what, s->e.message);
}

static void every_way_to_write_loopback_is_refused(void **state)
{
    static const char *const hosts[] = {
        "127.0.0.1", "localhost", "LOCALHOST.", "a.localhost", "2130706433", "0x7f000001",
        "017700000001", "127.1", "0x7f.1", "127.0.0.1.", "0.0.0.0", "0", "[::1]", "[::]",
        "[0:0:0:0:0:ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]", "[fe80::1]", "%31%32%37.0.0.1"};
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.reach = HTTP_REACH_PUBLIC;
    answers = (const char *const[]){"127.0.0.1", NULL}; /* for what is a name to curl */
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        go_to(&s, hosts[i]);
        assert_refused(&s, "is not public but");
    }
    assert_int_equal(mock_http_connections(s.server), 0);
    scene_close(&s);
}

static void names_are_judged_by_their_addresses(void **state)
{
    static const char *const lists[][3] = {
        {"10.0.0.1"}, {"127.0.0.1"}, {"::1"}, {"::ffff:127.0.0.1"}, {"169.254.169.254"},
        {"192.168.0.1", "127.0.0.1"}, {"::1", "127.0.0.1"}, {"fd00::1", "100.64.0.1"}};
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.reach = HTTP_REACH_PUBLIC;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        char host[32];

        snprintf(host, sizeof host, "case%zu.example", i);
        answers = (const char *const[]){lists[i][0], lists[i][1], NULL};
        go_to(&s, host);
        assert_refused(&s, lists[i][1] == NULL ? lists[i][0] : " is not public but ");
    }
    assert_int_equal(mock_http_connections(s.server), 0);
    scene_close(&s);
}

/* A name that stood for something else when it was last asked for. */
static void a_name_may_change_what_it_stands_for(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    s.call.reach = HTTP_REACH_PUBLIC;
    go_to(&s, "rebind.example");
    answers = NULL;
    assert_int_equal(scene_call(&s), AGW_EUPSTREAM);
    assert_false(s.result.refused_address);
    answers = (const char *const[]){"127.0.0.1", NULL};
    asked = 0;
    assert_refused(&s, "127.0.0.1");
    assert_int_equal(asked, 1);
    assert_int_equal(mock_http_connections(s.server), 0);
    scene_close(&s);
}

static void a_private_call_leaves_no_connection_to_public_ones(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, PLAIN);
    for (int i = 0; i < 3; i++) {
        s.call.reach = HTTP_REACH_ANY;
        assert_int_equal(scene_call(&s), 0);
        s.call.reach = HTTP_REACH_PUBLIC;
        assert_refused(&s, "127.0.0.1");
    }
    assert_int_equal(mock_http_requests(s.server), 3);
    assert_int_equal(mock_http_connections(s.server), 1); /* which stayed warm meanwhile */
    scene_close(&s);
}

static void redirects_lead_nowhere(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s, REDIRECT);
    s.call.once = true;
    assert_int_equal(scene_call(&s), 0);
    assert_int_equal(s.result.status, 307);
    assert_int_equal(mock_http_requests(s.server), 1);
    scene_close(&s);
}

/* The server reads the request, and may have done what it says, before the connection
 * breaks. */
static void once_means_once(void **state)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
    struct scene s;

    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        scene_open(&s, LEAVE_AT_SECOND);
        s.call.method = methods[i];
        s.call.once = true;
        assert_int_equal(scene_call(&s), 0);
        assert_int_equal(scene_call(&s), AGW_EUPSTREAM);
        assert_true(s.result.connected);
        assert_false(s.result.any_byte);
        assert_non_null(strstr(s.e.message, "not sent again"));
        assert_int_equal(mock_http_requests(s.server), 2);
        assert_int_equal(scene_call(&s), 0); /* a new call, a new connection */
        assert_int_equal(mock_http_requests(s.server), 3);
        s.call.once = false; /* what curl does by itself, so that this test means something */
        assert_int_equal(scene_call(&s), 0);
        assert_int_equal(mock_http_requests(s.server), 5);
        scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_write_loopback_is_refused),
        cmocka_unit_test(names_are_judged_by_their_addresses),
        cmocka_unit_test(a_name_may_change_what_it_stands_for),
        cmocka_unit_test(a_private_call_leaves_no_connection_to_public_ones),
        cmocka_unit_test(redirects_lead_nowhere),
        cmocka_unit_test(once_means_once),
    };

    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("net/http_reach", tests, NULL, NULL);
}
