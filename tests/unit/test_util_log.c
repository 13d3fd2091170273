/* SPDX-License-Identifier: MIT */
/* log: one event is one JSON line, whatever is in it; levels; rotation while threads write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"

static char folder[64], path[128], rotated[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/agw-log-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(rotated, sizeof rotated, "%s/log.1", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    log_open("-");
    unlink(path);
    unlink(rotated);
    return rmdir(folder);
}

static int fresh_file(void **state)
{
    (void)state;
    unlink(path);
    unlink(rotated);
    log_set_level(LOG_INFO);
    return log_open(path);
}

/* The lines of a file, each parsed. */
static json_t *lines_of(const char *file)
{
    FILE *stream = fopen(file, "r");
    char line[8192];
    json_t *list = json_array();

    assert_non_null(stream);
    while (fgets(line, sizeof line, stream) != NULL) {
        json_t *value = json_loads(line, 0, NULL);

        if (value == NULL)
            fail_msg("not JSON: %s", line);
        assert_int_equal(line[strlen(line) - 1], '\n');
        json_array_append_new(list, value);
    }
    fclose(stream);
    return list;
}

static json_t *only_line(void)
{
    json_t *list = lines_of(path), *line;

    assert_int_equal(json_array_size(list), 1);
    line = json_incref(json_array_get(list, 0));
    json_decref(list);
    return line;
}

static void fields_of_every_kind(void **state)
{
    struct log_line line;
    json_t *seen;
    int64_t ms;

    (void)state;
    log_begin(&line, LOG_WARN, "upstream.health");
    log_str(&line, "upstream", "echo \"x\"");
    log_str(&line, "error", NULL);
    log_int(&line, "least", INT64_MIN);
    log_int(&line, "most", INT64_MAX);
    log_bool(&line, "up", true);
    log_bool(&line, "down", false);
    log_end(&line);
    seen = only_line();
    assert_string_equal(json_string_value(json_object_get(seen, "level")), "warn");
    assert_string_equal(json_string_value(json_object_get(seen, "event")), "upstream.health");
    assert_string_equal(json_string_value(json_object_get(seen, "upstream")), "echo \"x\"");
    assert_true(json_is_null(json_object_get(seen, "error")));
    assert_true(json_integer_value(json_object_get(seen, "least")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(seen, "most")) == INT64_MAX);
    assert_true(json_is_true(json_object_get(seen, "up")));
    assert_true(json_is_false(json_object_get(seen, "down")));
    assert_int_equal(clock_parse(json_string_value(json_object_get(seen, "ts")), &ms), 0);
    assert_true(llabs(ms - clock_wall_ms()) < 60000);
    assert_int_equal(json_object_size(seen), 9);
    json_decref(seen);
}

static void T13_hostile_text_stays_in_its_line(void **state)
{
    static const char *const hostile[] = {
        "a\r\nb", "\x1b[2J", "\xE2\x80\xA8{\"event\":\"forged\"}", "\xFF\xFE", "\x7f", "\"}\n{\"",
        "\\", "\xED\xA0\x80",
    };
    json_t *list;

    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct log_line line;

        log_begin(&line, LOG_INFO, "http.request");
        log_str(&line, "path", hostile[i]);
        log_str(&line, "after", "still here");
        log_end(&line);
    }
    list = lines_of(path);
    assert_int_equal(json_array_size(list), sizeof hostile / sizeof hostile[0]);
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_string_equal(
            json_string_value(json_object_get(json_array_get(list, i), "after")),
            "still here");
    json_decref(list);
}

static void levels_filter(void **state)
{
    json_t *list;

    (void)state;
    log_set_level(LOG_WARN);
    log_message(LOG_DEBUG, "no", "x");
    log_message(LOG_INFO, "no", "x");
    log_message(LOG_WARN, "yes", "%d", 1);
    log_message(LOG_ERROR, "yes", "%d", 2);
    list = lines_of(path);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    assert_int_equal(log_level_parse("debug"), LOG_DEBUG);
    assert_int_equal(log_level_parse("error"), LOG_ERROR);
    assert_int_equal(log_level_parse("INFO"), -1);
    assert_int_equal(log_level_parse(""), -1);
}

/* Texts of every length around the limit, of letters that grow when escaped. */
static void long_texts_are_cut_and_say_so(void **state)
{
    static const char *const letters[] = {"a", "\n", "\x01", "\xF0\x9F\x98\x80", "\xFF"};
    char text[6000];

    (void)state;
    for (size_t l = 0; l < sizeof letters / sizeof letters[0]; l++)
        for (size_t target = 3700; target < 4400; target += 7) {
            size_t used = 0, size = strlen(letters[l]), cut;
            struct log_line line;
            json_t *list, *seen;
            struct stat info;

            for (; used + size <= target; used += size)
                memcpy(text + used, letters[l], size);
            text[used] = '\0';
            assert_int_equal(truncate(path, 0), 0);
            log_begin(&line, LOG_INFO, "big");
            log_str(&line, "first", text);
            log_str(&line, "second", "small");
            log_int(&line, "third", 3);
            log_end(&line);
            assert_int_equal(stat(path, &info), 0);
            assert_true(info.st_size < 4096);
            list = lines_of(path);
            assert_int_equal(json_array_size(list), 1);
            seen = json_array_get(list, 0);
            cut = json_is_true(json_object_get(seen, "truncated"));
            assert_int_equal(cut, json_object_get(seen, "third") == NULL);
            json_decref(list);
        }
}

static void very_many_fields_are_cut_too(void **state)
{
    struct log_line line;
    json_t *seen;

    (void)state;
    log_begin(&line, LOG_INFO, "many");
    for (int i = 0; i < 1000; i++) {
        char name[32];

        snprintf(name, sizeof name, "field_%d", i);
        log_int(&line, name, i);
    }
    log_end(&line);
    seen = only_line();
    assert_true(json_is_true(json_object_get(seen, "truncated")));
    json_decref(seen);
}

static void the_file_is_private_and_a_bad_path_is_an_error(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0137, 0);
    errno = 0;
    assert_int_equal(log_open("/nowhere/at/all"), -1);
    assert_int_equal(errno, ENOENT);
    log_message(LOG_INFO, "still", "goes to the old file");
    json_decref(only_line());
}

static atomic_bool stop;

static void *write_lines(void *arg)
{
    long *count = arg;

    while (!atomic_load(&stop)) {
        struct log_line line;

        log_begin(&line, LOG_INFO, "busy");
        log_str(&line, "text", "the quick brown fox jumps over the lazy dog");
        log_int(&line, "n", (*count)++);
        log_end(&line);
    }
    return NULL;
}

static void rotation_loses_and_mixes_nothing(void **state)
{
    pthread_t threads[3];
    long counts[3] = {0};
    json_t *old, *new;

    (void)state;
    atomic_store(&stop, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &counts[i]), 0);
    usleep(50000);
    assert_int_equal(rename(path, rotated), 0);
    assert_int_equal(log_open(path), 0);
    usleep(50000);
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    old = lines_of(rotated);
    new = lines_of(path);
    assert_int_equal(json_array_size(old) + json_array_size(new),
                     counts[0] + counts[1] + counts[2]);
    assert_true(json_array_size(old) > 0 && json_array_size(new) > 0);
    json_decref(old);
    json_decref(new);
}

static void stderr_can_be_had_back(void **state)
{
    json_t *list;

    (void)state;
    assert_int_equal(log_open(NULL), 0);
    log_set_level(LOG_ERROR);
    log_message(LOG_INFO, "nobody", "sees this");
    list = lines_of(path);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fields_of_every_kind, fresh_file),
        cmocka_unit_test_setup(T13_hostile_text_stays_in_its_line, fresh_file),
        cmocka_unit_test_setup(levels_filter, fresh_file),
        cmocka_unit_test_setup(long_texts_are_cut_and_say_so, fresh_file),
        cmocka_unit_test_setup(very_many_fields_are_cut_too, fresh_file),
        cmocka_unit_test_setup(the_file_is_private_and_a_bad_path_is_an_error, fresh_file),
        cmocka_unit_test_setup(rotation_loses_and_mixes_nothing, fresh_file),
        cmocka_unit_test_setup(stderr_can_be_had_back, fresh_file),
    };

    return cmocka_run_group_tests_name("util/log", tests, make_folder, remove_folder);
}
