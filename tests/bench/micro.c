/* SPDX-License-Identifier: MIT */
/* Measures parts of the gateway by themselves: deciding, finding a key, committing audit rows,
 * reading the keys that were made at run time.
 *
 * micro FOLDER: the database is made there. Prints one JSON object.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "policy/audit.h"
#include "policy/authenticate.h"
#include "policy/decide.h"
#include "policy/key_admin.h"
#include "policy/key_set.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/sha.h"

enum { CALLS = 200000, ROUNDS = 5, MANY = 10000, THREADS = 64, AUDIT_MS = 2000, LONE = 300 };

static _Atomic long sink; /* keeps calls from being optimized away */

static void die(const char *what)
{
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

/* Keys key-0 ... with the secrets secret-0 ...; agents bench/agent-0 ... */
static struct config *make_config(int keys, int agents)
{
    struct config_sources sources = {0};
    struct config_errors errors = {0};
    struct config *config = NULL;
    struct buf text[CONFIG_COMPONENTS];
    char path[32];

    for (int i = 0; i < CONFIG_COMPONENTS; i++) {
        buf_init(&text[i], 16 << 20);
        buf_puts(&text[i], "version: 1\n");
    }
    buf_puts(&text[CONFIG_UPSTREAMS], "upstreams: [{name: echo, provider: builtin-echo}]\n");
    buf_puts(&text[CONFIG_TOOLS], "tools: []\n");
    buf_puts(&text[CONFIG_AGENTS], "agents:\n");
    for (int i = 0; i < agents; i++)
        buf_printf(&text[CONFIG_AGENTS], "  - {name: agent-%d, namespace: bench,"
                   " upstream: echo, model: echo-1}\n", i);
    buf_puts(&text[CONFIG_SECURITY],
             "default:\n  allow_agents: [\"default/*\", \"tools/*\", \"research/*\"]\n"
             "  deny_agents: [\"secret/*\", \"*/hidden-*\"]\n  namespace_defaults:\n"
             "    labs: {allow_agents: [\"labs/open-*\"]}\napi_keys:\n");
    for (int i = 0; i < keys; i++) {
        unsigned char hash[SHA_SIZE];
        char secret[32], hex[SHA_HEX_SIZE];

        snprintf(secret, sizeof secret, "secret-%d", i);
        sha_256(secret, strlen(secret), hash);
        sha_hex(hash, sizeof hash, hex);
        buf_printf(&text[CONFIG_SECURITY], "  - {id: key-%d, hashed_key: \"sha256:%s\","
                   " deny_agents: [\"vault/*\"], allow_agents: [\"default/*\", \"bench/*\"]}\n",
                   i, hex);
    }
    for (int i = 0; i < CONFIG_COMPONENTS; i++) {
        snprintf(path, sizeof path, "%s.yaml", config_component_names[i]);
        sources.component[i].path = strdup(path);
        sources.component[i].text = buf_take(&text[i]);
    }
    if (config_build(&sources, &config, &errors) != 0)
        die(config_errors_text(&errors));
    config_sources_free(&sources);
    config_errors_free(&errors);
    return config;
}

/* The best of some rounds, in ns a call: what others on the machine do only adds. */
static double time_calls(void (*call)(void *arg, int i), void *arg)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        int64_t before = clock_mono_us();
        double ns;

        for (int i = 0; i < CALLS; i++)
            call(arg, i);
        ns = (double)(clock_mono_us() - before) * 1000 / CALLS;
        best = ns < best ? ns : best;
    }
    return best;
}

struct subject {
    struct config *config;
    struct key_index *index;
    int keys;
};

static void call_decide(void *arg, int i)
{
    struct subject *s = arg;
    struct override_list none = {0};
    struct decision d;

    decide_agent(&s->config->security, &s->config->security.keys[i % s->keys], &none,
                 "bench/agent-7", "bench", 1, &d);
    sink += d.allowed;
}

static void call_authenticate(void *arg, int i)
{
    struct subject *s = arg;
    const struct config_key *key;
    char header[48];
    struct err e;

    snprintf(header, sizeof header, "Bearer secret-%d", i % s->keys);
    if (authenticate(s->index, header, NULL, 1, &key, &e) != 0)
        die("a key was not found");
    sink += key->roles;
}

static void measure_policy(int keys)
{
    struct subject s = {.config = make_config(keys, keys), .keys = keys};

    s.index = authenticate_index_new(&s.config->security, NULL);
    if (s.index == NULL)
        die("memory");
    printf("\"decide_ns_%d\":%.0f,\"authenticate_ns_%d\":%.0f,", keys,
           time_calls(call_decide, &s), keys, time_calls(call_authenticate, &s));
    authenticate_index_free(&s.index);
    config_release(&s.config);
}

static struct audit *audit;
static _Atomic long committed;
static atomic_bool over;

/* The rows of one request, its answer only after the commit. */
static void one_request(void)
{
    struct audit_row row = {
        .kind = "decision", .request_id = "req_0123456789abcdef01234567",
        .route = "POST /v1/chat/completions", .key_id = "key-1", .agent = "bench/agent-1",
        .ns = "bench", .decision = "allow", .source = "api_key", .pattern = "bench/*",
        .place = "security.yaml:9", .generation = 1, .status = -1, .streaming = 0,
        .prompt_tokens = -1, .completion_tokens = -1, .duration_ms = -1, .model = "bench"};
    struct audit_row end = {.outcome = "completed", .status = 200, .streaming = 0,
                            .prompt_tokens = 9, .completion_tokens = 40, .duration_ms = 1,
                            .upstream = "mock", .model = "bench"};
    struct audit_ticket *ticket;
    struct err e;

    if (audit_record(audit, &row, &ticket, &e) != 0 || audit_wait(ticket, &e) != 0)
        die(e.message);
    audit_finish(audit, &ticket, &end);
    committed += 2;
}

static void *make_requests(void *arg)
{
    while (!over)
        one_request();
    return arg;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static void measure_audit(const char *folder)
{
    char path[512];
    struct store_options store_options = {.gate_wait_ms = 5000, .synchronous_full = true};
    struct audit_options options = {.queue_max = 10000, .linger_ms = 2, .wait_ms = 5000};
    struct store *store = NULL;
    pthread_t threads[THREADS];
    int64_t alone[LONE];
    int64_t before;
    struct err e;

    snprintf(path, sizeof path, "%s/micro.db", folder);
    store_options.path = path;
    if (store_open(&store_options, &store, &e) != 0 ||
        audit_start(store, &options, &audit, &e) != 0)
        die(e.message);
    for (int i = 0; i < LONE; i++) {
        before = clock_mono_us();
        one_request();
        alone[i] = clock_mono_us() - before;
    }
    qsort(alone, LONE, sizeof alone[0], compare);
    committed = 0;
    before = clock_mono_us();
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, make_requests, NULL) != 0)
            die("threads");
    while (clock_mono_us() - before < AUDIT_MS * 1000)
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    over = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("\"audit_rows_per_s\":%.0f,\"lone_commit_p50_us\":%lld,\"lone_commit_p99_us\":%lld",
           (double)committed * 1e6 / (double)(clock_mono_us() - before),
           (long long)alone[LONE / 2], (long long)alone[LONE * 99 / 100]);
    audit_stop(&audit);
    store_close(&store);
}

static void make_keys(struct store *store, int count)
{
    const struct audit_row audit_row = {
        .ts = clock_wall_ms(), .key_id = "key-1", .generation = -1, .status = -1,
        .streaming = -1, .prompt_tokens = -1, .completion_tokens = -1, .duration_ms = -1};
    const struct key_admin admin = {.store = store, .by = "key-1", .audit = &audit_row};
    char id[32], secret[KEY_SECRET_SIZE];
    struct key_list done;
    struct err e;

    for (int i = 0; i < count; i++) {
        struct key_row row = {.id = id, .roles = "client", .rate_per_minute = 120,
                              .requests_per_day = -1, .tokens_per_day = -1,
                              .allow_agents = "[\"bench/*\",\"labs/open-*\"]"};

        snprintf(id, sizeof id, "run-time-%d", i);
        if (key_admin_create(&admin, &row, secret, &done, &e) != 0)
            die(e.message);
        key_list_clear(&done);
    }
}

/* What a change of one of many keys costs each process: all are read and proved, and indexed
 * anew; and what it costs when something else changed. */
static void measure_keys(const char *folder)
{
    char path[512];
    struct store_options options = {.path = path, .gate_wait_ms = 5000};
    const struct config_security none = {0};
    struct key_set *set = NULL, *same = NULL;
    struct key_index *index;
    struct store *store;
    int64_t begun, read, indexed, unchanged;
    struct db *db = NULL;
    struct err e;

    snprintf(path, sizeof path, "%s/keys.db", folder);
    if (store_open(&options, &store, &e) == 0)
        db = store_acquire(store, &e);
    if (db == NULL)
        die(e.message);
    make_keys(store, MANY);
    begun = clock_mono_us();
    if (key_set_read(db, store_now(store), NULL, &set, &e) != 0 || set->count != MANY)
        die(e.message);
    read = clock_mono_us();
    index = authenticate_index_new(&none, set);
    indexed = clock_mono_us();
    if (key_set_read(db, store_now(store), set, &same, &e) != 0 || same != set)
        die(e.message);
    unchanged = clock_mono_us();
    printf(",\"runtime_keys_read_ms\":%.1f,\"runtime_keys_index_ms\":%.1f,"
           "\"runtime_keys_unchanged_us\":%lld", (double)(read - begun) / 1e3,
           (double)(indexed - read) / 1e3, (long long)(unchanged - indexed));
    authenticate_index_free(&index);
    key_set_release(&same);
    key_set_release(&set);
    store_release(store, db);
    store_close(&store);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: micro FOLDER");
    log_set_level(LOG_WARN);
    putchar('{');
    measure_policy(10);
    measure_policy(MANY);
    measure_audit(argv[1]);
    measure_keys(argv[1]);
    puts("}");
    return 0;
}
