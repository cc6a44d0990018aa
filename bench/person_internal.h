/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person's two halves: the connection (person.c) and the mail (person_mail.c). Both run on the
 * load's shard.
 */
#ifndef TERN_BENCH_PERSON_INTERNAL_H
#define TERN_BENCH_PERSON_INTERNAL_H

#include "bench/load.h"

struct outgoing; /* person_mail.c */

/* Where it stands at the load's door. */
enum person_place { PERSON_OUTSIDE, PERSON_IN_LINE, PERSON_INSIDE };

struct person_actor {
    struct person *person;
    struct device *device;
    struct outgoing *outbox; /* by number, options.outbox_messages of them; NULL: none is open */
    struct unread *unread;   /* mail that will be read; NULL: none */
    struct socket_id socket;
    struct actor_timer timer;
    uint64_t timer_ms;        /* when it fires */
    uint64_t online_since_ns; /* latency is of mail that did not wait for this person */
    bool sending, counted, online, away, finding;
    bool port_taken;     /* its own: the kernel chooses one */
    uint8_t place;       /* enum person_place */
    uint32_t find_first; /* of the `discover` that is under way */
};

static inline struct load *load_current(void) {
    return actor_context();
}

/* The shard is the only writer. */
static inline void tally_by(_Atomic uint64_t *counter, uint64_t by) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + by, memory_order_release);
}

static inline void tally(_Atomic uint64_t *counter) {
    tally_by(counter, 1);
}

/* Counts a failure of the run; the first one is what load_check tells. */
__attribute__((format(printf, 2, 3))) void person_failed(const struct person_actor *self,
                                                         const char *format, ...);

/* --- person_mail.c --- */

void person_on_send(void *state, struct message **message); /* PERSON_SEND */
/* Tells that mail was read that is due; returns when the next is, or DEVICE_NEVER. */
uint64_t person_read(struct person_actor *self, uint64_t now_ms);
void person_mail_free(struct person_actor *self);

/* Of struct device_storage and device_events. */
int person_outbox_read(void *context, uint64_t number, struct wire_send *send);
int person_mail(void *context, const struct wire_mail *mail);
int person_status(void *context, const struct wire_status *status);
void person_answered(void *context, uint64_t number, const struct wire_reply *reply,
                     const struct wire_sent_body *sent, const struct wire_stale_body *stale);

#endif
