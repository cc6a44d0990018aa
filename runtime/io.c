/* SPDX-License-Identifier: Apache-2.0 */
/* What the thread loop of a shard calls of sockets and programs: once a turn, and at the end. */
#include "runtime/program_internal.h"
#include "runtime/socket_table_internal.h"

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t turn_sockets(struct shard *shard, uint64_t now_ns) {
    struct socket_table *table = *shard_sockets(shard);
    const struct reactor_ops *ops;

    if (table == NULL)
        return UINT64_MAX;
    ops = socket_ops(table);
    /* Both are read relaxed by io_counters_read: figures, each by itself. */
    __atomic_store_n(&table->rings, ops->rings(shard_reactor(shard)), __ATOMIC_RELAXED);
    __atomic_store_n(&table->reactor_bytes, ops->memory_bytes(shard_reactor(shard)),
                     __ATOMIC_RELAXED);
    return least(sockets_turn(table, now_ns), listeners_turn(table, now_ns));
}

uint64_t io_turn(struct shard *shard) {
    uint64_t now_ns = shard_now_ns(shard);

    return least(turn_sockets(shard, now_ns), programs_turn(shard, now_ns));
}

unsigned io_closing(struct shard *shard) {
    struct socket_table *table = *shard_sockets(shard);

    return table != NULL ? table->closing_count : 0;
}

void io_finish(struct shard *shard) {
    struct socket_table *table = *shard_sockets(shard);

    programs_finish(shard);
    if (table == NULL)
        return;
    sockets_finish(table);
    socket_buffers_finish(table);
    *shard_sockets(shard) = NULL;
    shard_free(shard, table, sizeof *table);
}

void io_counters_read(struct shard *shard, struct io_counters *counters) {
    /* Pairs with the release of who makes the table (socket.c): it is whole. */
    struct socket_table *table = __atomic_load_n(shard_sockets(shard), __ATOMIC_ACQUIRE);

    *counters = (struct io_counters){0};
    if (table == NULL)
        return;
    /* Pair with socket_table_gauge and io_turn: each is a figure by itself. */
    counters->sockets = __atomic_load_n(&table->sockets, __ATOMIC_RELAXED);
    counters->rings = __atomic_load_n(&table->rings, __ATOMIC_RELAXED);
    counters->memory_bytes = __atomic_load_n(&table->memory_bytes, __ATOMIC_RELAXED) +
                             __atomic_load_n(&table->reactor_bytes, __ATOMIC_RELAXED);
}
