/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Future events are in a binary heap by time; at equal times by the order in which they were added,
 * so that nothing depends on the heap's shape.
 */
#include "bench/model.h"

#include "runtime/check.h"

#include <stdlib.h>
#include <string.h>

#define CONTACTS_MIN 2u
#define CONTACTS_MAX 200u
#define TURNS_MEAN 6u
#define TURN_GAP_NS 4000000000ull
#define AWAY_NS 10000000000ull
#define VISIT_NS 60000000000ull
#define PICKS_MAX 8 /* tries to find somebody who is there */

enum future_kind {
    FUTURE_START,
    FUTURE_TURN,
    FUTURE_GONE,
    FUTURE_BACK,
    FUTURE_VISIT,
    FUTURE_VISIT_ENDS,
    FUTURE_VISIT_CUT
};

struct future {
    uint64_t at_ns, order;
    uint32_t person, other;
    enum future_kind kind;
};

struct model {
    struct model_options options;
    uint64_t random, order, skipped;
    uint64_t start_gap_ns, leave_gap_ns, visit_gap_ns; /* means; 0: never */
    uint8_t *away;                                     /* a bit per person */
    struct future *heap;
    uint32_t count, capacity, conversations;
};

/* --- randomness: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators)
 */

static uint64_t mix(uint64_t value) {
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ value >> 27) * 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

static uint64_t draw(struct model *model) {
    return mix(model->random += 0x9e3779b97f4a7c15ull);
}

/* 0 to below - 1 (Lemire's multiplication, its bias is below 2^-32). */
static uint32_t below(uint64_t random, uint32_t below) {
    return (uint32_t)((random >> 32) * below >> 32);
}

/* -ln(x / 2^32) in units of 2^-16, by the binary logarithm bit by bit: integers only, so that each
 * machine draws the same (Knuth, TAOCP 1, 1.2.2, exercise 25). */
static uint64_t minus_log(uint32_t x) {
    uint64_t value = (uint64_t)x + 1; /* 1 to 2^32 */
    unsigned bits = 63u - (unsigned)__builtin_clzll(value);
    uint64_t fraction = value << (31 - (bits < 32 ? bits : 31)) & 0xffffffffu;
    uint64_t log2 = (uint64_t)bits << 16;
    if (bits == 32)
        return 0;
    for (unsigned bit = 1u << 15; bit > 0; bit >>= 1) {
        fraction = fraction * fraction >> 31;
        if (fraction >> 32) {
            log2 |= bit;
            fraction >>= 1;
        }
    }
    return (((uint64_t)32 << 16) - log2) * 45426 >> 16; /* ln 2 = 45426 / 65536 */
}

static uint64_t exponential(struct model *model, uint64_t mean_ns) {
    uint64_t factor = minus_log((uint32_t)(draw(model) >> 32));
    return (mean_ns >> 16) * factor + ((mean_ns & 0xffff) * factor >> 16);
}

/* --- the heap --- */

static bool is_before(const struct future *left, const struct future *right) {
    return left->at_ns != right->at_ns ? left->at_ns < right->at_ns : left->order < right->order;
}

static void swap(struct future *left, struct future *right) {
    struct future kept = *left;
    *left = *right;
    *right = kept;
}

static void add(struct model *model, enum future_kind kind, uint64_t at_ns, uint32_t person,
                uint32_t other) {
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? model->capacity * 2 : 1024;
        model->heap = realloc(model->heap, model->capacity * sizeof *model->heap);
        CHECK(model->heap != NULL);
    }
    uint32_t at = model->count++;
    model->heap[at] = (struct future){at_ns, model->order++, person, other, kind};
    for (; at > 0 && is_before(&model->heap[at], &model->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&model->heap[at], &model->heap[(at - 1) / 2]);
}

static struct future take(struct model *model) {
    struct future first = model->heap[0];
    uint32_t at = 0, least;
    model->heap[0] = model->heap[--model->count];
    for (;; at = least) {
        uint32_t left = 2 * at + 1;
        least = at;
        for (uint32_t child = left; child < left + 2 && child < model->count; child++)
            if (is_before(&model->heap[child], &model->heap[least]))
                least = child;
        if (least == at)
            return first;
        swap(&model->heap[at], &model->heap[least]);
    }
}

/* --- people --- */

bool model_is_away(const struct model *model, uint32_t person) {
    return model->away[person / 8] >> person % 8 & 1;
}

static void set_away(struct model *model, uint32_t person, bool away) {
    uint8_t bit = (uint8_t)(1u << person % 8);
    model->away[person / 8] =
        (uint8_t)(away ? model->away[person / 8] | bit : model->away[person / 8] & ~bit);
}

/* Pareto with exponent 1 from CONTACTS_MIN: CONTACTS_MIN / u. */
uint32_t model_contact_count(const struct model *model, uint32_t person) {
    uint64_t u = (mix(model->options.seed ^ mix(person + 1)) >> 32) + 1; /* of 2^32 */
    uint64_t count = ((uint64_t)CONTACTS_MIN << 32) / u;
    uint64_t others = model->options.people - 1;
    count = count < CONTACTS_MAX ? count : CONTACTS_MAX;
    return (uint32_t)(count < others ? count : others);
}

uint32_t model_contact(const struct model *model, uint32_t person, uint32_t k) {
    uint64_t random = mix(mix(model->options.seed + k) ^ ((uint64_t)person << 20 | k));
    uint32_t other = below(random, model->options.people - 1);
    return other < person ? other : other + 1;
}

/* The first contacts most: the square of an even draw. */
static uint32_t choose_contact(struct model *model, uint32_t person) {
    uint64_t u = draw(model) >> 32;
    return model_contact(model, person, below(u * u, model_contact_count(model, person)));
}

/* Somebody who is there, or away; false: nobody was found. */
static bool choose_person(struct model *model, bool away, uint32_t *person) {
    for (unsigned i = 0; i < PICKS_MAX; i++) {
        *person = below(draw(model), model->options.people);
        if (model_is_away(model, *person) == away)
            return true;
    }
    return false;
}

/* --- events --- */

/* The first message of a new conversation. */
static bool start(struct model *model, const struct future *now, struct model_event *event) {
    add(model, FUTURE_START, now->at_ns + exponential(model, model->start_gap_ns), 0, 0);
    if (!choose_person(model, false, &event->person) ||
        model->conversations == MODEL_CONVERSATIONS_MAX) {
        model->skipped++;
        return false;
    }
    event->what = MODEL_SEND;
    event->other = choose_contact(model, event->person);
    return true;
}

/* After each message, an answer by the other with a chance of 1 - 1 / TURNS_MEAN. */
static void go_on(struct model *model, const struct model_event *event) {
    if (below(draw(model), TURNS_MEAN) == 0)
        return;
    model->conversations++;
    add(model, FUTURE_TURN, event->at_ns + exponential(model, TURN_GAP_NS), event->other,
        event->person);
}

static bool leave(struct model *model, const struct future *now, struct model_event *event) {
    add(model, FUTURE_GONE, now->at_ns + exponential(model, model->leave_gap_ns), 0, 0);
    if (!choose_person(model, false, &event->person)) {
        model->skipped++;
        return false;
    }
    event->what = draw(model) >> 63 ? MODEL_CUT : MODEL_LEAVE;
    if (event->what == MODEL_LEAVE) {
        set_away(model, event->person, true);
        add(model, FUTURE_BACK, now->at_ns + exponential(model, AWAY_NS), event->person, 0);
    }
    return true;
}

/* Somebody looks in, and may have something to say. */
static bool visit(struct model *model, const struct future *now, struct model_event *event) {
    add(model, FUTURE_VISIT, now->at_ns + exponential(model, model->visit_gap_ns), 0, 0);
    if (!choose_person(model, true, &event->person)) {
        model->skipped++;
        return false;
    }
    uint32_t person = event->person;
    event->what = MODEL_RETURN;
    set_away(model, person, false);
    add(model, FUTURE_VISIT_ENDS, now->at_ns + exponential(model, VISIT_NS), person, 0);
    if (below(draw(model), 1000) < model->options.visits_cut_permille)
        add(model, FUTURE_VISIT_CUT, now->at_ns + exponential(model, VISIT_NS / 4), person, 0);
    if (below(draw(model), 100) < model->options.visits_write_percent &&
        model->conversations < MODEL_CONVERSATIONS_MAX) {
        model->conversations++;
        add(model, FUTURE_TURN, now->at_ns + exponential(model, TURN_GAP_NS), person,
            choose_contact(model, person));
    }
    return true;
}

/* False: this one comes to nothing. */
static bool happen(struct model *model, const struct future *now, struct model_event *event) {
    *event = (struct model_event){.at_ns = now->at_ns, .person = now->person, .other = now->other};
    switch (now->kind) {
    case FUTURE_START:
        if (!start(model, now, event))
            return false;
        break;
    case FUTURE_TURN:
        model->conversations--;
        if (model_is_away(model, event->person))
            return false;
        event->what = MODEL_SEND;
        break;
    case FUTURE_GONE:
        return leave(model, now, event);
    case FUTURE_BACK:
        set_away(model, event->person, false);
        event->what = MODEL_RETURN;
        return true;
    case FUTURE_VISIT:
        return visit(model, now, event);
    case FUTURE_VISIT_ENDS:
        set_away(model, event->person, true);
        event->what = MODEL_LEAVE;
        return true;
    case FUTURE_VISIT_CUT:
        event->what = MODEL_CUT;
        return !model_is_away(model, event->person);
    }
    go_on(model, event);
    return true;
}

uint64_t model_next_ns(const struct model *model) {
    return model->count > 0 ? model->heap[0].at_ns : UINT64_MAX;
}

bool model_next(struct model *model, struct model_event *event) {
    while (model->count > 0) {
        struct future now = take(model);
        if (happen(model, &now, event))
            return true;
    }
    return false;
}

uint64_t model_skipped(const struct model *model) {
    return model->skipped;
}

/* As many conversations are under way as in the long run, so that the rate is there at once. */
static void fill(struct model *model) {
    double open = model->options.messages_per_s * (TURN_GAP_NS / 1e9);
    uint64_t count = (uint64_t)(open * (TURNS_MEAN - 1) / TURNS_MEAN);
    if (count > MODEL_CONVERSATIONS_MAX / 2)
        count = MODEL_CONVERSATIONS_MAX / 2;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t person = below(draw(model), model->options.people);
        model->conversations++;
        add(model, FUTURE_TURN, exponential(model, TURN_GAP_NS), person,
            choose_contact(model, person));
    }
}

struct model *model_create(const struct model_options *options) {
    CHECK(options->people >= 2);
    CHECK(options->visitors == 0 || (options->messages_per_s <= 0 && options->leaves_per_s <= 0 &&
                                     options->visitors < options->people / 2));
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return NULL;
    model->options = *options;
    model->random = mix(options->seed);
    model->away = malloc(options->people / 8 + 1);
    if (model->away == NULL) {
        free(model);
        return NULL;
    }
    memset(model->away, options->visitors > 0 ? 0xff : 0, options->people / 8 + 1);
    if (options->messages_per_s > 0) {
        model->start_gap_ns = (uint64_t)(1e9 * TURNS_MEAN / options->messages_per_s);
        add(model, FUTURE_START, exponential(model, model->start_gap_ns), 0, 0);
        fill(model);
    }
    if (options->leaves_per_s > 0) {
        model->leave_gap_ns = (uint64_t)(1e9 / options->leaves_per_s);
        add(model, FUTURE_GONE, exponential(model, model->leave_gap_ns), 0, 0);
    }
    if (options->visitors > 0) {
        model->visit_gap_ns = VISIT_NS / options->visitors;
        add(model, FUTURE_VISIT, exponential(model, model->visit_gap_ns), 0, 0);
    }
    return model;
}

void model_destroy(struct model *model) {
    if (model == NULL)
        return;
    free(model->heap);
    free(model->away);
    free(model);
}
