/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: an actor that starts its children in order, hears how they end, and decides.
 *
 *   STARTING ──all started──► RUNNING ──told to stop, or too many restarts──► STOPPING ──none
 * left──► ends ▲                         │ └──backoff── RESTARTING ◄─┘ a child failed (one-for-all,
 * rest-for-one)
 *
 * One place per fixed child (and per shard, for a child on every shard), in start order. STOPPING
 * and RESTARTING walk the places backwards, one at a time, each with its time limit; STARTING walks
 * forwards, and waits only for what starts on another shard. With one-for-one a failed place
 * restarts by itself, after a backoff, while the supervisor is RUNNING. Nothing here waits in a
 * handler.
 *
 * Receives: CHILD_ENDED and BROOD_EMPTY from broods, CHILD_STARTED from other shards, its timers,
 * ACTOR_STOP.
 */
#include "runtime/supervisor.h"

#include "runtime/log.h"
#include "runtime/scheduler_internal.h"
#include "runtime/supervisor_internal.h"

#include <errno.h>

#define BACKOFF_MS_MIN 10u
#define BACKOFF_MS_MAX 5000u
#define PERIOD_MS 60000u
#define SHUTDOWN_MS 5000u
#define RESTART_GROUP UINT64_MAX /* argument of RESTART_DUE: from `floor` on */

static void start_on(struct supervisor *supervisor);
static void stop_on(struct supervisor *supervisor);

/* --- places
 * ------------------------------------------------------------------------------------------- */

static uint32_t count_places(const struct supervisor_spec *spec, unsigned shards) {
    uint32_t count = 0;
    for (uint16_t i = 0; i < spec->child_count; i++)
        count += spec->children[i].every_shard ? shards : 1;
    return count;
}

static void make_places(struct supervisor *supervisor, const struct shard *shard) {
    const struct supervisor_spec *spec = supervisor->spec;
    supervisor->place_count = count_places(spec, shard->shard_count);
    supervisor->places = actor_allocate(supervisor->place_count * sizeof(struct place) + 1);
    struct place *place = supervisor->places;
    for (uint16_t i = 0; i < spec->child_count; i++) {
        const struct supervisor_child *child = &spec->children[i];
        unsigned copies = child->every_shard ? shard->shard_count : 1;
        for (unsigned k = 0; k < copies; k++)
            *place++ =
                (struct place){.child = child, .shard = child->every_shard ? k : shard->index};
    }
}

static struct place *place_of(struct supervisor *supervisor, struct actor_id actor) {
    for (uint32_t i = 0; i < supervisor->place_count; i++)
        if (supervisor->places[i].actor.bits == actor.bits)
            return &supervisor->places[i];
    return NULL;
}

int supervisor_start_child(struct shard *shard, const struct control_spawn *spawn,
                           struct actor_id supervisor, struct actor_id *id) {
    const struct supervisor_child *child = spawn->child;
    if (spawn->again.class)
        return actor_spawn_kept(shard, spawn->again.class, spawn->again.key, supervisor, id);
    if (child->class)
        return actor_spawn_fixed(shard, child->class, child->argument, supervisor, id);
    struct supervisor_argument argument = {child->supervisor, false};
    return actor_spawn_fixed(shard, &supervisor_class, &argument, supervisor, id);
}

const char *place_name(const struct place *place) {
    return place->child->class ? place->child->class->name : place->child->supervisor->name;
}

void place_is_empty(struct place *place) {
    bool once = place->child->restart == RESTART_TEMPORARY && !place->child->dynamic;
    place->state = once ? PLACE_OVER : PLACE_EMPTY;
    place->actor = ACTOR_NOBODY;
}

static void place_is_running(struct place *place, struct actor_id actor) {
    place->state = PLACE_RUNNING;
    place->actor = actor;
    place->started_ms = actor_now_ms();
}

static void order_broods(struct place *place, enum brood_order order);

int supervisor_start_place(struct supervisor *supervisor, struct place *place) {
    struct shard *shard = shard_of_thread;
    struct actor_id id;
    if (place->child->dynamic) {
        order_broods(place, BROOD_RESUME);
        actor_serve_class(place->child->class, actor_self());
        place->attempt = ++supervisor->attempts; /* tells this opening of the pool from others */
        place_is_running(place, ACTOR_NOBODY);
        return 0;
    }
    if (place->shard != shard->index) {
        struct control_spawn spawn = {.child = place->child, .attempt = ++supervisor->attempts};
        place->attempt = spawn.attempt;
        place->state = PLACE_STARTING;
        control_send(shard, place->shard, CONTROL_SPAWN, ACTOR_NOBODY, actor_self(), &spawn,
                     sizeof spawn);
        return 0;
    }
    struct control_spawn here = {.child = place->child};
    int error = supervisor_start_child(shard, &here, actor_self(), &id);
    if (!error)
        place_is_running(place, id);
    return error;
}

/* --- ending
 * ------------------------------------------------------------------------------------------- */

static void tell_started(struct supervisor *supervisor, int error) {
    if (!supervisor->is_root || supervisor->told_start)
        return;
    supervisor->told_start = true;
    runtime_root_started(runtime_current(), error);
}

static void stop_begin(struct supervisor *supervisor, int reason) {
    if (supervisor->phase == STOPPING)
        return;
    tell_started(supervisor, -ECANCELED);
    supervisor->phase = STOPPING;
    supervisor->reason = reason;
    supervisor->floor = 0;
    stop_on(supervisor);
}

static uint32_t or_default(uint32_t value, uint32_t standard) {
    return value ? value : standard;
}

bool supervisor_may_go_on(struct supervisor *supervisor) {
    const struct supervisor_spec *spec = supervisor->spec;
    uint64_t now_ms = actor_now_ms();
    if (spec->restarts_max) {
        uint64_t *oldest = &supervisor->restarts_ms[supervisor->restart_count % spec->restarts_max];
        bool within = supervisor->restart_count >= spec->restarts_max &&
                      now_ms - *oldest <= or_default(spec->period_ms, PERIOD_MS);
        *oldest = now_ms;
        supervisor->restart_count++;
        if (!within)
            return true;
    }
    log_error("supervisor %s gives up: more than %u restarts within %u ms", spec->name,
              spec->restarts_max, or_default(spec->period_ms, PERIOD_MS));
    stop_begin(supervisor, SUPERVISOR_ESCALATED);
    return false;
}

uint64_t supervisor_backoff_ms(const struct supervisor *supervisor, unsigned failures) {
    const struct supervisor_spec *spec = supervisor->spec;
    uint64_t delay = or_default(spec->backoff_ms_min, BACKOFF_MS_MIN);
    uint64_t most = or_default(spec->backoff_ms_max, BACKOFF_MS_MAX);
    for (unsigned i = 0; i < failures && delay < most; i++)
        delay *= 2;
    if (delay > most)
        delay = most;
    return delay - delay / 2 + actor_random_below(delay / 2 + 1);
}

static uint64_t backoff_ms(const struct supervisor *supervisor, struct place *place) {
    if (place->started_ms &&
        actor_now_ms() - place->started_ms > or_default(supervisor->spec->period_ms, PERIOD_MS))
        place->failures = 0;
    unsigned failures = place->failures;
    if (place->failures < UINT16_MAX)
        place->failures++;
    return supervisor_backoff_ms(supervisor, failures);
}

/* --- restarting
 * ----------------------------------------------------------------------------------------- */

static void restart_later(struct supervisor *supervisor, struct place *place) {
    uint64_t index = (uint64_t)(place - supervisor->places);
    place->state = PLACE_WAITING;
    place->timer = actor_timer_start(backoff_ms(supervisor, place), SUPERVISOR_RESTART_DUE, index);
}

/* The place is empty and is to run again. */
static void restart(struct supervisor *supervisor, struct place *place) {
    struct shard *shard = shard_of_thread;
    if (!supervisor_may_go_on(supervisor))
        return;
    counter_add(shard->counters.restarts, 1);
    if (supervisor->spec->strategy == SUPERVISE_ONE_FOR_ONE) {
        restart_later(supervisor, place);
        return;
    }
    uint32_t floor = 0;
    if (supervisor->spec->strategy == SUPERVISE_REST_FOR_ONE)
        floor = (uint32_t)(place - supervisor->places);
    if (supervisor->phase != RESTARTING || floor < supervisor->floor)
        supervisor->floor = floor;
    supervisor->phase = RESTARTING;
    stop_on(supervisor);
}

static void start_failed(struct supervisor *supervisor, struct place *place, int error) {
    place->state = PLACE_EMPTY;
    log_error("supervisor %s could not start %s: %d", supervisor->spec->name, place_name(place),
              error);
    if (supervisor->is_root && !supervisor->told_start) {
        tell_started(supervisor, error);
        stop_begin(supervisor, SUPERVISOR_ESCALATED);
    } else if (supervisor->phase == STOPPING || supervisor->phase == RESTARTING) {
        stop_on(supervisor);
    } else {
        restart(supervisor, place);
    }
}

/* Starts what is next until one has to be waited for. */
static void start_on(struct supervisor *supervisor) {
    while (supervisor->phase == STARTING && supervisor->next < supervisor->place_count) {
        struct place *place = &supervisor->places[supervisor->next];
        if (place->state == PLACE_STARTING)
            return;
        supervisor->next++;
        if (place->state != PLACE_EMPTY)
            continue;
        int error = supervisor_start_place(supervisor, place);
        if (error)
            start_failed(supervisor, place, error);
        else if (place->state == PLACE_STARTING)
            supervisor->next--; /* looked at again when the answer comes */
    }
    if (supervisor->phase == STARTING && supervisor->next == supervisor->place_count) {
        supervisor->phase = RUNNING;
        tell_started(supervisor, 0);
    }
}

/* --- stopping
 * ------------------------------------------------------------------------------------------- */

/* To the dynamic children on every shard that has some; and on this one, so that none comes any
 * more. */
static void order_broods(struct place *place, enum brood_order order) {
    struct shard *shard = shard_of_thread;
    const struct relations *relations = actor_relations(shard, shard->running.actor);
    struct control_brood request = {.class = place->child->class, .order = order};
    for (unsigned i = 0; i < SHARDS_MAX / 64; i++)
        place->broods_left[i] = relations->brood_shards[i];
    place->broods_left[shard->index / 64] |= 1ull << shard->index % 64;
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (place->broods_left[i / 64] & 1ull << i % 64)
            control_send(shard, i, CONTROL_BROOD_ORDER, ACTOR_NOBODY, actor_self(), &request,
                         sizeof request);
}

static void kill_place(struct place *place) {
    if (place->child->dynamic)
        order_broods(place, BROOD_KILL);
    else
        actor_kill(place->actor, ACTOR_KILLED);
}

void supervisor_stop_place(struct supervisor *supervisor, struct place *place) {
    uint32_t limit_ms = place->child->shutdown_ms;
    place->state = PLACE_STOPPING;
    if (limit_ms == SHUTDOWN_AT_ONCE) {
        kill_place(place);
        return;
    }
    if (place->child->dynamic)
        order_broods(place, BROOD_END);
    else
        actor_signal_system(place->actor, ACTOR_STOP);
    if (limit_ms == SHUTDOWN_UNLIMITED || (!limit_ms && place->child->supervisor))
        return; /* a supervisor's children have limits of their own */
    place->timer = actor_timer_start(or_default(limit_ms, SHUTDOWN_MS), SUPERVISOR_SHUTDOWN_DUE,
                                     (uint64_t)(place - supervisor->places));
}

static void stop_is_done(struct supervisor *supervisor) {
    if (supervisor->phase == STOPPING) {
        actor_stop(supervisor->reason);
        return;
    }
    struct place *place = &supervisor->places[supervisor->floor];
    actor_timer_start(backoff_ms(supervisor, place), SUPERVISOR_RESTART_DUE, RESTART_GROUP);
}

/* Stops the next from behind; comes back when that has ended. */
static void stop_on(struct supervisor *supervisor) {
    for (uint32_t i = supervisor->place_count; i > supervisor->floor; i--) {
        struct place *place = &supervisor->places[i - 1];
        switch ((enum place_state)place->state) {
        case PLACE_EMPTY:
        case PLACE_OVER:
            break;
        case PLACE_WAITING:
            actor_timer_cancel(&place->timer);
            place->state = PLACE_EMPTY;
            break;
        case PLACE_RUNNING:
            supervisor_stop_place(supervisor, place);
            return;
        case PLACE_STARTING:
        case PLACE_STOPPING:
            return;
        }
    }
    stop_is_done(supervisor);
}

static void place_has_stopped(struct supervisor *supervisor, struct place *place) {
    actor_timer_cancel(&place->timer);
    place_is_empty(place);
    supervisor_tell_asker(place, 0);
    if (supervisor->phase == STOPPING || supervisor->phase == RESTARTING)
        stop_on(supervisor);
}

/* --- messages
 * --------------------------------------------------------------------------------------------- */

bool supervisor_wants_restart(const struct supervisor_child *child, int reason) {
    switch (child->restart) {
    case RESTART_PERMANENT:
        return true;
    case RESTART_TRANSIENT:
        return reason != ACTOR_NORMAL && reason != ACTOR_SHUTDOWN;
    default:
        return false;
    }
}

/* A significant child has ended for good: is it the end that the supervisor waits for? */
static bool was_awaited(const struct supervisor *supervisor) {
    if (supervisor->spec->auto_shutdown != AUTO_SHUTDOWN_ALL)
        return supervisor->spec->auto_shutdown == AUTO_SHUTDOWN_ANY;
    for (uint32_t i = 0; i < supervisor->place_count; i++) {
        const struct place *place = &supervisor->places[i];
        if (place->child->significant && place->state != PLACE_EMPTY && place->state != PLACE_OVER)
            return false;
    }
    return true;
}

static void on_child_ended(void *state, struct message **message) {
    struct supervisor *supervisor = state;
    const struct child_ended *ended = message_as(*message, struct child_ended);
    if (ended->class) {
        supervisor_pool_ended(supervisor, ended);
        return;
    }
    struct place *place = place_of(supervisor, ended->child);
    if (!place)
        return;
    if (place->state == PLACE_STOPPING) {
        place_has_stopped(supervisor, place);
        return;
    }
    place->ends++;
    place->last_reason = ended->reason;
    place_is_empty(place);
    if (supervisor->phase == STOPPING)
        stop_on(supervisor);
    else if (supervisor_wants_restart(place->child, ended->reason))
        restart(supervisor, place);
    else if (place->child->significant && was_awaited(supervisor))
        stop_begin(supervisor, ACTOR_SHUTDOWN);
    else if (supervisor->phase == RESTARTING)
        stop_on(supervisor);
}

static void on_child_started(void *state, struct message **message) {
    struct supervisor *supervisor = state;
    const struct child_started *started = message_as(*message, struct child_started);
    struct place *place = NULL;
    if (started->again.class) {
        supervisor_pool_started(supervisor, started);
        return;
    }
    for (uint32_t i = 0; i < supervisor->place_count && !place; i++)
        if (supervisor->places[i].state == PLACE_STARTING &&
            supervisor->places[i].attempt == started->attempt)
            place = &supervisor->places[i];
    CHECK(place && place->shard == started->shard);
    bool ordered = place->asker.actor.bits != 0;
    supervisor_tell_asker(place, started->error);
    if (started->error && ordered && supervisor->phase == RUNNING)
        place->state = PLACE_EMPTY;
    else if (started->error)
        start_failed(supervisor, place, started->error);
    else
        place_is_running(place, started->child);
    if (supervisor->phase == STARTING)
        start_on(supervisor);
    else if (!started->error && supervisor->phase != RUNNING)
        stop_on(supervisor);
}

static void on_brood_empty(void *state, struct message **message) {
    struct supervisor *supervisor = state;
    const struct control_brood *empty = message_as(*message, struct control_brood);
    for (uint32_t i = 0; i < supervisor->place_count; i++) {
        struct place *place = &supervisor->places[i];
        if (place->state != PLACE_STOPPING || !place->child->dynamic ||
            place->child->class != empty->class)
            continue;
        place->broods_left[empty->shard / 64] &= ~(1ull << empty->shard % 64);
        uint64_t left = 0;
        for (unsigned k = 0; k < SHARDS_MAX / 64; k++)
            left |= place->broods_left[k];
        if (!left)
            place_has_stopped(supervisor, place);
        return;
    }
}

static void on_restart_due(void *state, struct message **message) {
    struct supervisor *supervisor = state;
    uint64_t index = message_as(*message, struct actor_timer_fired)->argument;
    if (index == RESTART_GROUP) {
        if (supervisor->phase != RESTARTING)
            return;
        supervisor->phase = STARTING;
        supervisor->next = supervisor->floor;
        start_on(supervisor);
        return;
    }
    struct place *place = &supervisor->places[index];
    if (place->state != PLACE_WAITING)
        return;
    place->state = PLACE_EMPTY;
    int error = supervisor_start_place(supervisor, place);
    if (error)
        start_failed(supervisor, place, error);
}

static void on_pool_due(void *state, struct message **message) {
    supervisor_pool_due(state, message_as(*message, struct actor_timer_fired)->argument);
}

static void on_shutdown_due(void *state, struct message **message) {
    struct supervisor *supervisor = state;
    uint64_t index = message_as(*message, struct actor_timer_fired)->argument;
    struct place *place = &supervisor->places[index];
    if (place->state != PLACE_STOPPING)
        return;
    log_warning("supervisor %s kills %s: it did not stop in time", supervisor->spec->name,
                place_name(place));
    kill_place(place);
}

static void on_stop(void *state, struct message **message) {
    stop_begin(state, ACTOR_SHUTDOWN);
}

static void on_start(void *state, struct message **message) {
    start_on(state);
}

/* --- the class
 * -------------------------------------------------------------------------------------------- */

/* A supervisor below the root has started all its children when its init returns. */
static int start_all_now(struct supervisor *supervisor) {
    for (uint32_t i = 0; i < supervisor->place_count; i++) {
        if (supervisor->places[i].child->every_shard)
            return -EINVAL;
        int error = supervisor_start_place(supervisor, &supervisor->places[i]);
        if (error)
            return error;
    }
    supervisor->phase = RUNNING;
    return 0;
}

static bool is_valid(const struct supervisor_spec *spec) {
    for (uint16_t i = 0; i < spec->child_count; i++) {
        const struct supervisor_child *child = &spec->children[i];
        if (child->significant && (child->dynamic || child->restart == RESTART_PERMANENT))
            return false;
    }
    return spec->restarts_max <= SUPERVISOR_RESTARTS_MAX;
}

static int init(void *state, const void *argument) {
    const struct supervisor_argument *given = argument;
    struct supervisor *supervisor = state;
    if (!is_valid(given->spec))
        return -EINVAL;
    supervisor->spec = given->spec;
    supervisor->is_root = given->root;
    if (given->spec->restarts_max)
        supervisor->restarts_ms = actor_allocate(given->spec->restarts_max * sizeof(uint64_t));
    make_places(supervisor, shard_of_thread);
    actor_trap_exits(true);
    if (!supervisor->is_root)
        return start_all_now(supervisor);
    actor_signal_system(actor_self(), SUPERVISOR_START);
    return 0;
}

static void terminate(void *state, int reason) {
    struct supervisor *supervisor = state;
    if (!supervisor->is_root)
        return;
    tell_started(supervisor, -ECANCELED);
    runtime_root_ended(runtime_current(), reason);
}

static const struct actor_handler handlers[] = {
    [ACTOR_STOP] = {"stop", on_stop},
    [SUPERVISOR_CHILD_ENDED] = {"child ended", on_child_ended},
    [SUPERVISOR_CHILD_STARTED] = {"child started", on_child_started},
    [SUPERVISOR_BROOD_EMPTY] = {"brood empty", on_brood_empty},
    [SUPERVISOR_RESTART_DUE] = {"restart due", on_restart_due},
    [SUPERVISOR_SHUTDOWN_DUE] = {"shutdown due", on_shutdown_due},
    [SUPERVISOR_START] = {"start", on_start},
    [SUPERVISOR_POOL_DUE] = {"pool due", on_pool_due},
    [SUPERVISOR_QUESTION] = {"question", supervisor_on_question},
    [SUPERVISOR_BROOD_COUNTED] = {"brood counted", supervisor_on_counted},
};

const struct actor_class supervisor_class = {
    .name = "supervisor",
    .state_bytes = sizeof(struct supervisor),
    .init = init,
    .terminate = terminate,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof *handlers,
};
