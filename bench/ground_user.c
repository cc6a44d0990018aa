/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user: a simulated person with one device; there is one for each person, for as long as the run.
 *
 *   AWAY ──come──► ENTERING ──welcome, empty──► THERE ──go, when all is answered──► AWAY
 *                                                 └────────cut──────► ENTERING
 *
 * What is written before the welcome waits in the outbox, and so does what had no answer when the
 * connection ended. Mail is acknowledged in the turn in which it comes; but a connection that the
 * node ends meanwhile takes the acknowledgement with it, and then the mail comes again, in a new
 * epoch with a new cursor. So a user, as each device, knows what it has: until a later connection
 * has said `empty`, since then all that the store had has come. (What a mailbox had in memory alone
 * and lost may come later; but a run in which one fails is not good anyway.) What comes again is
 * counted and not shown.
 *
 * A user is small: 10 million of them are to be affordable. The outbox is there while it is needed,
 * and so is what has been heard.
 */
#include "bench/ground_internal.h"

#include <errno.h>

#define OUTBOX_MAX 16u
#define OUTPUT_BYTES 4096u
#define RETRY_MS 50u
/* More than these frames take. */
#define SEND_BYTES_MAX (GROUND_BODY_BYTES + 192u)
#define SMALL_BYTES_MAX 96u

struct outgoing {
    uint64_t sent_ns;
    uint32_t number, to;
    bool open;
};

/* The numbers (ground_message_number) of mail that may come again. */
#define HEARD_FIRST 6u
#define HEARD_MAX 16384u /* beyond, the older half is forgotten */
struct heard {
    uint32_t count, capacity;
    uint32_t earlier; /* so many of them are of earlier connections */
    uint64_t numbers[];
};

enum where { AWAY, ENTERING, THERE };

struct user {
    uint32_t person;
    uint8_t where;    /* enum where */
    bool empty : 1;   /* nothing waits for this device: said since the welcome */
    bool coming : 1;  /* an order that is done when it is THERE */
    bool leaving : 1; /* an order that is done when it is AWAY */
    bool again : 1;   /* the outbox is sent anew when the timer fires */
    uint8_t open;     /* messages without a final answer */
    uint32_t next;    /* number of the next message; those that are open are below */
    uint32_t low;     /* the lowest that is open, or `next` */
    struct actor_id connection;
    uint64_t epoch, cursor;  /* all mail up to here was acknowledged */
    struct outgoing *outbox; /* by number, OUTBOX_MAX of them; NULL: none is open */
    struct heard *heard;     /* NULL: none */
};
_Static_assert(sizeof(struct user) <= 64, "ten million of them");

static struct ground_counters *counters(void) {
    return &ground_shard_current()->counters;
}

/* --- to the node --- */

/* What one turn has to say. */
struct output {
    struct wire_writer writer;
    uint8_t bytes[OUTPUT_BYTES];
};

static void output_flush(struct user *user, struct output *output) {
    if (output->writer.length > 0 && link_send(user->connection, &output->writer) != 0)
        ground_fail(user->person, "the connection takes no more");
    output->writer.length = 0;
}

/* Room for so many bytes more. */
static struct wire_writer *output_room(struct user *user, struct output *output, size_t bytes) {
    if (output->writer.bytes == NULL)
        output->writer = (struct wire_writer){.bytes = output->bytes, .capacity = OUTPUT_BYTES};
    if (output->writer.length + bytes > OUTPUT_BYTES)
        output_flush(user, output);
    return &output->writer;
}

static void write_send(struct user *user, const struct outgoing *out, struct output *output) {
    struct ground *ground = ground_current();
    uint8_t body[GROUND_BODY_BYTES] = {0};
    const struct ground_body head = {out->sent_ns, user->person, out->number};
    const struct wire_recipient recipient = {
        .user = GROUND_FIRST_USER + out->to, .device = 1, .ciphertext = {body, sizeof body}};
    struct wire_send send = {
        .number = out->number,
        .chat = recipient.user,
        .version = 1,
        .own_version = 1,
        .recipients = {.items = &recipient, .count = 1},
        .lamport = out->number,
        .n = out->number,
        .send_low = user->low,
    };
    memcpy(body, &head, sizeof head);
    memcpy(send.id.bytes, &ground->run, sizeof ground->run);
    memcpy(send.id.bytes + 4, &user->person, sizeof user->person);
    memcpy(send.id.bytes + 8, &out->number, sizeof out->number);
    CHECK(wire_write_send(output_room(user, output, SEND_BYTES_MAX), out->number, &send) == 0);
}

/* All that is open, in order. */
static void write_outbox(struct user *user, struct output *output) {
    for (uint32_t number = user->low; number != user->next; number++) {
        const struct outgoing *out = &user->outbox[number % OUTBOX_MAX];
        if (out->open)
            write_send(user, out, output);
    }
}

/* --- what was heard --- */

static bool has_heard(const struct user *user, uint64_t number) {
    const struct heard *heard = user->heard;
    for (uint32_t i = heard != NULL ? heard->count : 0; i-- > 0;)
        if (heard->numbers[i] == number)
            return true;
    return false;
}

static void heard_drop(struct heard *heard, uint32_t oldest) {
    heard->count -= oldest;
    heard->earlier -= oldest < heard->earlier ? oldest : heard->earlier;
    memmove(heard->numbers, heard->numbers + oldest, heard->count * sizeof heard->numbers[0]);
}

static void heard_add(struct user *user, uint64_t number) {
    struct heard *heard = user->heard;
    if (heard != NULL && heard->count == HEARD_MAX)
        heard_drop(heard, HEARD_MAX / 2);
    if (heard == NULL || heard->count == heard->capacity) {
        uint32_t capacity = heard != NULL ? 2 * heard->capacity : HEARD_FIRST;
        capacity = capacity < HEARD_MAX ? capacity : HEARD_MAX;
        heard = actor_reallocate(heard, sizeof *heard + capacity * sizeof heard->numbers[0]);
        if (user->heard == NULL)
            *heard = (struct heard){0};
        heard->capacity = capacity;
        user->heard = heard;
    }
    heard->numbers[heard->count++] = number;
}

/* Another connection, or another epoch on this one. */
static void heard_begin(struct user *user) {
    if (user->heard != NULL)
        user->heard->earlier = user->heard->count;
}

/* All that was not acknowledged before has come again. */
static void heard_all(struct user *user) {
    struct heard *heard = user->heard;
    if (heard == NULL)
        return;
    heard_drop(heard, heard->earlier);
    if (heard->count > 0)
        return;
    actor_free(heard);
    user->heard = NULL;
}

/* --- coming and going --- */

static void order_done(uint64_t count) {
    ground_tally(&counters()->done, count);
}

static void enter(struct user *user) {
    struct connection_linked how = {
        .address = {GROUND_FIRST_USER + user->person, 1},
        .resume_epoch = user->epoch,
        .resume_cursor = user->cursor,
        .send_low = user->low,
        .send_end = user->next,
    };
    ground_key(user->person, how.key);
    user->where = ENTERING;
    user->empty = false;
    int error = link_connect(&how, &user->connection);
    if (error)
        ground_fail(user->person, "no connection can be made: %s", strerror(-error));
}

static void hang_up(struct user *user) {
    if (user->where == THERE)
        ground_tally(&counters()->connected, UINT64_MAX);
    link_hang_up(user->connection);
    user->connection = ACTOR_NOBODY;
    user->where = AWAY;
}

/* What the last turn has made possible. */
static void move_on(struct user *user) {
    if (user->where != THERE || !user->empty)
        return;
    if (user->coming)
        order_done(1);
    user->coming = false;
    if (!user->leaving || user->open > 0)
        return;
    user->leaving = false;
    hang_up(user);
    order_done(1);
}

/* --- orders --- */

static void order_write(struct user *user, uint32_t to, struct output *output) {
    if (user->next - user->low == OUTBOX_MAX || user->where == AWAY) {
        ground_tally(&counters()->not_sent, 1);
        order_done(1);
        return;
    }
    if (user->outbox == NULL)
        user->outbox = actor_allocate(OUTBOX_MAX * sizeof *user->outbox);
    struct outgoing *out = &user->outbox[user->next % OUTBOX_MAX];
    *out = (struct outgoing){actor_now_ns(), user->next++, to, true};
    user->open++;
    ground_tally(&counters()->sent, 1);
    if (user->where == THERE && !user->again)
        write_send(user, out, output);
}

static void order_come(struct user *user) {
    order_done(user->leaving + user->coming); /* what this takes the place of */
    user->leaving = false;
    user->coming = true;
    if (user->where == AWAY)
        enter(user);
}

static void order_go(struct user *user) {
    if (user->where == AWAY || user->leaving)
        order_done(1);
    else
        user->leaving = true;
}

static void order_cut(struct user *user) {
    order_done(1);
    if (user->where != THERE)
        return;
    hang_up(user);
    enter(user);
}

static void user_on_order(void *state, struct message **message) {
    const struct ground_order *order = message_as(*message, struct ground_order);
    struct user *user = state;
    struct output output = {.writer.length = 0};
    switch (order->what) {
    case GROUND_WRITE:
        order_write(user, order->other, &output);
        break;
    case GROUND_COME:
        order_come(user);
        break;
    case GROUND_GO:
        order_go(user);
        break;
    default:
        order_cut(user);
        break;
    }
    output_flush(user, &output);
    move_on(user);
}

/* --- from the node --- */

struct hearing {
    struct user *user;
    struct output output;
    bool ack_due;
};

static void hear_welcome(struct user *user, const struct wire_welcome *welcome,
                         struct hearing *hearing) {
    if (!welcome->registered || welcome->user != GROUND_FIRST_USER + user->person ||
        welcome->next_send > user->next)
        ground_fail(user->person, "welcomed as user %llu, whose next message is %llu (%u is due)",
                    (unsigned long long)welcome->user, (unsigned long long)welcome->next_send,
                    user->next);
    if (user->where != THERE)
        ground_tally(&counters()->connected, 1);
    ground_tally(&counters()->logins, 1);
    user->where = THERE;
    user->empty = false;
    heard_begin(user);
    if (welcome->epoch != user->epoch)
        user->cursor = 0;
    user->epoch = welcome->epoch;
    write_outbox(user, &hearing->output);
}

/* False: it has come before. */
static bool take_cursor(struct hearing *hearing, uint64_t cursor) {
    struct user *user = hearing->user;
    hearing->ack_due = true;
    if (cursor <= user->cursor) {
        ground_tally(&counters()->repeated, 1);
        return false;
    }
    if (cursor != user->cursor + 1)
        ground_fail(user->person, "cursor %llu came after %llu", (unsigned long long)cursor,
                    (unsigned long long)user->cursor);
    user->cursor = cursor;
    return true;
}

static void hear_mail(struct hearing *hearing, const struct wire_mail *mail) {
    struct user *user = hearing->user;
    struct ground_shard *shard = ground_shard_current();
    struct ground_body body;
    uint64_t now_ns = actor_now_ns();
    if (!take_cursor(hearing, mail->cursor))
        return;
    if (mail->ciphertext.length != GROUND_BODY_BYTES) {
        ground_fail(user->person, "a message has %u bytes", mail->ciphertext.length);
        return;
    }
    memcpy(&body, mail->ciphertext.bytes, sizeof body);
    uint64_t number = ground_message_number(body.from, body.number, user->person);
    if (has_heard(user, number)) {
        ground_tally(&shard->counters.repeated, 1);
        return;
    }
    heard_add(user, number);
    ground_tally(&shard->counters.delivered, 1);
    ground_tally(&shard->counters.delivered_sum, number);
    if (user->empty) /* it did not wait for this person to come */
        histogram_record(&shard->latency, now_ns > body.sent_ns ? now_ns - body.sent_ns : 0);
    if (actor_random_below(100) >= GROUND_READ_PERCENT)
        return;
    const struct wire_receipt receipt = {
        .chat = mail->chat, .state = WIRE_STATE_READ, .ids = {.items = &mail->id, .count = 1}};
    CHECK(wire_write_receipt(output_room(user, &hearing->output, SMALL_BYTES_MAX), 0, &receipt) ==
          0);
}

static void hear_status(struct hearing *hearing, const struct wire_status *status) {
    if (take_cursor(hearing, status->cursor) && status->state == WIRE_STATE_READ)
        ground_tally(&counters()->read, status->ids.count);
}

static void settle(struct user *user, struct outgoing *out) {
    struct ground_counters *mine = counters();
    ground_tally(&mine->accepted, 1);
    ground_tally(&mine->accepted_sum, ground_message_number(user->person, out->number, out->to));
    out->open = false;
    user->open--;
    while (user->low != user->next && !user->outbox[user->low % OUTBOX_MAX].open)
        user->low++;
    if (user->low == user->next) {
        actor_free(user->outbox);
        user->outbox = NULL;
    }
    order_done(1);
}

static void hear_reply(struct user *user, uint32_t number, const struct wire_reply *reply) {
    if (number - user->low >= user->next - user->low)
        return; /* it was answered before */
    struct outgoing *out = &user->outbox[number % OUTBOX_MAX];
    if (!out->open)
        return;
    if (reply->code == WIRE_CODE_OK) {
        settle(user, out);
        return;
    }
    if (wire_code_ends_send(reply->code) || reply->code == WIRE_CODE_STALE) {
        ground_fail(user->person, "a message was refused: %s", wire_code_name(reply->code));
        return;
    }
    ground_tally(&counters()->retried, 1);
    if (user->again)
        return;
    user->again = true;
    actor_timer_start(reply->retry_after_ms > RETRY_MS ? reply->retry_after_ms : RETRY_MS,
                      USER_RETRY, 0);
}

static void hear(void *context, const struct wire_frame *frame) {
    struct hearing *hearing = context;
    struct user *user = hearing->user;
    switch (frame->kind) {
    case WIRE_WELCOME:
        hear_welcome(user, &frame->welcome, hearing);
        break;
    case WIRE_MAIL:
        hear_mail(hearing, &frame->mail);
        break;
    case WIRE_STATUS:
        hear_status(hearing, &frame->status);
        break;
    case WIRE_EMPTY:
        user->empty = true;
        heard_all(user);
        break;
    case WIRE_REPLY:
        hear_reply(user, frame->ref, &frame->reply);
        break;
    case WIRE_PING: {
        const struct wire_pong pong = {.token = frame->ping.token};
        CHECK(wire_write_pong(output_room(user, &hearing->output, SMALL_BYTES_MAX), frame->ref,
                              &pong) == 0);
        break;
    }
    case WIRE_NOTICE:
        break;
    default:
        ground_fail(user->person, "a frame of kind %u came", frame->kind);
    }
}

static void user_on_frames(void *state, struct message **message) {
    struct hearing hearing = {.user = state, .output.writer.length = 0};
    struct user *user = state;
    if (!actor_id_equal((*message)->from, user->connection))
        return; /* one that we have hung up on */
    if (link_read(*message, hear, &hearing) != 0)
        ground_fail(user->person, "a frame can't be read");
    if (hearing.ack_due) {
        const struct wire_ack ack = {.epoch = user->epoch, .up_to = user->cursor};
        CHECK(wire_write_ack(output_room(user, &hearing.output, SMALL_BYTES_MAX), 0, &ack) == 0);
    }
    output_flush(user, &hearing.output);
    move_on(user);
}

static void user_on_ended(void *state, struct message **message) {
    struct user *user = state;
    if (!actor_id_equal((*message)->from, user->connection))
        return;
    if (user->where == THERE)
        ground_tally(&counters()->connected, UINT64_MAX);
    ground_tally(&counters()->lost, 1);
    enter(user);
}

static void user_on_retry(void *state, struct message **message) {
    struct output output = {.writer.length = 0};
    struct user *user = state;
    user->again = false;
    if (user->where == THERE)
        write_outbox(user, &output);
    output_flush(user, &output);
}

/* --- life --- */

static int user_init(void *state, const void *argument) {
    *(struct user *)state =
        (struct user){.person = *(const uint32_t *)argument, .next = 1, .low = 1};
    return 0;
}

static void user_terminate(void *state, int reason) {
    const struct user *user = state;
    if (reason != ACTOR_SHUTDOWN && reason != ACTOR_KILLED)
        ground_fail(user->person, "the actor failed (%d)", reason);
}

static const struct actor_handler handlers[] = {
    [LINK_FRAMES] = {"frames", user_on_frames},
    [LINK_ENDED] = {"ended", user_on_ended},
    [USER_ORDER] = {"order", user_on_order},
    [USER_RETRY] = {"retry", user_on_retry},
};

const struct actor_class ground_user_class = {
    .name = "user",
    .state_bytes = sizeof(struct user),
    .init = user_init,
    .terminate = user_terminate,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof handlers[0],
};
