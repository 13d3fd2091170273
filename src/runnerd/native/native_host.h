/* SPDX-License-Identifier: MIT */
/* The process of a module in C: what the runner tells it, and its runs. One thread listens to them
 * all, and each run has one that works.
 */
#ifndef AGW_RUNNERD_NATIVE_NATIVE_HOST_H
#define AGW_RUNNERD_NATIVE_NATIVE_HOST_H

/* Serves the runner on `control` until it is told to end; the exit status. */
int native_host_serve(int control);

#endif
