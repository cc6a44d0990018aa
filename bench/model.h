/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of people: who writes to whom and when, who goes away and comes back. Seeded: the same
 * seed, numbers and times give the same events everywhere (integers only, no clock of its own).
 *
 * - Contacts: each person has 2 to 200 of them, most have few (Pareto, exponent 1), and writes to
 *   the first ones most. They follow from seed and person; nothing is kept.
 * - Conversations: start at random (exponential gaps), with a mean of 6 messages that go to and fro
 *   (geometric), some seconds apart (exponential, mean 4 s).
 * - Presence: people leave at a rate, and are back after a mean of 10 s; half of them lose their
 *   network, half put the phone away. Who is away neither begins nor goes on with a conversation;
 *   mail to them waits.
 *
 * - Visits, if `visitors` is not 0: everybody is away at first. People look in at random
 * (exponential gaps), each for a mean of a minute (exponential), so often that in the long run
 * `visitors` are there at a time. So many of a hundred visits begin with a conversation; no other
 * ones begin.
 *
 * Groups and presence join when the product has them.
 *
 * Not thread-safe. Bounds: MODEL_CONVERSATIONS_MAX at a time, what goes beyond is counted in
 * `skipped`; memory is some 24 B for each of them, and a bit per person.
 */
#ifndef TERN_BENCH_MODEL_H
#define TERN_BENCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_CONVERSATIONS_MAX (1u << 20)

struct model_options {
    uint64_t seed;
    uint32_t people;       /* at least 2 */
    double messages_per_s; /* in all; 0: nobody writes */
    double leaves_per_s;   /* in all; 0: nobody leaves */
    uint32_t visitors;     /* then both rates are 0; fewer than half of the people */
    unsigned visits_write_percent, visits_cut_permille;
};

enum model_what {
    MODEL_SEND,  /* `person` writes to `other` */
    MODEL_CUT,   /* the network of `person` fails; the device comes back by itself */
    MODEL_LEAVE, /* `person` puts the phone away */
    MODEL_RETURN,
};

struct model_event {
    uint64_t at_ns; /* since the model's begin */
    enum model_what what;
    uint32_t person, other;
};

struct model;

/* NULL: out of memory. */
struct model *model_create(const struct model_options *options);
void model_destroy(struct model *model);

/* When the next event is, in ns since the model's begin; UINT64_MAX: never. */
uint64_t model_next_ns(const struct model *model);
/* Takes the next event. False: there is none. Events come in the order of their times. */
bool model_next(struct model *model, struct model_event *event);

/* The k-th contact of a person, never the person itself, and how many there are. */
uint32_t model_contact(const struct model *model, uint32_t person, uint32_t k);
uint32_t model_contact_count(const struct model *model, uint32_t person);

bool model_is_away(const struct model *model, uint32_t person);
uint64_t model_skipped(const struct model *model);

#endif
