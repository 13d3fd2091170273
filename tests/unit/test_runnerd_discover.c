/* SPDX-License-Identifier: MIT */
/* discover: which files become modules, what is refused, and what changes a module's mark. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runnerd/discover.h"
#include "runnerd/discover_files.h"
#include "runnerd/modules.h"
#include "runnerd/problem.h"

static char root[PATH_MAX];

static int set_up(void **state)
{
    char made[] = "/tmp/agw-test-discover-XXXXXX";

    (void)state;
    umask(022);
    return mkdtemp(made) == NULL || realpath(made, root) == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* An empty folder again. */
static void begin(void)
{
    assert_int_equal(tear_down(NULL), 0);
    assert_int_equal(mkdir(root, 0755), 0);
}

static void in_root(char path[PATH_MAX], const char *name)
{
    assert_true(snprintf(path, PATH_MAX, "%.200s/%.3000s", root, name) < PATH_MAX);
}

/* With the folders around it. */
static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    FILE *f;

    in_root(path, name);
    for (char *c = path + strlen(root) + 1; (c = strchr(c, '/')) != NULL; c++) {
        *c = '\0';
        (void)mkdir(path, 0755);
        *c = '/';
    }
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void search(struct discovery *d)
{
    const char *roots[] = {root};

    *d = (struct discovery){0};
    discover_search(d, roots, 1);
}

/* "labs.Planner.agent ..." */
static const char *modules_of(const struct discovery *d, char text[1000])
{
    text[0] = '\0';
    for (size_t i = 0; i < d->count; i++)
        snprintf(text + strlen(text), 1000 - strlen(text), "%s%s", i == 0 ? "" : " ",
                 d->found[i].module);
    return text;
}

static const char *problem_of(const struct discovery *d, size_t index)
{
    return json_string_value(json_object_get(json_array_get(d->problems, index), "message"));
}

static void modules_lie_in_folders_of_their_own(void **state)
{
    static const char *const files[] = {
        "Py/agent.py", "Py/sub/agent.py", "ns/Js/agent.js", "ns/deep/Mjs/agent.mjs", "C/agent.so",
        "C/agent.c", "Cee/agent.c", "Cjs/agent.cjs", "Ts/agent.ts", "Ts/x.ts", "Other/main.py", ".hidden/agent.py", "Py2/node_modules/x/agent.js",
        "Py2/__pycache__/agent.py", "agents.py", "Two/agent.js", "Two/agent.py", "agent.py"};
    struct discovery d;
    char text[1000];

    (void)state;
    begin();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        put(files[i], "");
    search(&d);
    assert_string_equal(modules_of(&d, text),
                        "C.agent Cjs.agent Py.agent Ts.agent Two.agent ns.Js.agent ns.deep.Mjs.agent");
    assert_int_equal(d.found[0].lang, DISCOVER_NATIVE);
    assert_int_equal(d.found[1].lang, DISCOVER_NODE);
    assert_int_equal(d.found[2].lang, DISCOVER_PYTHON);
    assert_int_equal(d.found[3].lang, DISCOVER_NODE);
    assert_int_equal(d.found[4].lang, DISCOVER_PYTHON);
    assert_int_equal(d.found[5].lang, DISCOVER_NODE);
    assert_string_equal(d.found[6].folder, "ns/deep/Mjs");
    assert_true(d.found[6].is_dropin);
    assert_int_equal(json_array_size(d.problems), 3);
    assert_non_null(strstr(problem_of(&d, 0), "not in a folder of its own"));
    assert_non_null(strstr(problem_of(&d, 1), "Cee has agent.c"));
    assert_non_null(strstr(problem_of(&d, 2), "several agent files"));
    assert_string_equal(d.missing, "");
    discover_free(&d);
}

static void what_others_could_have_put_there_is_refused(void **state)
{
    static const struct {
        const char *file, *agent, *link, *fifo, *open, *problem;
        mode_t mode;
    } rows[] = {
        {.file = "A/agent.py", .open = "A/agent.py", .mode = 0646, .problem = "by everybody"},
        {.file = "A/agent.py", .open = "A", .mode = 0757, .problem = "by everybody"},
        {.file = "A/agent.py", .open = "A/helper.py", .mode = 0602, .problem = "by everybody"},
        {.file = "A/agent.py", .open = "A/sub/helper.py", .mode = 0602, .problem = "by everybody"},
        {.file = "A/sub/__pycache__/helper.cpython-311.pyc", .agent = "A/agent.py",
         .open = "A/sub/__pycache__", .mode = 0757, .problem = "A/sub has packages that others"},
        {.file = "A/sub/x.js", .agent = "A/agent.mjs", .link = "A/sub/node_modules",
         .problem = "A/sub has packages behind a symbolic link"},
        {.file = "A/x.py", .link = "A/agent.py", .problem = "symbolic link"},
        {.fifo = "A/agent.py", .file = "A/x.py", .problem = "not a regular file"},
        {.file = "B/agent.py", .link = "A", .problem = "symbolic link"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct discovery d;
        char path[PATH_MAX], text[1000];

        begin();
        put(rows[i].file, "");
        if (rows[i].agent != NULL)
            put(rows[i].agent, "");
        if (rows[i].link != NULL) {
            in_root(path, rows[i].link);
            assert_int_equal(symlink("/tmp", path), 0);
        }
        if (rows[i].fifo != NULL) {
            in_root(path, rows[i].fifo);
            assert_int_equal(mkfifo(path, 0644), 0);
        }
        if (rows[i].open != NULL) {
            in_root(path, rows[i].open);
            if (access(path, F_OK) != 0)
                put(rows[i].open, "");
            assert_int_equal(chmod(path, rows[i].mode), 0);
        }
        search(&d);
        if (strstr(modules_of(&d, text), "A.agent") != NULL)
            fail_msg("row %zu was taken", i);
        assert_int_equal(json_array_size(d.problems), 1);
        assert_non_null(strstr(problem_of(&d, 0), rows[i].problem));
        discover_free(&d);
    }
}

/* That something was kept from running is put on record by what is told of here. */
static void problems_of_one_folder_hide_none_of_others(void **state)
{
    struct discovery d;
    char path[PATH_MAX], name[40];

    (void)state;
    begin();
    put("aaa/x", "");
    for (int i = 0; i < 2 * DISCOVER_PROBLEMS_MAX; i++) {
        snprintf(name, sizeof name, "aaa/link%d", i);
        in_root(path, name);
        assert_int_equal(symlink("/tmp", path), 0);
    }
    put("bbb/Open/agent.py", "");
    in_root(path, "bbb/Open");
    assert_int_equal(chmod(path, 0757), 0);
    put("ccc/agent.py", "");
    in_root(path, "ccc");
    assert_int_equal(chmod(path, 0757), 0);
    search(&d);
    assert_int_equal(json_array_size(d.problems), DISCOVER_PROBLEMS_MAX + 2);
    assert_non_null(strstr(problem_of(&d, DISCOVER_PROBLEMS_MAX), "bbb/Open may be written"));
    assert_non_null(strstr(problem_of(&d, DISCOVER_PROBLEMS_MAX + 1), "ccc may be written"));
    problem_add(d.problems, "validation", "error", &(struct problem_place){0}, "%s", "one more");
    assert_string_equal(problem_of(&d, DISCOVER_PROBLEMS_MAX + 2), "one more");
    discover_free(&d);
}

static void names_that_are_no_text_are_refused(void **state)
{
    struct discovery d;
    char text[1000];

    (void)state;
    begin();
    put("Bad\xff/agent.py", "");
    put("Bad\xe2\x82/sub/agent.py", "");
    put("Good\xe2\x82\xac/agent.py", "");
    search(&d);
    assert_string_equal(modules_of(&d, text), "Good\xe2\x82\xac.agent");
    assert_int_equal(json_array_size(d.problems), 2);
    assert_non_null(strstr(problem_of(&d, 0), "not UTF-8"));
    assert_non_null(strstr(json_string_value(json_object_get(json_array_get(d.problems, 1),
                                                             "path")), "Bad?"));
    discover_free(&d);
}

static uint64_t mark(void)
{
    struct discovery d;
    uint64_t found;

    search(&d);
    assert_int_equal(d.count, 1);
    found = d.found[0].mark;
    discover_free(&d);
    return found;
}

static void the_mark_tells_of_changes(void **state)
{
    static const char *const seen[] = {"A/agent.py", "A/helper.py", "A/deep/er/x.py",
                                       "A/requirements.txt", "A/prompt.md"};
    static const char *const unseen[] = {"A/.venv/x.py", "A/node_modules/x.js",
                                         "A/__pycache__/x.py", "A/data.bin", "B/x.py"};
    uint64_t before, now;

    (void)state;
    begin();
    put("A/agent.py", "1");
    before = mark();
    assert_int_equal(mark(), before);
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++, before = now) {
        put(seen[i], "changed");
        now = mark();
        if (now == before)
            fail_msg("a change of %s was not seen", seen[i]);
    }
    for (size_t i = 0; i < sizeof unseen / sizeof unseen[0]; i++) {
        put(unseen[i], "changed");
        if (mark() != before)
            fail_msg("a change of %s was seen", unseen[i]);
    }
}

static bool shares(const char *module)
{
    struct discovery d;
    bool found = false;

    search(&d);
    for (size_t i = 0; i < d.count; i++)
        found = found || (strcmp(d.found[i].module, module) == 0 && d.found[i].shares);
    discover_free(&d);
    return found;
}

static void packages_of_the_root_are_for_who_has_none(void **state)
{
    static const struct {
        const char *file, *shared, *own;
    } rows[] = {{"A/agent.py", ".venv", "A/.venv/x"},
                {"A/agent.mjs", "node_modules", "A/node_modules/x"}};
    char path[PATH_MAX], other[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t without, with;

        begin();
        put(rows[i].file, "");
        without = mark();
        assert_false(shares("A.agent"));
        in_root(path, rows[1 - i].shared); /* of the other language */
        assert_int_equal(mkdir(path, 0755), 0);
        assert_false(shares("A.agent"));
        assert_int_equal(mark(), without);
        in_root(path, rows[i].shared);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_true(shares("A.agent"));
        with = mark();
        assert_int_not_equal(with, without);
        in_root(other, "old"); /* others take their place */
        assert_int_equal(rename(path, other), 0);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_not_equal(mark(), with);
        assert_int_equal(chmod(path, 0757), 0);
        assert_false(shares("A.agent"));
        assert_int_equal(chmod(path, 0755), 0);
        put(rows[i].own, "");
        assert_false(shares("A.agent"));
        assert_int_equal(mark(), without);
    }
}

static void packages_of_the_root_that_are_not_used_are_told_of(void **state)
{
    struct discovery d;
    char path[PATH_MAX], text[1000];

    (void)state;
    begin();
    put("A/agent.py", "");
    put("B/agent.so", "");
    in_root(path, "__pycache__"); /* which nobody uses there */
    assert_int_equal(symlink("/usr", path), 0);
    in_root(path, ".venv");
    assert_int_equal(symlink("/usr", path), 0);
    assert_false(shares("A.agent"));
    search(&d);
    assert_string_equal(modules_of(&d, text), "A.agent B.agent");
    assert_int_equal(json_array_size(d.problems), 1);
    assert_non_null(strstr(problem_of(&d, 0), "has packages behind a symbolic link"));
    discover_free(&d);
}

static void a_changed_file_is_not_the_one_that_was_found(void **state)
{
    struct discovery d;

    (void)state;
    begin();
    put("A/agent.py", "1");
    search(&d);
    assert_true(discover_is_same(&d.found[0]));
    put("A/helper.py", "1");
    assert_false(discover_is_same(&d.found[0]));
    discover_free(&d);
    search(&d);
    assert_true(discover_is_same(&d.found[0]));
    begin();
    assert_false(discover_is_same(&d.found[0]));
    discover_free(&d);
}

static void entries_of_agents_yaml_name_files(void **state)
{
    static const struct {
        const char *name, *module; /* NULL = there is none */
    } rows[] = {
        {"research.agent:build", "research.agent"},
        {"research:build", "research.agent"},
        {"desk.bots:clerk", "desk.bots"},
        {"desk/bots.py:clerk", "desk.bots"},
        {"desk/bots:clerk", "desk.bots"},
        {"desk.script:agent", "desk.script"},
        {"top:agent", "top"},
        {"desk.nothing:agent", NULL},
        {"desk:agent", NULL},
        {"desk.linked:agent", NULL},
        {"linked.bots:agent", NULL},
        {"..tmp:agent", NULL},
        {".hidden.x:agent", NULL},
        {"desk/node_modules/bots.py:agent", NULL},
        {"", NULL},
    };
    const char *roots[] = {"/nowhere/at/all", root};
    struct discovery d;
    char path[PATH_MAX], with_root[300];

    (void)state;
    begin();
    put("research/agent.py", "");
    put("desk/bots.py", "");
    put("desk/script.mjs", "");
    put("top.py", "");
    put(".hidden/x.py", "");
    in_root(path, "desk/linked.py");
    assert_int_equal(symlink("bots.py", path), 0);
    in_root(path, "linked");
    assert_int_equal(symlink("desk", path), 0);
    search(&d);
    assert_int_equal(d.count, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct found *f = discover_named(&d, roots, 2, rows[i].name);

        if ((f == NULL) != (rows[i].module == NULL))
            fail_msg("'%s'", rows[i].name);
        if (f != NULL)
            assert_string_equal(f->module, rows[i].module);
    }
    snprintf(with_root, sizeof with_root, "%.100s.desk.bots:x", strrchr(root, '/') + 1);
    assert_string_equal(discover_named(&d, roots, 2, with_root)->module, "desk.bots");
    assert_int_equal(d.count, 4); /* each once */
    assert_false(d.found[1].is_dropin);
    discover_free(&d);
}

/* They could swap it for another folder of the operator's. */
static void what_others_could_swap_is_not_named(void **state)
{
    const char *roots[] = {root};
    struct discovery d;
    char path[PATH_MAX];

    (void)state;
    begin();
    put("open/desk/bots.py", "");
    search(&d);
    assert_non_null(discover_named(&d, roots, 1, "open.desk.bots:clerk"));
    assert_true(discover_is_same(&d.found[0]));
    in_root(path, "open");
    assert_int_equal(chmod(path, 0757), 0);
    assert_false(discover_is_same(&d.found[0]));
    discover_free(&d);
    search(&d);
    assert_null(discover_named(&d, roots, 1, "open.desk.bots:clerk"));
    assert_int_equal(json_array_size(d.problems), 1);
    assert_non_null(strstr(problem_of(&d, 0), "open may be written by everybody"));
    discover_free(&d);
}

/* The next two descriptors are the last ones. */
static struct rlimit leave_two_descriptors(void)
{
    struct rlimit before, now;
    int next = dup(STDIN_FILENO);

    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)next + 2;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

static void nothing_is_taken_for_gone_without_descriptors(void **state)
{
    const char *roots[] = {root};
    struct config_agent agent = {.id = "default/bot", .kind = AGENT_SDK,
                                 .module = "desk.bots:bot"};
    struct config config = {.agents = &agent, .agent_count = 1};
    struct modules table;
    struct discovery d;
    struct rlimit before;

    (void)state;
    begin();
    put("desk/bots.py", "");
    modules_init(&table, &(struct modules_user){0});
    search(&d);
    assert_false(d.is_cut);
    before = leave_two_descriptors();
    modules_apply(&table, &config, &d, roots, 1, false);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(d.is_cut);
    assert_null(table.config); /* nothing was changed */
    assert_null(table.first);
    assert_int_equal(json_array_size(table.problems), 0);
    discover_free(&d);
    modules_free(&table);
}

/* As one of a stranger in /tmp: its files would be trusted for its owner's sake. */
static void a_folder_that_anybody_may_have_made_is_not_searched(void **state)
{
    struct discovery d;
    char path[PATH_MAX];
    const char *roots[] = {path};

    (void)state;
    if (geteuid() != 0) {
        print_message("left out: only root can give a folder away\n");
        return;
    }
    begin();
    put("theirs/A/agent.py", "");
    in_root(path, "theirs");
    assert_int_equal(chown(path, 4711, -1), 0);
    d = (struct discovery){0};
    discover_search(&d, roots, 1);
    assert_int_equal(d.count, 1); /* in a folder that is not for everybody */
    discover_free(&d);
    assert_int_equal(chmod(root, 01777), 0);
    d = (struct discovery){0};
    discover_search(&d, roots, 1);
    assert_int_equal(d.count, 0);
    assert_non_null(strstr(d.missing, "another user has made it"));
    discover_free(&d);
}

static void a_missing_folder_is_a_problem_and_others_are_searched(void **state)
{
    const char *roots[] = {"/nowhere/at/all", root, root};
    struct discovery d = {0};

    (void)state;
    begin();
    put("A/agent.py", "");
    discover_search(&d, roots, 3);
    assert_int_equal(d.count, 1);
    assert_non_null(strstr(d.missing, "/nowhere/at/all"));
    assert_int_equal(json_array_size(d.problems), 1);
    discover_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modules_lie_in_folders_of_their_own),
        cmocka_unit_test(what_others_could_have_put_there_is_refused),
        cmocka_unit_test(problems_of_one_folder_hide_none_of_others),
        cmocka_unit_test(names_that_are_no_text_are_refused),
        cmocka_unit_test(the_mark_tells_of_changes),
        cmocka_unit_test(packages_of_the_root_are_for_who_has_none),
        cmocka_unit_test(packages_of_the_root_that_are_not_used_are_told_of),
        cmocka_unit_test(a_changed_file_is_not_the_one_that_was_found),
        cmocka_unit_test(entries_of_agents_yaml_name_files),
        cmocka_unit_test(what_others_could_swap_is_not_named),
        cmocka_unit_test(nothing_is_taken_for_gone_without_descriptors),
        cmocka_unit_test(a_missing_folder_is_a_problem_and_others_are_searched),
        cmocka_unit_test(a_folder_that_anybody_may_have_made_is_not_searched),
    };

    return cmocka_run_group_tests_name("runnerd/discover", tests, set_up, tear_down);
}
