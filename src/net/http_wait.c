/* SPDX-License-Identifier: MIT */
/* Waits without holding anybody up. */
#include "net/http_wait.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "net/http_client.h"
#include "util/clock.h"
#include "util/permit.h"
#include "util/secret.h"

enum { WAIT_MAX_MS = 10000, CHATTY_WAIT_MS = 200 };

bool http_client_peer_gone(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return fd >= 0 && poll(&p, 1, 0) > 0 &&
           (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* curl passes only POLLIN/POLLPRI/POLLOUT on to poll(2), never POLLRDHUP. A hang-up makes
 * the socket readable too, but so do unread bytes: those would make every wait return at
 * once, so such a socket is looked at from time to time instead. */
int http_wait_for(CURLM *multi, struct http_watch *watch, int64_t now, int64_t until)
{
    struct curl_waitfd extra = {.fd = watch->fd, .events = CURL_WAIT_POLLIN};
    unsigned count = watch->fd >= 0 && !watch->chatty ? 1 : 0;
    int64_t wait = watch->chatty ? CHATTY_WAIT_MS : WAIT_MAX_MS;

    if (until != INT64_MAX && until - now < wait)
        wait = until > now ? until - now : 0;
    permit_wait_begin();
    curl_multi_poll(multi, &extra, count, (int)wait, NULL);
    permit_wait_end();
    if (watch->fd < 0 || (count == 1 && extra.revents == 0))
        return 0;
    if (http_client_peer_gone(watch->fd))
        return -1;
    watch->chatty = true;
    return 0;
}

int http_client_pause(int watch_fd, int64_t ms)
{
    int64_t until = clock_mono_ms() + ms, left;
    struct pollfd p = {.fd = watch_fd, .events = POLLRDHUP};
    int ready = 0;

    permit_wait_begin();
    do {
        left = until - clock_mono_ms();
        ready = poll(&p, watch_fd >= 0 ? 1 : 0,
                     left <= 0 ? 0 : left < WAIT_MAX_MS ? (int)left : WAIT_MAX_MS);
    } while (ready <= 0 && left > 0 && (ready == 0 || errno == EINTR));
    permit_wait_end();
    return ready > 0 ? AGW_EGONE : 0;
}

void http_wait_free_headers(struct curl_slist **headers)
{
    for (struct curl_slist *at = *headers; at != NULL; at = at->next)
        secret_wipe(at->data, strlen(at->data));
    curl_slist_free_all(*headers);
    *headers = NULL;
}
