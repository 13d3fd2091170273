/* SPDX-License-Identifier: MIT */
/* https: whom http_client.c trusts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_client.h"

enum { KEPT = 4 };

struct tls_server {
    SSL_CTX *context;
    EVP_PKEY *key;
    X509 *certificate;
    int fd, port;
    pthread_t thread;
};

static X509 *self_signed(EVP_PKEY *key, const char *name)
{
    X509 *certificate = X509_new();
    X509_EXTENSION *names;
    char text[64];

    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    snprintf(text, sizeof text, "%s:%s", name[0] == '1' ? "IP" : "DNS", name);
    names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

static void answer(SSL *ssl)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    char request[4096];

    while (SSL_read(ssl, request, sizeof request) > 0)
        SSL_write(ssl, reply, sizeof reply - 1);
}

/* One connection after the other. */
static void *serve(void *arg)
{
    struct tls_server *server = arg;
    int fd;

    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(server->context);

        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1)
            answer(ssl);
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static void start(struct tls_server *server, const char *name)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->key = EVP_EC_gen("P-256");
    server->certificate = self_signed(server->key, name);
    server->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server->context, server->certificate);
    SSL_CTX_use_PrivateKey(server->context, server->key);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->fd, 16), 0);
    getsockname(server->fd, (struct sockaddr *)&address, &length);
    server->port = ntohs(address.sin_port);
    pthread_create(&server->thread, NULL, serve, server);
}

static void stop(struct tls_server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    SSL_CTX_free(server->context);
    X509_free(server->certificate);
    EVP_PKEY_free(server->key);
}

static int get(const struct tls_server *server, struct err *e)
{
    struct http_pool *pool = http_pool_new(4);
    struct http_result result;
    char url[64];
    struct http_call call = {.method = "GET", .url = url, .max_response = 100,
                             .total_ms = 5000, .watch_fd = -1};
    int code;

    snprintf(url, sizeof url, "https://127.0.0.1:%d/", server->port);
    err_reset(e);
    code = http_client_call(pool, &call, &result, e);
    assert_int_equal(result.status, code == 0 ? 200 : 0);
    assert_int_equal(result.connected, code == 0); /* nothing is sent to whom we don't trust */
    http_pool_free(&pool);
    return code;
}

/* The trusted certificates are read once a process, so one test sees all servers. */
static void trust(void **state)
{
    char directory[] = "/tmp/agw-tls-XXXXXX", path[64];
    struct tls_server good, strange, misnamed;
    struct err e;
    FILE *file;

    (void)state;
    start(&good, "127.0.0.1");
    start(&strange, "127.0.0.1");
    start(&misnamed, "elsewhere.example");
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/ca.pem", directory);
    file = fopen(path, "w");
    PEM_write_X509(file, good.certificate);
    PEM_write_X509(file, misnamed.certificate);
    fclose(file);
    setenv("SSL_CERT_FILE", path, 1);
    assert_int_equal(get(&good, &e), 0);
    assert_int_equal(get(&strange, &e), AGW_EUPSTREAM);
    assert_non_null(strstr(e.message, "certificate"));
    assert_int_equal(get(&misnamed, &e), AGW_EUPSTREAM);
    assert_int_equal(get(&good, &e), 0);
    unsetenv("SSL_CERT_FILE");
    unlink(path);
    rmdir(directory);
    stop(&good);
    stop(&strange);
    stop(&misnamed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trust),
    };

    signal(SIGPIPE, SIG_IGN);
    if (http_client_init() != 0)
        return 1;
    return cmocka_run_group_tests_name("net/http_tls", tests, NULL, NULL);
}
