/* SPDX-License-Identifier: MIT */
/* Any bytes, shown on a terminal: nothing of them drives it, and no more columns than asked. */
#include <assert.h>
#include <locale.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/output.h"
#include "ctl/when.h"
#include "util/json_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Well-formed UTF-8 without the control characters of C0 and C1. */
static bool is_harmless(const char *text)
{
    while (*text != '\0') {
        size_t length = json_text_utf8(text, strlen(text));
        const unsigned char *c = (const unsigned char *)text;

        if (length == 0 || c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
            return false;
        if (c[0] == 0xe2 && c[1] == 0x80 && c[2] >= 0x8b && c[2] <= 0xae &&
            (c[2] <= 0x8f || c[2] >= 0xa8)) /* no width, ends of lines, directions */
            return false;
        text += length;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t most = size == 0 ? 1 : 1 + data[0] % 40;
    struct buf whole, cut, again;
    char *text = malloc(size + 1);
    size_t columns;
    int64_t ms;

    setlocale(LC_CTYPE, "C.UTF-8");
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    buf_init(&whole, 16 * size + 16);
    buf_init(&cut, 16 * size + 16);
    buf_init(&again, 16 * size + 16);
    columns = output_escape(&whole, text, 0);
    assert(is_harmless(buf_text(&whole)));
    assert(output_escape(&cut, text, most) <= most);
    assert(is_harmless(buf_text(&cut)));
    assert(columns > most || strcmp(buf_text(&whole), buf_text(&cut)) == 0);
    assert(output_escape(&again, buf_text(&whole), 0) == columns); /* what is shown stays so */
    assert(strcmp(buf_text(&again), buf_text(&whole)) == 0);
    when_parse(text, 0, &ms);
    buf_free(&whole);
    buf_free(&cut);
    buf_free(&again);
    free(text);
    return 0;
}
