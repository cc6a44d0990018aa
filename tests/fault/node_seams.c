/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seams of tern-node-faults: the system's, but actors fail at random before they handle a
 * message.
 *
 * TERN_FAULTS="mailbox=0.001,connection=0.001,committer=0.0005" gives the chance per message and
 * class; TERN_FAULTS_SEED makes the draws of a thread repeatable. No other program links this file.
 *
 * What really crashes (writes to address 16) at input with a given text in it; the linker puts
 * __wrap_... before the real function:
 *   TERN_FAULT_CRASH         a connection that is to send its device mail with it
 *   TERN_FAULT_CRASH_HTTP    the parser of the request's head, before any key is known
 *   TERN_FAULT_CRASH_FRAME   the reader of frames: `hello`, and those of a session
 *   TERN_FAULT_CRASH_ENTRY   the decoder of what is stored, on pool threads or in a mailbox
 * What takes its time instead, STALL_MS in the handler:
 *   TERN_FAULT_STALL         a connection that is to send its device mail with it
 */
#include "tools/node/node_seams.h"
#include "actors/messages.h"
#include "net/http.h"
#include "net/wire.h"
#include "runtime/actor.h"
#include "storage/format.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLASSES_MAX 16
#define STALL_MS 500 /* twenty budgets of the watchdog */

struct fault_rate {
    char class[32];
    uint32_t below; /* of 2^32 */
};

static struct seams seams;
static struct fault_rate rates[CLASSES_MAX];
static unsigned rate_count;
static uint64_t seed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local uint64_t draw_state;

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators" (2016). */
static uint32_t draw(void) {
    if (!draw_state)
        draw_state = seed ^ (uint64_t)(uintptr_t)&draw_state;
    draw_state ^= draw_state >> 12;
    draw_state ^= draw_state << 25;
    draw_state ^= draw_state >> 27;
    return (uint32_t)((draw_state * 2685821657736338717ull) >> 32);
}

static int fault(void *context, const struct actor_class *class, uint16_t kind) {
    for (unsigned i = 0; i < rate_count; i++)
        if (strcmp(rates[i].class, class->name) == 0)
            return draw() < rates[i].below ? ACTOR_FAULT : 0;
    return 0;
}

/* Volatile: no compiler may know that it is nobody's. */
static uintptr_t volatile nowhere = 16;

static bool holds(const char *variable, const void *bytes, size_t length) {
    const char *text = getenv(variable);
    return text && bytes && memmem(bytes, length, text, strlen(text));
}

static void crash_if(const char *variable, const void *bytes, size_t length) {
    if (holds(variable, bytes, length))
        *(volatile int *)nowhere = 0; // NOLINT(performance-no-int-to-ptr)
}

static void stall_if(const char *variable, const void *bytes, size_t length) {
    struct timespec left = {.tv_nsec = STALL_MS * 1000000L};
    while (holds(variable, bytes, length) && nanosleep(&left, &left) != 0)
        ;
}

struct connection;
void __real_connection_send_mail(struct connection *connection, struct message *message);
void __wrap_connection_send_mail(struct connection *connection, struct message *message);
void __wrap_connection_send_mail(struct connection *connection, struct message *message) {
    const struct connection_mail *mail = message_as(message, struct connection_mail);
    crash_if("TERN_FAULT_CRASH", blob_bytes(message->blob) + mail->ciphertext_offset,
             mail->ciphertext_bytes);
    stall_if("TERN_FAULT_STALL", blob_bytes(message->blob) + mail->ciphertext_offset,
             mail->ciphertext_bytes);
    __real_connection_send_mail(connection, message);
}

enum parse_result __real_http_parse_request(const uint8_t *bytes, size_t length,
                                            struct http_request *request);
enum parse_result __wrap_http_parse_request(const uint8_t *bytes, size_t length,
                                            struct http_request *request);
enum parse_result __wrap_http_parse_request(const uint8_t *bytes, size_t length,
                                            struct http_request *request) {
    crash_if("TERN_FAULT_CRASH_HTTP", bytes, length);
    return __real_http_parse_request(bytes, length, request);
}

enum parse_result __real_wire_read_frame(struct wire_reader *reader, struct wire_frame *frame);
enum parse_result __wrap_wire_read_frame(struct wire_reader *reader, struct wire_frame *frame);
enum parse_result __wrap_wire_read_frame(struct wire_reader *reader, struct wire_frame *frame) {
    crash_if("TERN_FAULT_CRASH_FRAME", reader->at, (size_t)(reader->end - reader->at));
    return __real_wire_read_frame(reader, frame);
}

int __real_record_queued_decode(struct engine_bytes value, struct record_queued *queued);
int __wrap_record_queued_decode(struct engine_bytes value, struct record_queued *queued);
int __wrap_record_queued_decode(struct engine_bytes value, struct record_queued *queued) {
    crash_if("TERN_FAULT_CRASH_ENTRY", value.data, value.size);
    return __real_record_queued_decode(value, queued);
}

static void rates_read(const char *text) {
    int length = 0;
    while (rate_count < CLASSES_MAX &&
           sscanf(text, "%31[a-z_]=%n", rates[rate_count].class, &length) == 1) {
        char *end;
        double chance = strtod(text + length, &end);
        CHECK(end != text + length && chance >= 0 && chance < 1);
        rates[rate_count++].below = (uint32_t)(chance * 4294967296.0);
        text = end + (*end == ',');
    }
    if (*text) {
        fprintf(stderr, "TERN_FAULTS: not understood from \"%s\" on\n", text);
        exit(78);
    }
}

static void seams_make(void) {
    seams = *seams_system();
    seams.fault = fault;
    const char *text = getenv("TERN_FAULTS"), *number = getenv("TERN_FAULTS_SEED");
    rates_read(text ? text : "");
    seams.random_bytes(seams.context, &seed, sizeof(seed));
    if (number)
        seed = strtoull(number, NULL, 10);
    seed |= 1;
}

const struct seams *node_seams(void) {
    pthread_once(&once, seams_make);
    return &seams;
}
