/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of messages, and the logical clock that gives a chat of two one order on all devices. */
#include "net/device_internal.h"

void device_make_id(struct device *device, uint64_t wall_ms, struct wire_id *id) {
    device->config->random_bytes(device->context, id->bytes, WIRE_ID_BYTES);
    for (int i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)(wall_ms >> (40 - 8 * i));
    id->bytes[6] = (uint8_t)(0x70 | (id->bytes[6] & 0x0f)); /* version 7 */
    id->bytes[8] = (uint8_t)(0x80 | (id->bytes[8] & 0x3f)); /* RFC 9562's variant */
}

void device_clock_send(struct device_clock *clock, struct wire_send *send) {
    clock->lamport++;
    clock->n++;
    send->lamport = clock->lamport;
    send->n = clock->n;
}

/* A peer could claim the highest number there is, and nothing could be ordered after it any more:
 * what is beyond any honest clock is not taken over. */
#define LAMPORT_MAX (1ull << 62)

void device_clock_hear(struct device_clock *clock, const struct wire_mail *mail) {
    if (mail->lamport > clock->lamport && mail->lamport < LAMPORT_MAX)
        clock->lamport = mail->lamport;
}

static int compare(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

int device_place_compare(const struct device_place *a, const struct device_place *b) {
    int order = compare(a->lamport, b->lamport);
    if (order == 0)
        order = compare(a->user, b->user);
    if (order == 0)
        order = compare(a->device, b->device);
    return order != 0 ? order : wire_id_compare(&a->id, &b->id);
}
