/* SPDX-License-Identifier: MIT */
/* Carries one HTTP request out and its answer back, never longer than it was told. */
#include "net/http_client.h"

#include <ctype.h>
#include <errno.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_address.h"
#include "net/http_pool.h"
#include "net/http_wait.h"
#include "util/clock.h"
#include "util/secret.h"

enum {
    HEADERS_MAX = 65536,
    RETRY_AFTER_MAX = 86400,
    CONNECT_GRACE_MS = 200 /* curl's own connect timeout comes first: it knows addresses */
};
static const long IDLE_S = 118, ONCE_IDLE_S = 4; /* longest idle time of a kept connection */

struct transfer {
    const struct http_call *call;
    struct http_result *result;
    struct err *e;
    CURL *easy;
    int code;                 /* why a callback or a deadline ended it */
    bool head_done, enough, told; /* told: on_sent has been called */
    size_t header_bytes, body_bytes;
    int64_t started, connected_at, last_byte, enough_at, own_quiet; /* monotonic ms */
    int64_t *quiet;
    char refused[160];        /* what is wrong with the address last refused */
};

int http_client_init(void)
{
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : AGW_EINTERNAL;
}

static void arrived(struct transfer *t)
{
    t->result->any_byte = true;
    t->last_byte = clock_mono_ms();
    if (t->quiet == &t->own_quiet)
        t->own_quiet = t->last_byte;
}

/* Makes a connection's socket: the name has been resolved, and nothing been sent yet. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *peer)
{
    struct transfer *t = arg;
    const char *problem = NULL;
    int fd;

    (void)purpose;
    if (t->call->reach == HTTP_REACH_PUBLIC)
        problem = http_address_problem(&peer->addr, peer->addrlen);
    if (problem != NULL) {
        char address[HTTP_ADDRESS_SIZE];

        http_address_text(&peer->addr, peer->addrlen, address);
        snprintf(t->refused, sizeof t->refused,
                 "the address %s is not public but %s: only 'allow_private: true' permits it",
                 address, problem);
        return CURL_SOCKET_BAD;
    }
    fd = socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        t->result->starved = true;
    return fd;
}

/* curl is about to send: the connection (with TLS) is there, new or warm. */
static int on_connected(void *arg, char *ip, char *local, int port, int local_port)
{
    struct transfer *t = arg;

    (void)ip, (void)local, (void)port, (void)local_port;
    if (t->call->once && t->result->connected) { /* curl's own retry */
        t->code = err_set(t->e, AGW_EUPSTREAM, "the connection broke before an answer came; "
                          "the request is not sent again");
        return CURL_PREREQFUNC_ABORT;
    }
    t->result->connected = true;
    t->connected_at = clock_mono_ms();
    return CURL_PREREQFUNC_OK;
}

static int retry_after(const char *value, size_t length)
{
    char text[64];
    char *end;
    time_t date;
    long seconds;

    snprintf(text, sizeof text, "%.*s", (int)(length < 63 ? length : 63), value);
    seconds = strtol(text, &end, 10);
    if (end == text) {
        date = curl_getdate(text, NULL);
        seconds = date == -1 ? 0 : (long)(date - clock_wall_ms() / 1000);
    }
    return seconds < 0 ? 0 : seconds > RETRY_AFTER_MAX ? RETRY_AFTER_MAX : (int)seconds;
}

static void keep_content_type(struct http_result *result, const char *value, size_t length)
{
    size_t i = 0;

    for (; i < length && i + 1 < sizeof result->content_type; i++) {
        if (value[i] == ';' || isspace((unsigned char)value[i]))
            break;
        result->content_type[i] = (char)tolower((unsigned char)value[i]);
    }
    result->content_type[i] = '\0';
}

/* The value of "charset=", with or without quotes. */
static void keep_charset(struct http_result *result, const char *value, size_t length)
{
    static const char word[] = "charset=";
    size_t used = 0;

    result->charset[0] = '\0';
    for (; length > sizeof word - 1; value++, length--)
        if (strncasecmp(value, word, sizeof word - 1) == 0)
            break;
    if (length <= sizeof word - 1)
        return;
    value += sizeof word - 1;
    length -= sizeof word - 1;
    for (size_t i = *value == '"'; i < length && used + 1 < sizeof result->charset; i++) {
        if (strchr("\"; \t\r\n", value[i]) != NULL)
            break;
        result->charset[used++] = (char)tolower((unsigned char)value[i]);
    }
    result->charset[used] = '\0';
}

static void keep_wanted(struct http_result *result, const char *value, size_t length)
{
    while (length > 0 && isspace((unsigned char)value[length - 1]))
        length--;
    if (length >= sizeof result->wanted)
        length = 0;
    memcpy(result->wanted, value, length);
    result->wanted[length] = '\0';
}

static void take_header(struct http_result *result, const char *wanted, const char *line,
                        size_t length)
{
    const char *colon = memchr(line, ':', length);
    const char *value;
    size_t name, rest;

    if (colon == NULL)
        return;
    name = (size_t)(colon - line);
    value = colon + 1;
    rest = length - name - 1;
    for (; rest > 0 && isspace((unsigned char)*value); rest--)
        value++;
    if (name == 12 && strncasecmp(line, "content-type", name) == 0) {
        keep_content_type(result, value, rest);
        keep_charset(result, value, rest);
    } else if (name == 16 && strncasecmp(line, "content-encoding", name) == 0) {
        result->encoded = rest < 8 || strncasecmp(value, "identity", 8) != 0;
    } else if (name == 11 && strncasecmp(line, "retry-after", name) == 0) {
        result->retry_after_s = retry_after(value, rest);
    } else if (name == 14 && strncasecmp(line, "x-should-retry", name) == 0) {
        result->retry_is_useless = rest >= 5 && strncasecmp(value, "false", 5) == 0;
    } else if (wanted != NULL && name == strlen(wanted) &&
               strncasecmp(line, wanted, name) == 0) {
        keep_wanted(result, value, rest);
    }
}

static int end_of_head(struct transfer *t)
{
    long status = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) /* an interim answer; the real one follows */
        return 0;
    t->head_done = true;
    t->result->status = (int)status;
    return t->call->on_head == NULL ? 0 : t->call->on_head(t->call->arg, t->result);
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t length = size * count;

    arrived(t);
    t->header_bytes += length;
    if (t->header_bytes > HEADERS_MAX) {
        t->code = err_set(t->e, AGW_EUPSTREAM, "more than %d bytes of headers", HEADERS_MAX);
        return 0;
    }
    if (t->head_done) /* a trailer */
        return length;
    if (length >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        t->result->content_type[0] = t->result->charset[0] = '\0';
        t->result->wanted[0] = '\0';
        t->result->encoded = false;
        t->result->retry_after_s = 0;
    } else if (*line == '\r' || *line == '\n') {
        t->code = end_of_head(t);
    } else {
        take_header(t->result, t->call->wanted, line, length);
    }
    return t->code == 0 ? length : 0;
}

static size_t on_data(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t length = size * count;
    int code = 0;

    arrived(t);
    if (t->enough)
        return length;
    t->body_bytes += length;
    t->result->too_large = t->body_bytes > t->call->max_response;
    if (t->result->too_large)
        code = err_set(t->e, AGW_EUPSTREAM, "the answer exceeds %zu bytes",
                       t->call->max_response);
    else if (t->call->on_body != NULL)
        code = t->call->on_body(t->call->arg, bytes, length);
    if (code == HTTP_CLIENT_ENOUGH) {
        t->enough = true;
        t->enough_at = clock_mono_ms();
        return length;
    }
    t->code = code;
    return code == 0 ? length : 0;
}

static struct curl_slist *make_headers(const char *const *headers, struct err *e)
{
    /* An empty Expect keeps curl from waiting a second for "100 Continue". */
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"), *longer;

    for (size_t i = 0; list != NULL && headers != NULL && headers[i] != NULL; i++) {
        if (strpbrk(headers[i], "\r\n") != NULL) {
            err_set(e, AGW_EINTERNAL, "a request header has a line break");
            http_wait_free_headers(&list);
            return NULL;
        }
        longer = curl_slist_append(list, headers[i]);
        if (longer == NULL)
            http_wait_free_headers(&list);
        list = longer;
    }
    if (list == NULL)
        err_set(e, AGW_ENOMEM, "building request headers");
    return list;
}

static void set_method(CURL *easy, const struct http_call *call)
{
    bool get = strcmp(call->method, "GET") == 0;

    if (get && call->body == NULL) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_length);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body == NULL ? "" : call->body);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                     strcmp(call->method, "POST") == 0 ? NULL : call->method);
}

static int prepare(struct transfer *t, struct curl_slist *headers)
{
    const struct http_call *call = t->call;
    CURL *easy = t->easy;

    if (curl_easy_setopt(easy, CURLOPT_URL, call->url) != CURLE_OK)
        return err_set(t->e, AGW_ENOMEM, "setting the request up");
    set_method(easy, call);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)call->connect_ms);
    /* Servers close what is idle, many after 5 s; a request that crosses that is lost when it
     * may not be sent again. */
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, call->once ? ONCE_IDLE_S : IDLE_S);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    return 0;
}

/* The next instant at which something is due, lowering *soonest; true when `limit` after
 * `since` has passed. */
static bool due(int64_t since, int64_t limit, int64_t now, int64_t *soonest)
{
    if (limit <= 0)
        return false;
    if (since + limit < *soonest)
        *soonest = since + limit;
    return now >= since + limit;
}

/* Ends the transfer when a deadline has passed; *soonest = when to look again. */
static int check_deadlines(struct transfer *t, int64_t now, int64_t *soonest)
{
    const struct http_call *call = t->call;
    const char *which = NULL;

    if (t->enough)
        return due(t->enough_at, HTTP_CLIENT_TAIL_MS, now, soonest) ? HTTP_CLIENT_ENOUGH : 0;
    if (due(t->started, call->total_ms, now, soonest))
        which = "total";
    if (!t->result->connected) {
        if (call->connect_ms > 0 &&
            due(t->started, call->connect_ms + CONNECT_GRACE_MS, now, soonest))
            which = "connect";
    } else if (!t->result->any_byte) {
        if (due(t->connected_at, call->first_byte_ms, now, soonest))
            which = "first byte";
    } else if (due(t->last_byte, call->idle_ms, now, soonest)) {
        which = "idle";
    }
    if (which != NULL)
        return err_set(t->e, AGW_ETIMEOUT, "the %s deadline passed after %lld ms", which,
                       (long long)(now - t->started));
    return 0;
}

static int check_tick(struct transfer *t, int64_t now, int64_t *soonest)
{
    if (t->call->on_tick == NULL || !due(*t->quiet, t->call->tick_ms, now, soonest))
        return 0;
    *t->quiet = now;
    due(now, t->call->tick_ms, now, soonest);
    return t->call->on_tick(t->call->arg);
}

/* Asking for a name's address takes descriptors of its own, and nobody says that none was left. */
static bool no_socket_is_left(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    close(pair[0]);
    close(pair[1]);
    return false;
}

static int failure(struct transfer *t, CURLcode curl, const char *detail)
{
    const char *text = detail[0] != '\0' ? detail : curl_easy_strerror(curl);

    if (t->enough || curl == CURLE_OK)
        return 0;
    t->result->refused_address = t->refused[0] != '\0' && !t->result->connected;
    if (t->result->refused_address)
        return err_set(t->e, AGW_EUPSTREAM, "%s", t->refused);
    if (curl == CURLE_COULDNT_RESOLVE_HOST && no_socket_is_left())
        t->result->starved = true;
    if (curl == CURLE_OUT_OF_MEMORY)
        return err_set(t->e, AGW_ENOMEM, "during a request");
    if (curl == CURLE_OPERATION_TIMEDOUT)
        return err_set(t->e, AGW_ETIMEOUT, "the connect deadline passed: %s", text);
    return err_set(t->e, AGW_EUPSTREAM, "%s", text);
}

static int finished(struct transfer *t, struct http_handle *handle)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(handle->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            return failure(t, message->data.result, handle->detail);
    return err_set(t->e, AGW_EINTERNAL, "a request vanished");
}

static bool must_tell(const struct transfer *t)
{
    return t->call->on_sent != NULL && !t->told && t->result->connected;
}

static int drive(struct transfer *t, struct http_handle *handle)
{
    struct http_watch watch = {.fd = t->call->watch_fd};

    for (;;) {
        int running = 0, code;
        int64_t now, soonest = INT64_MAX;

        if (curl_multi_perform(handle->multi, &running) != CURLM_OK)
            return err_set(t->e, AGW_EINTERNAL, "curl_multi_perform failed");
        if (t->code != 0)
            return t->code;
        if (running == 0)
            return finished(t, handle);
        if (must_tell(t)) {
            t->told = true;
            t->code = t->call->on_sent(t->call->arg);
            if (t->code != 0)
                return t->code;
            continue; /* meanwhile the answer may have come */
        }
        now = clock_mono_ms();
        code = check_deadlines(t, now, &soonest);
        if (code == 0)
            code = check_tick(t, now, &soonest);
        if (code != 0)
            return code == HTTP_CLIENT_ENOUGH ? 0 : code;
        if (http_wait_for(handle->multi, &watch, now, soonest) != 0)
            return err_set(t->e, AGW_EGONE, "the client hung up");
    }
}

int http_client_call(struct http_pool *pool, const struct http_call *call,
                     struct http_result *result, struct err *e)
{
    int64_t before = clock_mono_us();
    struct transfer t = {.call = call, .result = result, .e = e};
    struct http_handle *handle = http_pool_acquire(pool, call->reach);
    struct curl_slist *headers = NULL;
    int code = AGW_ENOMEM;

    *result = (struct http_result){0};
    if (handle == NULL) {
        err_set(e, AGW_ENOMEM, "no handle for a request");
        goto out;
    }
    t.easy = handle->easy;
    t.started = t.own_quiet = before / 1000;
    t.quiet = call->quiet_since_ms != NULL ? call->quiet_since_ms : &t.own_quiet;
    headers = make_headers(call->headers, e);
    if (headers == NULL) {
        code = e != NULL && e->code == AGW_EINTERNAL ? AGW_EINTERNAL : AGW_ENOMEM;
        goto out;
    }
    code = prepare(&t, headers);
    if (code == 0) {
        handle->detail[0] = '\0';
        if (curl_multi_add_handle(handle->multi, handle->easy) == CURLM_OK)
            code = drive(&t, handle);
        else
            code = err_set(e, AGW_ENOMEM, "starting a request");
        curl_multi_remove_handle(handle->multi, handle->easy);
    }
    /* What the handle points to ends with this call. */
    curl_easy_setopt(handle->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(handle->easy, CURLOPT_POSTFIELDS, NULL);
out:
    http_wait_free_headers(&headers);
    http_pool_release(pool, handle);
    result->duration_us = clock_mono_us() - before;
    return code;
}
