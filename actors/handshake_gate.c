/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: while the row is not empty, a CONNECTION_HANDSHAKE_TURN is on its way to its first.
 * It may be lost when that one ends, which is why leaving wakes the next.
 */
#include "actors/handshake_gate.h"

#include "actors/messages.h"

static bool has_share(struct handshake_gate *gate) {
    uint64_t turn = actor_turn();
    if (gate->turn != turn) {
        gate->turn = turn;
        gate->used_ns = 0;
    }
    return gate->used_ns < HANDSHAKE_TURN_NS;
}

static void wake_first(struct handshake_gate *gate) {
    gate->signalled = false;
    /* A mailbox that is full refuses it; the next to enter or leave tries again. */
    if (gate->first)
        gate->signalled = actor_signal(gate->first->who, CONNECTION_HANDSHAKE_TURN) == 0;
}

static void append(struct handshake_gate *gate, struct handshake_wait *wait) {
    wait->who = actor_self();
    wait->waits = true;
    wait->next = NULL;
    wait->previous = gate->last;
    if (gate->last)
        gate->last->next = wait;
    else
        gate->first = wait;
    gate->last = wait;
}

static void take_off(struct handshake_gate *gate, struct handshake_wait *wait) {
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        gate->first = wait->next;
    if (wait->next)
        wait->next->previous = wait->previous;
    else
        gate->last = wait->previous;
    wait->previous = wait->next = NULL;
    wait->waits = false;
}

bool handshake_gate_enter(struct handshake_gate *gate, struct handshake_wait *wait) {
    bool its_turn = !gate->first || gate->first == wait;
    if (its_turn && has_share(gate))
        return true;
    bool was_first = wait->waits && gate->first == wait;
    if (!wait->waits)
        append(gate, wait);
    if (was_first || !gate->signalled)
        wake_first(gate);
    return false;
}

void handshake_gate_spend(struct handshake_gate *gate, uint64_t ns) {
    gate->used_ns += ns;
}

void handshake_gate_leave(struct handshake_gate *gate, struct handshake_wait *wait) {
    if (!wait->waits)
        return;
    bool was_first = gate->first == wait;
    take_off(gate, wait);
    if (was_first)
        wake_first(gate);
}
