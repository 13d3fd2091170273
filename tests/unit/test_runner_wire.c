/* SPDX-License-Identifier: MIT */
/* wire: lines and descriptors arrive as they were sent, limits hold, no descriptor leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "count_entries.h"
#include "runner/wire.h"
#include "util/clock.h"

enum { LONG_MS = 60000 };

struct pair {
    struct wire a, b;
    int descriptors; /* of this process, before */
};

static void set_up(struct pair *p, const struct wire_limits *limits)
{
    int ends[2];

    p->descriptors = count_entries("/proc/self/fd");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    wire_init(&p->a, ends[0], limits);
    wire_init(&p->b, ends[1], limits);
}

/* Whatever has happened: nothing stays open. */
static void tear_down(struct pair *p)
{
    wire_close(&p->a);
    wire_close(&p->b);
    wire_close(&p->b);
    assert_int_equal(count_entries("/proc/self/fd"), p->descriptors);
}

static void send_raw(struct wire *w, const char *bytes, size_t length)
{
    assert_int_equal(send(w->fd, bytes, length, 0), (ssize_t)length);
}

/* Bytes with `count` descriptors of /dev/null, in one piece. */
static void send_raw_with_fds(struct wire *w, const char *bytes, size_t count)
{
    int fds[16];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof fds)];
    } control = {0};
    struct iovec data = {.iov_base = (char *)bytes, .iov_len = strlen(bytes)};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room,
                       .msg_controllen = CMSG_SPACE(count * sizeof(int))};

    for (size_t i = 0; i < count; i++)
        assert_true((fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
    assert_int_equal(sendmsg(w->fd, &m, 0), (ssize_t)data.iov_len);
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static int receive(struct wire *w, json_t **message, int *fd)
{
    return wire_receive_until(w, clock_mono_ms() + LONG_MS, message, fd, NULL);
}

static void assert_receives(struct wire *w, const char *type)
{
    json_t *message;

    assert_int_equal(receive(w, &message, NULL), 1);
    assert_string_equal(wire_type(message), type);
    json_decref(message);
}

static void lines_arrive_one_by_one(void **state)
{
    struct pair p;
    json_t *message;

    (void)state;
    set_up(&p, NULL);
    assert_int_equal(wire_receive(&p.b, &message, NULL, NULL), 0);
    send_raw(&p.a, "{\"t\":\"one\"}\n{\"t\":\"two\",\"n\":2}\n{\"x\":1}\n{\"t\":\"fo", 46);
    assert_false(wire_has_line(&p.b));
    assert_receives(&p.b, "one");
    assert_true(wire_has_line(&p.b));
    assert_int_equal(receive(&p.b, &message, NULL), 1);
    assert_int_equal(json_integer_value(json_object_get(message, "n")), 2);
    json_decref(message);
    assert_receives(&p.b, "");
    assert_false(wire_has_line(&p.b));
    assert_int_equal(wire_receive(&p.b, &message, NULL, NULL), 0);
    assert_null(message);
    send_raw(&p.a, "ur\"}\n", 5);
    assert_receives(&p.b, "four");
    wire_close(&p.a);
    assert_int_equal(wire_receive(&p.b, &message, NULL, NULL), AGW_EGONE);
    tear_down(&p);
}

static void what_was_sent_before_the_end_is_received(void **state)
{
    struct pair p;
    json_t *hello = json_pack("{s:s, s:s}", "t", "hello", "text", "a\nb\xe2\x80\xa8");
    json_t *message;
    struct err e = {0};

    (void)state;
    set_up(&p, NULL);
    assert_int_equal(wire_send(&p.a, hello, NULL), 0);
    assert_int_equal(wire_send_text(&p.a, "{\"t\":\"raw\"}", 11, NULL), 0);
    send_raw(&p.a, "{\"t\"", 4);
    wire_close(&p.a);
    assert_int_equal(receive(&p.b, &message, NULL), 1);
    assert_true(json_equal(message, hello));
    json_decref(message);
    assert_receives(&p.b, "raw");
    assert_int_equal(wire_receive(&p.b, &message, NULL, &e), AGW_EGONE);
    assert_non_null(strstr(e.message, "middle of a line"));
    json_decref(hello);
    tear_down(&p);
}

static void *read_all_of_it(void *arg)
{
    struct wire *w = arg;
    json_t *message;
    intptr_t length = -1;

    if (receive(w, &message, NULL) == 1) {
        length = (intptr_t)json_string_length(json_object_get(message, "text"));
        json_decref(message);
    }
    return (void *)length;
}

static void a_long_line_goes_through_a_full_socket(void **state)
{
    enum { LENGTH = 12 << 20 };
    struct pair p;
    char *text = malloc(LENGTH + 1);
    json_t *message;
    pthread_t reader;
    void *length;

    (void)state;
    set_up(&p, NULL);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    message = json_pack("{s:s, s:s}", "t", "long", "text", text);
    assert_int_equal(wire_send(&p.a, message, NULL), 0);
    assert_true(wire_wants_to_send(&p.a));
    assert_int_equal(wire_flush_until(&p.a, clock_mono_ms() + 20, NULL), AGW_ETIMEOUT);
    assert_int_equal(pthread_create(&reader, NULL, read_all_of_it, &p.b), 0);
    assert_int_equal(wire_flush_until(&p.a, clock_mono_ms() + LONG_MS, NULL), 0);
    pthread_join(reader, &length);
    assert_int_equal((intptr_t)length, LENGTH);
    assert_null(p.a.out.data); /* large buffers are given back */
    assert_null(p.b.in.data);
    json_decref(message);
    free(text);
    tear_down(&p);
}

/* ---- limits ---- */

static const struct wire_limits narrow = {.line = 40, .queue = 60,
                                          .json = {.depth = 3, .tokens = 8}};

static void lines_that_are_refused(void **state)
{
    static const struct {
        const char *line;
        int status;
    } rows[] = {
        {"{\"t\":\"0123456789012345678901234567890\"}\n", 1}, /* 39 */
        {"{\"t\":\"01234567890123456789012345678901\"}\n", 1},
        {"{\"t\":\"012345678901234567890123456789012\"}\n", AGW_ETOOLARGE},
        {"{\"t\":\"0123456789012345678901234567890123456789", AGW_ETOOLARGE},
        {"\n", AGW_EINVALID},
        {"[1]\n", AGW_EINVALID},
        {"7\n", AGW_EINVALID},
        {"{\"t\":1,\"t\":2}\n", AGW_EINVALID},
        {"{\"t\":\"a\"} x\n", AGW_EINVALID},
        {"{\"t\":\"\xff\"}\n", AGW_EINVALID},
        {"{\"a\":[[1]]}\n", 1},
        {"{\"a\":[[[1]]]}\n", AGW_EINVALID},
        {"{\"a\":[1,2,3,4,5,6,7,8,9]}\n", AGW_EINVALID},
        {"{\"t\":\"a\"}\r\n", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair p;
        json_t *message;

        set_up(&p, &narrow);
        send_raw(&p.a, rows[i].line, strlen(rows[i].line));
        assert_int_equal(wire_receive(&p.b, &message, NULL, NULL), rows[i].status);
        assert_true((rows[i].status == 1) == (message != NULL));
        json_decref(message);
        tear_down(&p);
    }
}

static void a_peer_that_does_not_read_fills_no_memory(void **state)
{
    struct pair p;
    json_t *message = json_pack("{s:s}", "t", "0123456789");
    struct err e = {0};
    int status = 0, sent = 0;

    (void)state;
    set_up(&p, &narrow);
    while (status == 0 && sent++ < 1000000)
        status = wire_send(&p.a, message, &e);
    assert_int_equal(status, AGW_ETOOLARGE);
    assert_true(p.a.out.length <= narrow.queue);
    json_decref(message);
    tear_down(&p);
}

/* ---- descriptors ---- */

static bool same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static void a_descriptor_comes_with_its_line(void **state)
{
    struct pair p;
    int ends[2], fd;
    json_t *plain = json_pack("{s:s}", "t", "plain"), *with = json_pack("{s:s}", "t", "with");
    json_t *message;

    (void)state;
    set_up(&p, NULL);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wire_send(&p.a, plain, NULL), 0);
        assert_int_equal(wire_send_fd(&p.a, with, fcntl(ends[0], F_DUPFD_CLOEXEC, 3), NULL), 0);
    }
    assert_int_equal(wire_send(&p.a, plain, NULL), 0);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(receive(&p.b, &message, &fd), 1);
        assert_string_equal(wire_type(message), i % 2 == 0 ? "plain" : "with");
        json_decref(message);
        if (i % 2 == 0) {
            assert_int_equal(fd, -1);
            continue;
        }
        assert_true(same_file(fd, ends[0]));
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        close(fd);
    }
    close(ends[0]);
    close(ends[1]);
    json_decref(plain);
    json_decref(with);
    tear_down(&p);
}

/* The first line fills the socket, so that the others wait in the queue with theirs. */
static void descriptors_wait_with_their_lines(void **state)
{
    enum { LENGTH = 1 << 20, LINES = WIRE_FDS_MAX };
    struct pair p;
    char *text = malloc(LENGTH + 1);
    json_t *with = json_pack("{s:s}", "t", "with"), *message;
    int fd;

    (void)state;
    set_up(&p, NULL);
    memset(text, 'x', LENGTH);
    text[LENGTH] = '\0';
    message = json_pack("{s:s, s:s}", "t", "long", "text", text);
    assert_int_equal(wire_send(&p.a, message, NULL), 0);
    json_decref(message);
    assert_true(wire_wants_to_send(&p.a));
    for (int i = 0; i < LINES; i++)
        assert_int_equal(wire_send_fd(&p.a, with, open("/dev/null", O_RDONLY), NULL), 0);
    assert_int_equal(wire_send_fd(&p.a, with, open("/dev/null", O_RDONLY), NULL), AGW_ETOOLARGE);
    for (int received = 0; received < LINES + 1;) {
        int status = wire_receive(&p.b, &message, &fd, NULL);

        assert_true(status >= 0);
        assert_int_equal(wire_flush(&p.a, NULL), 0);
        if (status == 0)
            continue;
        assert_int_equal(fd >= 0, received++ > 0);
        if (fd >= 0)
            close(fd);
        json_decref(message);
    }
    json_decref(with);
    free(text);
    tear_down(&p);
}

static void descriptors_that_nobody_wants_are_closed(void **state)
{
    static const struct {
        const char *first, *second; /* the second comes with the descriptors */
        size_t fds;
        int status;                 /* of the line after the first */
        bool asks;
    } rows[] = {
        {"{\"t\":\"a\"}\n", "{\"t\":\"b\"}\n", 1, 1, false},
        {"{\"t\":\"a\"}\n", "{\"t\":\"b\"}\n", 2, AGW_EINVALID, true},
        {"{\"t\":\"a\"}\n", "no JSON\n", 1, AGW_EINVALID, true},
        {"{\"t\":\"a\"}\n", "{\"t\":\"never ends", 1, 0, true},
        {"{\"t\":\"a\"}\n", "{\"t\":\"b\"}\n", WIRE_FDS_MAX, AGW_EINVALID, true},
        {"{\"t\":\"a\"}\n", "{\"t\":\"b\"}\n", WIRE_FDS_MAX + 4, AGW_EINVALID, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair p;
        json_t *message;
        int fd = -1, before, status;

        set_up(&p, NULL);
        before = count_entries("/proc/self/fd");
        send_raw(&p.a, rows[i].first, strlen(rows[i].first));
        assert_receives(&p.b, "a");
        send_raw_with_fds(&p.a, rows[i].second, rows[i].fds);
        status = wire_receive(&p.b, &message, rows[i].asks ? &fd : NULL, NULL);
        assert_int_equal(status, rows[i].status);
        assert_int_equal(fd, -1);
        json_decref(message);
        if (status == 1)
            assert_int_equal(count_entries("/proc/self/fd"), before);
        tear_down(&p);
    }
}

/* The kernel of a process that has too many descriptors open: its own limit would not do, as some
 * tools for tests only play that one. */
static bool no_room;

ssize_t __real_recvmsg(int fd, struct msghdr *m, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags);

ssize_t __wrap_recvmsg(int fd, struct msghdr *m, int flags)
{
    ssize_t got = __real_recvmsg(fd, m, flags);
    struct cmsghdr *c = no_room && got > 0 ? CMSG_FIRSTHDR(m) : NULL;
    int lost;

    if (c == NULL)
        return got;
    memcpy(&lost, CMSG_DATA(c), sizeof lost);
    close(lost);
    m->msg_controllen = 0;
    m->msg_flags |= MSG_CTRUNC;
    return got;
}

/* Its line comes all the same, and so do those after it. */
static void a_descriptor_that_there_is_no_room_for(void **state)
{
    struct pair p;
    json_t *message;
    int fd = -1, status;

    (void)state;
    set_up(&p, NULL);
    send_raw_with_fds(&p.a, "{\"t\":\"a\"}\n", 1);
    no_room = true;
    status = wire_receive(&p.b, &message, &fd, NULL);
    no_room = false;
    assert_int_equal(status, 1);
    assert_int_equal(fd, -1);
    assert_true(p.b.lost_fd);
    json_decref(message);
    send_raw_with_fds(&p.a, "{\"t\":\"b\"}\n", 1);
    assert_int_equal(wire_receive(&p.b, &message, &fd, NULL), 1);
    assert_true(fd >= 0 && !p.b.lost_fd);
    close(fd);
    json_decref(message);
    tear_down(&p);
}

static void a_descriptor_belongs_to_the_line_of_the_last_byte(void **state)
{
    struct pair p;
    json_t *message;
    int fd;

    (void)state;
    set_up(&p, NULL);
    send_raw_with_fds(&p.a, "{\"t\":\"a\"}\n{\"t\":\"b\"}\n{\"t\":\"c\"", 1);
    send_raw(&p.a, "}\n", 2);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(receive(&p.b, &message, &fd), 1);
        assert_int_equal(fd >= 0, i == 2);
        json_decref(message);
    }
    close(fd);
    tear_down(&p);
}

static void a_closed_one_says_so(void **state)
{
    struct pair p;
    json_t *hello = json_pack("{s:s}", "t", "hello"), *message;
    struct err e = {0};
    int status = 0;

    (void)state;
    set_up(&p, NULL);
    wire_close(&p.b);
    for (int i = 0; i < 3 && status == 0; i++)
        status = wire_send(&p.a, hello, &e);
    assert_int_equal(status, AGW_EGONE);
    assert_int_equal(wire_send_fd(&p.a, hello, open("/dev/null", O_RDONLY), NULL), AGW_EGONE);
    assert_int_equal(wire_receive(&p.b, &message, NULL, NULL), AGW_EGONE);
    assert_int_equal(wire_send(&p.b, hello, NULL), AGW_EGONE);
    assert_int_equal(wire_send_fd(&p.b, hello, open("/dev/null", O_RDONLY), NULL), AGW_EGONE);
    assert_int_equal(wire_flush(&p.b, NULL), AGW_EGONE);
    json_decref(hello);
    tear_down(&p);
}

static void waits_end_at_the_deadline_or_for_another(void **state)
{
    struct pair p;
    int ends[2];
    json_t *message;

    (void)state;
    set_up(&p, NULL);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(wire_wait(&p.a, -1, clock_mono_ms() + 5), 0);
    assert_int_equal(wire_wait(&p.a, ends[0], clock_mono_ms() - 5), 0);
    assert_int_equal(wire_receive_until(&p.a, clock_mono_ms() + 5, &message, NULL, NULL),
                     AGW_ETIMEOUT);
    close(ends[1]);
    assert_int_equal(wire_wait(&p.a, ends[0], clock_mono_ms() + LONG_MS), WIRE_WAIT_OTHER);
    send_raw(&p.b, "{}\n", 3);
    assert_int_equal(wire_wait(&p.a, ends[0], clock_mono_ms() + LONG_MS),
                     WIRE_WAIT_OTHER | WIRE_WAIT_SELF);
    close(ends[0]);
    assert_receives(&p.a, "");
    tear_down(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_arrive_one_by_one),
        cmocka_unit_test(what_was_sent_before_the_end_is_received),
        cmocka_unit_test(a_long_line_goes_through_a_full_socket),
        cmocka_unit_test(lines_that_are_refused),
        cmocka_unit_test(a_peer_that_does_not_read_fills_no_memory),
        cmocka_unit_test(a_descriptor_comes_with_its_line),
        cmocka_unit_test(descriptors_wait_with_their_lines),
        cmocka_unit_test(descriptors_that_nobody_wants_are_closed),
        cmocka_unit_test(a_descriptor_that_there_is_no_room_for),
        cmocka_unit_test(a_descriptor_belongs_to_the_line_of_the_last_byte),
        cmocka_unit_test(a_closed_one_says_so),
        cmocka_unit_test(waits_end_at_the_deadline_or_for_another),
    };

    return cmocka_run_group_tests_name("runner/wire", tests, NULL, NULL);
}
