/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/address_limits.h"

#include "runtime/check.h"

#include <netinet/in.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 2
#define SLOTS_MIN 1024u
#define SLOTS_MAX (1u << 21)

struct slot {
    _Atomic uint32_t connections;
    _Atomic uint64_t accepts; /* the second in the high half, how many in it in the low one */
};

struct address_limits {
    struct address_limits_options options;
    uint32_t slots; /* per row, a power of two */
    struct slot rows[];
};

_Static_assert(sizeof((struct address_limits_options *)NULL)->secret == crypto_shorthash_KEYBYTES,
               "the secret keys the hash");

struct address_limits *address_limits_create(const struct address_limits_options *options) {
    uint32_t slots = SLOTS_MIN;
    while (slots < options->connections_max && slots < SLOTS_MAX)
        slots *= 2;
    struct address_limits *limits =
        calloc(1, sizeof(*limits) + ROWS * (size_t)slots * sizeof(limits->rows[0]));
    if (!limits)
        return NULL;
    limits->options = *options;
    limits->slots = slots;
    return limits;
}

void address_limits_destroy(struct address_limits *limits) {
    free(limits);
}

void address_of_socket(const struct socket_address *socket, uint8_t address[ADDRESS_BYTES]) {
    memset(address, 0, ADDRESS_BYTES);
    if (socket->family == AF_INET6) {
        memcpy(address, socket->bytes, ADDRESS_BYTES);
    } else {
        memset(address + 10, 0xff, 2);
        memcpy(address + 12, socket->bytes, 4);
    }
}

static bool is_mapped(const uint8_t *address) {
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address, prefix, sizeof(prefix)) == 0;
}

/* The address's slot in each row. */
static void find_slots(struct address_limits *limits, const uint8_t *address,
                       struct slot *found[ROWS]) {
    uint8_t counted[ADDRESS_BYTES] = {0};
    memcpy(counted, address, is_mapped(address) ? ADDRESS_BYTES : ADDRESS_BYTES / 2);
    uint32_t hash[ROWS];
    _Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "half a hash for each row");
    crypto_shorthash((uint8_t *)hash, counted, sizeof(counted), limits->options.secret);
    for (unsigned i = 0; i < ROWS; i++)
        found[i] = &limits->rows[i * limits->slots + (hash[i] & (limits->slots - 1))];
}

/* Counts one accept in this second; returns how many it has seen. */
static uint32_t count_accept(struct slot *slot, uint32_t second) {
    uint64_t seen = atomic_load_explicit(&slot->accepts, memory_order_relaxed);
    uint64_t next;
    do {
        next = (seen >> 32) == second ? seen + 1 : (uint64_t)second << 32 | 1;
    } while (!atomic_compare_exchange_weak_explicit(&slot->accepts, &seen, next,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (uint32_t)next;
}

static bool is_too_fast(const struct address_limits *limits, struct slot *const found[ROWS],
                        uint64_t now_ms) {
    if (!limits->options.accepts_per_second)
        return false;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < ROWS; i++) {
        uint32_t count = count_accept(found[i], (uint32_t)(now_ms / 1000));
        least = count < least ? count : least;
    }
    return least > limits->options.accepts_per_second;
}

enum address_verdict address_limits_enter(struct address_limits *limits,
                                          const uint8_t address[ADDRESS_BYTES], uint64_t now_ms) {
    if (!limits)
        return ADDRESS_ALLOWED;
    struct slot *found[ROWS];
    find_slots(limits, address, found);
    if (is_too_fast(limits, found, now_ms))
        return ADDRESS_TOO_FAST;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < ROWS; i++) {
        uint32_t count =
            atomic_fetch_add_explicit(&found[i]->connections, 1, memory_order_relaxed) + 1;
        least = count < least ? count : least;
    }
    if (!limits->options.per_address_max || least <= limits->options.per_address_max)
        return ADDRESS_ALLOWED;
    address_limits_leave(limits, address);
    return ADDRESS_TOO_MANY;
}

void address_limits_leave(struct address_limits *limits, const uint8_t address[ADDRESS_BYTES]) {
    if (!limits)
        return;
    struct slot *found[ROWS];
    find_slots(limits, address, found);
    for (unsigned i = 0; i < ROWS; i++) {
        uint32_t before =
            atomic_fetch_sub_explicit(&found[i]->connections, 1, memory_order_relaxed);
        CHECK(before > 0);
    }
}
