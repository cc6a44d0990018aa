/* SPDX-License-Identifier: Apache-2.0 */
/* The flight recorder: what it holds, in which order, and that it can be read while it is written.
 */
#include "tests/unit/runtime/fixture.h"

#include "runtime/recorder.h"

#include <pthread.h>
#include <string.h>

enum { NUMBER = ACTOR_KIND_FIRST, END, FAIL };

static void on_number(void *state, struct message **message) {
}
static void on_end(void *state, struct message **message) {
    actor_stop(7);
}
static void on_fail(void *state, struct message **message) {
    actor_fail(-9, "told to");
}
static const struct actor_handler handlers[] = {
    [NUMBER] = {"number", on_number}, [END] = {"end", on_end}, [FAIL] = {"fail", on_fail}};
static const struct actor_class noted = {
    .name = "noted", .handlers = handlers, .handler_count = FAIL + 1, .mailbox_messages_max = 4096};

static struct recorder_entry entries[RECORDER_EVENTS];

static void assert_entry(const struct recorder_entry *entry, unsigned event, int32_t detail,
                         struct actor_id actor, const char *kind) {
    assert_int_equal(entry->event, event);
    assert_int_equal(entry->detail, detail);
    assert_int_equal(entry->actor.bits, actor.bits);
    assert_string_equal(entry->class, "noted");
    if (kind)
        assert_string_equal(entry->kind, kind);
    else
        assert_null(entry->kind);
}

static void it_notes_spawn_messages_failure_and_end_in_order(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct actor_id first, second;
    assert_int_equal(actor_spawn(&noted, NULL, ACTOR_NOBODY, &first), 0);
    assert_int_equal(actor_spawn(&noted, NULL, ACTOR_NOBODY, &second), 0);
    fixture_send(first, NUMBER, 1);
    fixture_send(first, END, 2);
    fixture_run(runtime);
    fixture_advance_ms(5);
    fixture_send(second, FAIL, 3);
    fixture_run(runtime);
    assert_int_equal(recorder_read(runtime, 0, entries), 8);
    assert_entry(&entries[0], RECORDER_SPAWN, 0, first, NULL);
    assert_entry(&entries[1], RECORDER_SPAWN, 0, second, NULL);
    assert_entry(&entries[2], RECORDER_MESSAGE, NUMBER, first, "number");
    assert_entry(&entries[3], RECORDER_MESSAGE, END, first, "end");
    assert_entry(&entries[4], RECORDER_EXIT, 7, first, NULL);
    assert_entry(&entries[5], RECORDER_MESSAGE, FAIL, second, "fail");
    assert_entry(&entries[6], RECORDER_FAIL, -9, second, NULL);
    assert_entry(&entries[7], RECORDER_EXIT, -9, second, NULL);
    assert_true(entries[5].at_ms - entries[4].at_ms >= 5);
    assert_string_equal(recorder_event_name(entries[7].event), "exit");
    fixture_destroy(runtime);
}

static void the_oldest_go_and_the_newest_are_whole(void **state) {
    struct runtime *runtime = fixture_create(1);
    struct actor_id id;
    assert_int_equal(actor_spawn(&noted, NULL, ACTOR_NOBODY, &id), 0);
    for (unsigned i = 0; i < 1000; i++)
        fixture_send(id, NUMBER, i);
    fixture_run(runtime);
    unsigned count = recorder_read(runtime, 0, entries);
    assert_int_equal(count, RECORDER_EVENTS - 1);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(entries[i].number, 1001 - count + i);
        assert_entry(&entries[i], RECORDER_MESSAGE, NUMBER, id, "number");
    }
    fixture_destroy(runtime);
}

/* --- read while it is written
 * --------------------------------------------------------------------------- */

#define NOTES 2000000u
static struct recorder recorder;

/* Both words of a note say which it is. */
static void *write_notes(void *argument) {
    for (uint64_t i = 0; i < NOTES; i++)
        recorder_note(&recorder, i, ~i);
    return NULL;
}

static void a_reader_never_sees_a_torn_note(void **state) {
    static struct recorder_slot slots[RECORDER_EVENTS];
    pthread_t writer;
    uint64_t first = 0, last = 0;
    assert_int_equal(pthread_create(&writer, NULL, write_notes, NULL), 0);
    while (last < NOTES) {
        unsigned count = recorder_copy(&recorder, slots, &first);
        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(slots[i].actor, first + i);
            assert_int_equal(slots[i].what, ~(first + i));
        }
        if (count)
            last = first + count;
    }
    pthread_join(writer, NULL);
    assert_int_equal(last, NOTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_notes_spawn_messages_failure_and_end_in_order),
        cmocka_unit_test(the_oldest_go_and_the_newest_are_whole),
        cmocka_unit_test(a_reader_never_sees_a_torn_note),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
