/* SPDX-License-Identifier: MIT */
/* http_address.c against tests/cases/net/addresses.txt, and with what is no address. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "net/http_address.h"

union any_address {
    struct sockaddr base;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_un path;
};

static socklen_t parse(const char *text, union any_address *address)
{
    memset(address, 0, sizeof *address);
    if (strchr(text, ':') == NULL) {
        address->four.sin_family = AF_INET;
        assert_int_equal(inet_pton(AF_INET, text, &address->four.sin_addr), 1);
        return sizeof address->four;
    }
    address->six.sin6_family = AF_INET6;
    assert_int_equal(inet_pton(AF_INET6, text, &address->six.sin6_addr), 1);
    return sizeof address->six;
}

static void every_case(void **state)
{
    FILE *file = fopen(AGW_SOURCE_DIR "/tests/cases/net/addresses.txt", "r");
    char line[200], text[80], expected[80];
    int cases = 0, wrong = 0;

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        union any_address address;
        const char *problem;

        if (line[0] == '#' || line[0] == '\n')
            continue;
        assert_int_equal(sscanf(line, "%79s %79[^\n]", text, expected), 2);
        problem = http_address_problem(&address.base, parse(text, &address));
        if (strcmp(problem == NULL ? "public" : problem, expected) != 0) {
            print_message("%s: %s, not %s\n", text, problem, expected);
            wrong++;
        }
        cases++;
    }
    fclose(file);
    assert_in_range(cases, 100, 1000);
    assert_int_equal(wrong, 0);
}

static void what_is_no_ip_address_is_refused(void **state)
{
    union any_address address = {.path = {.sun_family = AF_UNIX, .sun_path = "/run/x"}};
    char text[HTTP_ADDRESS_SIZE];
    socklen_t length;

    (void)state;
    assert_string_equal(http_address_problem(&address.base, sizeof address.path),
                        "no IP address");
    http_address_text(&address.base, sizeof address.path, text);
    assert_string_equal(text, "(family 1)");
    length = parse("8.8.8.8", &address);
    assert_string_equal(http_address_problem(&address.base, length - 1), "no IP address");
    length = parse("2a00::1", &address);
    assert_string_equal(http_address_problem(&address.base, length - 1), "no IP address");
}

static void texts(void **state)
{
    static const char *const cases[] = {"8.8.8.8", "fe80::1", "::ffff:10.0.0.1"};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union any_address address;
        char text[HTTP_ADDRESS_SIZE];
        socklen_t length = parse(cases[i], &address);

        http_address_text(&address.base, length, text);
        assert_string_equal(text, cases[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
        cmocka_unit_test(what_is_no_ip_address_is_refused),
        cmocka_unit_test(texts),
    };

    return cmocka_run_group_tests_name("net/http_address", tests, NULL, NULL);
}
