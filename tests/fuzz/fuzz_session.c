/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device that says arbitrary things inside an established session, behind Noise, to a real
 * connection on the real runtime over a real socket (with fakes of the mailbox, account and
 * number).
 *
 * The first byte chooses: bit 0: from a key that no account has; bit 1: the rest is not encrypted
 * but written to the socket as it is. Then the device asks for a pong, or waits for the end.
 *
 * Properties: the connection answers or closes, within the peer's patience; the node lives.
 *
 * Covers: actors/connection_session.c actors/connection_input.c
 */
#include "tests/unit/actors/edge_fixture.h"

#define RAW_BYTES_MAX 4096

static struct peer *peers[2]; /* the known device, the stranger */
static uint8_t stranger = 100;
static uint64_t token;

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    edge_setup(NULL);
    edge.node.shards = 1;
    edge_start();
    return 0;
}

static struct peer *login(bool known) {
    struct wire_frame frame;
    stranger = stranger == 250 ? 100 : stranger + 1; /* one that registered is none any more */
    struct peer *peer = peer_login(edge.port, known ? EDGE_IDENTITY : stranger);
    peer_expect(peer, WIRE_WELCOME, &frame);
    return peer;
}

/* Until the pong of this turn, or the end. */
static bool answers(struct peer *peer) {
    struct wire_frame frame;
    while (peer_next(peer, &frame))
        if (frame.kind == WIRE_PONG && frame.pong.token == token)
            return true;
    return false;
}

static bool say(struct peer *peer, const uint8_t *bytes, size_t length, bool raw) {
    struct wire_writer writer = {.bytes = (uint8_t *)bytes, .length = length};
    if (raw) {
        peer_write(peer, bytes, length < RAW_BYTES_MAX ? length : RAW_BYTES_MAX);
        shutdown(peer->fd, SHUT_WR);
        while (peer_next(peer, &(struct wire_frame){0}))
            continue;
        return false;
    }
    peer_send(peer, &writer);
    peer_send_frame(peer, &(struct wire_frame){.kind = WIRE_PING, .ping = {.token = ++token}});
    return answers(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length == 0 || length > WIRE_FRAMES_BYTES_MAX)
        return 0;
    struct peer **peer = &peers[bytes[0] & 1];
    if (!*peer)
        *peer = login(!(bytes[0] & 1));
    if (!say(*peer, bytes + 1, length - 1, bytes[0] & 2)) {
        peer_destroy(*peer);
        *peer = NULL;
    }
    return 0;
}
