/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the flight recorder from outside its shard. */
#include "runtime/recorder.h"

#include "runtime/scheduler_internal.h"

#include <string.h>

unsigned recorder_copy(const struct recorder *recorder, struct recorder_slot slots[RECORDER_EVENTS],
                       uint64_t *first) {
    /* Pairs with the release of the count in recorder_note: notes below it are whole. */
    uint64_t end = __atomic_load_n(&recorder->count, __ATOMIC_ACQUIRE);
    uint64_t begin = end > RECORDER_EVENTS ? end - RECORDER_EVENTS : 0;
    unsigned count = (unsigned)(end - begin);
    for (unsigned i = 0; i < count; i++) {
        const struct recorder_slot *slot = &recorder->slots[(begin + i) & (RECORDER_EVENTS - 1)];
        /* Pair with the releases of the words in recorder_note: who sees a newer note's word sees,
         * below, the count that came before it. */
        slots[i].actor = __atomic_load_n(&slot->actor, __ATOMIC_ACQUIRE);
        slots[i].what = __atomic_load_n(&slot->what, __ATOMIC_ACQUIRE);
    }
    /* Pairs with the release of the count. Note number `now` may be half written, over number now -
     * RECORDER_EVENTS. */
    uint64_t now = __atomic_load_n(&recorder->count, __ATOMIC_ACQUIRE);
    uint64_t whole = now >= RECORDER_EVENTS ? now - RECORDER_EVENTS + 1 : 0;
    unsigned lost = whole > begin ? (unsigned)(whole - begin) : 0;
    if (lost > count)
        lost = count;
    memmove(slots, slots + lost, (count - lost) * sizeof slots[0]);
    *first = begin + lost;
    return count - lost;
}

const char *recorder_event_name(unsigned event) {
    static const char *const names[] = {
        [RECORDER_MESSAGE] = "message",
        [RECORDER_SPAWN] = "spawn",
        [RECORDER_EXIT] = "exit",
        [RECORDER_FAIL] = "fail",
        [RECORDER_SOCKET_OPEN] = "socket open",
        [RECORDER_SOCKET_CLOSE] = "socket close",
    };
    return event < sizeof names / sizeof names[0] ? names[event] : "?";
}

/* A class's index is its own shard's; entries never move. */
static void name(const struct shard *shard, uint64_t what, struct recorder_entry *entry) {
    /* Pairs with the release in classes_enter. */
    uint32_t count = __atomic_load_n(&shard->classes.count, __ATOMIC_ACQUIRE);
    uint32_t index = (uint32_t)(what >> 24 & 0xff), kind = (uint32_t)(what & 0xffff);
    if (!entry->actor.bits || index >= count)
        return;
    const struct actor_class *class = shard->classes.entries[index]->class;
    entry->class = class->name;
    if (entry->event == RECORDER_MESSAGE && kind < class->handler_count)
        entry->kind = class->handlers[kind].name;
}

unsigned recorder_read(struct runtime *runtime, unsigned index,
                       struct recorder_entry entries[RECORDER_EVENTS]) {
    struct recorder_slot slots[RECORDER_EVENTS];
    uint64_t first;
    CHECK(index < runtime->shard_count);
    const struct shard *shard = runtime->shards[index];
    unsigned count = recorder_copy(&shard->recorder, slots, &first);
    for (unsigned i = 0; i < count; i++) {
        entries[i] = (struct recorder_entry){
            .number = first + i,
            .actor = {slots[i].actor},
            .at_ms = (uint32_t)(slots[i].what >> 32),
            .detail = recorder_detail_of(slots[i].what),
            .event = (uint8_t)recorder_event_of(slots[i].what),
        };
        name(shard, slots[i].what, &entries[i]);
    }
    return count;
}
