/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/load.h"

#include "bench/figures.h"
#include "bench/interrupt.h"
#include "bench/sample.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STILL_MS_MAX 30000
#define POLL_MS 2

static void people_make(struct load *load) {
    load->people = calloc(load->options.count, sizeof *load->people);
    load->body = calloc(1, load->options.body_bytes);
    CHECK(load->people != NULL && load->body != NULL);
    for (unsigned i = 0; i < load->options.count; i++)
        load->people[i] = (struct person){.version = 1, .last_from = UINT32_MAX};
}

int load_start(struct load *load, const struct load_options *options) {
    memset(load, 0, sizeof *load);
    load->options = *options;
    CHECK(options->count > 0 && options->body_bytes >= LOAD_BODY_BYTES_MIN &&
          options->body_bytes <= LOAD_BODY_BYTES_MAX);
    char text[80];
    snprintf(text, sizeof text, "ws://127.0.0.1:%u", options->server.port);
    CHECK(url_parse(text, &load->url) == 0);
    person_device_config(&load->device);
    load->run = randombytes_random();
    door_init(&load->door,
              options->connecting_max > 0 ? options->connecting_max : LOAD_CONNECTING_MAX,
              options->count);
    people_make(load);
    struct runtime_options runtime = {
        .shards = 1, .pool_threads = 1, .root = &load_tree, .context = load};
    int error = runtime_start(&runtime, &load->runtime);
    if (error)
        fprintf(stderr, "tern-bench: the runtime can't be started: %s\n", strerror(-error));
    return error;
}

void load_stop(struct load *load) {
    if (load->runtime != NULL) {
        runtime_stop(load->runtime, 0);
        runtime_wait(load->runtime);
        runtime_destroy(load->runtime);
    }
    free(load->people);
    free(load->body);
    door_finish(&load->door);
    calendar_finish(&load->calendar);
    memset(load, 0, sizeof *load);
}

static void give(struct load *load, unsigned index, struct message *message) {
    runtime_send(load->runtime, load->people[index].actor, &message);
}

int load_check(struct load *load) {
    if (atomic_load(&load->counters.failures) == 0)
        return 0;
    progress("%s", "");
    fprintf(stderr, "tern-bench: the run failed: %s\n", load->failure);
    return -EPROTO;
}

int load_wait(struct load *load, const _Atomic uint64_t *counter, uint64_t value) {
    uint64_t seen = atomic_load(counter);
    unsigned still_ms = 0;
    while (seen < value) {
        int error = interruptible_sleep_ms(POLL_MS);
        if (error == 0)
            error = load_check(load);
        if (error == 0 && load->watch != NULL)
            error = load->watch(load->watch_context);
        if (error)
            return error;
        uint64_t now = atomic_load(counter);
        still_ms = now != seen ? 0 : still_ms + POLL_MS;
        seen = now;
        if (still_ms >= STILL_MS_MAX) {
            progress("%s", "");
            fprintf(stderr, "tern-bench: nothing moved for %d s: %llu of %llu\n",
                    STILL_MS_MAX / 1000, (unsigned long long)seen, (unsigned long long)value);
            return -ETIMEDOUT;
        }
    }
    return load_check(load);
}

int load_login(struct load *load, unsigned first, unsigned count, unsigned at_once) {
    uint64_t online = atomic_load(&load->counters.online);
    unsigned begin = at_once < count ? at_once : count;
    load->connect_next = first + begin; /* the shard reads it when the first has come */
    load->connect_end = first + count;
    for (unsigned i = 0; i < begin; i++)
        give(load, first + i, message_create(PERSON_CONNECT, 0));
    return load_wait(load, &load->counters.online, online + count);
}

int load_find(struct load *load, unsigned first, unsigned count) {
    for (unsigned i = 0; i < count; i += PERSON_FIND_MAX) {
        unsigned part = count - i < PERSON_FIND_MAX ? count - i : PERSON_FIND_MAX;
        uint64_t found = atomic_load(&load->counters.found);
        struct message *message = message_create(PERSON_FIND, sizeof(struct person_find));
        *message_as(message, struct person_find) =
            (struct person_find){.first = first + i, .count = part};
        give(load, 0, message);
        int error = load_wait(load, &load->counters.found, found + part);
        if (error)
            return error;
    }
    return 0;
}

void load_send(struct load *load, unsigned from, unsigned to, unsigned count,
               uint64_t scheduled_ns) {
    struct message *message = message_create(PERSON_SEND, sizeof(struct person_send));
    *message_as(message, struct person_send) =
        (struct person_send){.scheduled_ns = scheduled_ns, .to = to, .count = count};
    give(load, from, message);
}

void load_cut(struct load *load, unsigned person) {
    give(load, person, message_create(PERSON_CUT, 0));
}

void load_leave(struct load *load, unsigned person) {
    give(load, person, message_create(PERSON_LEAVE, 0));
}

void load_return(struct load *load, unsigned person) {
    give(load, person, message_create(PERSON_CONNECT, 0));
}

int load_take_latency(struct load *load) {
    struct message *message = message_create(CROWD_TAKE, 0);
    int error = 0;
    atomic_store(&load->is_taken, false);
    runtime_send(load->runtime, load->crowd, &message);
    while (error == 0 && !atomic_load_explicit(&load->is_taken, memory_order_acquire))
        error = interruptible_sleep_ms(1);
    return error;
}

int load_settle(struct load *load) {
    atomic_store(&load->answering, false);
    int error =
        interruptible_sleep_ms(50); /* an answer to the last message may be on its way out */
    uint64_t sent = atomic_load(&load->counters.sent);
    if (error == 0)
        error = load_wait(load, &load->counters.accepted, sent);
    if (error == 0)
        error = load_wait(load, &load->counters.delivered, sent);
    if (error == 0 && atomic_load(&load->counters.sent) != sent)
        error = load_settle(load);
    return error;
}
