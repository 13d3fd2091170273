/* SPDX-License-Identifier: MIT */
/* Proves the trail: walks the chain, names the first row that does not hold, and compares it
 * with a head that was exported earlier. Reads in pieces, so that a walk over millions of rows
 * does not keep the write-ahead log from being begun anew.
 */
#ifndef AGW_STORE_AUDIT_VERIFY_H
#define AGW_STORE_AUDIT_VERIFY_H

#include "store/audit_anchor.h"

struct audit_check {
    int64_t from_seq;               /* 0 = from the oldest row */
    int64_t to_seq;                 /* the last one to check; 0 = the newest */
    const struct audit_head *known; /* exported earlier: it must be there; NULL = none */
    bool from_known;                /* begin with that row */
    void (*progress)(void *arg, int64_t checked, int64_t of); /* now and then; may be NULL */
    void (*ended)(void *arg, int64_t seq, const char *outcome); /* each row with an outcome; may be NULL */
    void *arg;
};

enum audit_known {
    AUDIT_KNOWN_NONE,    /* no head was given, or a bad row came first */
    AUDIT_KNOWN_PRESENT,
    AUDIT_KNOWN_MISSING, /* the trail ends before it: newest rows were cut off */
    AUDIT_KNOWN_CHANGED, /* another row stands there: the chain was written anew */
    AUDIT_KNOWN_PRUNED,  /* removed in the open: it can prove nothing any more */
};

struct audit_verdict {
    int64_t checked;            /* rows read */
    int64_t first_seq;          /* the first of them */
    bool broken;
    int64_t bad_seq;            /* the first row that does not hold, if it is broken */
    char problem[240];          /* "" or what is wrong with bad_seq, or with the known head */
    enum audit_known known;
    struct audit_head head;     /* the newest row; with a bad row, that one */
    struct audit_anchor anchor; /* seq 0 = nothing was ever removed */
};

/* `check` NULL = the whole trail. A broken chain is a verdict, not an error. */
int audit_verify(struct db *db, const struct audit_check *check, struct audit_verdict *verdict,
                 struct err *e);

/* Whether all holds, and so does the known head if there was one. */
bool audit_verdict_ok(const struct audit_verdict *verdict);

/* {"ok", "checked", "first_seq", "bad_seq", "problem", "head": {"seq", "hash"}, "known",
 * "anchor": {"seq", "hash", "at"}}; null where there is none. NULL when memory is out. */
json_t *audit_verdict_json(const struct audit_verdict *verdict);

/* "present", "missing", "changed", "pruned"; NULL without a known head. */
const char *audit_known_name(enum audit_known known);

#endif
