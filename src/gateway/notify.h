/* SPDX-License-Identifier: MIT */
/* Tells a service manager how we are: the datagrams of sd_notify(3), without its library. */
#ifndef AGW_GATEWAY_NOTIFY_H
#define AGW_GATEWAY_NOTIFY_H

/* Sends e.g. "READY=1" to $NOTIFY_SOCKET; nothing without it. */
void notify_send(const char *state);

#endif
