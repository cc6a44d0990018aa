# SPDX-License-Identifier: Apache-2.0
"""Every name that is counted is explained in actors/COUNTERS.md, once, and every explained one is counted."""
import os

import counters

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))


def read(text, header=""):
    reader = counters.Reader({"actors/a.c": text, "actors/a.h": header})
    return sorted(reader.read()), reader.faults


def page():
    with open(os.path.join(ROOT, counters.PAGE), encoding="utf-8") as file:
        return counters.explained(file.read())


def test_every_counted_name_is_explained():
    counted, faults = counters.counted(ROOT)
    assert faults == []
    assert {name: path for name, path in counted.items() if name not in page()} == {}


def test_every_explained_name_is_counted_and_stands_once():
    counted = counters.counted(ROOT)[0]
    assert [name for name in page() if name not in counted or page().count(name) > 1] == []


def test_every_name_that_a_metric_sums_is_counted():
    counted = counters.counted(ROOT)[0]
    with open(os.path.join(ROOT, "actors/metrics_product.c"), encoding="utf-8") as file:
        names = counters.summed(file.read())
    assert "mail_expired" in names
    assert [name for name in names if name not in counted] == []


def test_reader_sees_literals_but_not_in_comments():
    assert read('static void f(int x) {\n    actor_count(x ? "one" : "two", 1); /* actor_count("three", 1) */\n}\n') == (
        ["one", "two"], [])


def test_reader_follows_a_name_through_functions():
    assert read('void end(int x, const char *why) {\n    actor_count(why, 1);\n}\n'
                'static void fail(const char *why) {\n    end(1, why);\n}\n'
                'static void f(void) {\n    fail("lost");\n    end(2, "cut");\n}\n') == (["cut", "lost"], [])


def test_reader_looks_names_up_in_tables():
    assert read('static const char *const names[] = {"one", "two"};\n'
                'static const char *const states[] = {\n#define X(a, b) b,\n STATES(X)\n};\n'
                'static void f(int i) {\n    actor_count(names[i], 1);\n    actor_count(states[i], 1);\n}\n',
                '#define STATES(X) \\\n    X(A, "three") \\\n    X(B, "four")\n') == (["four", "one", "three", "two"], [])


def test_reader_names_what_it_cannot_follow():
    assert read('static void f(struct x *x) {\n    actor_count(x->name, 1);\n}\n') == (
        [], ["actors/a.c: f counts by x->name"])


def test_page_is_read_by_its_first_column():
    assert counters.explained("| name | what |\n|---|---|\n| `one`, `two` | told `limited` |\nNot `this`.\n") == [
        "one", "two"]
