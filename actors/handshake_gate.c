/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: while the row is not empty, a CONNECTION_HANDSHAKE_TURN is on its way to its first.
 * It may be lost when that one ends, which is why leaving wakes the next.
 */
#include "actors/handshake_gate.h"

#include "actors/messages.h"
#include "runtime/runtime.h"

static bool has_share(struct handshake_gate *gate) {
    uint64_t turn = actor_turn();
    if (gate->turn != turn) {
        gate->turn = turn;
        gate->used_ns = 0;
    }
    return gate->used_ns < HANDSHAKE_TURN_NS;
}

/* In the next turn, with the next share: sent as by another thread, for a message of this turn
 * would come back to the row again and again until the turn has handled all that it may. */
static void wake_first(struct handshake_gate *gate) {
    gate->signalled = gate->first != NULL;
    if (!gate->first)
        return;
    struct message *message = message_create(CONNECTION_HANDSHAKE_TURN, 0);
    runtime_send(runtime_current(), gate->first->who, &message);
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
    if (!wait->waits)
        append(gate, wait);
    if (its_turn) {
        gate->signalled = true;
        actor_signal_next_turn(CONNECTION_HANDSHAKE_TURN);
    } else if (!gate->signalled) {
        wake_first(gate);
    }
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
