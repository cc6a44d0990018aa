/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames between devices and nodes, as C structs and as msgpack; all of it comes from wire.def.
 *
 * A Noise message holds frames back to back, each a msgpack array [kind, ref, fields...]. Fields
 * missing at the end take their defaults, extra ones are ignored, and a frame of an unknown kind is
 * skipped, so that both sides may grow.
 *
 * Reading:
 *     struct wire_reader reader;
 *     struct wire_frame frame;
 *     wire_reader_init(&reader, bytes, length);
 *     while ((result = wire_read_frame(&reader, &frame)) == PARSE_COMPLETE)
 *         switch (frame.kind) {
 *         case WIRE_SEND: ... frame.ref, frame.send.id, frame.send.external.bytes ...
 *             struct wire_recipient_list rest = frame.send.recipients;
 *             while (wire_next_recipient(&rest, &recipient)) ...
 *             default: an unknown kind, or one that this side must not get
 *         }
 * What a frame points to (texts, bytes, lists) lies in the bytes that were read and lives as long.
 *
 * Writing:
 *     struct wire_writer writer = {.bytes = buffer, .capacity = capacity};
 *     wire_write_ack(&writer, 0, &(struct wire_ack){.epoch = epoch, .up_to = cursor});
 *     buffer[0, writer.length)
 * Fields left zero are written as zero, not as their default in wire.def.
 *
 * Every length is checked against the bytes that are there and against its field's bound, texts are
 * checked to be UTF-8, and lists are checked to their last element when their frame is read. Pure:
 * no allocation, no recursion. Any thread.
 */
#ifndef TERN_NET_WIRE_H
#define TERN_NET_WIRE_H

#include "net/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_PROLOGUE "tern/1"       /* of the Noise handshake, without its closing NUL */
#define WIRE_FRAMES_BYTES_MAX 65000  /* frames in one Noise message */
#define WIRE_CONTENT_BYTES_MAX 61440 /* all ciphertexts and external of one send together */
#define WIRE_ID_BYTES 16
#define WIRE_LIST_TEXT_BYTES_MAX 64 /* a text in a list */

struct wire_id {
    uint8_t bytes[WIRE_ID_BYTES];
};

struct wire_bytes { /* borrowed; a text has no closing NUL */
    const uint8_t *bytes;
    uint32_t length;
};

/*
 * A list is either `count` items of an array (when the writer made it), or `count` encoded elements
 * (when it was read: items is NULL). Both kinds can be written, and both can be walked:
 * wire_next_<element>(&list, &item) takes the first element off the list (walk a copy) and is false
 * at its end. Whoever keeps the encoded bytes alone walks them with count UINT32_MAX: they end with
 * the last element.
 */
#define WIRE_DECLARE_LIST(element, type)                                     \
    struct wire_##element##_list {                                           \
        type const *items;    /* count of them, or NULL */                   \
        const uint8_t *bytes; /* items is NULL: count elements of msgpack */ \
        uint32_t length;      /* of bytes */                                 \
        uint32_t count;                                                      \
    };                                                                       \
    bool wire_next_##element(struct wire_##element##_list *list, type *item)

WIRE_DECLARE_LIST(number, uint64_t);
WIRE_DECLARE_LIST(identity, struct wire_id);
WIRE_DECLARE_LIST(text, struct wire_bytes);

/* It would tear the closing braces of these macros apart. */
/* clang-format off */

/* WIRE_CODE_OK, WIRE_CLOSE_REPLACED, ... and wire_code_name(number): "ok", or "unknown". */
#define CHOICES(name, doc) enum wire_##name {
#define CHOICE(prefix, upper, lower, number, doc) WIRE_##prefix##_##upper = (number),
#define CHOICES_END(name) }; const char *wire_##name##_name(unsigned number);
#include "net/wire.def"

/* struct wire_hello, struct wire_recipient, struct wire_sent_body, ...; for each record a list. */
#define RECORD(name, doc) struct wire_##name {
#define RECORD_END(name) }; WIRE_DECLARE_LIST(name, struct wire_##name);
#define FRAME(upper, name, number, direction, doc) struct wire_##name {
#define FRAME_END(name) };
#define BODY(name, doc) struct wire_##name {
#define BODY_END(name) };
#define NUMBER(type, name, default_, doc) type##_t name;
#define SELECT(choices, name, default_, doc) uint16_t name; /* an enum wire_<choices> */
#define SWITCH(name, default_, doc) bool name;
#define IDENTITY(name, doc) struct wire_id name;
#define TEXT(name, bytes_max, doc) struct wire_bytes name;
#define BYTES(name, bytes_max, doc) struct wire_bytes name;
#define LIST(element, name, count_max, doc) struct wire_##element##_list name;
#include "net/wire.def"

/* clang-format on */

enum wire_kind {
#define FRAME(upper, name, number, direction, doc) WIRE_##upper = (number),
#include "net/wire.def"
};

/* Is a send that was answered so over? Else its number waits to be sent again: device, connection
 * and mailbox must agree on it. */
bool wire_code_ends_send(unsigned code);

/* How far a state (0: nothing is known yet) is on a message's way; what a person is shown only
 * rises. What has arrived counts for more than that it will not: another device may have it, or
 * have it by now. */
unsigned wire_state_rank(unsigned state);

/* "send", or "unknown". */
const char *wire_kind_name(unsigned kind);

struct wire_frame {
    uint16_t kind; /* an enum wire_kind, or a number that we don't know */
    uint32_t ref;  /* 0: asks for no answer */
    union {
#define FRAME(upper, name, number, direction, doc) struct wire_##name name;
#include "net/wire.def"
    };
};

struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
};

void wire_reader_init(struct wire_reader *reader, const uint8_t *bytes, size_t length);

/* The next frame.
 * COMPLETE: here it is. MORE: there is none left; all was read to the last byte.
 * TOO_BIG:  a field is beyond its bound; frame->kind and frame->ref are set, and the fields before
 *           that one; those from it on are as they were or torn. The reader stands behind the
 *           frame: refuse it by name and go on.
 * JUNK:     no frames; the connection cannot go on (WIRE_CLOSE_BAD_FRAME). */
enum parse_result wire_read_frame(struct wire_reader *reader, struct wire_frame *frame);

struct wire_writer {
    uint8_t *bytes;
    size_t capacity;
    size_t length; /* so far */
};

/* Each appends one frame: int wire_write_send(writer, ref, &send). 0; -ENOSPC: it doesn't fit;
 * -EMSGSIZE: a field is beyond its bound. Then nothing was written. Texts are not checked. */
#define FRAME(upper, name, number, direction, doc)                  \
    int wire_write_##name(struct wire_writer *writer, uint32_t ref, \
                          const struct wire_##name *frame);
#include "net/wire.def"

/* Any frame, by its kind. -EINVAL: an unknown one. */
int wire_write_frame(struct wire_writer *writer, const struct wire_frame *frame);

/* What `reply` carries: int wire_write_sent_body(writer, &body), as above; and the way back, which
 * answers COMPLETE, or JUNK or TOO_BIG with `body` undefined. Bytes behind the array are JUNK; no
 * bytes at all are the defaults. */
#define BODY(name, doc)                                                                \
    int wire_write_##name(struct wire_writer *writer, const struct wire_##name *body); \
    enum parse_result wire_read_##name(const uint8_t *bytes, size_t length,            \
                                       struct wire_##name *body);
#include "net/wire.def"

/* Enough for any body but those with lists. */
#define WIRE_SMALL_BODY_BYTES_MAX 256

/* Bytes of content in a send: all ciphertexts and external. WIRE_CONTENT_BYTES_MAX is the bound. */
size_t wire_content_bytes(const struct wire_send *send);

/* One line for traces: "send ref=3 number=7 chat=42 recipients=2 external=0B ...". Returns
 * snprintf's length. Texts and contents are not shown, only their lengths. */
int wire_print_frame(const struct wire_frame *frame, char *text, size_t capacity);

/* Compares ids, as memcmp does: UUIDv7 sort by the time they were made. */
int wire_id_compare(const struct wire_id *a, const struct wire_id *b);

#endif
