/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mailboxes and the committer for tests: the real actors on the real runtime, driven by hand on two
 * shards, with a clock that the test moves, a pool whose jobs run when the test lets them, and the
 * engine in memory. A phone is a device's end: an actor in the place of its connection that writes
 * down what the mailbox says.
 *
 * For the one file of a test program that includes it.
 */
#ifndef TERN_TESTS_MAILBOX_FIXTURE_H
#define TERN_TESTS_MAILBOX_FIXTURE_H

#include "actors/messages.h"
#include "actors/node.h"
#include "net/wire.h"
#include "runtime/runtime.h"
#include "runtime/scheduler_internal.h"
#include "storage/account.h"
#include "storage/engine_memory.h"
#include "storage/mail.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HAND_SHARDS 2
#define HAND_JOBS_MAX 4096
#define HAND_HEARD_MAX 8192
#define HAND_PHONES_MAX 16

struct heard { /* what a phone was sent */
    uint16_t kind;
    bool taken;
    size_t payload_bytes;
    _Alignas(16) uint8_t payload[2048];
    size_t blob_bytes;
    uint8_t blob[512]; /* its begin; of an answer: the body */
    char text[512];    /* of a mail: its ciphertext */
};

struct phone {
    uint64_t user;
    uint32_t device;
    struct actor_id connection, mailbox;
    uint64_t epoch;
    uint64_t next_number;
    uint64_t next_ref;
    struct heard *heard;
    unsigned count;
    bool deaf; /* the connection's mailbox is full: see probe */
};

struct hand_job {
    pool_run_fn run;
    struct message *message;
};

static struct hand {
    struct node node;
    struct runtime *runtime;
    struct actor_id committer;
    uint64_t now_ns;
    struct hand_job jobs[HAND_JOBS_MAX];
    unsigned job_count;
    bool pool_held; /* jobs wait for hand_run_jobs */
    bool pool_full; /* jobs are refused */
    /* Fails the next handler of this class and kind; 0: none. */
    const struct actor_class *fault_class;
    uint16_t fault_kind;
    unsigned fault_skip; /* so many are let pass before */
    struct phone *phones[HAND_PHONES_MAX];
    unsigned phone_count;
} hand;

struct pool {
    int unused;
};

/* --- seams ------------------------------------------------------------------------------------ */

static inline uint64_t hand_now_ns(void *context) {
    return hand.now_ns;
}
static inline uint64_t hand_wall_ms(void *context) {
    return 1700000000000u + hand.now_ns / 1000000;
}
static inline void hand_random(void *context, void *bytes, size_t length) {
    memset(bytes, 7, length);
}
static inline int hand_fault(void *context, const struct actor_class *class, uint16_t kind) {
    if (class != hand.fault_class || kind != hand.fault_kind || hand.fault_skip-- > 0)
        return 0;
    hand.fault_class = NULL;
    return ACTOR_FAULT;
}
static inline void hand_wake(struct reactor *reactor) {
}

static inline int hand_pool_create(struct runtime *runtime, unsigned threads, struct pool **pool) {
    static struct pool one;
    *pool = &one;
    return 0;
}
static inline int hand_pool_submit(struct pool *pool, pool_run_fn run, struct message **message) {
    if (hand.pool_full || hand.job_count == HAND_JOBS_MAX)
        return -ENOBUFS;
    hand.jobs[hand.job_count++] = (struct hand_job){run, *message};
    *message = NULL;
    return 0;
}

/* Runs what is waiting; true if there was anything. */
static inline bool hand_run_jobs(void) {
    struct shard *shard = shard_of_thread;
    unsigned count = hand.job_count;
    static struct hand_job jobs[HAND_JOBS_MAX];
    memcpy(jobs, hand.jobs, count * sizeof(jobs[0]));
    hand.job_count = 0;
    shard_enter(NULL);
    for (unsigned i = 0; i < count; i++) {
        jobs[i].run(jobs[i].message);
        runtime_send(hand.runtime, jobs[i].message->to, &jobs[i].message);
    }
    shard_enter(shard);
    return count > 0;
}
static inline void hand_pool_destroy(struct pool *pool) {
    while (hand_run_jobs())
        ;
}

/* --- running ---------------------------------------------------------------------------------- */

static inline void hand_run(void) {
    for (unsigned quiet = 0; quiet < 3;) {
        bool more = false;
        for (unsigned i = 0; i < HAND_SHARDS; i++) {
            shard_enter(hand.runtime->shards[i]);
            more |= shard_step(hand.runtime->shards[i]);
        }
        shard_enter(hand.runtime->shards[0]);
        if (!hand.pool_held)
            more |= hand_run_jobs();
        quiet = more ? 0 : quiet + 1;
    }
}

static inline void hand_pass_ms(uint64_t ms) {
    hand_run();
    while (ms) {
        uint64_t step = ms > 20000 ? 1000 : ms > 200 ? 10 : 1;
        step = step > ms ? ms : step;
        hand.now_ns += step * 1000000;
        ms -= step;
        hand_run();
    }
}

static inline void hand_start_runtime(void) {
    static const struct reactor_ops reactor = {.name = "hand", .wake = hand_wake};
    static const struct pool_ops pool = {hand_pool_create, hand_pool_destroy, hand_pool_submit};
    static const struct seams seams = {.monotonic_ns = hand_now_ns,
                                       .wall_ms = hand_wall_ms,
                                       .random_bytes = hand_random,
                                       .reactor = &reactor,
                                       .pool = &pool,
                                       .fault = hand_fault};
    struct runtime_options options = {.shards = HAND_SHARDS,
                                      .pool_threads = 1,
                                      .actors_max = 10000,
                                      .seams = &seams,
                                      .context = &hand.node};
    assert_int_equal(runtime_create(&options, &hand.runtime), 0);
    shard_enter(hand.runtime->shards[0]);
    assert_int_equal(actor_spawn(&committer_class, NULL, ACTOR_NOBODY, &hand.committer), 0);
    hand_run();
}

static inline int hand_setup(void **state) {
    struct engine_memory_options options = {.seed = 1};
    memset(&hand, 0, sizeof(hand));
    hand.now_ns = 123456789012;
    hand.node.boot = 7;
    node_limits_default(&hand.node.limits);
    assert_int_equal(engine_memory_open(&options, &hand.node.engine), 0);
    hand_start_runtime();
    return 0;
}

static inline void hand_stop_runtime(void) {
    shard_enter(NULL);
    runtime_destroy(hand.runtime);
    for (unsigned i = 0; i < hand.phone_count; i++) {
        free(hand.phones[i]->heard);
        memset(hand.phones[i], 0, sizeof(*hand.phones[i]));
    }
    hand.phone_count = 0;
    hand.job_count = 0;
}

static inline int hand_teardown(void **state) {
    hand_stop_runtime();
    engine_close(hand.node.engine);
    return 0;
}

/* The machine is lost and comes back: what was not synced is gone, and so is every actor. */
static inline void hand_crash(enum engine_crash mode) {
    struct engine_memory_fault fault = {.sync_fails_after = 0};
    engine_memory_fault(hand.node.engine, &fault);
    hand_stop_runtime();
    engine_memory_crash(hand.node.engine, mode, 5);
    hand.pool_held = hand.pool_full = false;
    hand.fault_class = NULL;
    hand.node.boot++;
    hand.node.activations = 0;
    hand_start_runtime();
}

/* An orderly stop and a new start. */
static inline void hand_restart(void) {
    hand_stop_runtime();
    hand.node.boot++;
    hand_start_runtime();
}

/* --- accounts --------------------------------------------------------------------------------- */

static inline void hand_key(uint64_t user, uint32_t device, uint8_t key[32]) {
    memset(key, 0, 32);
    memcpy(key, &user, 8);
    key[31] = (uint8_t)device;
}

static inline void hand_write(struct write_batch *batch) {
    struct write_batch *batches[] = {batch};
    assert_int_equal(engine_write(hand.node.engine, batches, 1, ENGINE_SYNC), 0);
    assert_int_equal(batch->result, 0);
    write_batch_finish(batch);
}

/* A user with devices 1 to `devices`. */
static inline void hand_account(uint64_t user, uint32_t devices) {
    struct record_account account;
    struct write_batch batch;
    uint8_t key[32];
    char phone[16];
    uint32_t device;
    snprintf(phone, sizeof(phone), "1555%07u", (unsigned)user);
    write_batch_init(&batch, 65536);
    hand_key(user, 1, key);
    assert_int_equal(account_create(&batch, user, phone, "name", key, 1, &account), 0);
    for (uint32_t i = 2; i <= devices; i++) {
        hand_key(user, i, key);
        assert_int_equal(account_add_device(&batch, &account, key, 1, &device), 0);
    }
    hand_write(&batch);
}

static inline struct record_account hand_read_account(uint64_t user) {
    struct record_account account;
    assert_int_equal(account_read(hand.node.engine, user, &account), 0);
    return account;
}

/* The account has one new device instead; the mailbox is told. Returns the device. */
static inline uint32_t hand_replace_devices(uint64_t user) {
    struct record_account account = hand_read_account(user);
    struct write_batch batch;
    uint8_t key[32];
    uint32_t device;
    write_batch_init(&batch, 65536);
    hand_key(user, account.device_next, key);
    assert_int_equal(account_replace_devices(&batch, &account, key, 1, &device), 0);
    hand_write(&batch);
    struct message *message =
        message_create(MAILBOX_DEVICES_CHANGED, sizeof(struct devices_changed));
    assert_int_equal(actor_send_named(&mailbox_class, user, &message), 0);
    return device;
}

static inline int hand_count_one(void *context, uint64_t sequence, struct engine_bytes value) {
    return 0;
}
/* Entries of a device's queue in the store. */
static inline int hand_stored(uint64_t user, uint32_t device) {
    return mail_scan(hand.node.engine, user, device, 0, 100000, hand_count_one, NULL);
}

struct event_search {
    const char *name;
    uint64_t count;
};
static inline void hand_event_visit(void *context, const char *name, uint64_t count) {
    struct event_search *search = context;
    if (strcmp(name, search->name) == 0)
        search->count = count;
}
static inline uint64_t hand_event(const char *name) {
    struct event_search search = {name, 0};
    runtime_events_visit(hand.runtime, hand_event_visit, &search);
    return search.count;
}

/* --- phones ----------------------------------------------------------------------------------- */

struct probe {
    struct phone *phone;
    struct actor_id mailbox;
};

static inline int probe_init(void *state, const void *argument) {
    ((struct probe *)state)->phone = *(struct phone *const *)argument;
    actor_trap_exits(true);
    return 0;
}

static inline void probe_otherwise(void *state, struct message **message) {
    struct probe *probe = state;
    struct phone *phone = probe->phone;
    if ((*message)->kind == ACTOR_EXIT &&
        message_as(*message, struct actor_down)->reason != PARTNER_ENDED)
        actor_stop(message_as(*message, struct actor_down)->reason);
    if ((*message)->kind == CONNECTION_ATTACHED)
        probe->mailbox = message_as(*message, struct mailbox_attached)->mailbox;
    if (!phone->heard || phone->count == HAND_HEARD_MAX)
        return;
    struct heard *heard = &phone->heard[phone->count++];
    size_t bytes = (*message)->payload_bytes;
    struct blob *blob = (*message)->blob;
    *heard = (struct heard){.kind = (*message)->kind, .payload_bytes = bytes};
    memcpy(heard->payload, message_payload(*message),
           bytes < sizeof(heard->payload) ? bytes : sizeof(heard->payload));
    if (blob) {
        heard->blob_bytes = blob_length(blob);
        size_t kept = heard->blob_bytes;
        memcpy(heard->blob, blob_bytes(blob),
               kept < sizeof(heard->blob) ? kept : sizeof(heard->blob));
    }
    if (heard->kind == CONNECTION_ANSWER && !blob) {
        const struct connection_answer *answer = (const struct connection_answer *)heard->payload;
        heard->blob_bytes = answer->body_bytes;
        memcpy(heard->blob, answer + 1, answer->body_bytes);
    }
    if (heard->kind == CONNECTION_MAIL) {
        const struct connection_mail *mail = (const struct connection_mail *)heard->payload;
        CHECK(mail->ciphertext_bytes < sizeof(heard->text));
        memcpy(heard->text, blob_bytes(blob) + mail->ciphertext_offset, mail->ciphertext_bytes);
        CHECK(memcmp(blob_bytes(blob) + mail->external_offset, "ext", mail->external_bytes) == 0);
    }
}

/* As a connection that goes or fails does, or else as one that cannot say it in its place. */
static inline void probe_terminate(void *state, int reason) {
    const struct probe *probe = state;
    if (reason == ACTOR_KILLED) {
        actor_kill(probe->mailbox, PARTNER_ENDED);
        return;
    }
    struct message *message = message_create(MAILBOX_DETACH, sizeof(struct mailbox_detach));
    *message_as(message, struct mailbox_detach) =
        (struct mailbox_detach){.connection = actor_self(),
                                .device = probe->phone->device,
                                .device_left = reason == ACTOR_NORMAL};
    if (actor_send(probe->mailbox, &message) != 0)
        message_destroy(message);
}

static const struct actor_class probe_class = {.name = "probe",
                                               .state_bytes = sizeof(struct probe),
                                               .init = probe_init,
                                               .terminate = probe_terminate,
                                               .otherwise = probe_otherwise,
                                               .mailbox_messages_max = HAND_HEARD_MAX};

/* The first of this kind that was not taken yet; NULL: none. */
static inline struct heard *phone_take(struct phone *phone, uint16_t kind) {
    hand_run();
    for (unsigned i = 0; i < phone->count; i++)
        if (phone->heard[i].kind == kind && !phone->heard[i].taken) {
            phone->heard[i].taken = true;
            return &phone->heard[i];
        }
    return NULL;
}

static inline unsigned phone_waiting(struct phone *phone, uint16_t kind) {
    unsigned count = 0;
    hand_run();
    for (unsigned i = 0; i < phone->count; i++)
        count += phone->heard[i].kind == kind && !phone->heard[i].taken;
    return count;
}

static inline void phone_forget(struct phone *phone) {
    hand_run();
    phone->count = 0;
}

/* A connection of this device attaches, with what the device knows. */
static inline const struct mailbox_attached *phone_attach_as(struct phone *phone, uint64_t user,
                                                             uint32_t device, uint64_t epoch,
                                                             uint64_t cursor, uint64_t send_low) {
    if (!phone->heard) {
        phone->heard = calloc(HAND_HEARD_MAX, sizeof(*phone->heard));
        hand.phones[hand.phone_count++] = phone;
        phone->next_number = 1;
    }
    struct phone *argument = phone;
    phone->user = user;
    phone->device = device;
    hand_run();
    assert_int_equal(actor_spawn(&probe_class, &argument, ACTOR_NOBODY, &phone->connection), 0);
    struct message *message = message_create(MAILBOX_ATTACH, sizeof(struct mailbox_attach));
    struct mailbox_attach *attach = message_as(message, struct mailbox_attach);
    *attach = (struct mailbox_attach){.connection = phone->connection,
                                      .device = device,
                                      .resume_epoch = epoch,
                                      .resume_cursor = cursor,
                                      .send_low = send_low,
                                      .send_end = phone->next_number};
    hand_key(user, device, attach->key);
    assert_int_equal(actor_send_named(&mailbox_class, user, &message), 0);
    struct heard *heard = phone_take(phone, CONNECTION_ATTACHED);
    assert_non_null(heard);
    const struct mailbox_attached *attached = (const struct mailbox_attached *)heard->payload;
    phone->mailbox = attached->mailbox;
    phone->epoch = attached->epoch;
    return attached;
}

static inline void phone_attach(struct phone *phone, uint64_t user, uint32_t device) {
    const struct mailbox_attached *attached =
        phone_attach_as(phone, user, device, 0, 0, phone->heard ? phone->next_number : 1);
    assert_int_equal(attached->code, WIRE_CODE_OK);
    if (attached->next_send > phone->next_number)
        phone->next_number = attached->next_send;
}

static inline void phone_leave(struct phone *phone) {
    hand_run();
    actor_kill(phone->connection, ACTOR_NORMAL);
    hand_run();
}

/* Its connection fails on the node's side. */
static inline void phone_fail(struct phone *phone) {
    hand_run();
    actor_kill(phone->connection, ACTOR_FAULT);
    hand_run();
}

static inline void phone_give(struct phone *phone, struct message *message) {
    struct message *given = message;
    assert_int_equal(actor_send_named(&mailbox_class, phone->user, &given), 0);
}

static inline void hand_id(uint64_t user, uint32_t device, uint64_t number, uint8_t id[16]) {
    uint32_t user32 = (uint32_t)user;
    memset(id, 0, 16);
    memcpy(id, &user32, 4);
    memcpy(id + 4, &device, 4);
    memcpy(id + 8, &number, 8);
}

/* A send's message: for every device of the peer's and every other one of one's own. */
static inline struct message *phone_compose(struct phone *phone, uint64_t number, uint64_t to,
                                            const char *text) {
    struct wire_recipient recipients[2 * FORMAT_DEVICES_MAX];
    struct record_account own = hand_read_account(phone->user);
    struct record_account peer = own;
    unsigned count = 0;
    struct wire_bytes ciphertext = {(const uint8_t *)text, (uint32_t)strlen(text)};
    if (account_read(hand.node.engine, to, &peer) != 0)
        peer = (struct record_account){.devices_count = 1, .devices[0].device = 1};
    for (unsigned i = 0; to != phone->user && i < peer.devices_count; i++)
        recipients[count++] = (struct wire_recipient){to, peer.devices[i].device, ciphertext};
    for (unsigned i = 0; i < own.devices_count; i++)
        if (own.devices[i].device != phone->device)
            recipients[count++] =
                (struct wire_recipient){phone->user, own.devices[i].device, ciphertext};
    static uint8_t bytes[70000];
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof(bytes)};
    struct wire_send frame = {.number = number,
                              .chat = to,
                              .recipients = {.items = recipients, .count = count},
                              .external = {(const uint8_t *)"ext", 3}};
    assert_int_equal(wire_write_send(&writer, 1, &frame), 0);
    struct wire_reader reader;
    struct wire_frame read;
    wire_reader_init(&reader, bytes, writer.length);
    assert_int_equal(wire_read_frame(&reader, &read), PARSE_COMPLETE);
    struct wire_recipient_list list = read.send.recipients;
    struct message *message = message_create(MAILBOX_SEND, sizeof(struct mailbox_send));
    struct mailbox_send *send = message_as(message, struct mailbox_send);
    *send = (struct mailbox_send){.connection = phone->connection,
                                  .device = phone->device,
                                  .ref = ++phone->next_ref,
                                  .number = number,
                                  .chat = to,
                                  .version = peer.list_version,
                                  .own_version = own.list_version,
                                  .lamport = number,
                                  .chat_n = number,
                                  .spans = {list.length, list.count, 3}};
    hand_id(phone->user, phone->device, number, send->id);
    message->blob = blob_create(list.length + 3);
    memcpy(blob_bytes(message->blob), list.bytes, list.length);
    memcpy(blob_bytes(message->blob) + list.length, "ext", 3);
    return message;
}

/* Sends the number; returns its ref. Nothing runs yet. */
static inline uint64_t phone_send_number(struct phone *phone, uint64_t number, uint64_t to,
                                         const char *text) {
    phone_give(phone, phone_compose(phone, number, to, text));
    return phone->next_ref;
}
static inline uint64_t phone_send(struct phone *phone, uint64_t to, const char *text) {
    return phone_send_number(phone, phone->next_number++, to, text);
}

static inline void phone_ack_with(struct phone *phone, uint64_t epoch, uint64_t up_to,
                                  uint64_t single, uint64_t error_cursor, uint32_t error) {
    struct message *message =
        message_create(MAILBOX_ACK, sizeof(struct mailbox_ack) + (single ? 8 : 0) +
                                        (error_cursor ? sizeof(struct mailbox_ack_error) : 0));
    struct mailbox_ack *ack = message_as(message, struct mailbox_ack);
    *ack = (struct mailbox_ack){.connection = phone->connection,
                                .device = phone->device,
                                .epoch = epoch,
                                .up_to = up_to,
                                .single_count = single != 0,
                                .error_count = error_cursor != 0};
    uint64_t *behind = (uint64_t *)(ack + 1);
    if (single)
        *behind++ = single;
    if (error_cursor)
        *(struct mailbox_ack_error *)behind = (struct mailbox_ack_error){error_cursor, error};
    phone_give(phone, message);
}
static inline void phone_ack(struct phone *phone, uint64_t up_to) {
    phone_ack_with(phone, phone->epoch, up_to, 0, 0, 0);
    hand_run();
}

/* The next mail, or NULL. */
static inline const struct connection_mail *phone_mail(struct phone *phone, const char **text) {
    struct heard *heard = phone_take(phone, CONNECTION_MAIL);
    if (!heard)
        return NULL;
    const struct connection_mail *mail = (const struct connection_mail *)heard->payload;
    assert_int_equal(mail->external_bytes, 3);
    if (text)
        *text = heard->text;
    return mail;
}

/* Fails unless the next mail has this text; returns its cursor. */
static inline uint64_t phone_expect(struct phone *phone, const char *text) {
    const char *got = NULL;
    const struct connection_mail *mail = phone_mail(phone, &got);
    assert_non_null(mail);
    assert_string_equal(got, text);
    return mail->cursor;
}

/* The answer to this ref: its code, or -1: none yet. */
static inline int phone_answer(struct phone *phone, uint64_t ref) {
    hand_run();
    for (unsigned i = phone->count; i-- > 0;) {
        const struct connection_answer *answer =
            (const struct connection_answer *)phone->heard[i].payload;
        if (phone->heard[i].kind == CONNECTION_ANSWER && answer->ref == ref)
            return answer->code;
    }
    return -1;
}

static inline struct heard *phone_answer_heard(struct phone *phone, uint64_t ref) {
    hand_run();
    for (unsigned i = 0; i < phone->count; i++)
        if (phone->heard[i].kind == CONNECTION_ANSWER &&
            ((const struct connection_answer *)phone->heard[i].payload)->ref == ref)
            return &phone->heard[i];
    return NULL;
}

/* The next status, or NULL. */
static inline const struct connection_status *phone_status(struct phone *phone) {
    struct heard *heard = phone_take(phone, CONNECTION_STATUS);
    return heard ? (const struct connection_status *)heard->payload : NULL;
}

#endif
