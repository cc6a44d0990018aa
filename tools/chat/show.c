/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/chat/show.h"

#define BATCH_MAX 256

struct batch {
    struct chat *chat;
    bool whoever;
    show_fn show;
    unsigned count;
    int64_t rows[BATCH_MAX];
    bool read[BATCH_MAX];
};

static bool show_one(void *context, const struct store_message *message) {
    struct batch *batch = context;
    struct store_contact contact;
    if (!batch->whoever && store_contact(batch->chat->store, message->sender, &contact) &&
        contact.profile_wanted && contact.phone[0] == 0)
        return false;
    batch->read[batch->count] = batch->show(batch->chat, message);
    batch->rows[batch->count++] = message->row;
    return batch->count < BATCH_MAX;
}

int show_new(struct chat *chat, bool whoever, show_fn show, show_flush_fn flush, unsigned *count) {
    struct batch batch = {.chat = chat, .whoever = whoever, .show = show};
    do {
        batch.count = 0;
        store_each_message(chat->store, STORE_UNSHOWN, 0, BATCH_MAX, show_one, &batch);
        int code = batch.count > 0 && flush != NULL ? flush() : CHAT_OK;
        if (code != CHAT_OK)
            return code;
        for (unsigned i = 0; i < batch.count; i++) {
            store_set_shown(chat->store, batch.rows[i]);
            if (batch.read[i])
                store_set_receipt(chat->store, batch.rows[i], STORE_RECEIPT_OWED);
        }
        code = chat_commit(chat);
        if (code != CHAT_OK)
            return code;
        *count += batch.count;
    } while (batch.count == BATCH_MAX);
    return CHAT_OK;
}
