/* SPDX-License-Identifier: Apache-2.0 */
/* The command line's list of connections at which a message's cost is measured. */
#include "bench/options.h"

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define VALUES_MAX 8

/* Reads "tern-bench users --cost-at LIST" and up to two more words. */
static struct arguments read_cost_at(const char *list, const char *option, const char *value) {
    char *values[VALUES_MAX] = {(char *)"tern-bench", (char *)"users", (char *)"--cost-at",
                                (char *)list};
    int count = 4;
    struct arguments arguments;
    if (option != NULL) {
        values[count++] = (char *)option;
        values[count++] = (char *)value;
    }
    optind = 0; /* getopt begins anew */
    arguments_read(count, values, &arguments);
    return arguments;
}

static void list_of_connections_is_read(void **state) {
    struct arguments arguments = read_cost_at("2,1000,4000000", NULL, NULL);
    assert_int_equal(arguments.command, BENCH_USERS);
    assert_int_equal(arguments.bench.cost_at_count, 3);
    assert_int_equal(arguments.bench.cost_at[0], 2);
    assert_int_equal(arguments.bench.cost_at[1], 1000);
    assert_int_equal(arguments.bench.cost_at[2], 4000000);
    assert_int_equal(read_cost_at("1000", "--rate", "500").bench.cost_at_count, 1);
    assert_int_equal(read_cost_at("2,3,4,5,6,7,8,9", NULL, NULL).bench.cost_at_count, COST_AT_MAX);
}

static void what_is_no_ascending_list_is_refused(void **state) {
    static const char *const lists[] = {
        "",
        ",",
        "1",
        "1000,",
        ",1000",
        "1000,,2000",
        "1000,1000",
        "20,3",
        "10 ",
        "x",
        "4000001",
        "10;20",
        "2,3,4,5,6,7,8,9,10",
        "-5",
        "1000,1000000000000000000000",
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct arguments arguments = read_cost_at(lists[i], NULL, NULL);
        assert_int_equal(arguments.command, BENCH_DONE);
        assert_int_equal(arguments.status, 64);
    }
}

static void costs_are_of_fresh_nodes_and_sockets_without_a_page(void **state) {
    assert_int_equal(read_cost_at("10,20", "--ground", "actors").command, BENCH_DONE);
    assert_int_equal(read_cost_at("10,20", "--ground", "sockets").command, BENCH_USERS);
    assert_int_equal(read_cost_at("10,20", "--report", "x").command, BENCH_DONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_of_connections_is_read),
        cmocka_unit_test(what_is_no_ascending_list_is_refused),
        cmocka_unit_test(costs_are_of_fresh_nodes_and_sockets_without_a_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
