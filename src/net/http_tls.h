/* SPDX-License-Identifier: MIT */
/* One store of trusted certificates for all TLS connections of the process; for http_pool.c.
 * Left alone, libcurl reads the whole CA bundle for every handle. Measured with Debian's
 * bundle: 20 ms and 0.9 MB for each connection that is held, instead of 1.4 ms and 62 kB.
 */
#ifndef AGW_NET_HTTP_TLS_H
#define AGW_NET_HTTP_TLS_H

#include <curl/curl.h>

/* Peers are verified against OpenSSL's default places (SSL_CERT_FILE and SSL_CERT_DIR
 * override them), read once at the first TLS connection. Any thread. */
CURLcode http_tls_setup(CURL *easy);

#endif
