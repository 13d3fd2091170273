/* SPDX-License-Identifier: MIT */
/* Walks tests/cases/config/: files that are read, and exactly what is said about them.
 *
 * A .cases file has sections that begin with a line "=== WORD ARGUMENT":
 *     base FILE      a good file that cases get unless they bring their own
 *     case TITLE     begins a case
 *     file FILE      a file of the case; "escaped FILE": with \n \r \t \xNN for bytes
 *     without FILE   the case has no such file
 *     environment    NAME=value lines
 *     expect         the error text, empty when the files are accepted
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/load.h"
#include "config/schema.h"
#include "util/buf.h"
#include "util/sha.h"

enum { FILES = 5, TITLE_SIZE = 160 };

static const char *const file_names[FILES] = {"gateway.yaml", "agents.yaml", "upstreams.yaml",
                                              "tools.yaml", "security.yaml"};

struct content {
    bool present;
    struct buf bytes;
};

struct the_case {
    char title[TITLE_SIZE];
    struct content files[FILES];
    struct buf environment, expect;
};

struct walk {
    struct content base[FILES];
    struct the_case now;
    bool open; /* a case is being read */
    int cases, failed;
};

static void set_content(struct content *content, const struct content *from)
{
    buf_reset(&content->bytes);
    content->present = from->present;
    if (from->present)
        assert_int_equal(buf_append(&content->bytes, from->bytes.data, from->bytes.length), 0);
}

static void write_file(const char *folder, const char *name, const struct content *content)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    if (!content->present)
        return;
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(buf_text(&content->bytes), 1, content->bytes.length, file),
                     content->bytes.length);
    fclose(file);
}

/* Sets the lines' variables, or unsets them again. */
static void set_environment(const struct buf *lines, bool set)
{
    const char *line = buf_text(lines);

    while (*line != '\0') {
        size_t length = strcspn(line, "\n"), name = strcspn(line, "=");
        char text[512];

        assert_true(length < sizeof text && name < length);
        memcpy(text, line, length);
        text[length] = text[name] = '\0';
        if (set)
            setenv(text, text + name + 1, 1);
        else
            unsetenv(text);
        line += length + (line[length] == '\n');
    }
}

/* The folder's name is another in every run. */
static char *without_folder(const char *text, const char *folder)
{
    struct buf out;
    const char *hit;

    buf_init(&out, 4 << 20);
    while ((hit = strstr(text, folder)) != NULL) {
        buf_append(&out, text, (size_t)(hit - text));
        text = hit + strlen(folder) + 1;
    }
    buf_puts(&out, text);
    return buf_take(&out);
}

/* What is stored must give the very same configuration. */
static bool survives_storage(const struct config_sources *sources, const struct config *config)
{
    struct config_errors errors = {0};
    struct config_sources again;
    struct config *second = NULL;
    json_t *stored = config_sources_json(sources);
    bool same;
    struct err e;

    assert_non_null(stored);
    assert_int_equal(config_sources_from_json(stored, &again, &e), 0);
    same = config_build(&again, &second, &errors) == 0 &&
           strcmp(config->hash, second->hash) == 0;
    for (size_t i = 0; same && i < config->security.key_count; i++)
        same = memcmp(config->security.keys[i].hash, second->security.keys[i].hash,
                      SHA_SIZE) == 0 &&
               config->security.keys[i].was_plaintext == second->security.keys[i].was_plaintext;
    config_release(&second);
    config_errors_free(&errors);
    config_sources_free(&again);
    json_decref(stored);
    return same;
}

static void run_case(struct walk *w, const char *folder)
{
    struct config_errors errors = {0};
    struct config_sources sources;
    struct config *config = NULL;
    char gateway[256], *raw, *text;
    int result;

    for (int i = 0; i < FILES; i++)
        write_file(folder, file_names[i], &w->now.files[i]);
    set_environment(&w->now.environment, true);
    snprintf(gateway, sizeof gateway, "%s/gateway.yaml", folder);
    result = config_sources_read(gateway, &sources, &errors);
    if (result == 0) {
        result = config_build(&sources, &config, &errors);
        if (result == 0 && !survives_storage(&sources, config)) {
            print_error("# %s: stored and read again it is another one\n", w->now.title);
            w->failed++;
        }
        config_sources_free(&sources);
    }
    set_environment(&w->now.environment, false);
    raw = config_errors_text(&errors);
    text = without_folder(raw, folder);
    if (strcmp(text, buf_text(&w->now.expect)) != 0 || (result == 0) != (text[0] == '\0')) {
        print_error("# case '%s' (%s)\n# expected:\n%s# got:\n%s", w->now.title,
                    result == 0 ? "accepted" : "refused", buf_text(&w->now.expect), text);
        w->failed++;
    }
    w->cases++;
    free(raw);
    free(text);
    config_release(&config);
    config_errors_free(&errors);
}

static struct content *find_file(struct content *files, const char *name)
{
    for (int i = 0; i < FILES; i++)
        if (strcmp(file_names[i], name) == 0)
            return &files[i];
    fail_msg("no component has the file '%s'", name);
    return files;
}

static void append_escaped(struct buf *out, const char *line)
{
    for (; *line != '\0'; line++) {
        char byte = *line;

        if (byte == '\n') /* written as \n where it is meant */
            continue;
        if (byte == '\\') {
            line++;
            if (*line == 'x') {
                char hex[3] = {line[1], line[2], '\0'};

                byte = (char)strtol(hex, NULL, 16);
                line += 2;
            } else {
                byte = *line == 'n' ? '\n' : *line == 'r' ? '\r' : *line == 't' ? '\t' : *line;
            }
        }
        buf_append(out, &byte, 1);
    }
}

static void begin_case(struct walk *w, const char *folder, const char *title)
{
    if (w->open)
        run_case(w, folder);
    w->open = title != NULL;
    if (title == NULL)
        return;
    snprintf(w->now.title, sizeof w->now.title, "%s", title);
    for (int i = 0; i < FILES; i++)
        set_content(&w->now.files[i], &w->base[i]);
    buf_reset(&w->now.environment);
    buf_reset(&w->now.expect);
}

/* Handles a "=== ..." line; the buffer that the lines below go to. */
static struct buf *begin_section(struct walk *w, const char *folder, char *line, bool *escaped)
{
    char *word = line + 4, *argument = word + strcspn(word, " \n");
    struct content *content;

    argument[strcspn(argument, "\n")] = '\0';
    if (*argument == ' ')
        *argument++ = '\0';
    *escaped = strcmp(word, "escaped") == 0;
    if (strcmp(word, "case") == 0) {
        begin_case(w, folder, argument);
        return NULL;
    }
    if (strcmp(word, "environment") == 0)
        return &w->now.environment;
    if (strcmp(word, "expect") == 0)
        return &w->now.expect;
    content = find_file(strcmp(word, "base") == 0 ? w->base : w->now.files, argument);
    buf_reset(&content->bytes);
    content->present = strcmp(word, "without") != 0;
    return &content->bytes;
}

static void walk_file(const char *name)
{
    char path[256], folder[] = "/tmp/agw-config-XXXXXX", line[4096];
    struct walk w = {0};
    struct buf *to = NULL;
    bool escaped = false;
    FILE *file;

    snprintf(path, sizeof path, AGW_SOURCE_DIR "/tests/cases/config/%s", name);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < FILES; i++) {
        buf_init(&w.base[i].bytes, 1 << 20);
        buf_init(&w.now.files[i].bytes, 1 << 20);
    }
    buf_init(&w.now.environment, 1 << 20);
    buf_init(&w.now.expect, 1 << 20);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "=== ", 4) == 0)
            to = begin_section(&w, folder, line, &escaped);
        else if (to != NULL && escaped)
            append_escaped(to, line);
        else if (to != NULL)
            buf_puts(to, line);
    }
    begin_case(&w, folder, NULL);
    fclose(file);
    for (int i = 0; i < FILES; i++) {
        write_file(folder, file_names[i], &(struct content){0});
        buf_free(&w.base[i].bytes);
        buf_free(&w.now.files[i].bytes);
    }
    buf_free(&w.now.environment);
    buf_free(&w.now.expect);
    rmdir(folder);
    print_message("# %s: %d cases\n", name, w.cases);
    assert_true(w.cases > 0);
    if (w.failed != 0)
        fail_msg("%d cases of %s failed", w.failed, name);
}

#define CASES(name)                                                                            \
    static void name(void **state)                                                             \
    {                                                                                          \
        (void)state;                                                                           \
        walk_file(#name ".cases");                                                             \
    }

CASES(yaml)
CASES(gateway)
CASES(security)
CASES(agents)
CASES(upstreams)
CASES(tools)
CASES(environment)
CASES(together)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml),        cmocka_unit_test(gateway),
        cmocka_unit_test(security),    cmocka_unit_test(agents),
        cmocka_unit_test(upstreams),   cmocka_unit_test(tools),
        cmocka_unit_test(environment), cmocka_unit_test(together),
    };

    /* The cases say what is set. */
    for (size_t i = 0; i < schema_option_count; i++)
        if (schema_options[i].environment != NULL)
            unsetenv(schema_options[i].environment);
    return cmocka_run_group_tests_name("config/cases", tests, NULL, NULL);
}
