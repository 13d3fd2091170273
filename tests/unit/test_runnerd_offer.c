/* SPDX-License-Identifier: MIT */
/* offer: of a catalog only what is needed, and no more than can be borne. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "runnerd/offer.h"
#include "util/buf.h"

static json_t *take(const char *text, bool *cut)
{
    json_t *catalog = json_loads(text, JSON_DECODE_ANY, NULL), *offer;

    assert_non_null(catalog);
    offer = offer_take(catalog, cut);
    assert_non_null(offer);
    json_decref(catalog);
    return offer;
}

static void what_is_needed_is_taken(void **state)
{
    static const char text[] =
        "{\"t\": \"catalog\", \"gateway\": {\"namespace\": \"n\", \"other\": \"o\","
        " \"display_name\": \"N\", \"description\": \"d\", \"model\": \"m\", \"upstream\": 7},"
        " \"doc\": \"what\", \"diagnostics\": [], \"exports\": [{\"attr\": \"agent\","
        " \"kind\": \"agent\", \"name\": \"A\", \"model\": null, \"tools\": [\"t\", 1, \"u\"],"
        " \"handoffs\": \"none\"}]}";
    json_t *wanted = json_pack(
        "{s:{s:s, s:s, s:s, s:s}, s:s, s:[{s:s, s:s, s:[s, s], s:[]}]}", "gateway", "namespace",
        "n", "display_name", "N", "description", "d", "model", "m", "doc", "what", "exports",
        "attr", "agent", "name", "A", "tools", "t", "u", "handoffs");
    bool cut;
    json_t *offer = take(text, &cut);

    (void)state;
    assert_false(cut);
    assert_true(json_equal(offer, wanted));
    json_decref(offer);
    json_decref(wanted);
}

static void nonsense_is_an_empty_offer(void **state)
{
    static const char *const texts[] = {
        "{}", "[]", "{\"exports\": 7, \"gateway\": [], \"doc\": {}}", "{\"exports\": {\"a\": 1}}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        bool cut;
        json_t *offer = take(texts[i], &cut);

        assert_false(cut);
        assert_int_equal(json_array_size(json_object_get(offer, "exports")), 0);
        assert_true(json_is_array(json_object_get(offer, "exports")));
        json_decref(offer);
    }
}

/* `begin`, `count` times `piece`, `end`. */
static json_t *take_repeated(const char *begin, const char *piece, size_t count, const char *end,
                             bool *cut)
{
    struct buf text;
    json_t *offer;

    buf_init(&text, 1 << 20);
    assert_int_equal(buf_puts(&text, begin), 0);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(buf_puts(&text, piece), 0);
    assert_int_equal(buf_puts(&text, end), 0);
    assert_int_equal(buf_append(&text, "", 1), 0);
    offer = take(text.data, cut);
    buf_free(&text);
    return offer;
}

/* `piece` as often as is fine, and once more. */
static void bound(const char *begin, const char *piece, size_t most, const char *end)
{
    for (size_t more = 0; more < 2; more++) {
        bool cut;

        json_decref(take_repeated(begin, piece, most + more, end, &cut));
        assert_int_equal(cut, more > 0);
    }
}

static void all_has_its_bounds(void **state)
{
    (void)state;
    bound("{\"doc\": \"", "x", OFFER_TEXT_MAX, "\"}");
    bound("{\"gateway\": {\"description\": \"", "x", OFFER_TEXT_MAX, "\"}}");
    bound("{\"gateway\": {\"namespace\": \"", "x", OFFER_NAME_MAX, "\"}}");
    bound("{\"exports\": [{\"attr\": \"", "x", OFFER_NAME_MAX, "\"}]}");
    bound("{\"exports\": [{\"attr\": \"a\", \"model\": \"", "x", OFFER_NAME_MAX, "\"}]}");
    bound("{\"exports\": [{\"attr\": \"a\", \"tools\": [\"", "x", OFFER_NAME_MAX, "\"]}]}");
    bound("{\"exports\": [", "{\"attr\": \"a\"},", OFFER_EXPORTS_MAX - 1, "{\"attr\": \"b\"}]}");
    bound("{\"exports\": [{\"attr\": \"a\", \"tools\": [\"t\"], \"handoffs\": [", "\"t\",",
          OFFER_NAMES_MAX - 2, "\"t\"]}]}");
}

static void a_cut_text_ends_where_a_character_ends(void **state)
{
    bool cut;
    json_t *offer = take_repeated("{\"doc\": \"x", "\xc3\xa4", OFFER_TEXT_MAX, "\"}", &cut);

    (void)state;
    assert_true(cut);
    assert_in_range(json_string_length(json_object_get(offer, "doc")), OFFER_TEXT_MAX - 1,
                    OFFER_TEXT_MAX + 2);
    json_decref(offer);
}

static void an_export_without_a_name_is_none(void **state)
{
    bool cut;
    json_t *offer = take("{\"exports\": [{}, 7, {\"attr\": \"\"}, {\"attr\": \"a\"}]}", &cut);

    (void)state;
    assert_true(cut);
    assert_int_equal(json_array_size(json_object_get(offer, "exports")), 1);
    json_decref(offer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_needed_is_taken),
        cmocka_unit_test(nonsense_is_an_empty_offer),
        cmocka_unit_test(all_has_its_bounds),
        cmocka_unit_test(a_cut_text_ends_where_a_character_ends),
        cmocka_unit_test(an_export_without_a_name_is_none),
    };

    return cmocka_run_group_tests_name("runnerd_offer", tests, NULL, NULL);
}
