/* SPDX-License-Identifier: MIT */
/* Tells addresses of the public Internet from all others. */
#include "net/http_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct prefix {
    uint8_t bytes[16];
    unsigned bits;
    const char *kind;
};

/* IANA's special-purpose registry, but for what is reachable from everywhere in it, and the
 * one address by which a cloud's hosts reach their metadata though it looks public. */
static const struct prefix ipv4[] = {
    {{0}, 8, "unspecified"},
    {{10}, 8, "private"},
    {{100, 64}, 10, "shared (carrier-grade NAT)"},
    {{127}, 8, "loopback"},
    {{168, 63, 129, 16}, 32, "cloud metadata"},
    {{169, 254, 169, 254}, 32, "cloud metadata"},
    {{169, 254}, 16, "link-local"},
    {{172, 16}, 12, "private"},
    {{192, 0, 0}, 24, "reserved"},
    {{192, 0, 2}, 24, "reserved for documentation"},
    {{192, 88, 99}, 24, "reserved (6to4 relay)"},
    {{192, 168}, 16, "private"},
    {{198, 18}, 15, "reserved for benchmarks"},
    {{198, 51, 100}, 24, "reserved for documentation"},
    {{203, 0, 113}, 24, "reserved for documentation"},
    {{224}, 4, "multicast"},
    {{255, 255, 255, 255}, 32, "broadcast"},
    {{240}, 4, "reserved"},
};

/* What is not in 2000::/3 is not given to anybody as a public address. */
static const struct prefix ipv6[] = {
    {{0}, 128, "unspecified"},
    {{[15] = 1}, 128, "loopback"},
    {{0}, 96, "IPv4-compatible"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local"},
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, "cloud metadata"},
    {{0xfc}, 7, "private (unique local)"},
    {{0xff}, 8, "multicast"},
    {{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, "private (local NAT64)"},
    {{0x20, 0x01}, 32, "a tunnel (Teredo)"},
    {{0x20, 0x01}, 23, "reserved"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "reserved for documentation"},
    {{0x20, 0x02}, 16, "a tunnel (6to4)"},
    {{0x3f, 0xff}, 20, "reserved for documentation"},
    {{0x20}, 3, NULL},
    {{0}, 0, "reserved"},
};

/* Where an IPv6 address carries an IPv4 one that its packets will reach. */
static const struct prefix carriers[] = {
    {{[10] = 0xff, [11] = 0xff}, 96, "IPv4-mapped"},
    {{0x00, 0x64, 0xff, 0x9b}, 96, "NAT64"},
};

static bool begins_with(const uint8_t *address, const struct prefix *prefix)
{
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
    uint8_t mask = (uint8_t)(0xff00 >> rest);

    return memcmp(address, prefix->bytes, whole) == 0 &&
           (rest == 0 || ((address[whole] ^ prefix->bytes[whole]) & mask) == 0);
}

static const char *ipv4_problem(const uint8_t address[4])
{
    for (size_t i = 0; i < sizeof ipv4 / sizeof ipv4[0]; i++)
        if (begins_with(address, &ipv4[i]))
            return ipv4[i].kind;
    return NULL;
}

/* An interface identifier of ISATAP: a router may unpack what is sent to it. */
static bool is_isatap(const uint8_t address[16])
{
    return (address[8] & 0xfd) == 0 && address[9] == 0 && address[10] == 0x5e &&
           address[11] == 0xfe;
}

static const char *ipv6_problem(const uint8_t address[16])
{
    const struct prefix *at = ipv6;

    for (size_t i = 0; i < sizeof carriers / sizeof carriers[0]; i++)
        if (begins_with(address, &carriers[i]))
            return ipv4_problem(address + 12);
    while (!begins_with(address, at)) /* the last one matches */
        at++;
    if (at->kind == NULL && is_isatap(address))
        return ipv4_problem(address + 12);
    return at->kind;
}

const char *http_address_problem(const struct sockaddr *address, socklen_t length)
{
    if (address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;

        memcpy(&in, address, sizeof in);
        return ipv4_problem((const uint8_t *)&in.sin_addr);
    }
    if (address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in;

        memcpy(&in, address, sizeof in);
        return ipv6_problem(in.sin6_addr.s6_addr);
    }
    return "no IP address";
}

void http_address_text(const struct sockaddr *address, socklen_t length,
                       char text[HTTP_ADDRESS_SIZE])
{
    struct sockaddr_in6 six;
    struct sockaddr_in four;
    const char *done = NULL;

    if (address->sa_family == AF_INET && length >= sizeof four) {
        memcpy(&four, address, sizeof four);
        done = inet_ntop(AF_INET, &four.sin_addr, text, HTTP_ADDRESS_SIZE);
    } else if (address->sa_family == AF_INET6 && length >= sizeof six) {
        memcpy(&six, address, sizeof six);
        done = inet_ntop(AF_INET6, &six.sin6_addr, text, HTTP_ADDRESS_SIZE);
    }
    if (done == NULL)
        snprintf(text, HTTP_ADDRESS_SIZE, "(family %d)", address->sa_family);
}
