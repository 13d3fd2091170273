/* SPDX-License-Identifier: MIT */
/* How a connection reaches a host in Node.js: as a handle on the channel that child_process
 * makes for its children (lib/internal/child_process.js), one at a time. Pure.
 */
#ifndef AGW_RUNNERD_NODE_CHANNEL_H
#define AGW_RUNNERD_NODE_CHANNEL_H

#include <jansson.h>

enum node_channel_kind {
    NODE_CHANNEL_MESSAGE, /* of the host */
    NODE_CHANNEL_ACK,     /* the handle has arrived */
    NODE_CHANNEL_NACK,    /* it has not */
    NODE_CHANNEL_OTHER    /* Node's own */
};

/* Wraps a message that comes with a descriptor; takes it. */
json_t *node_channel_wrap(json_t *message);
enum node_channel_kind node_channel_kind(const json_t *message);

#endif
