/* SPDX-License-Identifier: MIT */
/* No value drives the terminal, and columns are as wide as they look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/output.h"
#include "ctl/progress.h"
#include "ctl/table.h"

static void escapes(void **state)
{
    static const struct {
        const char *text, *shown;
        size_t columns;
    } cases[] = {
        {"plain", "plain", 5},
        {"", "", 0},
        {"\x1b[31mred", "\\x1b[31mred", 11},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd", 10},
        {"\x7f", "\\x7f", 4},
        {"\xc2\x9b" "2J", "\\u{9b}2J", 8},           /* CSI of the C1 set */
        {"\xe2\x80\xaelive", "\\u{202e}live", 12},   /* turns the direction */
        {"\xe2\x80\x8b", "\\u{200b}", 8},            /* no width: hides in a name */
        {"\xff\xfe", "\\xff\\xfe", 8},
        {"\xc0\xaf", "\\xc0\\xaf", 8},               /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", 12},     /* a surrogate */
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", 4},
        {"\xe6\xbc\xa2\xe5\xad\x97", "\xe6\xbc\xa2\xe5\xad\x97", 4},
        {"e\xcc\x81", "e\xcc\x81", 1},               /* a combining accent */
        {"\xf3\xa0\x81\x81", "\\u{e0041}", 9},       /* a tag character */
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t columns;

        buf_reset(&out);
        columns = output_escape(&out, cases[i].text, 0);
        assert_string_equal(buf_text(&out), cases[i].shown);
        assert_int_equal(columns, cases[i].columns);
    }
    buf_free(&out);
}

static void cuts(void **state)
{
    static const struct {
        const char *text, *shown;
        size_t most, columns;
    } cases[] = {
        {"12345", "12345", 5, 5},
        {"123456", "1234\xe2\x80\xa6", 5, 5},
        {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", "\xe6\xbc\xa2\xe5\xad\x97\xe2\x80\xa6", 5, 5},
        {"\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", "\xe6\xbc\xa2\xe2\x80\xa6", 4, 3},
        {"123\x1b" "6", "123\xe2\x80\xa6", 5, 4},    /* never half an escape */
    };
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t columns;

        buf_reset(&out);
        columns = output_escape(&out, cases[i].text, cases[i].most);
        assert_string_equal(buf_text(&out), cases[i].shown);
        assert_int_equal(columns, cases[i].columns);
    }
    buf_free(&out);
}

static const struct table_column columns[] = {{"NAME", false}, {"N", true}, {"NOTE", false},
                                              {NULL, false}};

/* What the table prints goes to a file in place of standard output. */
static char *printed(struct table *table, bool colour)
{
    static char text[4096];
    FILE *file = tmpfile();
    int saved = dup(STDOUT_FILENO);
    size_t length;

    assert_non_null(file);
    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    assert_int_equal(table_print(&table, colour, "There are none."), 0);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    length = fread(text, 1, sizeof text - 1, file);
    text[length] = '\0';
    fclose(file);
    assert_null(table);
    return text;
}

static void aligned(void **state)
{
    struct table *table = table_new(columns);

    (void)state;
    table_text(table, STYLE_GOOD, "gr\xc3\xbc\xc3\x9f");
    table_number(table, 7);
    table_text(table, STYLE_PLAIN, "one\ntwo");
    table_text(table, STYLE_PLAIN, "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2");
    table_number(table, 12345);
    table_text(table, STYLE_PLAIN, NULL);
    assert_int_equal(table_rows(table), 2);
    assert_string_equal(printed(table, false),
                        "NAME        N  NOTE\n"
                        "gr\xc3\xbc\xc3\x9f        7  one\\ntwo\n"
                        "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2  12345  -\n");
}

static void coloured(void **state)
{
    struct table *table = table_new(columns);

    (void)state;
    table_text(table, STYLE_GOOD, "\x1b[5mx");
    table_time(table, 1795564800000);
    table_time(table, 0);
    assert_string_equal(printed(table, true),
                        "\033[1mNAME\033[0m                        \033[1mN\033[0m  "
                        "\033[1mNOTE\033[0m\n"
                        "\033[32m\\x1b[5mx\033[0m  2026-11-25 00:00:00  -\n");
}

static void empty(void **state)
{
    (void)state;
    assert_string_equal(printed(table_new(columns), true), "There are none.\n");
}

/* Both ends of a terminal that nobody looks at. */
static int open_terminal(int *other)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    assert_true(master >= 0);
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    *other = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(*other >= 0);
    return master;
}

static void colours_of_a_terminal(void **state)
{
    static const struct {
        const char *term, *no_color;
        bool colours;
    } cases[] = {{"xterm", NULL, true}, {"xterm", "", true}, {"xterm", "1", false},
                 {"dumb", NULL, false}, {NULL, NULL, false}};
    int other, master = open_terminal(&other);
    FILE *file = fdopen(other, "r+");

    (void)state;
    assert_non_null(file);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsetenv("TERM");
        unsetenv("NO_COLOR");
        if (cases[i].term != NULL)
            setenv("TERM", cases[i].term, 1);
        if (cases[i].no_color != NULL)
            setenv("NO_COLOR", cases[i].no_color, 1);
        assert_int_equal(output_may_colour(file), cases[i].colours);
    }
    fclose(file);
    close(master);
}

/* What a piece of work shows of itself, `spent_ms` after its beginning on a terminal. */
static void shown_progress(int64_t total, int64_t spent_ms, char *text, size_t size)
{
    int other, master = open_terminal(&other), saved = dup(STDERR_FILENO);
    struct progress progress;
    size_t length = 0;
    ssize_t got = 1;

    dup2(other, STDERR_FILENO);
    progress_begin(&progress, "verifying rows", total);
    progress.began_ms -= spent_ms;
    progress_step(&progress, 500);
    progress_step(&progress, 600); /* too soon to be drawn again */
    progress_end(&progress);
    fputs("end", stderr);
    dup2(saved, STDERR_FILENO);
    /* a terminal passes on what it has at the moment */
    for (text[0] = '\0'; got > 0 && strstr(text, "end") == NULL; text[length] = '\0') {
        got = read(master, text + length, size - 1 - length);
        length += got > 0 ? (size_t)got : 0;
    }
    close(saved);
    close(other);
    close(master);
}

static void progress_on_a_terminal(void **state)
{
    char text[512];

    (void)state;
    shown_progress(1000, 10, text, sizeof text); /* short work shows nothing */
    assert_string_equal(text, "end");
    shown_progress(1000, 5000, text, sizeof text);
    assert_non_null(strstr(text, "\rverifying rows: 500 of 1000 (50 %), "));
    assert_null(strstr(text, "600"));
    assert_non_null(strstr(text, "\r\033[K"));
    shown_progress(0, 5000, text, sizeof text);
    assert_non_null(strstr(text, "\rverifying rows: 500, "));
}

static void no_progress_elsewhere(void **state)
{
    struct progress progress;
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);

    (void)state;
    dup2(fileno(file), STDERR_FILENO);
    progress_begin(&progress, "verifying rows", 1000);
    progress.began_ms -= 5000;
    progress_step(&progress, 500);
    progress_end(&progress);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    assert_int_equal(ftell(file), 0);
    fclose(file);
}

/* Only a terminal gets colours: the tests' standard output is none. */
static void no_terminal(void **state)
{
    FILE *file = tmpfile();

    (void)state;
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    assert_false(output_may_colour(file));
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes), cmocka_unit_test(cuts),  cmocka_unit_test(aligned),
        cmocka_unit_test(coloured), cmocka_unit_test(empty), cmocka_unit_test(no_terminal),
        cmocka_unit_test(colours_of_a_terminal), cmocka_unit_test(progress_on_a_terminal),
        cmocka_unit_test(no_progress_elsewhere),
    };

    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
