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

/* How it is woken. */
enum person_wake { PERSON_SLEEPS, PERSON_BY_TIMER, PERSON_BY_CALENDAR };

struct person_actor {
    uint32_t index;
    bool sending : 1, counted : 1, online : 1, away : 1, finding : 1;
    bool port_taken : 1;                 /* its own: the kernel chooses one */
    bool has_sent : 1, has_received : 1; /* one at least: accepted by the node; shown here */
    uint8_t place;                       /* enum person_place */
    uint8_t wake;                        /* enum person_wake */
    struct device *device;
    struct outgoing *outbox; /* by number, options.outbox_messages of them; NULL: none is open */
    struct unread *unread;   /* mail that will be read; NULL: none */
    struct socket_id socket;
    struct actor_timer timer;
    uint64_t wake_ms;         /* unless it sleeps */
    uint64_t online_since_ns; /* latency is of mail that did not wait for this person */
};
_Static_assert(sizeof(struct person_actor) == 64, "there are millions of them");

static inline struct load *load_current(void) {
    return actor_context();
}

static inline struct person *person_of(const struct person_actor *self) {
    return &load_current()->people[self->index];
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
