/* SPDX-License-Identifier: MIT */
/* Which addresses are public ones: what keeps a call from being turned against this host and
 * its neighbours (server-side request forgery). Any thread.
 */
#ifndef AGW_NET_HTTP_ADDRESS_H
#define AGW_NET_HTTP_ADDRESS_H

#include <sys/socket.h>

/* What keeps an address from being a public one ("loopback", "private", ...), or NULL. An IPv4
 * address inside an IPv6 one counts as itself. What is no IP address is "no IP address". */
const char *http_address_problem(const struct sockaddr *address, socklen_t length);

enum { HTTP_ADDRESS_SIZE = 72 };
/* "192.0.2.1", "fe80::1" */
void http_address_text(const struct sockaddr *address, socklen_t length,
                       char text[HTTP_ADDRESS_SIZE]);

#endif
