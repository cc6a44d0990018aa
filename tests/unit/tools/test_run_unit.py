# SPDX-License-Identifier: Apache-2.0
"""The runner of cmocka programs counts what ran, and never takes a crash or silence for success."""
import os
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
RUNNER = os.path.join(ROOT, "tests/run_unit.py")

HEAD = """
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
static void good(void **state) { (void)state; assert_int_equal(1, 1); }
static void bad(void **state) { (void)state; assert_int_equal(1, 2); }
static void crash(void **state) { (void)state; abort(); }
static void skipped(void **state) { (void)state; skip(); }
void (*const all[])(void **) = {good, bad, crash, skipped};
"""
MAIN = """
int main(void) {
    const struct CMUnitTest tests[] = {%s};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
"""


def run(tmp_path, source):
    (tmp_path / "test_it.c").write_text(source)
    program = tmp_path / "test_it"
    subprocess.run(["gcc", "-o", program, tmp_path / "test_it.c", "-lcmocka"], check=True)
    done = subprocess.run([sys.executable, RUNNER, "--results", tmp_path / "results", program],
                          capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("tests, status, sums", [
    (["good"], 0, "1 passed, 0 failed"),
    (["good", "good"], 0, "2 passed, 0 failed"),
    (["good", "bad"], 1, "1 passed, 1 failed"),
    (["good", "crash"], 1, "failed"),
    (["good", "skipped"], 0, "1 passed, 0 failed"),
    (["skipped"], 1, "0 passed, 1 failed"),
])
def test_sums_are_those_of_the_program(tmp_path, tests, status, sums):
    main = MAIN % ", ".join("cmocka_unit_test(%s)" % test for test in tests)
    got, line = run(tmp_path, HEAD + main)
    assert got == status and sums in line


@pytest.mark.parametrize("body", ["abort();", "return 0;", "return 3;"])
def test_program_without_results_is_a_failure(tmp_path, body):
    got, line = run(tmp_path, "#include <stdlib.h>\nint main(void) { %s }\n" % body)
    assert got == 1 and line.endswith("0 passed, 1 failed")


def test_crash_after_good_results_is_a_failure(tmp_path):
    main = (MAIN % "cmocka_unit_test(good)").replace("return cmocka", "int failed = cmocka").replace(
        "NULL);\n}", "NULL);\n    abort();\n    return failed;\n}")
    got, line = run(tmp_path, HEAD + main)
    assert got == 1 and " 1 failed" in line
