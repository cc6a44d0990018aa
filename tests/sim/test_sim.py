# SPDX-License-Identifier: Apache-2.0
"""tern-sim itself: that it is repeatable, counts what happened, and does not call good what is not.

Accuses tools/sim/.
"""
import json
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, "build/debug/tools/tern-sim")
OTHERS = [os.path.join(ROOT, "build", variant, "tools/tern-sim") for variant in ("debug-address-undefined", "release")]


def sim(*arguments, program=PROGRAM):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)


def reports(*arguments, program=PROGRAM):
    result = sim("--json", *arguments, program=program)
    assert result.returncode in (0, 1), result.stderr[-4000:]
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_same_seed_gives_the_same_run():
    assert reports("--seed", "7", "--seeds", "3") == reports("--seed", "7", "--seeds", "3")


def test_seeds_differ():
    traces = [report["trace"] for report in reports("--seed", "1", "--seeds", "10")]
    assert len(set(traces)) == 10


@pytest.mark.parametrize("other", OTHERS)
def test_same_seed_gives_the_same_run_in_every_build(other):
    if not os.path.exists(other):
        pytest.skip("that build is not there")
    # A build that lags behind the sources says nothing; the check builds both just before.
    if os.path.getmtime(other) < os.path.getmtime(PROGRAM) - 3600:
        pytest.skip("that build is old")
    assert reports("--seed", "41", "--seeds", "5") == reports("--seed", "41", "--seeds", "5", program=other)


def test_seed_of_a_row_is_the_seed_alone():
    assert reports("--seed", "3", "--seeds", "4")[2] == reports("--seed", "5")[0]


def test_every_fault_fires_at_default_settings():
    for report in reports("--seed", "100", "--seeds", "20"):
        assert [name for name, fired in report["faults"].items() if not fired] == []


def test_without_faults_all_is_good_and_what_was_not_exercised_is_said():
    for report in reports("--seed", "1", "--seeds", "20", "--fault", "all=0"):
        assert report["good"], report
        assert report["messages"]["sent"] > 100
        assert report["promises"]["sent_arrives"]["verdict"] == "held"
        assert report["promises"]["sent_survives"]["verdict"] == "not exercised"
        assert report["promises"]["minority_refuses"]["verdict"] == "not exercised"


def test_numbers_are_registered_and_taken_over():
    exercised = dict.fromkeys(("registered_stays", "wrong_code", "replaced_cut_off"), 0)
    for report in reports("--seed", "1", "--seeds", "20", "--fault", "all=0"):
        assert report["good"], report
        for name in exercised:
            exercised[name] += report["promises"][name]["exercised"]
    assert min(exercised.values()) > 20, exercised


def test_few_devices_are_all_known_and_registration_is_not_exercised():
    report = reports("--seed", "1", "--clients", "7", "--events", "3000", "--fault", "all=0")[0]
    assert report["promises"]["wrong_code"]["verdict"] == "not exercised"
    assert report["promises"]["replaced_cut_off"]["verdict"] == "not exercised"


def test_what_expires_is_told():
    expired = 0
    for report in reports("--seed", "1", "--seeds", "20", "--fault", "all=0", "--fault", "month=0.1", "--fault",
                          "device_away=2"):
        assert report["good"], report
        expired += report["promises"]["expired_told"]["exercised"]
    assert expired > 100


def test_fault_that_never_fires_fails_the_run():
    result = sim("--seed", "1", "--events", "3", "--fault", "all=0", "--fault", "fail_mailbox=0.001")
    assert result.returncode == 1
    assert "fail_mailbox is enabled and never fired" in result.stdout


def test_run_that_is_not_good_names_the_command_that_replays_it():
    arguments = ["--seed", "1", "--events", "3", "--clients", "5", "--fault", "all=0", "--fault", "reset=0.5"]
    result = sim(*arguments)
    replay = result.stdout.split("to replay: ")[1].split()
    assert result.returncode == 1
    assert replay[0] == "build/bin/tern-sim"
    assert sim(*replay[1:]).stdout == result.stdout


def test_faults_are_explained():
    result = sim("--list-faults")
    names = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert result.returncode == 0
    assert set(names) == set(reports("--seed", "1", "--events", "1")[0]["faults"])


@pytest.mark.parametrize("arguments", [
    [], ["--seed"], ["--seed", "-1"], ["--seed", "x"], ["--seed", "1", "more"], ["--seed", "1", "--clients", "1"],
    ["--seed", "1", "--fault", "crash"], ["--seed", "1", "--fault", "nothing=1"],
    ["--seed", "1", "--fault", "reset=-1"], ["--seed", "1", "--fault", "reset=1001"], ["--what"],
])
def test_wrong_usage_is_refused(arguments):
    assert sim(*arguments).returncode == 64


def test_node_links_nothing_of_the_simulator():
    symbols = subprocess.run(["nm", os.path.join(ROOT, "build/debug/tools/tern-node")], stdout=subprocess.PIPE,
                             text=True, check=True).stdout
    assert "tern_tree" in symbols  # names are there at all
    assert [line for line in symbols.splitlines() if "reactor_sim" in line or "sim_node" in line] == []
