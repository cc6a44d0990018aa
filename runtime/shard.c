/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The turn of a shard, and how it sleeps.
 *
 *   shard_step: clock ─► arrivals (lanes, inbox) ─► timers ─► idle actors ─► run queue ─► publish
 *               ─► clock
 *
 * What others wait for comes before what they don't: the clock that says how long the turn was is
 * read after publishing, and serves a spin that follows and the turn that this spin begins, which
 * is at most SPIN_LOOKS looks late by it.
 *
 * An actor is in the run queue once while it has messages, and goes to its end again when its share
 * of a turn is used. A turn ends after TURN_MESSAGES_MAX messages, or at the first look at the
 * clock after TURN_NS_MAX, which is taken when TURN_CLOCK_UNITS messages and runs have passed; then
 * the reactor is polled. So that one actor with slow handlers cannot make a turn 64 of them long,
 * the share of its class shrinks to what fits (turn_share_adapt).
 *
 * Sleeping: the shard says that it sleeps, then looks once more at what others may have published;
 * a sender publishes, then looks whether the shard sleeps. Both orders are sequentially consistent,
 * so one of the two sees the other and no wake is lost (shard_park, shard_wake_if_asleep). A spin
 * (spin_internal.h) comes before all of that: it only puts off the moment at which the shard says
 * that it sleeps, and what comes between its last look and that moment is seen by the look after.
 */
#include "runtime/control_internal.h"
#include "runtime/scheduler_internal.h"

#include <string.h>

#define SPIN_LOOKS 16u         /* at its lanes, then the clock is asked */
#define LANE_TAKES_MAX 256u    /* of a lane in a turn, whatever they bring */
#define SPUN_FEW 4u            /* messages, after a spin */
#define SPILL_RETRY_NS 100000u /* how long a shard sleeps while a lane of it is full */

/* --- the run queue
 * ----------------------------------------------------------------------------------- */

static struct actor *dequeue(struct shard *shard) {
    struct actor *actor = shard->run_head;
    shard->run_head = actor->run_next;
    if (!shard->run_head)
        shard->run_tail = NULL;
    actor->flags &= ~(uint32_t)ACTOR_IS_QUEUED;
    return actor;
}

/* --- failing: where actor_fail arrives
 * ---------------------------------------------------------------- */

/* What the handler or init left in its hands goes. */
static void drop_in_hand(struct shard *shard) {
    message_destroy(shard->running.handling);
    shard->running.handling = NULL;
    message_destroy(shard->running.newest);
    while (shard->running.fresh)
        message_destroy(shard->running.fresh);
}

static void list_newest(struct shard *shard) {
    if (shard->running.newest)
        message_hold(&shard->running.fresh, shard->running.newest);
    shard->running.newest = NULL;
}

/* Messages that it created or kept and has not given away are its own from now on. */
static void keep_fresh(struct shard *shard, struct actor *actor) {
    list_newest(shard);
    if (shard->running.fresh)
        message_held_move(&shard->running.fresh, &actor_relations(shard, actor)->held);
}

static void running_save(struct shard *shard, struct running *saved) {
    list_newest(shard);
    *saved = (struct running){.actor = shard->running.actor, .handling = shard->running.handling};
    message_held_move(&shard->running.fresh, &saved->fresh);
}

static void running_restore(struct shard *shard, struct running *saved) {
    shard->running.actor = saved->actor;
    shard->running.handling = saved->handling;
    message_held_move(&saved->fresh, &shard->running.fresh);
}

int shard_guard(struct shard *shard, struct actor *actor,
                void (*function)(struct actor *actor, void *argument), void *argument) {
    struct running saved;
    struct escape escape = {.outer = shard->escape};
    int failed;
    running_save(shard, &saved);
    shard->running.actor = actor;
    shard->running.handling = NULL;
    shard->escape = &escape;
    const struct actor_class *watched = shard->watch_class;
    __atomic_store_n(&shard->watch_class, actor->class->class, __ATOMIC_RELAXED);
    actor->flags |= ACTOR_IS_ON_STACK;
    if (_setjmp(escape.environment) == 0) {
        function(actor, argument);
        failed = 0;
        keep_fresh(shard, actor);
    } else {
        failed = 1;
        drop_in_hand(shard);
    }
    actor->flags &= ~(uint32_t)ACTOR_IS_ON_STACK;
    __atomic_store_n(&shard->watch_class, watched, __ATOMIC_RELAXED);
    shard->escape = escape.outer;
    running_restore(shard, &saved);
    return failed;
}

/* --- running actors
 * ----------------------------------------------------------------------------------- */

static void turn_leave(struct shard *shard, struct actor *actor) {
    struct class_entry *class = actor->class;
    counter_add(class->handled, shard->actor_messages);
    counter_add(class->run, shard->actor_messages);
    counter_add(shard->counters.messages, shard->actor_messages);
    actor->handled += shard->actor_messages;
    unsigned used = shard->actor_messages + 1;
    shard->turn_budget -= used < shard->turn_budget ? used : shard->turn_budget;
    if (__builtin_expect(class->share < TURN_ACTOR_MESSAGES_MAX, 0))
        shard->turn_clock_at = shard->turn_budget; /* it is slow: look at the clock */
    actor->flags &= ~(uint32_t)ACTOR_IS_ON_STACK;
    shard->running.actor = NULL;
    __atomic_store_n(&shard->watch_class, NULL, __ATOMIC_RELAXED);
    if (!(actor->flags & ACTOR_IS_STOPPING))
        actor->last_active_ms = (uint32_t)shard->now_ms;
}

/* After actor_fail in a handler: this actor ends, the turn goes on. */
static void recover(struct shard *shard) {
    struct actor *actor = shard->running.actor;
    int reason = shard->fail_reason;
    shard->blame.describe = NULL;
    if (shard->traces.count)
        trace_failed(shard, actor, reason);
    drop_in_hand(shard);
    turn_leave(shard, actor);
    actor->flags |= ACTOR_HAS_FAILED;
    actor_end(shard, actor, reason);
}

/* The first turn of an activated actor. False: it could not be, and has gone. */
static bool be_born(struct shard *shard, struct actor *actor) {
    actor->flags &= ~(uint32_t)ACTOR_IS_UNBORN;
    int error = actor_be_born(shard, actor, NULL);
    if (!error)
        return true;
    actor_discard(shard, actor, error);
    return false;
}

/* What waits, and then after_turn. An actor that fails in an observed run is not in its figures. */
static inline void run_messages(struct shard *shard, struct actor *actor) {
    const struct actor_class *class = actor->class->class;
    bool observed = --shard->profile.runs_left == 0;
    uint64_t begun_ns = 0;
    if (__builtin_expect(observed, 0)) {
        begun_ns = profile_run_begin(shard);
        mailbox_run_observed(shard, actor, actor->class->share, begun_ns);
    } else {
        mailbox_run(shard, actor, actor->class->share);
    }
    shard->blame.describe = NULL; /* it was a message's, not this turn's end's */
    if (class->after_turn && shard->actor_messages)
        class->after_turn(actor->state);
    if (__builtin_expect(observed, 0))
        profile_run_end(shard, actor, begun_ns);
}

static void run_actor(struct shard *shard, struct actor *actor) {
    const struct actor_class *class = actor->class->class;
    if (__builtin_expect(actor->flags & ACTOR_IS_STOPPING, 0)) {
        actor_end(shard, actor, actor->stop_reason);
        return;
    }
    if (__builtin_expect(actor->flags & ACTOR_IS_UNBORN, 0) && !be_born(shard, actor))
        return;
    shard->actor_messages = 0;
    shard->running.actor = actor;
    __atomic_store_n(&shard->watch_class, class, __ATOMIC_RELAXED);
    actor->flags |= ACTOR_IS_ON_STACK;
    if (__builtin_expect(!(actor->flags & ACTOR_IS_STOPPING), 1))
        run_messages(shard, actor);
    if (__builtin_expect(shard->running.fresh || shard->running.newest, 0))
        keep_fresh(shard, actor);
    turn_leave(shard, actor);
    if (__builtin_expect(actor->flags & ACTOR_IS_STOPPING, 0))
        actor_end(shard, actor, actor->stop_reason);
    else if (actor->head && !(actor->flags & ACTOR_IS_QUEUED))
        shard_enqueue(shard, actor);
}

static uint64_t clock_read(const struct shard *shard) {
    return shard->seams->monotonic_ns(shard->seams->context);
}

static void run_queue(struct shard *shard) {
    while (shard->run_head && shard->turn_budget) {
        if (shard->turn_budget <= shard->turn_clock_at) {
            shard->turn_clock_at =
                shard->turn_budget > TURN_CLOCK_UNITS ? shard->turn_budget - TURN_CLOCK_UNITS : 0;
            if (clock_read(shard) - shard->now_ns > TURN_NS_MAX) {
                profile_observe_soon(&shard->profile); /* somebody here is slow */
                return;
            }
        }
        struct actor *actor = dequeue(shard);
        if (__builtin_expect(actor->flags & ACTOR_IS_FREE, 0))
            actor_slot_unqueued(shard, actor);
        else
            run_actor(shard, actor);
    }
}

/* One escape for all handlers of a turn: it costs a turn, not a message. */
static void run_turn(struct shard *shard) {
    struct escape escape = {.outer = NULL};
    shard->escape = &escape;
    shard->turn_budget = TURN_MESSAGES_MAX;
    shard->turn_clock_at = TURN_MESSAGES_MAX - TURN_CLOCK_UNITS;
    if (_setjmp(escape.environment) != 0)
        recover(shard);
    run_queue(shard);
    shard->escape = NULL;
}

/* --- passivation
 * -------------------------------------------------------------------------------------- */

static void ask_passivate(struct actor *actor, void *argument) {
    const struct actor_class *class = actor->class->class;
    *(bool *)argument = !class->may_passivate || class->may_passivate(actor->state);
}

static void sweep_actor(struct shard *shard, struct actor *actor) {
    const uint32_t busy =
        ACTOR_IS_QUEUED | ACTOR_IS_UNBORN | ACTOR_IS_ENDING | ACTOR_IS_FREE | ACTOR_IS_ON_STACK;
    if ((actor->flags & busy) ||
        (uint32_t)shard->now_ms - actor->last_active_ms < actor->class->class->idle_ms)
        return;
    bool agreed = false;
    actor->last_active_ms = (uint32_t)shard->now_ms; /* asked again after another idle_ms */
    if (shard_guard(shard, actor, ask_passivate, &agreed)) {
        actor->flags |= ACTOR_HAS_FAILED;
        actor_end(shard, actor, shard->fail_reason);
    } else if (actor->flags & ACTOR_IS_STOPPING) {
        actor_end(shard, actor, actor->stop_reason);
    } else if (agreed && !actor->mailbox_count) { /* deferred ones count too */
        actor_end(shard, actor, ACTOR_PASSIVATED);
    }
}

/* How far it is from this slot to the next one that is asked, at most `max`. */
static uint32_t sweep_skip(const struct shard *shard, uint32_t slot, uint32_t max) {
    uint64_t word = shard->asked[slot / 64] >> slot % 64;
    uint32_t skip = word ? (uint32_t)__builtin_ctzll(word) : 64 - slot % 64;
    return skip < max ? skip : max;
}

/* Looks at a part of the table, so that each idle actor is met about once in the shortest idle_ms.
 * A list of idle actors would cost each of them 16 bytes and each message a cache line. */
static void sweep(struct shard *shard) {
    uint64_t interval_ns = shard->idle_ms_min * (uint64_t)1000000 / SWEEP_PARTS;
    uint32_t left = shard->slots_used / SWEEP_PARTS + 1;
    if (left > SWEEP_SLOTS_MAX) { /* as many in that time, in more turns */
        interval_ns = interval_ns * SWEEP_SLOTS_MAX / left;
        left = SWEEP_SLOTS_MAX;
    }
    if (interval_ns < SWEEP_NS_MIN)
        interval_ns = SWEEP_NS_MIN;
    shard->sweep_next_ns = shard->now_ns + interval_ns;
    while (left && shard->slots_used) {
        if (shard->sweep_cursor >= shard->slots_used)
            shard->sweep_cursor = 0;
        uint32_t slot = shard->sweep_cursor, behind = shard->slots_used - slot;
        uint32_t skip = sweep_skip(shard, slot, left < behind ? left : behind);
        if (!skip) {
            sweep_actor(shard, shard_slot(shard, slot));
            skip = 1;
        }
        shard->sweep_cursor += skip;
        left -= skip;
    }
}

/* --- arrivals
 * ------------------------------------------------------------------------------------------ */

/* Its payload and its blob were written on another core; they are fetched while others are handled.
 */
static void arrive(struct shard *shard, struct message *message) {
    __builtin_prefetch(message + 1);
    if (message->blob)
        __builtin_prefetch(message->blob, 1);
    if (message->flags & MESSAGE_CONTROL)
        control_carry_out(shard, message);
    else
        mailbox_arrive(shard, message);
}

static void block_comes_home(struct shard *shard, uintptr_t entry) {
    unsigned class;
    void *block = lane_entry_block(entry, &class);
    slab_give(&shard->messages, block, class);
}

/* Returns how many messages there were. */
static unsigned take_batch(struct shard *shard, const uintptr_t *entries, uint32_t count) {
    unsigned messages = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = lane_entry_message(entries[i]);
        if (message)
            arrive(shard, message);
        else
            block_comes_home(shard, entries[i]);
        messages += message != NULL;
    }
    return messages;
}

/* What is only freed does not count as a message, lest the lane that brings it fills up. After a
 * spin a few that came are handled at once: a look at what comes behind them is a line that
 * travels, and their answers would wait for it. */
static void take_lane(struct shard *shard, struct lane *lane, bool spun) {
    uintptr_t entries[LANE_TAKE];
    unsigned messages = 0;
    for (unsigned takes = 0; takes < LANE_TAKES_MAX && messages < TURN_ARRIVALS_MAX; takes++) {
        uint32_t count = lane_take(lane, &shard->messages, entries);
        if (!count)
            break;
        messages += take_batch(shard, entries, count);
        if (spun && count < SPUN_FEW)
            break;
    }
    shard->rest.events += messages;
    shard->spin.arrived += messages;
}

/* What threads that are no shard have sent, oldest first. */
static struct message *inbox_take(struct shard *shard) {
    struct ck_stack_entry *newest = stack_take_all(&shard->inbox);
    struct message *oldest = NULL;
    while (newest) {
        struct message *message = (struct message *)newest;
        newest = newest->next;
        message->next = oldest;
        oldest = message;
    }
    return oldest;
}

static void take_arrivals(struct shard *shard, bool spun) {
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (shard->lanes_in[i])
            take_lane(shard, shard->lanes_in[i], spun);
    struct message *message = inbox_take(shard);
    while (message) {
        struct message *next = message->next;
        arrive(shard, message);
        shard->rest.events++;
        message = next;
    }
}

static bool has_arrivals(struct shard *shard) {
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (shard->lanes_in[i] && !lane_is_empty(shard->lanes_in[i]))
            return true;
    return !stack_is_empty(&shard->inbox);
}

static bool await_is_vain(struct shard *shard) {
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (shard->lanes_in[i] && !lane_is_empty(shard->lanes_in[i]))
            return false;
    return stack_is_empty(&shard->inbox);
}

bool shard_await_arrivals(struct shard *shard, uint64_t ns) {
    const uint64_t end_ns = shard->ended_ns + ns;
    uint64_t now_ns = shard->ended_ns;
    for (unsigned looks = 1; await_is_vain(shard); looks++) {
        ck_pr_stall();
        if (looks % SPIN_LOOKS)
            continue;
        now_ns = clock_read(shard);
        if (now_ns >= end_ns)
            return false;
    }
    shard->looked_ns = now_ns;
    return true;
}

void shard_inbox_push(struct shard *shard, struct message *message) {
    stack_push(&shard->inbox, message);
    shard_wake_if_asleep(shard);
}

static void discard_lane(struct shard *shard, struct lane *lane) {
    uintptr_t entries[LANE_TAKE];
    uint32_t count;
    while ((count = lane_take(lane, &shard->messages, entries)) != 0)
        for (uint32_t i = 0; i < count; i++) {
            if (lane_entry_message(entries[i]))
                message_destroy(lane_entry_message(entries[i]));
            else
                block_comes_home(shard, entries[i]);
        }
}

static void discard_list(struct message *message) {
    while (message) {
        struct message *next = message->next;
        message_destroy(message);
        message = next;
    }
}

void shard_discard_arrivals(struct shard *shard) {
    for (uint32_t i = 0; i < shard->shard_count; i++) {
        if (!shard->lanes_in[i])
            continue;
        lane_discard_unsent(shard->lanes_out[i]);
        discard_lane(shard, shard->lanes_in[i]);
    }
    discard_list(inbox_take(shard));
    discard_list(shard->next_turn);
    shard->next_turn = NULL;
    shard->next_turn_end = &shard->next_turn;
}

/* --- departures, sleep and wake
 * ------------------------------------------------------------------------ */

static void wake_reader(struct shard *shard, uint32_t to) {
    shard->spin.woke |= shard_wake_if_asleep(shard->runtime->shards[to]);
}

void shard_send_remote(struct shard *shard, unsigned to, struct message *message) {
    struct lane *lane = shard->lanes_out[to];
    lane_push(lane, message);
    counter_add(shard->counters.messages_cross_shard, 1);
    if (lane_batch_is_full(lane) && lane_publish_batch(lane))
        wake_reader(shard, to);
}

void shard_publish(struct shard *shard) {
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (shard->lanes_out[i] && lane_publish(shard->lanes_out[i]))
            wake_reader(shard, i);
}

void shard_publish_quietly(struct shard *shard) {
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (shard->lanes_out[i])
            lane_publish(shard->lanes_out[i]);
}

bool shard_wake_if_asleep(struct shard *shard) {
    /* Pairs with the fence in shard_park: what was published comes before this look. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&shard->asleep, __ATOMIC_RELAXED) ||
        !__atomic_exchange_n(&shard->asleep, 0, __ATOMIC_RELAXED))
        return false;
    __atomic_fetch_add(&shard->runtime->wakes, 1, __ATOMIC_RELAXED);
    shard->seams->reactor->wake(shard->reactor);
    return true;
}

bool shard_park(struct shard *shard) {
    __atomic_store_n(&shard->asleep, 1, __ATOMIC_RELAXED);
    /* Pairs with the fence in shard_wake_if_asleep: saying so comes before this look. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!has_arrivals(shard) && !runtime_wants(shard))
        return true;
    shard_unpark(shard);
    return false;
}

void shard_unpark(struct shard *shard) {
    /* Pairs with the load and the exchange in shard_wake_if_asleep. Late is harmless: a wake too
     * many. */
    __atomic_store_n(&shard->asleep, 0, __ATOMIC_RELAXED);
}

/* --- the turn
 * ------------------------------------------------------------------------------------------ */

/* What actors put off to this turn. */
static void take_next_turn(struct shard *shard) {
    struct message *message = shard->next_turn;
    shard->next_turn = NULL;
    shard->next_turn_end = &shard->next_turn;
    while (message) {
        struct message *next = message->next;
        shard_post(shard, message->to, &message);
        message = next;
    }
}

bool shard_step(struct shard *shard) {
    bool spun = shard->looked_ns != 0;
    shard->now_ns = spun ? shard->looked_ns : clock_read(shard);
    shard->looked_ns = 0;
    shard->now_ms = shard->now_ns / 1000000;
    if (shard->next_turn)
        take_next_turn(shard);
    take_arrivals(shard, spun);
    timer_advance(shard, shard->now_ns);
    if (shard->idle_ms_min && shard->now_ns >= shard->sweep_next_ns)
        sweep(shard);
    bool more = shard->brood_work && brood_work(shard);
    if (shard->inspections.next_ns <= shard->now_ns)
        more |= inspect_turn(shard);
    if (shard->traces.next_ns <= shard->now_ns)
        trace_turn(shard);
    bool runs = shard->run_head != NULL;
    if (runs)
        run_turn(shard);
    shard_publish(shard); /* before all that others need not wait for */
    shard->ended_ns = shard->now_ns;
    if (runs) {
        shard->ended_ns = clock_read(shard);
        counter_add(shard->counters.turns, 1);
        counter_add(shard->counters.busy_ns, shard->ended_ns - shard->now_ns);
    }
    shard->io_next_ns = io_turn(shard); /* after the actors, who may have started time limits */
    return more || shard->run_head || shard->next_turn || has_arrivals(shard);
}

uint64_t shard_idle_ns(struct shard *shard) {
    if (shard->run_head || shard->next_turn || shard->brood_work || has_arrivals(shard))
        return 0;
    uint64_t at_ns = timer_next_ns(&shard->wheel), now_ns = clock_read(shard);
    if (shard->io_next_ns < at_ns)
        at_ns = shard->io_next_ns;
    if (shard->inspections.next_ns < at_ns)
        at_ns = shard->inspections.next_ns;
    if (shard->traces.next_ns < at_ns)
        at_ns = shard->traces.next_ns;
    if (shard->idle_ms_min && shard->counters.actors && shard->sweep_next_ns < at_ns)
        at_ns = shard->sweep_next_ns;
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (shard->lanes_out[i] && lane_is_stuck(shard->lanes_out[i]) &&
            at_ns > now_ns + SPILL_RETRY_NS)
            at_ns = now_ns + SPILL_RETRY_NS;
    if (at_ns == UINT64_MAX)
        return at_ns;
    return at_ns > now_ns ? at_ns - now_ns : 0;
}
