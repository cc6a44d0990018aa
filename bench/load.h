/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A crowd of simulated people with one device each, on our own runtime: one shard, so that the load
 * takes little of the machine that it shares with the node.
 *
 *     main thread                                the shard
 *     load_start ──────── spawns ──────────────► one `person` actor each (person.c): a socket and a
 *     load_login ──────── PERSON_CONNECT ──────►     net/device, the client that everybody uses
 *     load_send ───────── PERSON_SEND ─────────►
 *     load_wait  ◄─────── counters ─────────────
 *
 * The main thread conducts: it sends messages to people and reads counters, which the shard alone
 * writes. A person hears from one other only. Each message carries when it was sent, by whom, and
 * its place among those to its receiver, who checks it, so that a duplicate, a loss or a wrong
 * order is a failure of the run and not a good figure.
 */
#ifndef TERN_BENCH_LOAD_H
#define TERN_BENCH_LOAD_H

#include "bench/accounts.h"
#include "bench/calendar.h"
#include "bench/door.h"
#include "bench/histogram.h"
#include "net/device.h"
#include "runtime/actor.h"
#include "runtime/runtime.h"
#include "runtime/socket.h"

#include <stdatomic.h>

#define LOAD_BODY_BYTES_MIN 16
#define LOAD_BODY_BYTES_MAX 61440
#define LOAD_FAILURE_BYTES 200
#define LOAD_CONNECTING_MAX 1024u

/* What those who write to a person need to know, and what it knows of its mail. */
struct person {
    struct actor_id actor;
    uint64_t user;   /* once known; 0 before */
    uint64_t window; /* which messages from `received` on have come */
    uint32_t device;
    uint32_t version;           /* of this person's device list, as the senders use it */
    uint32_t written, received; /* messages to this person; `received`: all before it have come */
    uint32_t last_from, last_place;
};
_Static_assert(sizeof(struct person) == 48, "there are millions of them");

/* Written by the shard, read by the main thread. */
struct load_counters {
    _Atomic uint64_t online;    /* have been, ever */
    _Atomic uint64_t logins;    /* of all kinds */
    _Atomic uint64_t connected; /* are now */
    _Atomic uint64_t lost;      /* connections that nobody meant to end, with `reconnect` */
    _Atomic uint64_t found, sent, accepted, delivered;
    _Atomic uint64_t senders, receivers; /* people of whom one was accepted; who got one */
    _Atomic uint64_t not_sent;           /* orders to people who were away */
    _Atomic uint64_t repeated;   /* came once more after a connection had ended; not shown */
    _Atomic uint64_t read;       /* told to their senders */
    _Atomic uint64_t heartbeats; /* pings that the node has answered */
    _Atomic uint64_t failures;   /* of any kind; the first one is in `failure` */
};

struct load_options {
    struct socket_address server;
    const struct accounts *accounts;
    unsigned count;
    size_t body_bytes;
    unsigned outbox_messages; /* that a person may have without an answer; a power of two */
    bool several_senders;     /* a person hears from several, in no order between them */
    bool reconnect;           /* people whose connection ends come back by themselves */
    unsigned read_percent;    /* of the mail: is read within a minute, and its sender told */
    unsigned connecting_max;  /* that connect at a time, the others wait; 0: LOAD_CONNECTING_MAX */
};

struct load {
    struct load_options options;
    struct runtime *runtime;
    struct actor_id crowd;
    struct url url;
    struct device_config device;
    struct person *people;
    struct load_counters counters;
    char failure[LOAD_FAILURE_BYTES];

    _Atomic bool answering; /* closed loop: who gets a message sends one back */
    _Atomic bool recording; /* latencies, into: */
    struct histogram latency;
    struct histogram taken;      /* load_take_latency's */
    int (*watch)(void *context); /* called while something is waited for; negative: stop */
    void *watch_context;
    _Atomic bool is_taken;

    /* The shard's own from here. */
    unsigned connect_next, connect_end; /* whoever comes online lets the next one connect */
    struct door door;                   /* through which people connect */
    struct calendar calendar;           /* of what is not soon */
    uint32_t find_first;                /* of the `discover` that is under way */
    uint8_t cluster_key[CERTIFICATE_KEY_BYTES];
    bool cluster_key_known;
    uint32_t run; /* makes the ids of this run its own */
    uint8_t *body;
};

/* --- the main thread: 0, or negative after it has said on standard error what went wrong --- */

int load_start(struct load *load, const struct load_options *options);
void load_stop(struct load *load);

/* People [first, first + count) come online, `at_once` of them at a time. */
int load_login(struct load *load, unsigned first, unsigned count, unsigned at_once);
/* Learns the user ids of people who aren't online, by their phone numbers, through person 0. */
int load_find(struct load *load, unsigned first, unsigned count);
/* `from` sends `count` messages to `to`; `scheduled_ns` is when the first was due, 0: now. */
void load_send(struct load *load, unsigned from, unsigned to, unsigned count,
               uint64_t scheduled_ns);
/* Until the counter has this value. A run that stands still for half a minute has failed. */
int load_wait(struct load *load, const _Atomic uint64_t *counter, uint64_t value);
/* They lose their connection (and come back by themselves, with `reconnect`); they go away; they
 * come back. */
void load_cut(struct load *load, unsigned person);
void load_leave(struct load *load, unsigned person);
void load_return(struct load *load, unsigned person);
/* What was recorded since the last time, into load->taken. 0, or negative. */
int load_take_latency(struct load *load);
/* Lets the closed loop run out: all that was sent is accepted, and delivered once. */
int load_settle(struct load *load);
/* Has anything failed? Says what. */
int load_check(struct load *load);

/* --- the shard (person.c) --- */

extern const struct supervisor_spec load_tree;

enum {
    PERSON_CONNECT = ACTOR_KIND_FIRST,
    PERSON_TICK,
    PERSON_SEND,
    PERSON_FIND,
    PERSON_LEAVE,
    PERSON_CUT,
    PERSON_INVITED, /* by who has left the door */
};
enum { CROWD_TAKE = ACTOR_KIND_FIRST, CROWD_WAKE };

struct person_send {
    uint64_t scheduled_ns;
    uint32_t to, count;
};
#define PERSON_FIND_MAX 50 /* what a node lets one `discover` ask for */
struct person_find {
    uint32_t first, count;
};

void person_device_config(struct device_config *config);

#endif
