/* SPDX-License-Identifier: MIT */
/* Gets memory, or ends the program. */
#include "runnerd/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/json_memory.h"

static void *need(void *p)
{
    static const char words[] = "agw-runner: out of memory\n";

    if (p != NULL)
        return p;
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    _exit(JSON_MEMORY_EXIT);
}

void *memory_new(size_t size)
{
    return need(calloc(1, size));
}

char *memory_text(const char *text)
{
    return need(strdup(text));
}

void *memory_grow(void *old, size_t size)
{
    return need(realloc(old, size));
}
