/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network: one link between a device and a node. The test is both: it is the device's
 * link_user, and in the place of a shard it reads and sends on the node's end.
 */
#include "tools/sim/network.h"

#include "tools/sim/world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LATENCY_NS 10000000u
#define BYTES_MAX (2 * FLOW_BYTES_MAX)

struct device_heard { /* what the device has heard */
    unsigned connected, writable, ended;
    int connect_error, end_error;
    uint64_t heard_ns;
    uint8_t bytes[BYTES_MAX];
    size_t length;
};

struct scene {
    struct world world;
    struct path path;
    struct link *link;
    struct device_heard device;
    uint8_t bytes[BYTES_MAX]; /* what the node has read */
    size_t length;
    int something; /* a runtime's address: the node is up */
};

static struct scene scene;

static void on_connected(void *user, struct link *link, int error) {
    scene.device.connected++;
    scene.device.connect_error = error;
}
static void on_received(void *user, struct link *link, uint8_t *bytes, size_t length) {
    assert_int_equal(scene.device.ended, 0);
    assert_true(scene.device.length + length <= BYTES_MAX);
    memcpy(scene.device.bytes + scene.device.length, bytes, length);
    scene.device.length += length;
    scene.device.heard_ns = scene.world.now_ns;
}
static void on_writable(void *user, struct link *link) {
    scene.device.writable++;
}
static void on_ended(void *user, struct link *link, int error) {
    scene.device.ended++;
    scene.device.end_error = error;
    scene.device.heard_ns = scene.world.now_ns;
}
static const struct link_user user = {on_connected, on_received, on_writable, on_ended};

/* All that is due until then, in order. */
static void run_until(uint64_t end_ns) {
    struct world *world = &scene.world;
    while (agenda_next_ns(&world->agenda) <= end_ns) {
        struct agenda_entry entry = agenda_take(&world->agenda);
        if (entry.at_ns > world->now_ns)
            world->now_ns = entry.at_ns;
        entry.call(world, entry.subject, entry.token);
    }
    world->now_ns = end_ns;
}

static void run_ms(uint64_t ms) {
    run_until(scene.world.now_ns + ms * 1000000);
}

static void begin(uint64_t seed, bool up) {
    struct world *world = &scene.world;
    memset(&scene, 0, sizeof scene);
    random_init(&world->random_network, seed, 1);
    journal_init(&world->journal, seed, false);
    world->faults.due_first = UINT64_MAX;
    network_init(&world->network, world);
    world->node_count = 1;
    world->nodes[0].world = world;
    world->nodes[0].runtime = up ? (struct runtime *)&scene.something : NULL;
    scene.path = (struct path){.calls = &user, .latency_ns = LATENCY_NS};
    scene.link = link_connect(&world->network, &scene.path, &world->nodes[0]);
}

/* ... accepted, as a reactor would. */
static void begin_open(uint64_t seed) {
    begin(seed, true);
    run_ms(100);
    assert_int_equal(scene.device.connected, 1);
    assert_ptr_equal(network_backlog(&scene.world.network, &scene.world.nodes[0]), scene.link);
    scene.link->state = LINK_OPEN;
}

static void end(void) {
    network_finish(&scene.world.network);
    agenda_finish(&scene.world.agenda);
}

static void node_reads(void) {
    struct flow *flow = &scene.link->up;
    size_t length = flow->arrived - flow->begin;
    assert_true(scene.length + length <= BYTES_MAX);
    if (length) /* else `bytes` may be NULL */
        memcpy(scene.bytes + scene.length, flow->bytes + flow->begin, length);
    scene.length += length;
    network_read_up(&scene.world, scene.link, length);
}

static uint8_t pattern(size_t at) {
    return (uint8_t)(at * 7 + at / 251);
}

static void assert_pattern(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], pattern(i));
}

static const uint8_t *pattern_bytes(void) {
    static uint8_t bytes[BYTES_MAX];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i);
    return bytes;
}

static void connecting_takes_the_way_there_and_back(void **state) {
    begin(1, true);
    run_until(2 * LATENCY_NS - 1);
    assert_int_equal(scene.device.connected, 0);
    run_until(4 * LATENCY_NS);
    assert_int_equal(scene.device.connected, 1);
    assert_int_equal(scene.device.connect_error, 0);
    assert_int_equal(scene.link->state, LINK_BACKLOG);
    end();
}

static void node_that_is_down_refuses(void **state) {
    begin(1, false);
    run_ms(100);
    assert_int_equal(scene.device.connected, 1);
    assert_int_equal(scene.device.connect_error, -ECONNREFUSED);
    assert_null(network_backlog(&scene.world.network, &scene.world.nodes[0]));
    end();
}

/* However they are cut and delayed. */
static void bytes_arrive_whole_and_in_order_both_ways(void **state) {
    const uint8_t *bytes = pattern_bytes();
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct random random;
        size_t up = 0, down = 0;
        begin_open(seed);
        random_init(&random, seed, 2);
        while (up < 50000 || down < 50000) {
            size_t length = 1 + random_below(&random, 3000);
            if (random_permille(&random, 500))
                up += link_write(&scene.world, scene.link, bytes + up, length);
            else
                down += network_send_down(&scene.world, scene.link, bytes + down, length);
            run_ms(random_below(&random, 8));
            node_reads();
        }
        run_ms(1000);
        node_reads();
        assert_int_equal(scene.length, up);
        assert_int_equal(scene.device.length, down);
        assert_pattern(scene.bytes, up);
        assert_pattern(scene.device.bytes, down);
        end();
    }
}

static void bytes_take_time(void **state) {
    begin_open(2);
    uint64_t sent_ns = scene.world.now_ns;
    network_send_down(&scene.world, scene.link, pattern_bytes(), 100);
    run_ms(1000);
    assert_int_equal(scene.device.length, 100);
    assert_in_range(scene.device.heard_ns - sent_ns, LATENCY_NS, 4 * LATENCY_NS);
    end();
}

static void delay_fault_holds_bytes_back_but_never_reorders(void **state) {
    begin_open(3);
    struct fault_rates rates = {{0}};
    rates.millionths[FAULT_DELAY] = 300000000; /* about every third */
    faults_init(&scene.world.faults, &rates, 1, 10);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(link_write(&scene.world, scene.link, pattern_bytes() + i * 10, 10), 10);
        scene.world.events++;
        run_ms(1);
    }
    run_ms(60000);
    node_reads();
    assert_true(scene.world.faults.fired[FAULT_DELAY] > 20);
    assert_int_equal(scene.length, 2000);
    assert_pattern(scene.bytes, 2000);
    end();
}

static void nothing_overtakes_what_is_delayed(void **state) {
    begin_open(13);
    struct fault_rates rates = {{0}};
    rates.millionths[FAULT_DELAY] = 1;
    faults_init(&scene.world.faults, &rates, 1, 10);
    scene.world.events = scene.world.faults.due[FAULT_DELAY];
    link_write(&scene.world, scene.link, pattern_bytes(), 10);
    uint64_t due_ns = scene.link->up.last_ns;
    assert_true(due_ns > scene.world.now_ns + 5 * LATENCY_NS);
    link_write(&scene.world, scene.link, pattern_bytes() + 10, 10);
    run_until(due_ns - 1);
    assert_int_equal(scene.link->up.arrived, 0);
    run_ms(100);
    assert_int_equal(scene.link->up.arrived, 20);
    end();
}

static void cut_holds_one_direction_and_loses_nothing(void **state) {
    begin_open(4);
    scene.path.up_ns = scene.world.now_ns + 1000000000;
    link_write(&scene.world, scene.link, pattern_bytes(), 1000);
    network_send_down(&scene.world, scene.link, pattern_bytes(), 500);
    run_ms(900);
    node_reads();
    assert_int_equal(scene.length, 0);
    assert_int_equal(scene.device.length, 500);
    run_ms(200);
    node_reads();
    assert_int_equal(scene.length, 1000);
    assert_pattern(scene.bytes, 1000);
    end();
}

static void slow_reader_gets_all_when_it_reads_again(void **state) {
    begin_open(5);
    scene.path.reads_ns = UINT64_MAX;
    network_send_down(&scene.world, scene.link, pattern_bytes(), 700);
    network_end_down(&scene.world, scene.link, false);
    run_ms(10000);
    assert_int_equal(scene.device.length, 0);
    assert_int_equal(scene.device.ended, 0);
    scene.path.reads_ns = 0;
    network_read_again(&scene.world, &scene.path);
    assert_int_equal(scene.device.length, 700);
    assert_int_equal(scene.device.ended, 1);
    assert_int_equal(scene.device.end_error, 0);
    end();
}

static void flow_is_bounded_and_its_writer_hears_of_room(void **state) {
    const uint8_t *bytes = pattern_bytes();
    begin_open(6);
    size_t taken = link_write(&scene.world, scene.link, bytes, BYTES_MAX);
    assert_int_equal(taken, FLOW_BYTES_MAX);
    assert_int_equal(link_write(&scene.world, scene.link, bytes + taken, 1), 0);
    run_ms(1000);
    assert_int_equal(scene.device.writable, 0);
    node_reads();
    assert_int_equal(scene.device.writable, 1);
    taken += link_write(&scene.world, scene.link, bytes + taken, BYTES_MAX - taken);
    run_ms(1000);
    node_reads();
    assert_int_equal(taken, BYTES_MAX);
    assert_int_equal(scene.length, BYTES_MAX);
    assert_pattern(scene.bytes, BYTES_MAX);
    end();
}

static void end_in_order_comes_behind_what_was_written(void **state) {
    begin_open(7);
    network_send_down(&scene.world, scene.link, pattern_bytes(), 5000);
    network_end_down(&scene.world, scene.link, false);
    link_write(&scene.world, scene.link, pattern_bytes(), 3000);
    run_ms(1000);
    assert_int_equal(scene.device.length, 5000);
    assert_int_equal(scene.device.ended, 1);
    assert_int_equal(scene.device.end_error, 0);
    link_close(&scene.world, scene.link, false);
    run_ms(1000);
    node_reads();
    assert_int_equal(scene.length, 3000);
    assert_true(scene.link->up.ended);
    assert_int_equal(scene.link->up.error, 0);
    end();
}

static void reset_loses_what_is_under_way(void **state) {
    begin_open(8);
    network_send_down(&scene.world, scene.link, pattern_bytes(), 5000);
    link_write(&scene.world, scene.link, pattern_bytes(), 5000);
    link_break(&scene.world, scene.link);
    run_ms(1000);
    node_reads();
    assert_int_equal(scene.device.length, 0);
    assert_int_equal(scene.device.ended, 1);
    assert_int_equal(scene.device.end_error, -ECONNRESET);
    assert_int_equal(scene.length, 0);
    assert_int_equal(scene.link->up.error, -ECONNRESET);
    end();
}

static void vanished_device_is_noticed_late_and_never_answers(void **state) {
    begin_open(9);
    network_send_down(&scene.world, scene.link, pattern_bytes(), 100);
    link_vanish(&scene.world, scene.link);
    network_send_down(&scene.world, scene.link, pattern_bytes(), 100);
    run_ms(4900);
    assert_false(scene.link->up.ended);
    run_ms(60000);
    assert_true(scene.link->up.ended);
    assert_int_equal(scene.link->up.error, -ETIMEDOUT);
    assert_int_equal(scene.device.length + scene.device.ended, 0);
    end();
}

static void killed_node_ends_its_connections_in_order(void **state) {
    begin_open(10);
    network_send_down(&scene.world, scene.link, pattern_bytes(), 100);
    network_node_gone(&scene.world, &scene.world.nodes[0], false);
    assert_int_equal(scene.link->state, LINK_CLOSED);
    run_ms(1000);
    assert_int_equal(scene.device.length, 100);
    assert_int_equal(scene.device.ended, 1);
    assert_int_equal(scene.device.end_error, 0);
    end();
}

static void bytes_for_a_connection_that_is_no_more_are_answered_with_a_reset(void **state) {
    begin_open(10);
    link_write(&scene.world, scene.link, pattern_bytes(), 100);
    scene.link->state = LINK_CLOSED;
    run_ms(1000);
    assert_int_equal(scene.device.ended, 1);
    assert_int_equal(scene.device.end_error, -ECONNRESET);
    end();
}

static void lost_machine_is_silent_until_it_is_back(void **state) {
    bool late = false;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        begin_open(seed);
        network_node_gone(&scene.world, &scene.world.nodes[0], true);
        run_ms(100);
        late |= scene.device.ended == 0;
        run_ms(6000);
        assert_int_equal(scene.device.ended, 1);
        assert_int_equal(scene.device.end_error, -ECONNRESET);
        end();
    }
    assert_true(late);
}

static void backlog_is_bounded(void **state) {
    static struct path paths[BACKLOG_MAX + 1];
    begin(11, true);
    for (unsigned i = 0; i < BACKLOG_MAX; i++) {
        paths[i] = scene.path;
        link_connect(&scene.world.network, &paths[i], &scene.world.nodes[0]);
    }
    run_ms(100);
    unsigned waiting = 0;
    for (uint32_t i = 0; i < scene.world.network.count; i++)
        waiting += scene.world.network.links[i]->state == LINK_BACKLOG;
    assert_int_equal(waiting, BACKLOG_MAX);
    assert_int_equal(scene.device.connected, BACKLOG_MAX + 1);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connecting_takes_the_way_there_and_back),
        cmocka_unit_test(node_that_is_down_refuses),
        cmocka_unit_test(bytes_arrive_whole_and_in_order_both_ways),
        cmocka_unit_test(bytes_take_time),
        cmocka_unit_test(delay_fault_holds_bytes_back_but_never_reorders),
        cmocka_unit_test(nothing_overtakes_what_is_delayed),
        cmocka_unit_test(cut_holds_one_direction_and_loses_nothing),
        cmocka_unit_test(slow_reader_gets_all_when_it_reads_again),
        cmocka_unit_test(flow_is_bounded_and_its_writer_hears_of_room),
        cmocka_unit_test(end_in_order_comes_behind_what_was_written),
        cmocka_unit_test(reset_loses_what_is_under_way),
        cmocka_unit_test(vanished_device_is_noticed_late_and_never_answers),
        cmocka_unit_test(killed_node_ends_its_connections_in_order),
        cmocka_unit_test(bytes_for_a_connection_that_is_no_more_are_answered_with_a_reset),
        cmocka_unit_test(lost_machine_is_silent_until_it_is_back),
        cmocka_unit_test(backlog_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
