/* SPDX-License-Identifier: Apache-2.0 */
/* Credits: a count on each side. */
#include "runtime/credit.h"

#include "runtime/scheduler_internal.h"

#include <errno.h>

static void grant(const struct credit_window *window, uint32_t credits) {
    struct message *message = message_create(CREDIT_GRANTED, sizeof(struct credit_grant));
    struct credit_grant *payload = message_payload(message);
    payload->key = window->key;
    payload->credits = credits;
    message->from = actor_self();
    system_send(shard_of_thread, window->sender, message);
}

void credit_open(struct credit_window *window, struct actor_id sender, uint64_t key,
                 uint32_t size) {
    CHECK(size > 0 && size <= CREDIT_WINDOW_MAX);
    *window = (struct credit_window){.sender = sender, .key = key, .size = size};
    grant(window, size);
}

void credit_use(struct credit_window *window, uint32_t credits) {
    window->used += credits;
    CHECK(window->used >= credits);
    if (window->used < (window->size + 1) / 2)
        return;
    grant(window, window->used);
    window->used = 0;
}

void credit_granted(struct credit *credit, struct message *message) {
    uint32_t credits = message_as(message, struct credit_grant)->credits;
    if (!actor_id_equal(credit->receiver, message->from))
        *credit = (struct credit){.receiver = message->from};
    CHECK(credit->left <= UINT32_MAX - credits);
    credit->left += credits;
}

int credit_send(struct credit *credit, uint32_t credits, struct message **message) {
    if (credit->left < credits || !credit->receiver.bits)
        return -EAGAIN;
    int error = actor_send(credit->receiver, message);
    if (!error)
        credit->left -= credits;
    return error;
}

void credit_return(struct credit *credit, struct actor_id from, uint32_t credits) {
    if (actor_id_equal(credit->receiver, from))
        credit->left += credits;
}
