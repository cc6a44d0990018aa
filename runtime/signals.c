/* SPDX-License-Identifier: Apache-2.0 */
/* Who on a shard wants to hear of which signal. */
#include "runtime/signals.h"

#include "runtime/program_internal.h"

#include <errno.h>
#include <signal.h>

static bool is_one_of_ours(int signal) {
    return signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGUSR1 ||
           signal == SIGUSR2;
}

int signal_subscribe(int signal) {
    struct shard *shard = shard_current();
    struct program_table *table = program_table_of(shard);
    struct signal_subscriber *place = NULL;
    int error;

    if (!is_one_of_ours(signal))
        return -EINVAL;
    for (unsigned i = 0; i < SIGNAL_SUBSCRIBERS_MAX && place == NULL; i++)
        if (!shard_actor_lives(shard, table->subscribers[i].actor))
            place = &table->subscribers[i];
    if (place == NULL)
        return -ENOSPC;
    error = shard_seams(shard)->signals->listen(shard, signal, &table->signals);
    if (error != 0)
        return error;
    *place = (struct signal_subscriber){.actor = actor_self(), .signal = signal};
    return 0;
}

void signal_on_raised(struct shard *shard, int signal) {
    struct program_table *table = program_table_of(shard);

    for (unsigned i = 0; i < SIGNAL_SUBSCRIBERS_MAX; i++) {
        struct signal_subscriber *subscriber = &table->subscribers[i];
        struct message *message;

        if (subscriber->signal != signal || !shard_actor_lives(shard, subscriber->actor))
            continue;
        message = message_create(SIGNAL_RAISED, sizeof(struct signal_raised));
        ((struct signal_raised *)message_payload(message))->signal = signal;
        shard_post(shard, subscriber->actor, &message);
    }
}
