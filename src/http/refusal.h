/* SPDX-License-Identifier: MIT */
/* Answers 503 on a connection without giving it a thread. For the waiter: nothing here
 * blocks.
 */
#ifndef AGW_HTTP_REFUSAL_H
#define AGW_HTTP_REFUSAL_H

struct refusal;

enum refusal_state {
    REFUSAL_MORE,  /* call again when the connection is readable */
    REFUSAL_KEEP,  /* done, and the web server keeps the connection */
    REFUSAL_CLOSE  /* done or broken: close it */
};

struct refusal *refusal_new(void); /* NULL: out of memory */
void refusal_free(struct refusal **refusal);

/* Reads what is there, answers as soon as the request's parameters are complete, then
 * takes the rest of the request so that the answer is not lost. Just before it answers it
 * calls counted(arg): who reads the answer finds the refusal counted. */
enum refusal_state refusal_step(struct refusal *refusal, int fd, void (*counted)(void *arg),
                                void *arg);

#endif
