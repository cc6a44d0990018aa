/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mailbox and a connection say of themselves to an operator: counts, states, who is at the
 * other end; never what a message holds. They answer as they would anything else, at their turn.
 */
#include "actors/connection_internal.h"
#include "actors/mailbox_internal.h"
#include "actors/messages.h"

#include <string.h>

_Static_assert(DESCRIBED_DEVICES_MAX == MAILBOX_SLOTS_MAX, "every device fits");

/* Gives `answer` to who asked; an asker that has gone or is full gets none. */
static void reply(const struct describe *asked, struct message **answer) {
    if (actor_send(asked->reply_to, answer) != 0)
        message_destroy(*answer);
}

static void describe_device(const struct device *device, struct described_device *described) {
    *described = (struct described_device){
        .number = device->number,
        .gone = !device->present,
        .connection = device->connection,
        .acknowledge_ms = device->ack_ms8 / 8,
    };
    if (!device->queue)
        return;
    described->messages = device->queue->mails;
    described->statuses = device->queue->statuses;
    described->bytes = device->queue->mail_bytes;
    described->held = device->queue->held;
    described->in_flight = device->queue->in_flight;
}

void mailbox_describe(void *state, struct message **message) {
    const struct mailbox *mailbox = state;
    const struct describe *asked = message_as(*message, struct describe);
    struct message *answer = message_create(MAILBOX_DESCRIBED, sizeof(struct mailbox_described));
    struct mailbox_described *described = message_payload(answer);
    *described = (struct mailbox_described){
        .reference = asked->reference,
        .user = mailbox->user,
        .loading = mailbox->state == MAILBOX_LOADING,
    };
    for (unsigned i = 0; i < mailbox->slots && described->count < DESCRIBED_DEVICES_MAX; i++)
        if (mailbox->devices[i].number)
            describe_device(&mailbox->devices[i], &described->devices[described->count++]);
    reply(asked, &answer);
}

void connection_describe(void *state, struct message **message) {
    static const char *const states[] = {
#define X(state, takes, overdue) [CONNECTION_##state] = #state,
        CONNECTION_STATES(X)
#undef X
    };
    const struct connection *connection = state;
    const struct describe *asked = message_as(*message, struct describe);
    struct message *answer =
        message_create(CONNECTION_DESCRIBED, sizeof(struct connection_described));
    struct connection_described *described = message_payload(answer);
    *described = (struct connection_described){
        .reference = asked->reference,
        .stage = states[connection->state],
        .user = connection->user,
        .device = connection->device,
        .mailbox = connection->mailbox,
        .silent_ms = connection->secured ? (uint32_t)-connection_ms_until(connection->heard_ms) : 0,
        .heartbeat_ms = connection->heartbeat_ms,
        .requests_open = connection_open_waiting(connection),
        .encrypted = connection->secured,
        .sending = connection->sending,
        .draining = connection->draining,
    };
    memcpy(described->address, connection->address, sizeof(described->address));
    reply(asked, &answer);
}
