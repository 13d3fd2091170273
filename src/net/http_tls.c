/* SPDX-License-Identifier: MIT */
/* Lets all connections trust the same certificates without each reading them. */
#include "net/http_tls.h"

#include <openssl/ssl.h>
#include <pthread.h>

static X509_STORE *trusted; /* NULL: could not be made, nobody is trusted */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The flags are those that libcurl gives its own store: the shortest chain to something
 * trusted counts, and that may be an intermediate certificate. */
static void load(void)
{
    trusted = X509_STORE_new();
    if (trusted == NULL)
        return;
    X509_STORE_set_flags(trusted, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
    if (X509_STORE_set_default_paths(trusted) != 1) {
        X509_STORE_free(trusted);
        trusted = NULL;
    }
}

static CURLcode use_store(CURL *easy, void *context, void *arg)
{
    (void)easy, (void)arg;
    pthread_once(&once, load);
    if (trusted == NULL)
        return CURLE_SSL_CACERT_BADFILE;
    SSL_CTX_set1_cert_store(context, trusted);
    return CURLE_OK;
}

CURLcode http_tls_setup(CURL *easy)
{
    CURLcode bad = CURLE_OK;

    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    bad |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    bad |= curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    bad |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    bad |= curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, use_store);
    return bad;
}
