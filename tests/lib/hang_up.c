/* SPDX-License-Identifier: MIT */
/* Leaves after a moment, as clients do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hang_up.h"

enum { MOMENT_US = 200000 };

static void *leave(void *fd)
{
    usleep(MOMENT_US);
    shutdown(*(int *)fd, SHUT_RDWR);
    return NULL;
}

void hang_up_begin(struct hang_up *h, const char *text)
{
    ssize_t length = (ssize_t)strlen(text);
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    h->watched = pair[0];
    h->other = pair[1];
    assert_int_equal(write(h->other, text, (size_t)length), length);
    assert_int_equal(pthread_create(&h->thread, NULL, leave, &h->other), 0);
}

void hang_up_end(struct hang_up *h)
{
    pthread_join(h->thread, NULL);
    close(h->watched);
    close(h->other);
}
