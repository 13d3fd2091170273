/* SPDX-License-Identifier: MIT */
/* Reads whole text files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "read_file.h"
#include "util/buf.h"

char *read_file(const char *path)
{
    struct buf text;
    char line[512];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    buf_init(&text, 1 << 20);
    while (fgets(line, sizeof line, file) != NULL)
        assert_int_equal(buf_puts(&text, line), 0);
    fclose(file);
    return buf_take(&text);
}
