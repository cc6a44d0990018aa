/* SPDX-License-Identifier: Apache-2.0 */
/* The number actor, with fakes of who asks it and of whom it asks. */
#include "actors/answer.h"
#include "actors/messages.h"
#include "actors/node.h"
#include "net/wire.h"
#include "runtime/runtime.h"
#include "storage/account.h"
#include "storage/engine_memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PHONE "15550001000"
#define PHONE_KEY 15550001000ull
#define USER 42

static struct scene {
    struct node node;
    struct runtime *runtime;
    char directory[64], script[96], code_path[96];
    unsigned unanswered; /* so many requests the account takes and never answers */
    atomic_uint replaced, answers;
    int codes[8];
} scene;

/* --- whom the number asks ----------------------------------------------------------------------
 */

static void limits_on_ask(void *state, struct message **message) {
    const struct limits_ask *ask = message_as(*message, struct limits_ask);
    struct message *reply = message_create(NUMBER_ALLOWED, sizeof(struct number_allowed));
    message_as(reply, struct number_allowed)->reference = ask->reference;
    assert_int_equal(actor_send(ask->number, &reply), 0);
}

static int limits_init(void *state, const void *argument) {
    return actor_register(LIMITS_NAME);
}

static const struct actor_handler limits_handlers[] = {[LIMITS_ASK] = {"ask", limits_on_ask}};
static const struct actor_class fake_limits = {
    .name = "limits",
    .init = limits_init,
    .handlers = limits_handlers,
    .handler_count = LIMITS_ASK + 1,
};

static void account_on_replace(void *state, struct message **message) {
    const struct account_replace_device *replace =
        message_as(*message, struct account_replace_device);
    if (atomic_fetch_add(&scene.replaced, 1) < scene.unanswered)
        actor_fail(1, "before it has answered");
    struct message *reply = message_create(NUMBER_DEVICE_REPLACED, sizeof(struct device_replaced));
    *message_as(reply, struct device_replaced) =
        (struct device_replaced){.reference = replace->reference, .address = {USER, 9}};
    assert_int_equal(actor_send(replace->number, &reply), 0);
}

static const struct actor_handler account_handlers[] = {
    [ACCOUNT_REPLACE_DEVICE] = {"replace_device", account_on_replace},
};
const struct actor_class account_class = {
    .name = "account",
    .state_bytes = 8,
    .handlers = account_handlers,
    .handler_count = ACCOUNT_REPLACE_DEVICE + 1,
};

/* --- who asks it: registers, then verifies until it is answered ok ------------------------------
 */

static void ask_register(void) {
    struct message *message = message_create(NUMBER_REGISTER, sizeof(struct number_register));
    struct number_register *request = message_as(message, struct number_register);
    *request = (struct number_register){.connection = actor_self(), .ref = 1, .phone = PHONE};
    memset(request->key, 7, sizeof(request->key));
    assert_int_equal(actor_send_named(&number_class, PHONE_KEY, &message), 0);
}

static void ask_verify(void) {
    struct message *message = message_create(NUMBER_VERIFY, sizeof(struct number_verify));
    struct number_verify *request = message_as(message, struct number_verify);
    int fd = open(scene.code_path, O_RDONLY | O_CLOEXEC);
    *request =
        (struct number_verify){.connection = actor_self(), .ref = 2, .phone = PHONE, .name = "Ann"};
    memset(request->key, 7, sizeof(request->key));
    assert_int_equal(read(fd, request->code, 6), 6);
    close(fd);
    assert_int_equal(actor_send_named(&number_class, PHONE_KEY, &message), 0);
}

static void asker_on_answer(void *state, struct message **message) {
    const struct connection_answer *answer = message_as(*message, struct connection_answer);
    unsigned count = atomic_load(&scene.answers);
    scene.codes[count] = answer->code;
    atomic_store(&scene.answers, count + 1);
    if (count == 0 || answer->code != WIRE_CODE_OK)
        ask_verify();
}

static int asker_init(void *state, const void *argument) {
    ask_register();
    return 0;
}

static const struct actor_handler asker_handlers[] = {
    [CONNECTION_ANSWER] = {"answer", asker_on_answer},
};
static const struct actor_class asker = {
    .name = "asker",
    .state_bytes = 8,
    .init = asker_init,
    .handlers = asker_handlers,
    .handler_count = CONNECTION_ANSWER + 1,
};

/* --- the scene ----------------------------------------------------------------------------------
 */

static const struct supervisor_child children[] = {
    {.class = &committer_class, .restart = RESTART_PERMANENT},
    {.class = &number_class, .restart = RESTART_TEMPORARY, .dynamic = true},
    {.class = &account_class, .restart = RESTART_TEMPORARY, .dynamic = true},
    {.class = &fake_limits, .restart = RESTART_PERMANENT},
    {.class = &asker, .restart = RESTART_TEMPORARY},
};
static const struct supervisor_spec tree = {
    .name = "root",
    .restarts_max = 5,
    .period_ms = 1000,
    .children = children,
    .child_count = 5,
};

static void make_account(void) {
    struct write_batch batch;
    struct record_account account;
    uint8_t key[32] = {1};
    write_batch_init(&batch, 1 << 16);
    assert_int_equal(account_create(&batch, USER, PHONE, "Ann", key, 1, &account), 0);
    assert_int_equal(
        engine_write(scene.node.engine, (struct write_batch *[]){&batch}, 1, ENGINE_SYNC), 0);
    write_batch_finish(&batch);
}

static int setup(void **state) {
    memset(&scene, 0, sizeof(scene));
    assert_true(sodium_init() >= 0);
    snprintf(scene.directory, sizeof(scene.directory), "/tmp/tern-number-XXXXXX");
    assert_non_null(mkdtemp(scene.directory));
    snprintf(scene.script, sizeof(scene.script), "%s/deliver", scene.directory);
    snprintf(scene.code_path, sizeof(scene.code_path), "%s/code", scene.directory);
    FILE *file = fopen(scene.script, "we");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\ncat > %s\n", scene.code_path);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(scene.script, 0700), 0);
    node_limits_default(&scene.node.limits);
    scene.node.shards = 1;
    scene.node.sms_command = scene.script;
    assert_int_equal(engine_memory_open(&(struct engine_memory_options){0}, &scene.node.engine), 0);
    make_account();
    return 0;
}

static int teardown(void **state) {
    runtime_stop(scene.runtime, 0);
    assert_int_equal(runtime_wait(scene.runtime), 0);
    runtime_destroy(scene.runtime);
    engine_close(scene.node.engine);
    unlink(scene.code_path);
    unlink(scene.script);
    rmdir(scene.directory);
    return 0;
}

static void start_and_wait(unsigned answers) {
    const struct runtime_options options = {
        .shards = 1, .pool_threads = 1, .root = &tree, .context = &scene.node};
    assert_int_equal(runtime_start(&options, &scene.runtime), 0);
    for (unsigned i = 0; i < 30000 && atomic_load(&scene.answers) < answers; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&scene.answers), answers);
}

/* ------------------------------------------------------------------------------------------------
 */

static void right_code_replaces_the_numbers_device(void **state) {
    start_and_wait(2);
    assert_int_equal(scene.codes[0], WIRE_CODE_OK);
    assert_int_equal(scene.codes[1], WIRE_CODE_OK);
    assert_int_equal(scene.replaced, 1);
}

/* Its code is still good then: nobody has to ask for another. */
static void account_that_never_answers_does_not_hold_up_the_number(void **state) {
    scene.unanswered = 1;
    start_and_wait(3);
    assert_int_equal(scene.codes[0], WIRE_CODE_OK);
    assert_int_equal(scene.codes[1], WIRE_CODE_UNAVAILABLE);
    assert_int_equal(scene.codes[2], WIRE_CODE_OK);
    assert_int_equal(scene.replaced, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(right_code_replaces_the_numbers_device, setup, teardown),
        cmocka_unit_test_setup_teardown(account_that_never_answers_does_not_hold_up_the_number,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
