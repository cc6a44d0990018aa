/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs: who started which, for how long it may run, and who is told.
 *
 * A program outlives the actor that started it: a text message that is on its way is not called
 * back because a connection went away. Its time limit bounds it. A few run at a time per shard;
 * more are refused, for who asks (a registration) can be told to try later.
 */
#include "runtime/program_internal.h"

#include <errno.h>

struct program_table *program_table_of(struct shard *shard) {
    struct program_table **place = shard_programs(shard);

    if (*place == NULL) {
        *place = shard_allocate(shard, sizeof **place);
        (*place)->due_ns = UINT64_MAX;
    }
    return *place;
}

static void tell_ended(struct shard *shard, const struct program *program, int status) {
    struct message *message = message_create(PROGRAM_ENDED, sizeof(struct program_ended));
    struct program_ended *ended = message_payload(message);

    ended->reference = program->reference;
    ended->status = status;
    shard_post(shard, program->owner, &message);
}

static int check_arguments(const char *const arguments[], size_t input_bytes) {
    unsigned count = 0;

    while (arguments[count] != NULL)
        if (++count > PROGRAM_ARGUMENTS_MAX)
            return -E2BIG;
    if (count == 0)
        return -EINVAL;
    return input_bytes > PROGRAM_INPUT_BYTES_MAX ? -E2BIG : 0;
}

int program_start(const char *const arguments[], const void *input, size_t input_bytes,
                  uint32_t timeout_ms, uint64_t reference) {
    struct shard *shard = shard_current();
    struct program_table *table = program_table_of(shard);
    struct program *program = NULL;
    int error = check_arguments(arguments, input_bytes);

    if (error != 0)
        return error;
    for (unsigned i = 0; i < PROGRAMS_RUNNING_MAX && program == NULL; i++)
        if (table->programs[i].process == NULL)
            program = &table->programs[i];
    if (program == NULL)
        return -EAGAIN;
    program->owner = actor_self();
    program->reference = reference;
    program->due_ns = shard_now_ns(shard) + (uint64_t)timeout_ms * 1000000;
    error = shard_seams(shard)->program->start(shard, program, arguments, input, input_bytes,
                                               &program->process);
    if (error != 0) {
        tell_ended(shard, program, error);
        return 0;
    }
    table->running++;
    if (program->due_ns < table->due_ns)
        table->due_ns = program->due_ns;
    return 0;
}

void program_on_ended(struct shard *shard, struct program *program, int status) {
    struct program_table *table = program_table_of(shard);

    CHECK(program->process != NULL && table->running > 0);
    table->running--;
    program->process = NULL;
    tell_ended(shard, program, status);
}

uint64_t programs_turn(struct shard *shard, uint64_t now_ns) {
    struct program_table *table = *shard_programs(shard);

    if (table == NULL || now_ns < table->due_ns)
        return table == NULL ? UINT64_MAX : table->due_ns;
    table->due_ns = UINT64_MAX;
    for (unsigned i = 0; i < PROGRAMS_RUNNING_MAX; i++) {
        struct program *program = &table->programs[i];
        if (program->process == NULL)
            continue;
        if (program->due_ns <= now_ns) {
            shard_count(shard, "program_timeout", 1);
            shard_seams(shard)->program->kill(program->process);
            program->due_ns = UINT64_MAX;
        }
        if (program->due_ns < table->due_ns)
            table->due_ns = program->due_ns;
    }
    return table->due_ns;
}

void programs_finish(struct shard *shard) {
    struct program_table *table = *shard_programs(shard);

    if (table == NULL)
        return;
    for (unsigned i = 0; i < PROGRAMS_RUNNING_MAX; i++)
        if (table->programs[i].process != NULL)
            shard_seams(shard)->program->forget(table->programs[i].process);
    if (table->signals != NULL)
        shard_seams(shard)->signals->forget(table->signals);
    *shard_programs(shard) = NULL;
    shard_free(shard, table, sizeof *table);
}
