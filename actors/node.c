/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/node.h"

#include <string.h>

bool node_is_proxy(const struct node *node, const uint8_t address[16]) {
    for (unsigned i = 0; i < node->proxy_count; i++)
        if (memcmp(node->proxies[i], address, sizeof(node->proxies[i])) == 0)
            return true;
    return false;
}

void node_limits_default(struct node_limits *limits) {
    *limits = (struct node_limits){
        .connections_max = 1000000,
        .handshake_timeout_ms = 10000,
        .handshakes_waiting_max = 1024,
        .heartbeat_ms = 30000,
        .heartbeats_per_second_max = 2000,
        .mail_in_flight_max = 256,
        .mail_in_flight_bytes_max = 1 << 20,
        .sends_in_flight_max = 64,
        .queue_messages_max = 10000,
        .queue_bytes_max = 64 << 20,
        .sender_share_percent = 10,
        .mail_expiry_ms = 30ull * 24 * 3600 * 1000,
        .hold_ms_min = 20,
        .hold_ms_max = 300,
        .hold = true,
        .mailbox_idle_ms = 60000,
        .code_expiry_ms = 600000,
        .code_attempts_max = 5,
        .codes_per_number_hour = 5,
        .codes_per_prefix_hour = 1000,
        .codes_per_address_hour = 100,
        .codes_per_hour = 10000,
        .drain_ms = 10000,
    };
}

uint32_t node_heartbeat_ms(const struct node *node) {
    uint32_t shortest = node->limits.heartbeat_ms, rate = node->limits.heartbeats_per_second_max;
    uint64_t connections = atomic_load_explicit(&node->connections, memory_order_relaxed);
    uint64_t grown = shortest > 0 && rate > 0 ? connections * 1000 / rate : 0;
    if (grown > HEARTBEAT_MS_GROWN_MAX)
        grown = HEARTBEAT_MS_GROWN_MAX;
    return grown > shortest ? (uint32_t)grown : shortest;
}
