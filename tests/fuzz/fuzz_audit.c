/* SPDX-License-Identifier: MIT */
/* Any fields in the audit trail's canonical form: it can be read back, so no two rows have
 * the same. A byte of input says what comes: nothing, a number, or a text of some length. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/audit_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 64 };

struct field {
    const uint8_t *text; /* NULL = nothing */
    size_t length;
    int64_t number;
    int is_number;
};

static size_t take_field(const uint8_t *data, size_t size, struct field *field)
{
    size_t length = data[0] & 0x3f;

    *field = (struct field){0};
    if (data[0] >= 0xc0)
        return 1;
    if (data[0] >= 0x80 && size > sizeof field->number) {
        field->is_number = 1;
        memcpy(&field->number, data + 1, sizeof field->number);
        return 1 + sizeof field->number;
    }
    field->text = data + 1;
    field->length = length < size - 1 ? length : size - 1;
    return 1 + field->length;
}

static void put_field(struct audit_chain *chain, const struct field *field)
{
    if (field->is_number)
        audit_chain_number(chain, field->number);
    else if (field->text == NULL)
        audit_chain_null(chain);
    else
        audit_chain_text(chain, (const char *)field->text, field->length);
}

/* Reads one field of the form back; returns where the next begins. */
static const char *check_field(const char *at, const struct field *field)
{
    char *end;
    size_t length;

    if (*at == '-') {
        assert(field->text == NULL && !field->is_number && at[1] == ',');
        return at + 2;
    }
    length = strtoul(at, &end, 10);
    assert(*end == ':' && end[1 + length] == ',');
    if (field->is_number) {
        char *after;

        assert(strtoll(end + 1, &after, 10) == field->number && after == end + 1 + length);
    } else {
        assert(field->text != NULL && length == field->length &&
               memcmp(end + 1, field->text, length) == 0);
    }
    return end + 1 + length + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct field seq = {.is_number = 1, .number = 7};
    struct field fields[FIELDS_MAX];
    struct audit_chain chain;
    char hash[SHA_HEX_SIZE], again[SHA_HEX_SIZE];
    size_t count = 0;
    struct err e;
    const char *at;

    assert(audit_chain_init(&chain, &e) == 0);
    for (; size > 0 && count < FIELDS_MAX; count++) {
        size_t used = take_field(data, size, &fields[count]);

        data += used;
        size -= used;
    }
    for (int round = 0; round < 2; round++) {
        audit_chain_begin(&chain, seq.number);
        for (size_t i = 0; i < count; i++)
            put_field(&chain, &fields[i]);
        assert(audit_chain_end(&chain, AUDIT_CHAIN_START, round == 0 ? hash : again, &e) == 0);
    }
    assert(strcmp(hash, again) == 0);
    at = check_field(buf_text(&chain.canonical), &seq);
    for (size_t i = 0; i < count; i++)
        at = check_field(at, &fields[i]);
    assert(strncmp(at, "64:" AUDIT_CHAIN_START ",", 68) == 0 && at[68] == '\0');
    audit_chain_free(&chain);
    return 0;
}
