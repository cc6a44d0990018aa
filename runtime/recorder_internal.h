/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder's ring, as its shard writes it.
 *
 * One writer, any number of readers. All stores are releases, which cost nothing on x86: the
 * words of note n + RECORDER_EVENTS come after the count of n + RECORDER_EVENTS, so a reader that
 * saw one of them (acquire) and then reads the count knows that note n is gone.
 */
#ifndef TERN_RUNTIME_RECORDER_INTERNAL_H
#define TERN_RUNTIME_RECORDER_INTERNAL_H

#include "runtime/recorder.h"

struct recorder_slot {
    uint64_t actor;
    uint64_t what; /* at_ms << 32 | class's index << 24 | event << 16 | detail */
};
struct recorder {
    uint64_t count; /* of notes so far; pairs with recorder_copy */
    struct recorder_slot slots[RECORDER_EVENTS];
};

/* All but the detail of a note. */
static inline uint64_t recorder_what(uint64_t now_ms, uint32_t class, enum recorder_event event) {
    return now_ms << 32 | (uint64_t)(class & 0xff) << 24 | (uint64_t)event << 16;
}

static inline void recorder_note(struct recorder *recorder, uint64_t actor, uint64_t what) {
    uint64_t number = recorder->count;
    /* Pair with the acquires in recorder_copy, recorder_last and the watchdog's report. */
    struct recorder_slot *slot = &recorder->slots[number & (RECORDER_EVENTS - 1)];
    __atomic_store_n(&slot->actor, actor, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->what, what, __ATOMIC_RELEASE);
    __atomic_store_n(&recorder->count, number + 1, __ATOMIC_RELEASE);
}

/* The last note's word; 0: there is none. Any thread. */
static inline uint64_t recorder_last(const struct recorder *recorder, uint64_t count) {
    return count ? __atomic_load_n(&recorder->slots[(count - 1) & (RECORDER_EVENTS - 1)].what,
                                   __ATOMIC_ACQUIRE)
                 : 0;
}
static inline enum recorder_event recorder_event_of(uint64_t what) {
    return (enum recorder_event)(what >> 16 & 0xff);
}

/* A kind as it was sent; a reason with its sign. */
static inline int32_t recorder_detail_of(uint64_t what) {
    return recorder_event_of(what) == RECORDER_MESSAGE ? (uint16_t)what : (int16_t)what;
}

/* Copies what is there, oldest first; `*first` is the number of the first. Returns how many. Any
 * thread; async-signal-safe. */
unsigned recorder_copy(const struct recorder *recorder, struct recorder_slot slots[RECORDER_EVENTS],
                       uint64_t *first);

#endif
