/* SPDX-License-Identifier: Apache-2.0 */
#include "actors/answer.h"

#include "actors/messages.h"
#include "net/wire.h"

static void answer(struct answer_to to, int code, uint32_t retry_after_ms, struct blob *body) {
    struct message *message = message_create(CONNECTION_ANSWER, sizeof(struct connection_answer));
    *message_as(message, struct connection_answer) =
        (struct connection_answer){.ref = to.ref, .code = code, .retry_after_ms = retry_after_ms};
    message->blob = body;
    if (actor_send(to.connection, &message)) {
        actor_count("answer_dropped", 1);
        message_destroy(message);
    }
}

void answer_code(struct answer_to to, int code, uint32_t retry_after_ms) {
    answer(to, code, retry_after_ms, NULL);
}

void answer_body(struct answer_to to, const uint8_t *body, size_t length) {
    answer(to, WIRE_CODE_OK, 0, blob_copy_of(body, length));
}
