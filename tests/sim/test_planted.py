# SPDX-License-Identifier: Apache-2.0
"""The test of the test: bugs that are planted on purpose, and the simulator finds them.

tern-sim-planted is tern-sim with the bugs of runtime/planted_internal.h compiled in, one of which is
switched on. Each must be found within 200 seeds of the default settings, by the promise that it
breaks, on a seed that is good in this respect without it. Then: no release can have them.

A failure here accuses tools/sim/ of having become blind, not the node. `-s` shows the seeds.
"""
import json
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, "build/debug/tools/tern-sim")
PLANTED = os.path.join(ROOT, "build/test-bin/tern-sim-planted")
HEADER = "runtime/planted_internal.h"
SEEDS = range(1, 201)

# Each bug, and the promise by which it is found.
BUGS = {
    "ack_before_fsync": "sent_survives",
    "dedup_lost": "once",
    "cursor_off_by_one": "sent_arrives",
    "cursor_of_other_epoch": "sent_arrives",
    "timer_after_cancel": "stays_canceled",
    "mailbox_drops": "given_back",
}


def run(*command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=300)


def report_of(seed, *program):
    """What a run says of its seed; None when it died, which some bugs make it do sooner or later."""
    result = run(*program, "--json", "--seed", str(seed))
    return json.loads(result.stdout) if result.returncode in (0, 1) else None


def broken(report, promise):
    return report is not None and report["promises"][promise]["verdict"] == "broken"


def marked():
    """The sources with a mark."""
    result = run("grep", "-rlE", r"\bPLANTED\(\w+\)", "--include=*.c", "runtime", "storage", "net", "actors", "tools")
    return result.stdout.split()


@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_found_within_200_seeds(bug):
    promise = BUGS[bug]
    for seed in SEEDS:
        report = report_of(seed, PLANTED, "--plant", bug)
        if broken(report, promise) and not broken(report_of(seed, PROGRAM), promise):
            print("%s: found at seed %d by %s: %s" % (bug, seed, promise, report["promises"][promise]["first"]))
            return
    pytest.fail("%s was not found within %d seeds" % (bug, len(SEEDS)))


def test_every_bug_of_the_list_is_tried():
    listed = [line.split()[0] for line in run(PLANTED, "--plant", "list").stdout.splitlines()]
    assert listed == ["nothing", *BUGS]


def test_nothing_planted_is_the_simulator_itself():
    for seed in range(1, 6):
        assert report_of(seed, PLANTED, "--plant", "nothing") == report_of(seed, PROGRAM)


@pytest.mark.parametrize("arguments", [[], ["--seed", "1"], ["--plant"], ["--plant", "weeds", "--seed", "1"]])
def test_wrong_usage_is_refused(arguments):
    assert run(PLANTED, *arguments).returncode == 64


def test_release_refuses_the_switch():
    compile_header = ["gcc", "-I.", "-fsyntax-only", "-xc", HEADER, "-DTERN_PLANTED"]
    assert run(*compile_header).returncode == 0
    result = run(*compile_header, "-DTERN_RELEASE")
    assert result.returncode != 0
    assert "#error" in result.stderr
    # A variant that nobody builds, so that scons says what it would do.
    result = run("scons", "-n", "-Q", "verbose=1", "mode=release", "sanitize=thread",
                 "build/release-thread/runtime/timer.o")
    assert "-DTERN_RELEASE" in result.stdout and "-DTERN_PLANTED" not in result.stdout


def test_release_has_no_such_program():
    target = "build/%s/tests/tern-sim-planted"
    assert run("scons", "-n", "-Q", "mode=debug", target % "debug").returncode == 0
    result = run("scons", "-n", "-Q", "mode=release", target % "release")
    assert result.returncode != 0
    assert "Do not know how to make" in result.stderr


def code_of(source, *options):
    """The machine code of a file as a release compiles it."""
    target = os.path.join(ROOT, "build/results/planted.o")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    result = run("gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-DTERN_RELEASE", "-I.", "-c", "-o", target, source,
                 *options)
    assert result.returncode == 0, result.stderr
    return run("objdump", "-dr", "--no-show-raw-insn", target).stdout


@pytest.mark.parametrize("source", marked())
def test_mark_leaves_nothing_in_a_release(source):
    without = ("-DTERN_RUNTIME_PLANTED_INTERNAL_H", "-DPLANTED(bug)=0")
    assert "<" in code_of(source)
    assert code_of(source) == code_of(source, *without)
    assert code_of(source) != code_of(source, "-DTERN_RUNTIME_PLANTED_INTERNAL_H", "-DPLANTED(bug)=planted_bug",
                                      "-include", "errno.h", "-Dplanted_bug=errno")


def test_programs_have_no_trace_of_it():
    programs = [os.path.join(ROOT, "build", mode, "tools", name) for mode in ("debug", "release")
                for name in ("tern-node", "tern-sim")]
    programs = [program for program in programs if os.path.exists(program)]
    assert programs
    for program in programs:
        assert not re.search("planted", run("nm", program).stdout)
    assert re.search("planted_bug", run("nm", PLANTED).stdout)
