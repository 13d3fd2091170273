/* SPDX-License-Identifier: MIT */
/* Tells full processes whether somebody else has room. */
#include "http/siblings.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

struct siblings {
    int event_fd; /* the same number in every process: inherited */
    atomic_bool room[SIBLINGS_MAX];
};

struct siblings *siblings_new(void)
{
    struct siblings *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (s == MAP_FAILED)
        return NULL;
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event_fd < 0)
        siblings_free(&s);
    return s;
}

void siblings_free(struct siblings **siblings)
{
    struct siblings *s = *siblings;

    *siblings = NULL;
    if (s->event_fd >= 0)
        close(s->event_fd);
    munmap(s, sizeof *s);
}

void siblings_set_room(struct siblings *s, int slot, bool room)
{
    atomic_store(&s->room[slot], room);
}

bool siblings_have_room(const struct siblings *s)
{
    for (int i = 0; i < SIBLINGS_MAX; i++)
        if (atomic_load(&s->room[i]))
            return true;
    return false;
}

int siblings_fd(const struct siblings *s)
{
    return s->event_fd;
}

void siblings_wake(const struct siblings *s)
{
    uint64_t one = 1;

    /* Nobody ever reads it, the edge is the message; after 2^64 of them it starts over. */
    if (write(s->event_fd, &one, sizeof one) < 0 &&
        read(s->event_fd, &one, sizeof one) > 0)
        siblings_wake(s);
}
