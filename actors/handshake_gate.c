/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariant: while anybody waits, a CONNECTION_HANDSHAKE_TURN is on its way to one that waits,
 * `woken`; whoever gets it and is not the first any more wakes the first, and so does one that
 * leaves while it is on its way.
 */
#include "actors/handshake_gate.h"

#include "actors/messages.h"
#include "runtime/runtime.h"

#define SECOND_NS 1000000000ull
#define HANDSHAKE_MEAN_NS 500000u /* before any was measured */
#define MEAN_OF 64u

static bool has_share(struct handshake_gate *gate) {
    uint64_t turn = actor_turn();
    if (gate->turn != turn) {
        gate->turn = turn;
        gate->used_ns = 0;
    }
    return gate->used_ns < HANDSHAKE_TURN_NS;
}

static struct handshake_wait *first_of(const struct handshake_gate *gate) {
    return gate->half_done.first ? gate->half_done.first : gate->new.first;
}

static struct handshake_row *row_of(struct handshake_gate *gate,
                                    const struct handshake_wait *wait) {
    return wait->is_half_done ? &gate->half_done : &gate->new;
}

/* In the next turn, with the next share: sent as by another thread, for a message of this turn
 * would come back to the row again and again until the turn has handled all that it may. */
static void wake_first(struct handshake_gate *gate) {
    gate->woken = first_of(gate);
    if (!gate->woken)
        return;
    struct message *message = message_create(CONNECTION_HANDSHAKE_TURN, 0);
    runtime_send(runtime_current(), gate->woken->who, &message);
}

static void append(struct handshake_row *row, struct handshake_wait *wait) {
    wait->who = actor_self();
    wait->waits = true;
    wait->next = NULL;
    wait->previous = row->last;
    if (row->last)
        row->last->next = wait;
    else
        row->first = wait;
    row->last = wait;
    row->count++;
}

static void take_off(struct handshake_row *row, struct handshake_wait *wait) {
    if (wait->previous)
        wait->previous->next = wait->next;
    else
        row->first = wait->next;
    if (wait->next)
        wait->next->previous = wait->previous;
    else
        row->last = wait->previous;
    wait->previous = wait->next = NULL;
    wait->waits = false;
    row->count--;
}

bool handshake_gate_enter(struct handshake_gate *gate, struct handshake_wait *wait) {
    if (gate->woken == wait)
        gate->woken = NULL; /* that is why it asks */
    if (!wait->waits)
        append(row_of(gate, wait), wait);
    if (first_of(gate) != wait) {
        if (!gate->woken)
            wake_first(gate);
        return false;
    }
    if (has_share(gate))
        return true;
    if (!gate->woken) {
        gate->woken = wait;
        actor_signal_next_turn(CONNECTION_HANDSHAKE_TURN);
    }
    return false;
}

bool handshake_gate_is_full(const struct handshake_gate *gate, uint32_t most) {
    return most && gate->new.count >= most;
}

uint32_t handshake_gate_book(struct handshake_gate *gate, uint64_t now_ns) {
    uint64_t mean_ns = gate->mean_ns ? gate->mean_ns : HANDSHAKE_MEAN_NS;
    uint64_t after_row_ns = now_ns + (gate->new.count + gate->half_done.count) * mean_ns;
    if (gate->booked_ns < after_row_ns)
        gate->booked_ns = after_row_ns;
    if (gate->booked_ns > now_ns + HANDSHAKE_RETRY_S_MAX * SECOND_NS)
        return HANDSHAKE_RETRY_S_MAX;
    gate->booked_ns += mean_ns;
    uint64_t seconds = (gate->booked_ns - now_ns) / SECOND_NS + 1;
    return seconds < HANDSHAKE_RETRY_S_MAX ? (uint32_t)seconds : HANDSHAKE_RETRY_S_MAX;
}

void handshake_gate_done(struct handshake_gate *gate, uint64_t now_ns) {
    uint64_t passed_ns = now_ns - gate->done_ns;
    gate->done_ns = now_ns;
    if (!first_of(gate) || passed_ns > SECOND_NS) /* it was not busy all the time */
        return;
    uint64_t before = gate->mean_ns ? gate->mean_ns : passed_ns;
    gate->mean_ns = (uint32_t)((before * (MEAN_OF - 1) + passed_ns) / MEAN_OF);
}

void handshake_gate_spend(struct handshake_gate *gate, uint64_t ns) {
    gate->used_ns += ns;
}

void handshake_gate_leave(struct handshake_gate *gate, struct handshake_wait *wait) {
    if (!wait->waits)
        return;
    take_off(row_of(gate, wait), wait);
    if (!gate->woken || gate->woken == wait)
        wake_first(gate);
}
