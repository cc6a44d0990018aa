/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users who write to each other while everything fails at random: handlers of mailboxes and the
 * committer, connections, and the machine. The devices keep the protocol: they number their sends,
 * send again until they have a final answer, store and acknowledge mail, and drop what they have.
 *
 * In the end every message that was told to be sent is with every device that it was for, none was
 * shown twice, and each sender's messages came in their order. A failing run prints its seed.
 */
#include "tests/unit/actors/mailbox_fixture.h"

#include "runtime/log.h"

#define USERS 5
#define DEVICES_MAX 2
#define SENDS_MAX 60 /* per device */
#define WINDOW 8
#define DEVICES (USERS * DEVICES_MAX)

struct outbox_item {
    uint64_t to;
    uint64_t ref; /* under way with this one; 0: not */
    bool done;    /* told to be sent */
};

struct inbox_item {
    uint64_t number;
    uint32_t from; /* index of the device */
};

/* What a device keeps, durably. */
struct device_model {
    struct phone phone;
    uint64_t user;
    uint32_t device;
    bool online;
    uint64_t epoch, cursor; /* stored up to here */
    struct outbox_item outbox[SENDS_MAX + 1];
    uint64_t written; /* numbers given out */
    struct inbox_item inbox[DEVICES * SENDS_MAX];
    unsigned inbox_count;
    bool has[DEVICES][SENDS_MAX + 1];
    unsigned heard; /* of phone.heard, so many were looked at */
};

static struct device_model devices[DEVICES];
static unsigned device_count;
static uint64_t random_state;
static bool calm; /* nothing fails any more, and devices acknowledge at once */

static uint64_t draw(uint64_t below) {
    random_state += 0x9e3779b97f4a7c15ull;
    return map_mix(random_state) % below;
}

/* --- a device ----------------------------------------------------------------------------------
 */

static uint64_t send_low(const struct device_model *model) {
    uint64_t number = 1;
    while (number <= model->written && model->outbox[number].done)
        number++;
    return number;
}

static void go_online(struct device_model *model) {
    struct phone *phone = &model->phone;
    for (uint64_t number = 1; number <= model->written; number++)
        model->outbox[number].ref = 0;
    phone->count = 0;
    model->heard = 0;
    const struct mailbox_attached *attached = NULL;
    /* The mailbox may fail meanwhile: a connection attaches again. */
    struct message *message = message_create(MAILBOX_ATTACH, sizeof(struct mailbox_attach));
    struct mailbox_attach *attach = message_as(message, struct mailbox_attach);
    if (!phone->heard) {
        phone->heard = calloc(HAND_HEARD_MAX, sizeof(*phone->heard));
        hand.phones[hand.phone_count++] = phone;
    }
    phone->user = model->user;
    phone->device = model->device;
    if (!phone->connection.bits)
        assert_int_equal(actor_spawn(&probe_class, &phone, ACTOR_NOBODY, &phone->connection), 0);
    *attach = (struct mailbox_attach){.connection = phone->connection,
                                      .device = model->device,
                                      .resume_epoch = model->epoch,
                                      .resume_cursor = model->cursor,
                                      .send_low = send_low(model)};
    hand_key(model->user, model->device, attach->key);
    assert_int_equal(actor_send_named(&mailbox_class, model->user, &message), 0);
    for (unsigned wait = 0; !attached && wait < 20; wait++) {
        struct heard *heard = phone_take(phone, CONNECTION_ATTACHED);
        attached = heard ? (const struct mailbox_attached *)heard->payload : NULL;
        if (!attached)
            hand_pass_ms(1);
    }
    if (!attached)
        return;
    assert_int_equal(attached->code, WIRE_CODE_OK);
    if (attached->epoch != model->epoch)
        model->cursor = 0;
    model->epoch = phone->epoch = attached->epoch;
    phone->mailbox = attached->mailbox;
    model->online = true;
}

static void go_offline(struct device_model *model) {
    if (model->phone.connection.bits)
        actor_kill(model->phone.connection, ACTOR_KILLED);
    model->phone.connection = ACTOR_NOBODY;
    model->online = false;
}

static unsigned device_index(uint64_t user, uint32_t device) {
    for (unsigned i = 0; i < device_count; i++)
        if (devices[i].user == user && devices[i].device == device)
            return i;
    fail();
    return 0;
}

static void take_mail(struct device_model *model, const struct connection_mail *mail) {
    uint64_t number;
    unsigned from = device_index(mail->sender.user, mail->sender.device);
    memcpy(&number, mail->id + 8, 8);
    if (mail->epoch != model->epoch)
        return;
    if (!model->has[from][number]) {
        model->has[from][number] = true;
        model->inbox[model->inbox_count++] = (struct inbox_item){number, from};
    }
    if (mail->cursor > model->cursor)
        model->cursor = mail->cursor;
}

static void take_answer(struct device_model *model, const struct connection_answer *answer) {
    for (uint64_t number = 1; number <= model->written; number++) {
        struct outbox_item *item = &model->outbox[number];
        if (item->ref != answer->ref)
            continue;
        item->ref = 0;
        switch (answer->code) {
        case WIRE_CODE_OK:
            item->done = true;
            break;
        case WIRE_CODE_STALE:
        case WIRE_CODE_UNAVAILABLE:
        case WIRE_CODE_OVERLOADED:
        case WIRE_CODE_LIMITED:
        case WIRE_CODE_CONFLICT:
            break;
        default:
            print_error("answer %d\n", answer->code);
            fail();
        }
        return;
    }
}

static void hear(struct device_model *model) {
    struct phone *phone = &model->phone;
    bool mail = false;
    for (; model->heard < phone->count; model->heard++) {
        struct heard *heard = &phone->heard[model->heard];
        if (heard->kind == CONNECTION_MAIL) {
            take_mail(model, (const struct connection_mail *)heard->payload);
            mail = true;
        } else if (heard->kind == CONNECTION_STATUS) {
            const struct connection_status *status =
                (const struct connection_status *)heard->payload;
            if (status->epoch == model->epoch && status->cursor > model->cursor)
                model->cursor = status->cursor;
            mail = true;
        } else if (heard->kind == CONNECTION_ANSWER) {
            take_answer(model, (const struct connection_answer *)heard->payload);
        } else if (heard->kind == CONNECTION_CUT) {
            go_offline(model);
            return;
        }
    }
    if (mail && (calm || draw(3)))
        phone_ack_with(phone, model->epoch, model->cursor, 0, 0, 0);
    if (phone->count > HAND_HEARD_MAX / 2)
        phone->count = model->heard = 0;
}

/* Now and then by an outdated list, which has to be sent again. */
static uint64_t send_one(struct device_model *model, uint64_t number, uint64_t to) {
    struct message *message = phone_compose(&model->phone, number, to, "x");
    if (!calm && draw(15) == 0)
        message_as(message, struct mailbox_send)->version--;
    phone_give(&model->phone, message);
    return model->phone.next_ref;
}

/* In order, so many at a time: what has no answer goes again. */
static void speak(struct device_model *model, bool more) {
    uint64_t low = send_low(model);
    if (more && model->written < SENDS_MAX && draw(8) == 0) {
        uint64_t to = 1 + draw(USERS);
        model->outbox[++model->written] = (struct outbox_item){.to = to};
    }
    for (uint64_t number = low; number <= model->written && number < low + WINDOW; number++) {
        struct outbox_item *item = &model->outbox[number];
        if (!item->done && !item->ref)
            item->ref = send_one(model, number, item->to);
    }
}

/* A connection knows when its mailbox is no more. */
static bool mailbox_lives(const struct device_model *model) {
    struct shard *shard = hand.runtime->shards[actor_shard_of(&mailbox_class, model->user)];
    shard_enter(shard);
    bool lives = shard_actor(shard, model->phone.mailbox) != NULL;
    shard_enter(hand.runtime->shards[0]);
    return lives;
}

static void step_device(struct device_model *model, bool chaos) {
    if (!model->online) {
        if (!chaos || draw(4) == 0)
            go_online(model);
        return;
    }
    hear(model);
    if (!model->online)
        return;
    if (!mailbox_lives(model)) {
        model->online = false;
        go_online(model);
        return;
    }
    if (chaos && draw(25) == 0) {
        go_offline(model);
        return;
    }
    speak(model, chaos);
}

/* --- the world ----------------------------------------------------------------------------------
 */

static int random_fault(void *context, const struct actor_class *class, uint16_t kind) {
    if (class == &mailbox_class && kind != ACTOR_STOP && draw(120) == 0)
        return ACTOR_FAULT;
    return class == &committer_class && kind != ACTOR_STOP && draw(60) == 0 ? ACTOR_FAULT : 0;
}

static void inject(bool on) {
    for (unsigned i = 0; i < HAND_SHARDS; i++)
        hand.runtime->shards[i]->fault = on ? random_fault : NULL;
}

/* What its supervisor would do. */
static void keep_committer(void) {
    if (!actor_whereis(COMMITTER_NAME).bits)
        assert_int_equal(actor_spawn(&committer_class, NULL, ACTOR_NOBODY, &hand.committer), 0);
}

/* While something is being written, and just after something was told. */
static void lose_machine(void) {
    inject(false);
    hand.pool_held = true;
    for (unsigned i = 0; i < device_count; i++)
        if (devices[i].online && mailbox_lives(&devices[i]))
            speak(&devices[i], true);
    hand_pass_ms(draw(200));
    for (unsigned i = 0; i < device_count; i++) {
        if (devices[i].online)
            hear(&devices[i]); /* what was told just before */
        devices[i].online = false;
        devices[i].heard = 0;
    }
    hand_crash(draw(2) ? ENGINE_CRASH_DROP : ENGINE_CRASH_TORN);
    inject(true);
}

/* The disk is nearly full for a while. */
static void fill_disk(bool full) {
    struct engine_gauges gauges;
    engine_gauges(hand.node.engine, &gauges);
    struct engine_memory_fault fault = {.space_bytes = gauges.space_reserve_bytes / 2,
                                        .sync_fails_after = -1};
    engine_memory_fault(hand.node.engine, full ? &fault : NULL);
}

static bool all_done(void) {
    for (unsigned i = 0; i < device_count; i++)
        if (!devices[i].online || send_low(&devices[i]) <= devices[i].written)
            return false;
    return true;
}

static void begin(uint64_t seed) {
    hand_setup(NULL);
    random_state = seed;
    calm = false;
    memset(devices, 0, sizeof(devices));
    device_count = 0;
    for (uint64_t user = 1; user <= USERS; user++) {
        uint32_t count = 1 + user % DEVICES_MAX;
        hand_account(user, count);
        for (uint32_t device = 1; device <= count; device++) {
            devices[device_count].user = user;
            devices[device_count++].device = device;
        }
    }
}

/* --- what must be true --------------------------------------------------------------------------
 */

static void check_everything_arrived(void) {
    for (unsigned from = 0; from < device_count; from++)
        for (uint64_t number = 1; number <= devices[from].written; number++)
            for (unsigned to = 0; to < device_count; to++) {
                bool for_it = to != from && (devices[to].user == devices[from].outbox[number].to ||
                                             devices[to].user == devices[from].user);
                if (for_it && !devices[to].has[from][number])
                    print_error("number %u of %u/%u is not with %u/%u\n", (unsigned)number,
                                (unsigned)devices[from].user, devices[from].device,
                                (unsigned)devices[to].user, devices[to].device);
                assert_true(!for_it || devices[to].has[from][number]);
            }
}

/* A copy for one's own devices comes when the peer has the message: their order is per chat. */
static void check_order(void) {
    for (unsigned to = 0; to < device_count; to++)
        for (unsigned from = 0; from < device_count; from++)
            for (uint64_t chat = 1; chat <= USERS; chat++) {
                uint64_t last = 0;
                for (unsigned i = 0; i < devices[to].inbox_count; i++) {
                    const struct inbox_item *item = &devices[to].inbox[i];
                    if (item->from != from || devices[from].outbox[item->number].to != chat)
                        continue;
                    if (item->number <= last)
                        print_error("%u after %u of %u/%u at %u/%u\n", (unsigned)item->number,
                                    (unsigned)last, (unsigned)devices[from].user,
                                    devices[from].device, (unsigned)devices[to].user,
                                    devices[to].device);
                    assert_true(item->number > last);
                    last = item->number;
                }
            }
}

static void check_store_is_empty(void) {
    for (unsigned i = 0; i < device_count; i++)
        assert_int_equal(hand_stored(devices[i].user, devices[i].device), 0);
}

static void run(uint64_t seed, bool crashes) {
    begin(seed);
    inject(true);
    for (unsigned step = 0; step < 600; step++) {
        for (unsigned i = 0; i < device_count; i++)
            step_device(&devices[i], true);
        keep_committer();
        if (draw(30) == 0)
            fill_disk(draw(3) == 0);
        hand.pool_held = draw(3) == 0;
        hand.pool_full = draw(20) == 0;
        hand_pass_ms(1 + draw(draw(10) == 0 ? 400 : 20));
        hand.pool_held = hand.pool_full = false;
        if (crashes && draw(100) == 0)
            lose_machine();
    }
    inject(false);
    fill_disk(false);
    for (unsigned step = 0; step < 400 && (step < 100 || !all_done()); step++) {
        for (unsigned i = 0; i < device_count; i++)
            step_device(&devices[i], false);
        keep_committer();
        hand_pass_ms(100);
    }
    assert_true(all_done());
    for (unsigned step = 0; step < 100; step++) {
        for (unsigned i = 0; i < device_count; i++)
            hear(&devices[i]);
        hand_pass_ms(200);
    }
    check_everything_arrived();
    check_order();
}

/* After everyone has left and come back, nothing is left over. */
static void settle_and_check_empty(void) {
    for (unsigned i = 0; i < device_count; i++)
        go_offline(&devices[i]);
    calm = true;
    hand_pass_ms(200000);
    for (unsigned step = 0; step < 100; step++) {
        for (unsigned i = 0; i < device_count; i++)
            if (devices[i].online)
                hear(&devices[i]);
            else
                go_online(&devices[i]);
        hand_pass_ms(200);
    }
    check_order();
    check_store_is_empty();
}

static void try_seeds(uint64_t first, unsigned count, bool crashes) {
    for (uint64_t seed = first; seed < first + count; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run(seed, crashes);
        settle_and_check_empty();
        hand_teardown(NULL);
    }
}

static void actors_fail_and_nothing_is_lost_or_doubled(void **state) {
    try_seeds(1, 6, false);
}

static void machine_is_lost_and_nothing_is_lost_or_doubled(void **state) {
    try_seeds(1001, 6, true);
}

int main(int argc, char **argv) {
    log_level_set(LOG_ERROR);
    if (argc > 1) { /* one seed, by hand: also with crashes if it is above 1000 */
        uint64_t seed = strtoull(argv[1], NULL, 10);
        run(seed, seed > 1000);
        settle_and_check_empty();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actors_fail_and_nothing_is_lost_or_doubled),
        cmocka_unit_test(machine_is_lost_and_nothing_is_lost_or_doubled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
