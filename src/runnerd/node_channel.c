/* SPDX-License-Identifier: MIT */
/* Speaks as the parent of a Node.js process does. */
#include "runnerd/node_channel.h"

#include <string.h>

json_t *node_channel_wrap(json_t *message)
{
    return json_pack("{s:s, s:s, s:o}", "cmd", "NODE_HANDLE", "type", "net.Socket", "msg",
                     message);
}

enum node_channel_kind node_channel_kind(const json_t *message)
{
    const char *cmd = json_string_value(json_object_get(message, "cmd"));

    if (cmd == NULL || strncmp(cmd, "NODE_", 5) != 0)
        return NODE_CHANNEL_MESSAGE;
    if (strcmp(cmd, "NODE_HANDLE_ACK") == 0)
        return NODE_CHANNEL_ACK;
    return strcmp(cmd, "NODE_HANDLE_NACK") == 0 ? NODE_CHANNEL_NACK : NODE_CHANNEL_OTHER;
}
