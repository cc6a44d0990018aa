/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The timing wheel.
 *
 * Invariant: a waiting timer lies on the level of the highest group of six bits in which its
 * deadline differs from `now_ms`, in the slot of that group's value, which is greater than that
 * group of `now_ms`. So the lowest level that is not empty holds what is next, in its lowest
 * occupied slot. Moving `now_ms` forward to before that slot's beginning keeps the invariant for
 * all others.
 */
#include "runtime/timer_internal.h"

#include "runtime/planted_internal.h"
#include "runtime/scheduler_internal.h"

#include <errno.h>
#include <stdlib.h>

#define GROUP_BITS 6u
#define NS_PER_MS 1000000u

_Static_assert(TIMER_SLOTS == 1u << GROUP_BITS, "a slot per value of a group");

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns) {
    wheel->start_ns = now_ns;
    for (unsigned level = 0; level < TIMER_LEVELS; level++)
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++) {
            struct timer_link *head = &wheel->slots[level][slot];
            head->next = head->previous = head;
        }
    wheel->chunks = calloc(TIMER_CHUNKS_MAX, sizeof *wheel->chunks);
    CHECK(wheel->chunks);
}

void timer_wheel_finish(struct timer_wheel *wheel) {
    for (uint32_t i = 0; i < wheel->chunk_count; i++)
        memory_unmap(wheel->chunks[i], TIMER_CHUNK * sizeof(struct timer));
    free(wheel->chunks);
}

static struct timer *timer_at(const struct timer_wheel *wheel, uint32_t index) {
    return &wheel->chunks[index / TIMER_CHUNK][index % TIMER_CHUNK];
}

static struct timer *timer_take(struct timer_wheel *wheel) {
    struct timer *timer = wheel->free;
    if (timer) {
        wheel->free = (struct timer *)timer->wheel.next;
        return timer;
    }
    if (wheel->used == wheel->chunk_count * TIMER_CHUNK) {
        if (wheel->chunk_count == TIMER_CHUNKS_MAX)
            return NULL;
        struct timer *chunk = memory_map(TIMER_CHUNK * sizeof *chunk, true);
        CHECK(chunk);
        wheel->chunks[wheel->chunk_count++] = chunk;
    }
    timer = timer_at(wheel, wheel->used);
    *timer = (struct timer){.index = wheel->used++, .generation = 1};
    return timer;
}

static void timer_free(struct timer_wheel *wheel, struct timer *timer) {
    *timer->actor_link = timer->actor_next;
    if (timer->actor_next)
        timer->actor_next->actor_link = timer->actor_link;
    timer->state = TIMER_FREE;
    if (++timer->generation == 0)
        timer->generation = 1;
    timer->wheel.next = (struct timer_link *)wheel->free;
    wheel->free = timer;
    counter_add(wheel->pending, -(uint64_t)1);
}

/* `deadline_ms` is after `now_ms`. */
static void wheel_place(struct timer_wheel *wheel, struct timer *timer) {
    unsigned bit = 63 - (unsigned)__builtin_clzl(timer->deadline_ms ^ wheel->now_ms);
    unsigned level = bit / GROUP_BITS;
    CHECK(level < TIMER_LEVELS);
    unsigned slot = (timer->deadline_ms >> (level * GROUP_BITS)) & (TIMER_SLOTS - 1);
    struct timer_link *head = &wheel->slots[level][slot], *link = &timer->wheel;
    link->next = head;
    link->previous = head->previous;
    head->previous->next = link;
    head->previous = link;
    wheel->occupied[level] |= 1ull << slot;
}

static void wheel_remove(struct timer_wheel *wheel, struct timer *timer) {
    struct timer_link *next = timer->wheel.next, *previous = timer->wheel.previous;
    next->previous = previous;
    previous->next = next;
    if (next == previous && next->next == next) { /* only the slot's head is left */
        unsigned place = (unsigned)(next - &wheel->slots[0][0]);
        wheel->occupied[place / TIMER_SLOTS] &= ~(1ull << (place % TIMER_SLOTS));
    }
}

static struct timer *timer_find(struct timer_wheel *wheel, struct actor_timer handle) {
    uint32_t index = (uint32_t)(handle.bits >> 32);
    if (index >= wheel->used)
        return NULL;
    struct timer *timer = timer_at(wheel, index);
    bool same = timer->generation == (uint32_t)handle.bits && timer->state != TIMER_FREE;
    return same ? timer : NULL;
}

static struct actor_timer timer_handle(const struct timer *timer) {
    return (struct actor_timer){(uint64_t)timer->index << 32 | timer->generation};
}

struct actor_timer actor_timer_start(uint64_t delay_ms, uint16_t kind, uint64_t argument) {
    struct shard *shard = shard_of_thread;
    struct actor *actor = shard->running.actor;
    struct timer_wheel *wheel = &shard->wheel;
    CHECK(actor && kind >= SUPERVISOR_KIND_FIRST);
    struct timer *timer = timer_take(wheel);
    if (!timer)
        actor_fail(-ENOSPC, "no timer is left");
    if (delay_ms > TIMER_DELAY_MS_MAX)
        delay_ms = TIMER_DELAY_MS_MAX;
    uint64_t now_ms = (shard->now_ns - wheel->start_ns + NS_PER_MS - 1) / NS_PER_MS;
    timer->deadline_ms = now_ms + delay_ms;
    if (timer->deadline_ms <= wheel->now_ms)
        timer->deadline_ms = wheel->now_ms + 1;
    timer->argument = argument;
    timer->kind = kind;
    timer->actor_slot = actor_slot(actor);
    timer->state = TIMER_WAITING;
    timer->actor_next = actor->timers;
    if (actor->timers)
        actor->timers->actor_link = &timer->actor_next;
    timer->actor_link = &actor->timers;
    actor->timers = timer;
    counter_add(wheel->pending, 1);
    wheel_place(wheel, timer);
    return timer_handle(timer);
}

static void cancel(struct timer_wheel *wheel, struct timer *timer) {
    if (timer->state == TIMER_WAITING)
        wheel_remove(wheel, timer);
    timer_free(wheel, timer);
}

bool actor_timer_cancel(struct actor_timer *handle) {
    struct shard *shard = shard_of_thread;
    struct timer *timer = handle->bits ? timer_find(&shard->wheel, *handle) : NULL;
    handle->bits = 0;
    if (!timer || shard_slot(shard, timer->actor_slot) != shard->running.actor)
        return false;
    if (PLANTED(TIMER_AFTER_CANCEL) && timer->state == TIMER_FIRED)
        return true;
    cancel(&shard->wheel, timer);
    return true;
}

void timer_cancel_all(struct shard *shard, struct actor *actor) {
    while (actor->timers)
        cancel(&shard->wheel, actor->timers);
}

bool timer_claim(struct shard *shard, struct actor_timer handle) {
    struct timer *timer = timer_find(&shard->wheel, handle);
    if (!timer || timer->state != TIMER_FIRED)
        return false;
    timer_free(&shard->wheel, timer);
    return true;
}

static void fire(struct shard *shard, struct timer *timer) {
    struct message *message = message_create(timer->kind, sizeof(struct actor_timer_fired));
    struct actor_timer_fired *fired = message_payload(message);
    fired->timer = timer_handle(timer);
    fired->argument = timer->argument;
    message->flags = MESSAGE_SYSTEM | MESSAGE_VERIFY;
    message->sent_ns = shard->now_ns;
    timer->state = TIMER_FIRED;
    mailbox_append(shard, shard_slot(shard, timer->actor_slot), message);
}

/* The slot that is next and when its time begins; false: there is none. */
static bool wheel_next(const struct timer_wheel *wheel, unsigned *level, unsigned *slot,
                       uint64_t *at_ms) {
    for (unsigned i = 0; i < TIMER_LEVELS; i++) {
        if (!wheel->occupied[i])
            continue;
        unsigned shift = i * GROUP_BITS;
        *level = i;
        *slot = (unsigned)__builtin_ctzl(wheel->occupied[i]);
        *at_ms = (wheel->now_ms >> (shift + GROUP_BITS) << (shift + GROUP_BITS)) | (uint64_t)*slot
                                                                                       << shift;
        return true;
    }
    return false;
}

/* Everything of a slot whose time has begun fires or moves down. */
static void slot_empty(struct shard *shard, unsigned level, unsigned slot) {
    struct timer_wheel *wheel = &shard->wheel;
    struct timer_link *head = &wheel->slots[level][slot], *link = head->next;
    head->next = head->previous = head;
    wheel->occupied[level] &= ~(1ull << slot);
    while (link != head) {
        struct timer *timer = (struct timer *)link;
        link = link->next;
        if (timer->deadline_ms <= wheel->now_ms)
            fire(shard, timer);
        else
            wheel_place(wheel, timer);
    }
}

void timer_advance(struct shard *shard, uint64_t now_ns) {
    struct timer_wheel *wheel = &shard->wheel;
    uint64_t target_ms = (now_ns - wheel->start_ns) / NS_PER_MS, at_ms;
    unsigned level, slot;
    if (target_ms <= wheel->now_ms)
        return; /* what was due then has fired, and what came since is due later */
    while (wheel_next(wheel, &level, &slot, &at_ms) && at_ms <= target_ms) {
        wheel->now_ms = at_ms;
        slot_empty(shard, level, slot);
    }
    wheel->now_ms = target_ms;
}

uint64_t timer_next_ns(const struct timer_wheel *wheel) {
    unsigned level, slot;
    uint64_t at_ms;
    if (!wheel_next(wheel, &level, &slot, &at_ms))
        return UINT64_MAX;
    return wheel->start_ns + at_ms * NS_PER_MS;
}
