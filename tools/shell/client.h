/* SPDX-License-Identifier: Apache-2.0 */
/* The shell's end of the admin socket: connects, asks, and gives replies one by one. Blocks. */
#ifndef TERN_TOOLS_SHELL_CLIENT_H
#define TERN_TOOLS_SHELL_CLIENT_H

#include "tools/shell/command.h"

#define CLIENT_ERROR_BYTES_MAX 512u

struct client {
    int fd; /* -1: not connected */
    uint64_t last_id;
    char node[128], program[128];
    uint8_t *input; /* ADMIN_HEAD_BYTES + ADMIN_REPLY_BYTES_MAX */
    size_t input_bytes, input_used;
};

/* Connects and reads the node's hello. 0, or a negative errno with a sentence in `error`: -ENOENT,
 * -ECONNREFUSED: no node is running there; -EACCES; -EBUSY: too many shells; -EPROTO: it is no node
 * or of another version. */
int client_open(struct client *client, const char *path, char error[CLIENT_ERROR_BYTES_MAX]);
void client_close(struct client *client);
/* Sends a request; its id is client->last_id. 0, -E2BIG, or -EPIPE: the node has gone. */
int client_ask(struct client *client, const struct parsed_command *parsed);
int client_cancel(struct client *client);
/* The next reply, borrowed until the next call. 0; -ETIMEDOUT after `timeout_ms` (-1: never),
 * -EINTR, -EPIPE: the node has gone; -EPROTO. */
int client_reply(struct client *client, int timeout_ms, struct admin_reply *reply);

#endif
