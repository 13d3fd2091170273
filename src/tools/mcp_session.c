/* SPDX-License-Identifier: MIT */
/* Comes to an understanding with an MCP server, and keeps it. */
#include "tools/mcp_session.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/http_client.h"
#include "tools/mcp_era.h"
#include "tools/mcp_watch.h"
#include "util/clock.h"
#include "util/json_memory.h"
#include "util/permit.h"

enum {
    PROBE_MS = 5000,    /* for a server that does not answer what it does not know */
    LOOK_MS = 200,      /* between looks at the client while another thread negotiates */
    FAREWELL_MS = 500,  /* for a message that nobody waits for */
    ATTEMPTS = 2        /* "initialize again, once" */
};

struct mcp_session {
    const struct mcp_transport *transport;
    void *link;
    struct mcp_watch *watch; /* NULL: what the server says comes by itself */
    _Atomic json_int_t next_id;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t settled;
    bool opening;         /* a thread negotiates */
    bool open;
    bool probe_broke;     /* the server did not survive being asked in the modern way */
    uint64_t life;        /* of the link, in which `peer` was found out */
    uint64_t epoch;       /* raised whenever there is a new agreement */
    struct mcp_peer peer;
};

/* What a request goes by. */
struct terms {
    struct mcp_peer peer;
    uint64_t life, epoch;
};

struct mcp_session *mcp_session_new(const struct config_tool *config,
                                    const struct mcp_listener *listener, struct err *e)
{
    struct mcp_session *session = calloc(1, sizeof *session);

    if (session == NULL) {
        err_set(e, AGW_ENOMEM, "memory is out");
        return NULL;
    }
    session->transport = config->url != NULL ? &mcp_http : &mcp_stdio;
    session->link = session->transport->open(config, listener, e);
    if (session->link == NULL) {
        free(session);
        return NULL;
    }
    atomic_init(&session->next_id, 1);
    if (session->transport->listen != NULL &&
        (session->watch = mcp_watch_new(session->transport, session->link, listener,
                                        &session->next_id)) == NULL) {
        session->transport->close(session->link);
        free(session);
        err_set(e, AGW_ENOMEM, "memory is out");
        return NULL;
    }
    pthread_mutex_init(&session->lock, NULL);
    clock_condition_init(&session->settled);
    return session;
}

void mcp_session_close(struct mcp_session **slot)
{
    struct mcp_session *session = *slot;
    struct mcp_headers headers = {0};

    if (session == NULL)
        return;
    mcp_watch_free(&session->watch);
    if (session->open && session->peer.session_id[0] != '\0' &&
        session->transport->farewell != NULL) {
        mcp_era_session_headers(&session->peer, &headers);
        if (!headers.failed)
            session->transport->farewell(session->link, &headers);
        mcp_headers_free(&headers);
    }
    session->transport->close(session->link);
    pthread_cond_destroy(&session->settled);
    pthread_mutex_destroy(&session->lock);
    free(session);
    *slot = NULL;
}

/* ---- one message ---- */

struct letter {
    const struct terms *terms;
    const char *method, *name;
    json_t *params;                     /* taken over */
    const struct mcp_headers *headers;  /* more of them, or NULL */
    json_int_t id;                      /* 0 = a notification */
    bool unawaited;                     /* nobody waits for its answer */
    bool repeatable;
    int64_t deadline_ms;
    int watch_fd;
};

static void gather_headers(const struct letter *letter, struct mcp_headers *all)
{
    mcp_era_request_headers(&letter->terms->peer, letter->method, letter->name, all);
    for (size_t i = 0; letter->headers != NULL && i < letter->headers->count; i++) {
        mcp_headers_line(all, letter->headers->lines[i]);
    }
    all->failed = all->failed || (letter->headers != NULL && letter->headers->failed);
}

static int send_letter(struct mcp_session *session, const struct letter *letter,
                       struct mcp_answer *answer, struct err *e)
{
    struct mcp_headers request = {0}, common = {0};
    char *text = letter->id != 0
                     ? mcp_message_request(letter->id, letter->method, letter->params)
                     : mcp_message_notify(letter->method, letter->params);
    struct mcp_ask ask = {
        .text = text, .id = letter->unawaited ? 0 : letter->id, .headers = &request, .session = &common,
        .resumable = letter->terms->peer.era == MCP_LEGACY, .repeatable = letter->repeatable,
        .life = letter->terms->life, .deadline_ms = letter->deadline_ms,
        .watch_fd = letter->watch_fd};
    int code = AGW_ENOMEM;

    memset(answer, 0, sizeof *answer);
    if (session->transport->is_http) {
        gather_headers(letter, &request);
        mcp_era_session_headers(&letter->terms->peer, &common);
    }
    if (text == NULL || request.failed || common.failed)
        err_set(e, AGW_ENOMEM, "memory is out");
    else
        code = session->transport->exchange(session->link, &ask, answer, e);
    mcp_headers_free(&request);
    mcp_headers_free(&common);
    json_memory_free(text);
    return code;
}

/* ---- the agreement ---- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool is_worth_the_old_way(int code)
{
    return code == AGW_ETIMEOUT || code == AGW_EUPSTREAM;
}

/* Asks in the modern way. 0: terms->peer says which era it is. */
static int discover(struct mcp_session *session, struct terms *terms, int64_t deadline_ms,
                    int watch_fd, bool *broke, struct err *e)
{
    int64_t now = clock_mono_ms();
    struct letter letter = {
        .terms = terms, .method = "server/discover", .repeatable = true,
        .id = atomic_fetch_add(&session->next_id, 1),
        .deadline_ms = sooner(now + PROBE_MS, now + (deadline_ms - now) / 2),
        .watch_fd = watch_fd};
    struct mcp_answer answer;
    int code;

    *broke = false;
    terms->peer = (struct mcp_peer){.era = MCP_MODERN, .version = MCP_MODERN_VERSION};
    letter.params = mcp_era_params(&terms->peer, NULL, 0);
    if (letter.params == NULL)
        return err_set(e, AGW_ENOMEM, "memory is out");
    code = send_letter(session, &letter, &answer, e);
    if (code == 0)
        code = mcp_era_discovered(&answer, &terms->peer, e);
    else if (is_worth_the_old_way(code) && answer.sent) {
        *broke = code == AGW_EUPSTREAM && !session->transport->is_http;
        terms->peer = (struct mcp_peer){.era = MCP_LEGACY};
        code = 0;
    }
    mcp_message_clear(&answer.message);
    return code;
}

static int tell_initialized(struct mcp_session *session, const struct terms *terms,
                            int64_t deadline_ms, int watch_fd, struct err *e)
{
    struct letter letter = {.terms = terms, .method = "notifications/initialized",
                            .deadline_ms = deadline_ms, .watch_fd = watch_fd};
    struct mcp_answer answer;
    int code = send_letter(session, &letter, &answer, e);

    mcp_message_clear(&answer.message);
    if (code == 0 && answer.status >= 300)
        return err_set(e, AGW_EUPSTREAM, "it does not take notifications (HTTP %d)",
                       answer.status);
    return code;
}

static int initialize(struct mcp_session *session, struct terms *terms, int64_t deadline_ms,
                      int watch_fd, struct err *e)
{
    struct letter letter = {
        .terms = terms, .method = "initialize", .params = mcp_era_initialize(),
        .repeatable = true, .id = atomic_fetch_add(&session->next_id, 1),
        .deadline_ms = deadline_ms, .watch_fd = watch_fd};
    struct mcp_answer answer;
    int code;

    terms->peer = (struct mcp_peer){.era = MCP_LEGACY};
    if (letter.params == NULL)
        return err_set(e, AGW_ENOMEM, "memory is out");
    code = send_letter(session, &letter, &answer, e);
    if (code == 0)
        code = mcp_era_initialized(&answer, &terms->peer, e);
    mcp_message_clear(&answer.message);
    return code == 0 ? tell_initialized(session, terms, deadline_ms, watch_fd, e) : code;
}

/* In the modern era servers tell of changes only to who asks for that. Over HTTP it would take
 * a connection of its own: there the list is asked for from time to time. */
static void subscribe(struct mcp_session *session, const struct terms *terms)
{
    struct letter letter = {.terms = terms, .method = "subscriptions/listen", .unawaited = true,
                            .id = atomic_fetch_add(&session->next_id, 1), .watch_fd = -1,
                            .deadline_ms = clock_mono_ms() + FAREWELL_MS};
    json_t *params = json_pack("{s:{s:b}}", "notifications", "toolsListChanged", 1);
    struct mcp_answer answer;
    struct err e = {0};

    letter.params = params == NULL ? NULL : mcp_era_params(&terms->peer, params, 0);
    json_decref(params);
    if (letter.params == NULL)
        return;
    send_letter(session, &letter, &answer, &e);
    mcp_message_clear(&answer.message);
}

/* By the one thread that opens. An era that was found out is not doubted again, unless the
 * server does not go along with it. */
static int negotiate(struct mcp_session *session, struct terms *terms, int64_t deadline_ms,
                     int watch_fd, bool *broke, struct err *e)
{
    int code = 0;

    *broke = false;
    if (terms->peer.era != MCP_LEGACY)
        code = discover(session, terms, deadline_ms, watch_fd, broke, e);
    if (code == 0 && *broke)
        return err_set(e, AGW_EUNAVAILABLE, "it ended when it was asked for its revision");
    if (code == 0 && terms->peer.era == MCP_LEGACY)
        code = initialize(session, terms, deadline_ms, watch_fd, e);
    else if (code == 0 && !session->transport->is_http)
        subscribe(session, terms);
    return code;
}

/* Under the lock, which is given back. */
static int wait_for_another(struct mcp_session *session, int64_t deadline_ms, int watch_fd,
                            struct err *e)
{
    struct timespec until = clock_wait_end(LOOK_MS);

    permit_wait_begin();
    pthread_cond_timedwait(&session->settled, &session->lock, &until);
    pthread_mutex_unlock(&session->lock);
    permit_wait_end();
    if (http_client_peer_gone(watch_fd))
        return err_set(e, AGW_EGONE, "the client hung up");
    if (clock_mono_ms() >= deadline_ms)
        return err_set(e, AGW_ETIMEOUT, "its server was not ready in time");
    return 0;
}

/* Negotiates, from the era on that `terms` have, and lets the others know. */
static int open_session(struct mcp_session *session, struct terms *terms, int64_t deadline_ms,
                        int watch_fd, bool *broke, struct err *e)
{
    int code = negotiate(session, terms, deadline_ms, watch_fd, broke, e);

    if (code == AGW_ETIMEOUT && session->transport->give_up != NULL)
        session->transport->give_up(session->link, terms->life);
    pthread_mutex_lock(&session->lock);
    session->opening = false;
    session->open = code == 0;
    session->probe_broke = *broke;
    if (code == 0) {
        session->life = terms->life;
        session->epoch++;
        session->peer = terms->peer;
    } else if (code == AGW_EUPSTREAM) {
        session->peer.era = MCP_UNKNOWN;
    }
    if (session->watch != NULL)
        mcp_watch_turn(session->watch, code == 0 ? &terms->peer : NULL);
    pthread_cond_broadcast(&session->settled);
    pthread_mutex_unlock(&session->lock);
    return code;
}

/* Under the lock: whether `terms` could be filled in, or (*mine) it is for this thread to see
 * to that. */
static bool look(struct mcp_session *session, uint64_t life, struct terms *terms, bool *mine)
{
    bool open = session->open && session->life == life;

    *terms = (struct terms){session->peer, life, session->epoch};
    *mine = !open && !session->opening;
    if (*mine) {
        if (session->probe_broke)
            terms->peer.era = MCP_LEGACY;
        session->opening = true;
    }
    return open;
}

/* 0: *terms is what holds now. */
static int agree(struct mcp_session *session, int64_t deadline_ms, int watch_fd,
                 struct terms *terms, struct err *e)
{
    bool mine, open, broke = false;
    uint64_t life;
    int code;

    do {
        code = session->transport->connect(session->link, deadline_ms, watch_fd, &life, e);
        if (code != 0)
            return code;
        pthread_mutex_lock(&session->lock);
        open = look(session, life, terms, &mine);
        if (!open && !mine) {
            code = wait_for_another(session, deadline_ms, watch_fd, e);
            continue;
        }
        pthread_mutex_unlock(&session->lock);
        if (mine) {
            code = open_session(session, terms, deadline_ms, watch_fd, &broke, e);
            if (broke) /* asked in the old way, it may not break */
                code = 0;
        }
    } while (code == 0 && !open);
    return code;
}

static void lose(struct mcp_session *session, const struct terms *terms)
{
    pthread_mutex_lock(&session->lock);
    if (session->epoch == terms->epoch) {
        session->open = false;
        if (terms->peer.era == MCP_MODERN)
            session->peer.era = MCP_UNKNOWN;
    }
    pthread_mutex_unlock(&session->lock);
}

/* ---- requests ---- */

/* In the modern era over HTTP the closing of the stream says it. */
static void tell_cancelled(struct mcp_session *session, const struct terms *terms,
                           json_int_t id, const char *why)
{
    struct letter letter = {.terms = terms, .method = "notifications/cancelled",
                            .deadline_ms = clock_mono_ms() + FAREWELL_MS, .watch_fd = -1};
    struct mcp_answer answer;
    struct err e = {0};

    if (session->transport->is_http && terms->peer.era == MCP_MODERN)
        return;
    letter.params = json_pack("{s:I,s:s}", "requestId", id, "reason", why);
    if (letter.params == NULL)
        return;
    send_letter(session, &letter, &answer, &e);
    mcp_message_clear(&answer.message);
}

static int judge(const struct mcp_answer *answer, struct mcp_reply *reply, struct err *e)
{
    const struct mcp_message *message = &answer->message;

    if (answer->status >= 300 && answer->status < 400)
        return err_set(e, AGW_EUPSTREAM, "its server redirects to somewhere else (HTTP %d), which "
                       "is not followed", answer->status);
    if (message->whole == NULL)
        return err_set(e, AGW_EUPSTREAM, "its server gave no answer (HTTP %d)", answer->status);
    if (message->kind == MCP_ERROR) {
        reply->code = message->code == 0 ? -1 : message->code;
        return err_set(e, AGW_EINVALID, "%s (%lld)", message->text,
                       (long long)message->code);
    }
    reply->result = json_incref((json_t *)(uintptr_t)message->result);
    return 0;
}

/* What came of a letter. *again: it is to be written once more, by new terms. */
static int conclude(struct mcp_session *session, const struct mcp_request *request,
                    const struct letter *letter, const struct mcp_answer *answer, int code,
                    struct mcp_reply *reply, bool *again, struct err *e)
{
    enum mcp_agreement agreement =
        code == 0 ? mcp_era_agreement(&letter->terms->peer, answer) : MCP_KEPT;

    if (agreement != MCP_KEPT) {
        lose(session, letter->terms);
        *again = agreement == MCP_LOST || request->repeatable;
        return err_set(e, agreement == MCP_LOST ? AGW_EUNAVAILABLE : AGW_EUPSTREAM,
                       "its server no longer knows %s (HTTP %d)",
                       agreement == MCP_LOST ? "the session" : "what was agreed upon",
                       answer->status);
    }
    if (code == 0)
        return judge(answer, reply, e);
    if (code == AGW_EUNAVAILABLE) /* a program that has ended may be there again */
        *again = !session->transport->is_http;
    else if (code == AGW_EUPSTREAM)
        *again = request->repeatable;
    else if (answer->sent && (code == AGW_ETIMEOUT || code == AGW_EGONE))
        tell_cancelled(session, letter->terms, letter->id,
                       code == AGW_EGONE ? "the client left" : "it took too long");
    return code;
}

static int attempt(struct mcp_session *session, const struct mcp_request *request,
                   struct mcp_reply *reply, bool *again, struct err *e)
{
    struct terms terms;
    struct letter letter = {
        .terms = &terms, .method = request->method, .name = request->name,
        .headers = request->headers, .id = atomic_fetch_add(&session->next_id, 1),
        .repeatable = request->repeatable, .deadline_ms = request->deadline_ms,
        .watch_fd = request->watch_fd};
    struct mcp_answer answer;
    int code = agree(session, request->deadline_ms, request->watch_fd, &terms, e);

    *again = false;
    if (code != 0)
        return code;
    if (terms.peer.era != MCP_MODERN)
        letter.headers = NULL;
    letter.params = mcp_era_params(&terms.peer, request->params,
                                   request->name != NULL ? letter.id : 0);
    if (letter.params == NULL)
        return err_set(e, AGW_ENOMEM, "memory is out");
    code = send_letter(session, &letter, &answer, e);
    code = conclude(session, request, &letter, &answer, code, reply, again, e);
    mcp_message_clear(&answer.message);
    return code;
}

int mcp_session_request(struct mcp_session *session, const struct mcp_request *request,
                        struct mcp_reply *reply, struct err *e)
{
    bool again = true;
    int code = 0;

    memset(reply, 0, sizeof *reply);
    for (int i = 0; i < ATTEMPTS && again; i++) {
        err_reset(e);
        reply->code = 0;
        code = attempt(session, request, reply, &again, e);
    }
    return code;
}

void mcp_session_describe(struct mcp_session *session, json_t *object)
{
    struct mcp_peer peer = {0};

    pthread_mutex_lock(&session->lock);
    if (session->open)
        peer = session->peer;
    pthread_mutex_unlock(&session->lock);
    json_object_set_new(object, "transport", json_string(session->transport->name));
    json_object_set_new(object, "protocol",
                        peer.version[0] != '\0' ? json_string(peer.version) : json_null());
    json_object_set_new(object, "era",
                        peer.era == MCP_MODERN   ? json_string("modern")
                        : peer.era == MCP_LEGACY ? json_string("legacy")
                                                 : json_null());
    json_object_set_new(object, "server",
                        peer.name[0] == '\0'
                            ? json_null()
                            : json_pack("{s:s,s:s}", "name", peer.name, "version",
                                        peer.release));
    if (session->transport->describe != NULL)
        session->transport->describe(session->link, object);
}
