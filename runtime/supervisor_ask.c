/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others ask of a supervisor: how many children, which, and to stop or start one.
 *
 * Fixed children are in its places; dynamic ones are counted by each shard that has some, so that a
 * count waits for their answers (a census). An order to stop or start is answered when it is done.
 */
#include "runtime/scheduler_internal.h"
#include "runtime/supervisor_internal.h"

#include <errno.h>

#define CENSUSES_MAX 16u

struct census {
    struct census *next;
    struct actor_caller caller;
    uint32_t number;
    uint64_t shards_left[SHARDS_MAX / 64];
    uint64_t dynamic;
};

int supervisor_ask(struct actor_id supervisor, enum supervisor_question question, uint32_t place,
                   uint64_t timeout_ms, uint64_t *reference) {
    struct message *request =
        message_create(SUPERVISOR_QUESTION, sizeof(struct supervisor_request));
    *message_as(request, struct supervisor_request) = (struct supervisor_request){question, place};
    int error = actor_call(supervisor, &request, timeout_ms, reference);
    message_destroy(request);
    return error;
}

static struct message *answer_create(enum supervisor_question question, int error, uint32_t rows) {
    struct message *message = message_create(
        SUPERVISOR_ANSWER, sizeof(struct supervisor_answer) + rows * sizeof(struct supervisor_row));
    struct supervisor_answer *answer = message_payload(message);
    answer->question = question;
    answer->error = error;
    answer->row_count = rows;
    return message;
}

static void answer(struct actor_caller caller, enum supervisor_question question, int error) {
    struct message *message = answer_create(question, error, 0);
    actor_reply(caller, &message);
}

/* --- which */

static enum supervisor_place_state shown_state(const struct place *place) {
    static const enum supervisor_place_state states[] = {
        [PLACE_EMPTY] = SUPERVISED_ENDED,       [PLACE_OVER] = SUPERVISED_ENDED,
        [PLACE_STARTING] = SUPERVISED_STARTING, [PLACE_RUNNING] = SUPERVISED_RUNNING,
        [PLACE_WAITING] = SUPERVISED_WAITING,   [PLACE_STOPPING] = SUPERVISED_STOPPING,
    };
    return states[place->state];
}

static void list(const struct supervisor *supervisor, struct actor_caller caller, uint32_t first) {
    uint32_t count = supervisor->place_count > first ? supervisor->place_count - first : 0;
    if (count > SUPERVISOR_ROWS_MAX)
        count = SUPERVISOR_ROWS_MAX;
    struct message *message = answer_create(SUPERVISOR_LIST, 0, count);
    struct supervisor_answer *answer = message_payload(message);
    for (uint32_t i = 0; i < count; i++) {
        const struct place *place = &supervisor->places[first + i];
        answer->rows[i] = (struct supervisor_row){
            .actor = place->actor,
            .name = place_name(place),
            .place = first + i,
            .shard = (uint16_t)place->shard,
            .state = (uint8_t)shown_state(place),
            .is_supervisor = place->child->supervisor != NULL,
            .is_dynamic = place->child->dynamic,
            .ends = place->ends,
            .last_reason = place->last_reason,
        };
    }
    actor_reply(caller, &message);
}

/* --- how many */

static struct supervisor_counts count_places(const struct supervisor *supervisor) {
    struct supervisor_counts counts = {0};
    for (uint32_t i = 0; i < supervisor->place_count; i++) {
        const struct place *place = &supervisor->places[i];
        if (place->child->dynamic)
            continue;
        bool running = place->state == PLACE_RUNNING || place->state == PLACE_STOPPING;
        counts.places++;
        counts.running += running;
        counts.waiting += place->state == PLACE_WAITING;
        counts.supervisors += running && place->child->supervisor;
    }
    return counts;
}

static void census_is_done(struct supervisor *supervisor, struct census *census) {
    struct message *message = answer_create(SUPERVISOR_COUNT, 0, 0);
    struct supervisor_answer *answer = message_payload(message);
    answer->counts = count_places(supervisor);
    answer->counts.dynamic = census->dynamic;
    actor_reply(census->caller, &message);
    struct census **link = &supervisor->censuses;
    while (*link != census)
        link = &(*link)->next;
    *link = census->next;
    supervisor->census_count--;
    actor_free(census);
}

static bool is_complete(const struct census *census) {
    uint64_t left = 0;
    for (unsigned i = 0; i < SHARDS_MAX / 64; i++)
        left |= census->shards_left[i];
    return left == 0;
}

static void count(struct supervisor *supervisor, struct actor_caller caller) {
    struct shard *shard = shard_of_thread;
    const struct relations *relations = actor_relations(shard, shard->running.actor);
    if (supervisor->census_count == CENSUSES_MAX) {
        answer(caller, SUPERVISOR_COUNT, -EAGAIN);
        return;
    }
    struct census *census = actor_allocate(sizeof *census);
    census->caller = caller;
    census->number = ++supervisor->census_last;
    census->next = supervisor->censuses;
    supervisor->censuses = census;
    supervisor->census_count++;
    for (unsigned i = 0; i < SHARDS_MAX / 64; i++)
        census->shards_left[i] = relations->brood_shards[i];
    struct control_brood request = {.census = census->number};
    for (uint32_t i = 0; i < shard->shard_count; i++)
        if (census->shards_left[i / 64] & 1ull << i % 64)
            control_send(shard, i, CONTROL_BROOD_COUNT, ACTOR_NOBODY, actor_self(), &request,
                         sizeof request);
    if (is_complete(census))
        census_is_done(supervisor, census);
}

void supervisor_on_counted(void *state, struct message **message) {
    struct supervisor *supervisor = state;
    const struct control_brood *counted = message_as(*message, struct control_brood);
    struct census *census = supervisor->censuses;
    while (census && census->number != counted->census)
        census = census->next;
    CHECK(census);
    census->dynamic += counted->count;
    census->shards_left[counted->shard / 64] &= ~(1ull << counted->shard % 64);
    if (is_complete(census))
        census_is_done(supervisor, census);
}

/* --- orders */

void supervisor_tell_asker(struct place *place, int error) {
    struct actor_caller caller = place->asker;
    place->asker = (struct actor_caller){0};
    if (caller.actor.bits)
        answer(caller, place->asked, error);
}

static bool is_moving(const struct supervisor *supervisor, const struct place *place) {
    return supervisor->phase != RUNNING || place->state == PLACE_STARTING ||
           place->state == PLACE_STOPPING;
}

static void end(struct supervisor *supervisor, struct place *place) {
    if (place->state == PLACE_RUNNING) {
        supervisor_stop_place(supervisor, place); /* answered when it has ended */
        return;
    }
    actor_timer_cancel(&place->timer);
    if (place->state == PLACE_WAITING)
        place_is_empty(place);
    supervisor_tell_asker(place, 0);
}

static void resume(struct supervisor *supervisor, struct place *place) {
    int error = place->state == PLACE_RUNNING   ? -EEXIST
                : place->state == PLACE_WAITING ? -EAGAIN
                                                : supervisor_start_place(supervisor, place);
    if (place->state != PLACE_STARTING)
        supervisor_tell_asker(place, error);
}

static void order(struct supervisor *supervisor, struct actor_caller caller,
                  const struct supervisor_request *request) {
    struct place *place = &supervisor->places[request->place];
    if (request->place >= supervisor->place_count) {
        answer(caller, request->question, -ENOENT);
        return;
    }
    if (is_moving(supervisor, place)) {
        answer(caller, request->question, -EBUSY);
        return;
    }
    place->asker = caller;
    place->asked = request->question;
    if (request->question == SUPERVISOR_END)
        end(supervisor, place);
    else
        resume(supervisor, place);
}

void supervisor_on_question(void *state, struct message **message) {
    const struct supervisor_request *request = message_as(*message, struct supervisor_request);
    struct actor_caller caller = actor_caller_of(*message);
    switch (request->question) {
    case SUPERVISOR_COUNT:
        count(state, caller);
        break;
    case SUPERVISOR_LIST:
        list(state, caller, request->place);
        break;
    case SUPERVISOR_END:
    case SUPERVISOR_RESUME:
        order(state, caller, request);
        break;
    default:
        answer(caller, request->question, -EINVAL);
    }
}
