/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/shell/client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define INPUT_BYTES (ADMIN_HEAD_BYTES + ADMIN_REPLY_BYTES_MAX)
#define HELLO_MS_MAX 5000

/* A path that is too long for the kernel's structure is reached by its open folder. */
static int address_of(const char *path, int *folder, struct sockaddr_un *address) {
    char directory[4096];
    const char *slash = strrchr(path, '/');
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, strlen(path) + 1);
        return 0;
    }
    if (!slash || (size_t)(slash - path) >= sizeof(directory))
        return -ENAMETOOLONG;
    snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path + 1), path);
    *folder = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder < 0)
        return -errno;
    int length = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s",
                          *folder, slash + 1);
    return (size_t)length < sizeof(address->sun_path) ? 0 : -ENAMETOOLONG;
}

static int connect_to(const char *path) {
    struct sockaddr_un address;
    int folder = -1, error = address_of(path, &folder, &address), fd = -1;
    if (!error)
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!error && fd < 0)
        error = -errno;
    if (!error && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        error = -errno;
    if (folder >= 0)
        close(folder);
    if (!error)
        return fd;
    if (fd >= 0)
        close(fd);
    return error;
}

static int explain(int error, const char *path, char text[CLIENT_ERROR_BYTES_MAX]) {
    if (error == -ENOENT)
        snprintf(
            text, CLIENT_ERROR_BYTES_MAX,
            "no node is running there (%s does not exist); start one, or say where its data is "
            "with --data",
            path);
    else if (error == -ECONNREFUSED)
        snprintf(text, CLIENT_ERROR_BYTES_MAX,
                 "no node is running there: nobody listens on %s any more", path);
    else if (error == -EACCES || error == -EPERM)
        snprintf(text, CLIENT_ERROR_BYTES_MAX,
                 "permission denied on %s: run this as the node's user, or as root", path);
    else
        snprintf(text, CLIENT_ERROR_BYTES_MAX, "can't connect to %s: %s", path, strerror(-error));
    return error == -EPERM ? -EACCES : error;
}

static void copy_text(const struct admin_fields *fields, const char *name, char *text,
                      size_t bytes) {
    const struct admin_value *value = admin_field_find(fields, name);
    bool is_text = value && value->kind == ADMIN_TEXT;
    snprintf(text, bytes, "%.*s", is_text ? (int)value->text.length : 0,
             is_text ? value->text.bytes : "");
}

static int greet(struct client *client, const char *path, char error[CLIENT_ERROR_BYTES_MAX]) {
    struct admin_reply reply;
    int result = client_reply(client, HELLO_MS_MAX, &reply);
    if (!result && reply.kind == ADMIN_ERROR) {
        copy_text(&reply.fields, "message", error, CLIENT_ERROR_BYTES_MAX);
        return -EBUSY;
    }
    if (result == -ETIMEDOUT) {
        snprintf(error, CLIENT_ERROR_BYTES_MAX,
                 "the node at %s does not answer: it hangs, or is just starting", path);
        return result;
    }
    const struct admin_value *version = admin_field_find(&reply.fields, "version");
    if (result || reply.kind != ADMIN_HELLO || !version || version->kind != ADMIN_UINT) {
        snprintf(error, CLIENT_ERROR_BYTES_MAX, "what answers at %s is no tern-node", path);
        return -EPROTO;
    }
    if (version->number != ADMIN_VERSION) {
        snprintf(error, CLIENT_ERROR_BYTES_MAX,
                 "the node speaks version %" PRIu64
                 " of the admin protocol, this shell version %u; "
                 "use the shell that came with the node",
                 version->number, ADMIN_VERSION);
        return -EPROTO;
    }
    copy_text(&reply.fields, "node", client->node, sizeof(client->node));
    copy_text(&reply.fields, "program", client->program, sizeof(client->program));
    return 0;
}

int client_open(struct client *client, const char *path, char error[CLIENT_ERROR_BYTES_MAX]) {
    *client = (struct client){.fd = connect_to(path)};
    if (client->fd < 0)
        return explain(client->fd, path, error);
    client->input = malloc(INPUT_BYTES);
    if (!client->input)
        abort();
    int result = greet(client, path, error);
    if (result)
        client_close(client);
    return result;
}

void client_close(struct client *client) {
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    free(client->input);
    client->input = NULL;
}

static int write_all(int fd, const uint8_t *bytes, size_t length) {
    while (length) {
        ssize_t written = send(fd, bytes, length, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -EPIPE;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

int client_ask(struct client *client, const struct parsed_command *parsed) {
    uint8_t bytes[ADMIN_HEAD_BYTES + ADMIN_REQUEST_BYTES_MAX];
    struct admin_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    int error = command_encode(parsed, ++client->last_id, &writer);
    return error ? -E2BIG : write_all(client->fd, bytes, writer.length);
}

int client_cancel(struct client *client) {
    uint8_t bytes[64];
    struct admin_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    admin_write_request(&writer, client->last_id, "cancel");
    int error = admin_write_end(&writer);
    return error ? error : write_all(client->fd, bytes, writer.length);
}

static int receive(struct client *client, int timeout_ms) {
    struct pollfd ready = {.fd = client->fd, .events = POLLIN};
    int count = poll(&ready, 1, timeout_ms);
    if (count <= 0)
        return count == 0 ? -ETIMEDOUT : -errno;
    ssize_t length =
        recv(client->fd, client->input + client->input_bytes, INPUT_BYTES - client->input_bytes, 0);
    if (length <= 0)
        return length < 0 && errno == EINTR ? -EINTR : -EPIPE;
    client->input_bytes += (size_t)length;
    return 0;
}

int client_reply(struct client *client, int timeout_ms, struct admin_reply *reply) {
    const uint8_t *frame;
    size_t frame_bytes, used;
    for (;;) {
        enum parse_result result = admin_frame_find(
            client->input + client->input_used, client->input_bytes - client->input_used,
            ADMIN_REPLY_BYTES_MAX, &frame, &frame_bytes, &used);
        if (result == PARSE_COMPLETE) {
            client->input_used += used;
            return admin_reply_read(frame, frame_bytes, reply) == PARSE_COMPLETE ? 0 : -EPROTO;
        }
        if (result != PARSE_MORE)
            return -EPROTO;
        memmove(client->input, client->input + client->input_used,
                client->input_bytes - client->input_used);
        client->input_bytes -= client->input_used;
        client->input_used = 0;
        int error = receive(client, timeout_ms);
        if (error)
            return error;
    }
}
