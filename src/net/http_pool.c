/* SPDX-License-Identifier: MIT */
/* Keeps curl handles and their connections warm, the warmest on top. */
#include "net/http_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_tls.h"

enum { RECEIVE_BUFFER = 4096, KEEPALIVE_S = 30 }; /* a buffer for each open stream */

struct http_pool {
    pthread_mutex_t lock;
    size_t count, max;
    struct http_handle **idle; /* a stack */
};

struct http_pool *http_pool_new(size_t max_idle_handles)
{
    struct http_pool *pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->max = max_idle_handles;
    pool->idle = calloc(max_idle_handles + 1, sizeof *pool->idle);
    if (pool->idle == NULL || pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool->idle);
        free(pool);
        return NULL;
    }
    return pool;
}

static void handle_free(struct http_handle *handle)
{
    if (handle->easy != NULL)
        curl_easy_cleanup(handle->easy);
    if (handle->multi != NULL)
        curl_multi_cleanup(handle->multi);
    free(handle);
}

void http_pool_free(struct http_pool **pool)
{
    if (*pool == NULL)
        return;
    for (size_t i = 0; i < (*pool)->count; i++)
        handle_free((*pool)->idle[i]);
    pthread_mutex_destroy(&(*pool)->lock);
    free((*pool)->idle);
    free(*pool);
    *pool = NULL;
}

/* What holds for every call. An environment proxy is the classic way (httpoxy) to divert
 * a gateway's traffic, and a redirect to make it talk to somewhere else. QUICK_EXIT: a
 * cancelled call does not wait for a resolver that hangs. */
static int set_constants(CURL *easy)
{
    CURLcode bad = CURLE_OK;

    bad |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    bad |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    bad |= curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    bad |= curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    bad |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
    bad |= curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
    bad |= curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S);
    bad |= curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_USERAGENT, "agent-gateway/" PACKAGE_VERSION);
    bad |= http_tls_setup(easy);
    return bad == CURLE_OK ? 0 : -1;
}

static struct http_handle *handle_new(enum http_reach reach)
{
    struct http_handle *handle = calloc(1, sizeof *handle);

    if (handle == NULL)
        return NULL;
    handle->reach = reach;
    handle->multi = curl_multi_init();
    if (handle->multi == NULL ||
        curl_multi_setopt(handle->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK) {
        handle_free(handle);
        return NULL;
    }
    return handle;
}

/* An easy handle lives for one call: in libcurl before 8.1.0 a second one begins with a pointer
 * to the last header of the first, long freed, and an answer whose first header line begins with
 * a blank has it written to. The connection is the multi handle's, and stays. */
static struct http_handle *renew(struct http_handle *handle)
{
    if (handle == NULL)
        return NULL;
    handle->easy = curl_easy_init();
    if (handle->easy == NULL || set_constants(handle->easy) != 0 ||
        curl_easy_setopt(handle->easy, CURLOPT_ERRORBUFFER, handle->detail) != CURLE_OK) {
        handle_free(handle);
        return NULL;
    }
    return handle;
}

struct http_handle *http_pool_acquire(struct http_pool *pool, enum http_reach reach)
{
    struct http_handle *handle = NULL;
    size_t at;

    pthread_mutex_lock(&pool->lock);
    for (at = pool->count; at > 0 && pool->idle[at - 1]->reach != reach; at--)
        ;
    if (at > 0) {
        handle = pool->idle[at - 1];
        pool->count--;
        memmove(pool->idle + at - 1, pool->idle + at, (pool->count - (at - 1)) *
                                                          sizeof *pool->idle);
    }
    pthread_mutex_unlock(&pool->lock);
    return renew(handle != NULL ? handle : handle_new(reach));
}

void http_pool_release(struct http_pool *pool, struct http_handle *handle)
{
    if (handle == NULL)
        return;
    curl_easy_cleanup(handle->easy);
    handle->easy = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->count < pool->max) {
        pool->idle[pool->count++] = handle;
        handle = NULL;
    }
    pthread_mutex_unlock(&pool->lock);
    if (handle != NULL)
        handle_free(handle);
}
