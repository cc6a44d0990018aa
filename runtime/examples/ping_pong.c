/* SPDX-License-Identifier: Apache-2.0 */
/* Two supervised actors: one asks three times, the other fails once and is restarted. */
#include <runtime/actor.h>
#include <runtime/runtime.h>

#include <stdio.h>

enum { ASK = ACTOR_KIND_FIRST, PING, PONG };
static int pings; /* outlives the actor that counts */

static void on_ping(void *state, struct message **message) {
    struct message *pong = message_create(PONG, 0);
    actor_ensure(++pings != 2, 1); /* the second ping ends this actor; its supervisor restarts it */
    actor_reply(actor_caller_of(*message), &pong);
}
static int ponger_init(void *state, const void *argument) {
    return actor_register("ponger");
}
static const struct actor_handler ponger_handlers[] = {[PING] = {"ping", on_ping}};
static const struct actor_class ponger = {
    .name = "ponger", .init = ponger_init, .handlers = ponger_handlers, .handler_count = PING + 1};

static void on_ask(void *state, struct message **message) {
    struct message *ping = message_create(PING, 0);
    uint64_t reference;
    if (actor_call(actor_whereis("ponger"), &ping, 1000, &reference))
        message_destroy(ping);
}
static void on_pong(void *state, struct message **message) {
    puts("pong");
    if (pings == 3)
        runtime_stop(runtime_current(), 0);
    else
        actor_timer_start(0, ASK, 0);
}
static void on_unanswered(void *state, struct message **message) {
    puts("no answer: once more");
    actor_timer_start(100, ASK, 0);
}
static int pinger_init(void *state, const void *argument) {
    actor_timer_start(0, ASK, 0);
    return 0;
}
static const struct actor_handler pinger_handlers[] = {
    [ACTOR_UNANSWERED] = {"unanswered", on_unanswered},
    [ASK] = {"ask", on_ask},
    [PONG] = {"pong", on_pong}};
static const struct actor_class pinger = {
    .name = "pinger", .init = pinger_init, .handlers = pinger_handlers, .handler_count = PONG + 1};

static const struct supervisor_child children[] = {{.class = &ponger}, {.class = &pinger}};
static const struct supervisor_spec root = {
    .name = "root", .restarts_max = 3, .children = children, .child_count = 2};

int main(void) {
    struct runtime_options options = {.shards = 1, .root = &root};
    struct runtime *runtime;
    if (runtime_start(&options, &runtime))
        return 1;
    int status = runtime_wait(runtime);
    runtime_destroy(runtime);
    return status;
}
