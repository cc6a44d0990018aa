/* SPDX-License-Identifier: Apache-2.0 */
/* An actor that fails: who watches it hears why, and its supervisor starts another in its place. */
#include <runtime/runtime.h>

#include <stdio.h>

enum { DEPOSIT = ACTOR_KIND_FIRST, LOOK };

/* --- the till: cannot go on with a negative sum */

struct till {
    int sum;
};

static void on_deposit(void *state, struct message **message) {
    struct till *till = state;
    till->sum += *message_as(*message, int);
    actor_ensure(till->sum >= 0, 7); /* false: this handler is left, and this actor ends with 7 */
    printf("the till holds %d\n", till->sum);
}

static int till_init(void *state, const void *argument) {
    return actor_register("till");
}

static const struct actor_handler till_handlers[] = {[DEPOSIT] = {"deposit", on_deposit}};
static const struct actor_class till = {.name = "till",
                                        .state_bytes = sizeof(struct till),
                                        .init = till_init,
                                        .handlers = till_handlers,
                                        .handler_count = DEPOSIT + 1};

/* --- the clerk: deposits, hears, and goes on with the next till */

static void deposit(struct actor_id to, int sum) {
    struct message *message = message_create(DEPOSIT, sizeof sum);
    *message_as(message, int) = sum;
    actor_ensure(actor_send(to, &message) == 0, 1);
}

static void on_down(void *state, struct message **message) {
    printf("the till is down, reason %d\n", message_as(*message, struct actor_down)->reason);
    actor_timer_start(5, LOOK, 0); /* it comes back after a backoff */
}

static void on_look(void *state, struct message **message) {
    struct actor_id next = actor_whereis("till");
    if (!next.bits) {
        actor_timer_start(5, LOOK, 0);
        return;
    }
    puts("there is another");
    deposit(next, 1); /* it begins with nothing: state goes with the actor that failed */
    runtime_stop(runtime_current(), 0);
}

static int clerk_init(void *state, const void *argument) {
    struct actor_id first = actor_whereis("till");
    actor_monitor(first);
    deposit(first, 5);
    deposit(first, -8);
    return 0;
}

static const struct actor_handler clerk_handlers[] = {
    [ACTOR_DOWN] = {"down", on_down}, [LOOK] = {"look", on_look}};
static const struct actor_class clerk = {
    .name = "clerk", .init = clerk_init, .handlers = clerk_handlers, .handler_count = LOOK + 1};

/* --- the tree, and main */

static const struct supervisor_child children[] = {{.class = &till}, {.class = &clerk}};
static const struct supervisor_spec root = {.name = "root",
                                            .restarts_max = 3,  /* a fourth within ... */
                                            .period_ms = 10000, /* ... ten seconds: it gives up */
                                            .children = children,
                                            .child_count = 2};

int main(void) {
    struct runtime_options options = {.root = &root};
    struct runtime *runtime;
    if (runtime_start(&options, &runtime) != 0)
        return 1;
    int status = runtime_wait(runtime);
    runtime_destroy(runtime);
    return status;
}
