/* SPDX-License-Identifier: MIT */
/* Spells a row unambiguously and links it to the one before. */
#include "store/audit_chain.h"

#include <string.h>

enum { CANONICAL_MAX = 64 << 20 };

int audit_chain_init(struct audit_chain *chain, struct err *e)
{
    buf_init(&chain->canonical, CANONICAL_MAX);
    chain->digest = sha_algorithm();
    chain->context = EVP_MD_CTX_new();
    if (chain->digest != NULL && chain->context != NULL)
        return 0;
    audit_chain_free(chain);
    return err_set(e, AGW_ENOMEM, "SHA-256 is not available");
}

void audit_chain_free(struct audit_chain *chain)
{
    EVP_MD_CTX_free(chain->context);
    buf_free(&chain->canonical);
    chain->context = NULL;
    chain->digest = NULL;
}

/* Decimal digits of `number`, without the cost of printf: a row has a dozen of them. */
static size_t decimal(char digits[20], int64_t number)
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char reversed[20];
    size_t n = 0, length = 0;

    do
        reversed[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (number < 0)
        digits[length++] = '-';
    while (n > 0)
        digits[length++] = reversed[--n];
    return length;
}

void audit_chain_begin(struct audit_chain *chain, int64_t seq)
{
    buf_reset(&chain->canonical);
    audit_chain_number(chain, seq);
}

void audit_chain_text(struct audit_chain *chain, const char *text, size_t length)
{
    char prefix[21];
    size_t n = decimal(prefix, (int64_t)length);

    prefix[n++] = ':';
    buf_append(&chain->canonical, prefix, n);
    buf_append(&chain->canonical, text, length);
    buf_append(&chain->canonical, ",", 1);
}

void audit_chain_number(struct audit_chain *chain, int64_t number)
{
    char digits[20];

    audit_chain_text(chain, digits, decimal(digits, number));
}

void audit_chain_null(struct audit_chain *chain)
{
    buf_append(&chain->canonical, "-,", 2);
}

int audit_chain_end(struct audit_chain *chain, const char *prev_hash, char hash[SHA_HEX_SIZE],
                    struct err *e)
{
    unsigned char digest[SHA_SIZE];

    audit_chain_text(chain, prev_hash, strlen(prev_hash));
    if (chain->canonical.failed)
        return err_set(e, AGW_ENOMEM, "an audit row is too large");
    if (EVP_DigestInit_ex2(chain->context, chain->digest, NULL) != 1 ||
        EVP_DigestUpdate(chain->context, prev_hash, strlen(prev_hash)) != 1 ||
        EVP_DigestUpdate(chain->context, chain->canonical.data, chain->canonical.length) != 1 ||
        EVP_DigestFinal_ex(chain->context, digest, NULL) != 1)
        return err_set(e, AGW_EINTERNAL, "hashing an audit row failed");
    sha_hex(digest, sizeof digest, hash);
    return 0;
}
