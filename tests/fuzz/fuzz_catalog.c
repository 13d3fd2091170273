/* SPDX-License-Identifier: MIT */
/* Whatever a module's host sends: the wire takes or refuses each line, and what comes as a
 * catalog becomes a list of agents whose every field is there and of its type. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runner/wire.h"
#include "runnerd/listing.h"
#include "runnerd/offer.h"
#include "runnerd/problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *exports[] = {"agent", "build_agent"};
static const char *patterns[] = {"*"};

static void check_agent(const json_t *agent)
{
    static const char *const texts[] = {"id", "namespace", "name", "lang", "module", "path",
                                        "attr"};
    static const char *const optional[] = {"display_name", "description", "model", "upstream",
                                           "problem"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert(json_string_length(json_object_get(agent, texts[i])) > 0);
    for (size_t i = 0; i < sizeof optional / sizeof optional[0]; i++) {
        const json_t *value = json_object_get(agent, optional[i]);

        assert(json_is_null(value) || json_is_string(value));
    }
    assert(json_is_array(json_object_get(agent, "tools")));
    assert(json_is_array(json_object_get(agent, "handoffs")));
    assert(config_name_problem(json_string_value(json_object_get(agent, "name"))) == NULL);
}

static void list_catalog(const json_t *sent)
{
    bool cut;
    json_t *catalog = offer_take(sent, &cut);
    struct config config = {
        .gateway = {.exports = exports, .export_count = 2, .default_namespace = "default"},
        .security = {.dropin_allow = {.present = true, .patterns = patterns, .count = 1}}};
    struct module m = {.is_wanted = true, .catalog = catalog, .problems = json_array(),
                       .identity = {"default", "fuzzed"},
                       .found = {.root = (char *)"/r", .folder = (char *)"Fuzzed",
                                 .path = (char *)"/r/Fuzzed/agent.py",
                                 .module = (char *)"Fuzzed.agent", .is_dropin = true}};
    struct modules table = {.first = &m, .config = &config, .problems = json_array()};
    struct listing_watch watch = {"stopped", NULL};
    const struct listing_runner runner = {"/run/runner.sock", 1, true};
    json_t *listing, *agent;
    size_t index;

    problem_add_reported(m.problems, json_object_get(sent, "diagnostics"),
                         &(struct problem_place){.module = m.found.module});
    listing = listing_make(&table, 1, &watch, &runner);
    assert(listing != NULL);
    json_array_foreach(json_object_get(listing, "agents"), index, agent) {
        check_agent(agent);
        assert(listing_find(&table, listing,
                            json_string_value(json_object_get(agent, "id"))) == &m);
    }
    assert(json_array_size(json_object_get(listing, "errors")) <= 600);
    json_decref(listing);
    json_decref(m.problems);
    json_decref(table.problems);
    json_decref(catalog);
}

/* The first byte says in pieces of which size the rest is sent. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wire_limits limits = {
        .line = 4096, .queue = 64, .json = {.depth = 16, .tokens = 1000}};
    size_t piece = size == 0 ? 1 : 1 + data[0], at = size == 0 ? 0 : 1;
    struct wire w;
    int ends[2], status = 1;

    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    wire_init(&w, ends[0], &limits);
    while (status >= 0) {
        size_t count = size - at < piece ? size - at : piece;
        json_t *message;

        assert(count == 0 || send(ends[1], data + at, count, 0) == (ssize_t)count);
        if (count == 0)
            shutdown(ends[1], SHUT_WR);
        at += count;
        while ((status = wire_receive(&w, &message, NULL, NULL)) == 1) {
            assert(json_is_object(message));
            list_catalog(message);
            json_decref(message);
        }
        assert(message == NULL);
    }
    wire_close(&w);
    close(ends[1]);
    return 0;
}
