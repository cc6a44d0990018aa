/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person writes and gets.
 *
 * A message is kept as a few numbers in a ring (`outbox`), from which its bytes are made whenever
 * the device asks for them; the ring is there while messages have no answer.
 *
 * Each message has its place among those to its receiver, given when it is queued. With one sender
 * it must come at its place. With several (`several_senders`) it may come before another's, and
 * once more after a connection was cut: a window of 64 places says what has come, and each sender's
 * must still come in their order.
 */
#include "bench/person_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNREAD_MAX 8      /* further mail stays unread */
#define READ_MS_MAX 60000 /* half of the mail is read within a minute */
#define WINDOW 64u

/* What stands at the head of each body, behind it zeros. */
struct body_head {
    uint64_t sent_ns;
    uint32_t from, place; /* `place`: among the messages to its receiver, from 0 */
};
_Static_assert(sizeof(struct body_head) == LOAD_BODY_BYTES_MIN, "the smallest body");

struct outgoing {
    struct body_head head;
    uint32_t to;
};

struct unread {
    unsigned count, capacity;
    struct {
        struct wire_id id;
        uint64_t chat, due_ms;
    } mail[];
};

/* --- sending --- */

static void queue_message(struct person_actor *self, uint32_t to, uint64_t sent_ns) {
    struct load *load = load_current();
    uint64_t number = device_next_send(self->device);
    if (device_sends_open(self->device) >= load->options.outbox_messages) {
        person_failed(self, "%u messages without an answer: the node is too slow for this load",
                      load->options.outbox_messages);
        return;
    }
    if (self->outbox == NULL)
        self->outbox = actor_allocate(load->options.outbox_messages * sizeof *self->outbox);
    struct outgoing *out = &self->outbox[number & (load->options.outbox_messages - 1)];
    *out = (struct outgoing){
        .head = {.sent_ns = sent_ns, .from = self->index, .place = load->people[to].written++},
        .to = to,
    };
    CHECK(device_send(self->device, number) == 0);
    tally(&load->counters.sent);
}

void person_on_send(void *state, struct message **message) {
    const struct person_send *order = message_as(*message, struct person_send);
    struct person_actor *self = state;
    if (self->away) { /* the order was given before it went */
        tally(&load_current()->counters.not_sent);
        return;
    }
    uint64_t sent_ns = order->scheduled_ns != 0 ? order->scheduled_ns : actor_now_ns();
    for (unsigned i = 0; i < order->count; i++)
        queue_message(self, order->to, sent_ns);
}

/* The bytes that the device gets lie in the load until its next question: one shard, one at a time.
 */
int person_outbox_read(void *context, uint64_t number, struct wire_send *send) {
    static struct wire_recipient recipient;
    struct person_actor *self = context;
    struct load *load = load_current();
    const struct outgoing *out = &self->outbox[number & (load->options.outbox_messages - 1)];
    const struct person *to = &load->people[out->to];
    memcpy(load->body, &out->head, sizeof out->head);
    memcpy(send->id.bytes, &load->run, sizeof load->run);
    memcpy(send->id.bytes + 4, &out->head.from, sizeof out->head.from);
    memcpy(send->id.bytes + 8, &number, sizeof number);
    recipient = (struct wire_recipient){
        .user = to->user,
        .device = to->device != 0 ? to->device : 1,
        .ciphertext = {load->body, (uint32_t)load->options.body_bytes},
    };
    send->recipients = (struct wire_recipient_list){.items = &recipient, .count = 1};
    send->chat = to->user;
    send->version = to->version;
    send->own_version = person_of(self)->version;
    send->lamport = send->n = out->head.place + 1ull;
    return 0;
}

static void on_stale(struct person_actor *self, uint64_t number,
                     const struct wire_stale_body *stale) {
    struct load *load = load_current();
    struct outgoing *out = &self->outbox[number & (load->options.outbox_messages - 1)];
    struct person *own = person_of(self);
    struct person *whose = stale->user == own->user ? own : &load->people[out->to];
    struct wire_device_key_list devices = stale->devices;
    struct wire_device_key key;
    if (stale->version > UINT32_MAX)
        person_failed(self, "a device list has version %llu", (unsigned long long)stale->version);
    whose->version = (uint32_t)stale->version;
    if (whose != own && wire_next_device_key(&devices, &key))
        whose->device = key.device;
    device_retry(self->device, number);
}

void person_answered(void *context, uint64_t number, const struct wire_reply *reply,
                     const struct wire_sent_body *sent, const struct wire_stale_body *stale) {
    struct person_actor *self = context;
    if (reply->code == WIRE_CODE_OK) {
        tally(&load_current()->counters.accepted);
        if (!self->has_sent)
            tally(&load_current()->counters.senders);
        self->has_sent = true;
    } else if (stale != NULL) {
        on_stale(self, number, stale);
    } else {
        person_failed(self, "a message was refused: %s", wire_code_name(reply->code));
    }
}

/* --- receiving --- */

/* False: this place has come before, or the run has failed. */
static bool take_place(struct person_actor *self, const struct body_head *head) {
    struct person *person = person_of(self);
    if (!load_current()->options.several_senders) {
        if (head->place == person->received++)
            return true;
        person_failed(self, "message %u of person %u came when %u was due", head->place, head->from,
                      person->received - 1);
        return false;
    }
    uint32_t ahead = head->place - person->received;
    if (head->place < person->received || (ahead < WINDOW && person->window >> ahead & 1)) {
        tally(&load_current()->counters.repeated);
        return false;
    }
    if (ahead >= WINDOW) {
        person_failed(self, "message %u of person %u is missing", person->received, head->from);
        return false;
    }
    if (person->last_from == head->from && head->place < person->last_place) {
        person_failed(self, "message %u of person %u came after %u", head->place, head->from,
                      person->last_place);
        return false;
    }
    person->last_from = head->from;
    person->last_place = head->place;
    person->window |= 1ull << ahead;
    for (; person->window & 1; person->window >>= 1)
        person->received++;
    return true;
}

/* With room for one more; NULL: there are UNREAD_MAX. Most people have one at a time. */
static struct unread *unread_with_room(struct person_actor *self) {
    struct unread *before = self->unread;
    unsigned count = before != NULL ? before->count : 0;
    if (before != NULL && count < before->capacity)
        return before;
    if (count == UNREAD_MAX)
        return NULL;
    unsigned capacity = count > 0 ? 2 * count : 1;
    struct unread *unread = actor_allocate(sizeof *unread + capacity * sizeof unread->mail[0]);
    unread->count = count;
    unread->capacity = capacity;
    if (count > 0)
        memcpy(unread->mail, before->mail, count * sizeof unread->mail[0]);
    if (before != NULL)
        actor_free(before);
    return self->unread = unread;
}

/* A part of it is read soon, which its sender is told. */
static void will_read(struct person_actor *self, const struct wire_mail *mail) {
    const struct load *load = load_current();
    if (actor_random_below(100) >= load->options.read_percent)
        return;
    struct unread *unread = unread_with_room(self);
    if (unread == NULL)
        return;
    unread->mail[unread->count].id = mail->id;
    unread->mail[unread->count].chat = mail->chat;
    unread->mail[unread->count++].due_ms = actor_now_ms() + actor_random_below(READ_MS_MAX);
}

int person_mail(void *context, const struct wire_mail *mail) {
    struct person_actor *self = context;
    struct load *load = load_current();
    struct body_head head;
    uint64_t now_ns = actor_now_ns();
    if (mail->ciphertext.length != load->options.body_bytes) {
        person_failed(self, "a message has %u bytes", mail->ciphertext.length);
        return 0;
    }
    memcpy(&head, mail->ciphertext.bytes, sizeof head);
    if (!take_place(self, &head))
        return 0;
    tally(&load->counters.delivered);
    if (!self->has_received)
        tally(&load->counters.receivers);
    self->has_received = true;
    if (atomic_load_explicit(&load->recording, memory_order_relaxed) &&
        head.sent_ns > self->online_since_ns)
        histogram_record(&load->latency, now_ns > head.sent_ns ? now_ns - head.sent_ns : 0);
    if (atomic_load_explicit(&load->answering, memory_order_relaxed))
        queue_message(self, head.from, now_ns);
    if (load->options.read_percent > 0)
        will_read(self, mail);
    return 0;
}

int person_status(void *context, const struct wire_status *status) {
    if (status->state == WIRE_STATE_READ)
        tally_by(&load_current()->counters.read, status->ids.count);
    return 0;
}

uint64_t person_read(struct person_actor *self, uint64_t now_ms) {
    struct unread *unread = self->unread;
    uint64_t next_ms = DEVICE_NEVER;
    if (unread == NULL || !device_is_online(self->device))
        return DEVICE_NEVER; /* welcome asks again */
    for (unsigned i = 0; i < unread->count;) {
        uint64_t due_ms = unread->mail[i].due_ms;
        struct wire_frame frame = {.kind = WIRE_RECEIPT,
                                   .receipt = {.chat = unread->mail[i].chat,
                                               .state = WIRE_STATE_READ,
                                               .ids = {.items = &unread->mail[i].id, .count = 1}}};
        if (due_ms <= now_ms && device_request(self->device, &frame) > 0) {
            unread->mail[i] = unread->mail[--unread->count];
            continue;
        }
        if (due_ms <= now_ms)
            due_ms = now_ms + 100; /* too many without an answer */
        next_ms = due_ms < next_ms ? due_ms : next_ms;
        i++;
    }
    if (unread->count == 0) {
        actor_free(unread);
        self->unread = NULL;
    }
    return next_ms;
}

void person_mail_free(struct person_actor *self) {
    if (self->outbox == NULL || device_sends_open(self->device) > 0)
        return;
    actor_free(self->outbox);
    self->outbox = NULL;
}
