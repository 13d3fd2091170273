/* SPDX-License-Identifier: MIT */
/* agwctl hash-key: what security.yaml holds in place of a key. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <termios.h>
#include <unistd.h>

#include "config/load.h"
#include "ctl/call.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "util/secret.h"
#include "util/sha.h"

enum { SECRET_SIZE = 4096 };

/* One line of standard input without its end, or all of it up to the end. */
static int read_line(char secret[SECRET_SIZE])
{
    size_t length = 0;
    int c;

    while ((c = getc(stdin)) != EOF && c != '\n') {
        if (c == '\0')
            return call_fail("the key holds a NUL byte");
        if (length == SECRET_SIZE - 1)
            return call_fail("the key is longer than %d bytes", SECRET_SIZE - 1);
        secret[length++] = (char)c;
    }
    if (ferror(stdin))
        return call_fail("standard input: %s", strerror(errno));
    if (c == EOF && length == 0)
        return call_fail("standard input is empty: the key is read from there");
    if (length > 0 && secret[length - 1] == '\r')
        length--;
    secret[length] = '\0';
    if (isatty(STDIN_FILENO) != 1 && getc(stdin) != EOF)
        return call_fail("standard input has more than one line: the key must be one");
    return CTL_FINE;
}

/* Without showing what is typed. A signal ends the program; the terminal's own shell restores
 * its settings then. */
static int prompt(char secret[SECRET_SIZE])
{
    struct termios before, silent;
    int status;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return call_fail("the terminal: %s", strerror(errno));
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ECHONL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    fputs("Key: ", stderr);
    status = read_line(secret);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    return status;
}

static int run(struct call *call)
{
    char secret[SECRET_SIZE] = "", hex[SHA_HEX_SIZE];
    const char *problem = NULL;
    int status;

    (void)setvbuf(stdin, NULL, _IONBF, 0); /* no copy of the secret stays behind */
    status = isatty(STDIN_FILENO) == 1 ? prompt(secret) : read_line(secret);
    if (status == CTL_FINE) {
        problem = config_key_problem(secret);
        sha_256_hex(secret, strlen(secret), hex);
    }
    secret_wipe(secret, sizeof secret);
    if (problem != NULL)
        return call_fail("the key %s", problem);
    if (status != CTL_FINE)
        return status;
    if (call->json)
        return call_json(json_pack("{s:s+}", "hashed_key", "sha256:", hex), CTL_FINE);
    printf("sha256:%s\n", hex);
    return CTL_FINE;
}

const struct command cmd_hash_key = {
    .name = "hash-key",
    .summary = "Read a key from standard input and print the hashed_key for security.yaml",
    .run = run,
};
