/* SPDX-License-Identifier: MIT */
/* Secrets of keys made at run time: "agw_", 30 random characters of 0-9 A-Z a-z (178 bits),
 * and 6 more that are the CRC-32 of those 30, so that scanners can tell a leaked key from
 * anything else (doc/API.md). Any thread.
 */
#ifndef AGW_POLICY_KEY_SECRET_H
#define AGW_POLICY_KEY_SECRET_H

enum { KEY_SECRET_SIZE = 41 }; /* with the NUL */

/* A new one; -1 when the system has no randomness. */
int key_secret_new(char secret[KEY_SECRET_SIZE]);

#endif
