/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a queue each sender fills: one may fill a part of it, so that nobody can shut the
 * others out.
 *
 * A queue that is smaller than one share needs no counting, and nearly all are. Beyond that, a
 * table by sender is made from the queue's entries, kept while it matters, and dropped when the
 * queue is short again.
 */
#include "actors/mailbox_internal.h"

#define TABLE_FIRST 32u

struct share {
    uint64_t user; /* 0: free */
    uint64_t bytes;
    uint32_t count;
};
struct shares {
    uint32_t capacity, used;
    struct share table[];
};

static uint64_t count_max(void) {
    const struct node_limits *limits = &node_current()->limits;
    uint64_t count = (uint64_t)limits->queue_messages_max * limits->sender_share_percent / 100;
    return count ? count : 1;
}

static uint64_t bytes_max(void) {
    const struct node_limits *limits = &node_current()->limits;
    return limits->queue_bytes_max / 100 * limits->sender_share_percent;
}

static struct share *find(struct shares *shares, uint64_t user) {
    uint64_t at = (user * 0x9e3779b97f4a7c15ull) >> 32;
    for (;; at++) {
        struct share *share = &shares->table[at & (shares->capacity - 1)];
        if (share->user == user || share->user == 0)
            return share;
    }
}

static struct shares *create(uint32_t capacity) {
    struct shares *shares = actor_allocate(sizeof(*shares) + capacity * sizeof(shares->table[0]));
    shares->capacity = capacity;
    return shares;
}

static struct shares *grow(struct shares *shares) {
    struct shares *grown = create(2 * shares->capacity);
    for (uint32_t i = 0; i < shares->capacity; i++)
        if (shares->table[i].count) {
            *find(grown, shares->table[i].user) = shares->table[i];
            grown->used++;
        }
    actor_free(shares);
    return grown;
}

static void add_to(struct queue *queue, const struct entry *entry) {
    struct share *share = find(queue->shares, entry->sender_user);
    if (!share->user && 2 * (queue->shares->used + 1) > queue->shares->capacity) {
        queue->shares = grow(queue->shares);
        share = find(queue->shares, entry->sender_user);
    }
    queue->shares->used += !share->user;
    share->user = entry->sender_user;
    share->count++;
    share->bytes += entry->bytes;
}

static void count_all(struct queue *queue) {
    queue->shares = create(TABLE_FIRST);
    for (uint64_t i = queue->head; i < queue->tail; i++) {
        const struct entry *entry = queue_at(queue, i);
        if (entry->state != ENTRY_GONE && entry->kind == RECORD_MAIL && entry->sender_user)
            add_to(queue, entry);
    }
}

bool shares_allow(struct queue *queue, uint64_t user, uint32_t bytes, uint32_t more_messages,
                  uint64_t more_bytes) {
    if (queue->mails < count_max() && queue->mail_bytes + bytes <= bytes_max())
        return true;
    if (!queue->shares)
        count_all(queue);
    const struct share *share = find(queue->shares, user);
    return share->count < count_max() + more_messages &&
           share->bytes + bytes <= bytes_max() + more_bytes;
}

void shares_add(struct queue *queue, const struct entry *entry) {
    if (queue->shares && entry->sender_user)
        add_to(queue, entry);
}

/* Called when the queue's own counts are lower already. */
void shares_remove(struct queue *queue, const struct entry *entry) {
    if (!queue->shares || !entry->sender_user)
        return;
    struct share *share = find(queue->shares, entry->sender_user);
    CHECK(share->count > 0 && share->bytes >= entry->bytes);
    share->count--;
    share->bytes -= entry->bytes;
    if (queue->mails < count_max() / 2 && queue->mail_bytes < bytes_max() / 2) {
        actor_free(queue->shares);
        queue->shares = NULL;
    }
}
