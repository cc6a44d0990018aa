/* SPDX-License-Identifier: Apache-2.0 */
/* Two actors under one supervisor: the pinger asks three times, the ponger answers. */
#include <runtime/runtime.h>

#include <stdio.h>

/* What they say to each other. */
enum { PING = ACTOR_KIND_FIRST, PONG };

/* --- the ponger: answers */

static void on_ping(void *state, struct message **message) {
    struct message *pong = message_create(PONG, sizeof(int));
    *message_as(pong, int) = *message_as(*message, int);
    actor_reply(actor_caller_of(*message), &pong);
}

static int ponger_init(void *state, const void *argument) {
    return actor_register("ponger"); /* so that others find it */
}

static const struct actor_handler ponger_handlers[] = {[PING] = {"ping", on_ping}};
static const struct actor_class ponger = {
    .name = "ponger", .init = ponger_init, .handlers = ponger_handlers, .handler_count = PING + 1};

/* --- the pinger: asks, and hears */

struct pinger {
    int asked;
};

static void ask(struct pinger *pinger) {
    struct message *ping = message_create(PING, sizeof(int));
    uint64_t reference;
    *message_as(ping, int) = ++pinger->asked;
    actor_ensure(actor_call(actor_whereis("ponger"), &ping, 1000, &reference) == 0, 1);
}

static void on_pong(void *state, struct message **message) {
    printf("pong %d\n", *message_as(*message, int));
    if (*message_as(*message, int) == 3)
        runtime_stop(runtime_current(), 0);
    else
        ask(state);
}

static void on_unanswered(void *state, struct message **message) {
    actor_fail(1, "no pong within a second"); /* the supervisor starts another pinger */
}

static int pinger_init(void *state, const void *argument) {
    ask(state); /* its state is zeroed */
    return 0;
}

static const struct actor_handler pinger_handlers[] = {
    [ACTOR_UNANSWERED] = {"unanswered", on_unanswered}, [PONG] = {"pong", on_pong}};
static const struct actor_class pinger = {.name = "pinger",
                                          .state_bytes = sizeof(struct pinger),
                                          .init = pinger_init,
                                          .handlers = pinger_handlers,
                                          .handler_count = PONG + 1};

/* --- the tree, and main */

static const struct supervisor_child children[] = {{.class = &ponger}, {.class = &pinger}};
static const struct supervisor_spec root = {
    .name = "root", .restarts_max = 3, .children = children, .child_count = 2};

int main(void) {
    struct runtime_options options = {.root = &root};
    struct runtime *runtime;
    if (runtime_start(&options, &runtime) != 0)
        return 1;
    int status = runtime_wait(runtime);
    runtime_destroy(runtime);
    return status;
}
