/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node and its shell say to each other on the admin socket. ADMIN.md has it byte by byte.
 *
 * A frame is a length (four bytes, big-endian) and so many bytes of msgpack: an array of three. A
 * request is [id, command, arguments], a reply [id, kind, fields]; arguments and fields are maps of
 * names to plain values. Replies to one request are any number of rows, then one end or error.
 *
 * Pure; reading allocates nothing, and what was read points into the caller's bytes. Readers never
 * assert on input. Any thread.
 */
#ifndef TERN_NET_ADMIN_H
#define TERN_NET_ADMIN_H

#include "net/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADMIN_VERSION 1u
#define ADMIN_HEAD_BYTES 4u           /* the length in front of a frame */
#define ADMIN_REQUEST_BYTES_MAX 4096u /* without it */
#define ADMIN_REPLY_BYTES_MAX 65536u  /* the same */
#define ADMIN_FIELDS_MAX 48u          /* of a map */
#define ADMIN_LIST_MAX 256u           /* texts of a list */
#define ADMIN_NAME_BYTES_MAX 63u      /* of a field or command */

struct admin_text { /* UTF-8, not terminated */
    const char *bytes;
    uint32_t length;
};

enum admin_kind { ADMIN_NIL, ADMIN_BOOL, ADMIN_UINT, ADMIN_INT, ADMIN_TEXT, ADMIN_LIST };
struct admin_value {
    enum admin_kind kind;
    union {
        bool truth;
        uint64_t number;  /* ADMIN_UINT */
        int64_t negative; /* ADMIN_INT: below zero */
        struct admin_text text;
        struct { /* ADMIN_LIST: texts, checked; admin_list_next */
            const uint8_t *at;
            uint32_t bytes, count;
        } list;
    };
};
struct admin_field {
    struct admin_text name;
    struct admin_value value;
};
struct admin_fields {
    unsigned count;
    struct admin_field items[ADMIN_FIELDS_MAX];
};

enum admin_reply_kind {
    ADMIN_HELLO, /* first on a connection, id 0: version, program, node */
    ADMIN_ROW,
    ADMIN_END,   /* of a request: rows, and what the command says besides */
    ADMIN_ERROR, /* of a request: code, message */
    ADMIN_REPLY_KINDS,
};
struct admin_request {
    uint64_t id; /* not 0 */
    struct admin_text command;
    struct admin_fields arguments;
};
struct admin_reply {
    uint64_t id;
    enum admin_reply_kind kind;
    struct admin_fields fields;
};

/* --- reading --- */

/* The first frame in `bytes`: `*frame` and `*frame_bytes` are its msgpack, and `*used` is where the
 * next begins. COMPLETE, MORE, or TOO_BIG: its length is zero or above `max`. */
enum parse_result admin_frame_find(const uint8_t *bytes, size_t length, size_t max,
                                   const uint8_t **frame, size_t *frame_bytes, size_t *used);
/* COMPLETE or JUNK; a whole frame's msgpack, to its last byte. */
enum parse_result admin_request_read(const uint8_t *frame, size_t length,
                                     struct admin_request *request);
enum parse_result admin_reply_read(const uint8_t *frame, size_t length, struct admin_reply *reply);

const struct admin_value *admin_field_find(const struct admin_fields *fields, const char *name);
bool admin_text_equal(struct admin_text text, const char *other);
/* Takes the next text of a list; false: there is none. */
bool admin_list_next(struct admin_value *list, struct admin_text *text);

/* --- writing --- */

/* Into the caller's buffer, a frame at a time:
 *
 *     admin_write_reply(&writer, id, ADMIN_ROW);
 *     admin_put_uint(&writer, "shards", 2); ...
 *     error = admin_write_end(&writer);
 *
 * A frame that does not fit, has too many fields or is above its bound is taken back whole by
 * admin_write_end: -ENOSPC or -EMSGSIZE. Text that is no UTF-8 is written with "?" in its place; it
 * is cut at ADMIN_TEXT_BYTES_MAX. */
#define ADMIN_TEXT_BYTES_MAX 16384u
struct admin_writer {
    uint8_t *bytes;
    size_t capacity, length;
    size_t frame;     /* where the open one begins */
    size_t map;       /* where its map begins */
    size_t frame_max; /* without its length */
    unsigned fields;
    int error; /* sticky until admin_write_end */
};
void admin_write_request(struct admin_writer *writer, uint64_t id, const char *command);
void admin_write_reply(struct admin_writer *writer, uint64_t id, enum admin_reply_kind kind);
void admin_put_nil(struct admin_writer *writer, const char *name);
void admin_put_bool(struct admin_writer *writer, const char *name, bool value);
void admin_put_uint(struct admin_writer *writer, const char *name, uint64_t value);
void admin_put_int(struct admin_writer *writer, const char *name, int64_t value);
/* NULL is written as nil. */
void admin_put_text(struct admin_writer *writer, const char *name, const char *value);
/* A list of `count` texts, at most ADMIN_LIST_MAX of them; each is then put by admin_put_item. */
void admin_put_list(struct admin_writer *writer, const char *name, unsigned count);
void admin_put_item(struct admin_writer *writer, const char *value);
int admin_write_end(struct admin_writer *writer);

#endif
