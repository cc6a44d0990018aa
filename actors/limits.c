/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits: how many verification codes may go out; one per node.
 *
 * Number actors ask before they send a code. It counts codes of the last hour by number, by prefix
 * (a number without its last four digits: an attacker who owns a range pays the operator's SMS bill
 * with it), by the asking network address, and in all. A count is of a fixed window that begins
 * with its first code. The table is bounded: when it is full of living windows, new ones are
 * refused. Counts are lost with a restart; that costs codes, not safety, since each code has its
 * own few attempts.
 */
#include "actors/messages.h"
#include "actors/node.h"

#include <sodium.h>
#include <string.h>

#define LIMITS_WINDOW_MS (3600 * 1000u)
#define LIMITS_SLOTS 16384u /* a power of two */
#define LIMITS_PROBES 16u
#define PREFIX_DIGITS_LESS 4

struct window {
    uint64_t hash; /* 0: free */
    uint64_t start_ms;
    uint32_t count;
};

struct limits {
    uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* nobody outside can aim at a slot */
    struct window all;
    struct window *windows; /* LIMITS_SLOTS */
};

static int limits_init(void *state, const void *argument) {
    struct limits *limits = state;
    actor_random(limits->hash_key, sizeof(limits->hash_key));
    limits->windows = actor_allocate(LIMITS_SLOTS * sizeof(struct window));
    return actor_register(LIMITS_NAME);
}

static bool window_over(const struct window *window, uint64_t now_ms) {
    return now_ms - window->start_ms >= LIMITS_WINDOW_MS;
}

/* The window of this kind and value, begun anew if it is over; NULL: no room. */
static struct window *window_find(struct limits *limits, char kind, const void *value,
                                  size_t length) {
    uint8_t input[24] = {(uint8_t)kind};
    CHECK(length < sizeof(input));
    memcpy(input + 1, value, length);
    uint64_t hash;
    crypto_shorthash((uint8_t *)&hash, input, 1 + length, limits->hash_key);
    hash |= 1; /* not 0 */
    uint64_t now_ms = actor_now_ms();
    struct window *room = NULL;
    for (unsigned i = 0; i < LIMITS_PROBES; i++) {
        struct window *window = &limits->windows[(hash + i) & (LIMITS_SLOTS - 1)];
        bool over = window->hash && window_over(window, now_ms);
        if (window->hash == hash && !over)
            return window;
        if (!room && (!window->hash || over))
            room = window;
    }
    if (room)
        *room = (struct window){hash, now_ms, 0};
    return room;
}

/* 0, or in how many milliseconds the window ends. */
static uint32_t window_wait(const struct window *window, uint32_t max, uint64_t now_ms) {
    if (!window)
        return LIMITS_WINDOW_MS;
    if (window->count < max)
        return 0;
    return (uint32_t)(LIMITS_WINDOW_MS - (now_ms - window->start_ms));
}

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* 0: allowed, and counted; else how long to wait. */
static uint32_t limits_take(struct limits *limits, const struct limits_ask *ask) {
    const struct node_limits *max = &node_current()->limits;
    uint64_t now_ms = actor_now_ms();
    size_t digits = strnlen(ask->phone, sizeof(ask->phone));
    size_t prefix = digits > PREFIX_DIGITS_LESS ? digits - PREFIX_DIGITS_LESS : 0;
    if (window_over(&limits->all, now_ms))
        limits->all = (struct window){1, now_ms, 0};
    struct window *windows[] = {&limits->all, window_find(limits, 'n', ask->phone, digits),
                                window_find(limits, 'p', ask->phone, prefix),
                                window_find(limits, 'a', ask->peer_address, 16)};
    const uint32_t maxima[] = {max->codes_per_hour, max->codes_per_number_hour,
                               max->codes_per_prefix_hour, max->codes_per_address_hour};
    static const char *const names[] = {"code_limit_all", "code_limit_number", "code_limit_prefix",
                                        "code_limit_address"};
    uint32_t wait_ms = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t wait = window_wait(windows[i], maxima[i], now_ms);
        if (wait)
            actor_count(names[i], 1);
        wait_ms = larger(wait_ms, wait);
    }
    if (wait_ms == 0)
        for (unsigned i = 0; i < 4; i++)
            windows[i]->count++;
    return wait_ms;
}

static void limits_on_ask(void *state, struct message **message) {
    const struct limits_ask *ask = message_as(*message, struct limits_ask);
    struct message *answer = message_create(NUMBER_ALLOWED, sizeof(struct number_allowed));
    *message_as(answer, struct number_allowed) =
        (struct number_allowed){ask->reference, limits_take(state, ask)};
    if (actor_send(ask->number, &answer))
        message_destroy(answer);
}

static const struct actor_handler limits_handlers[] = {
    [LIMITS_ASK] = {"ask", limits_on_ask},
};

const struct actor_class limits_class = {
    .name = "limits",
    .state_bytes = sizeof(struct limits),
    .init = limits_init,
    .handlers = limits_handlers,
    .handler_count = sizeof(limits_handlers) / sizeof(limits_handlers[0]),
};
