# SPDX-License-Identifier: Apache-2.0
"""bench/compare: it sets what it has measured side by side, and says what was not there to be measured."""
import json
import os
import re
import stat
import subprocess
import sys

import pytest

from harness import BIN, ROOT

COMPARE = os.path.join(ROOT, "bench", "compare")
PEERS_RUN = os.path.join(ROOT, "bench", "peers", "actors", "run")
sys.path.insert(0, os.path.join(ROOT, "bench"))
import compare_actors  # noqa: E402

MACHINE = {"cpu": "a cpu", "cores": 2, "kernel": "Linux 6", "build": "release"}
TERN = """#!/bin/sh
while [ $# -gt 0 ]; do
    [ "$1" = --only ] && echo '{"name": "'$2'", "value": 50e6, "cpu": "a", "cores": 2, "kernel": "k", "build": "b"}'
    shift
done
"""
ERL = """#!/bin/sh
echo '{"name":"ping_pong","value":5000000.0000,"unit":"1/s"}'
"""


def compare(*arguments, path=None, status=0):
    environment = dict(os.environ, PATH=path or os.environ["PATH"])
    done = subprocess.run([COMPARE, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    return done


def program(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def lines(figures, **more):
    return "\n".join(json.dumps(dict(more, name=name, value=value)) for name, value in figures)


def line_of(table, name, occurrence=0):
    found = [line for line in table if line.startswith(name + " ")]
    return re.split(r"\s{2,}", found[occurrence])


def installed():
    return subprocess.run([PEERS_RUN, "--installed"], capture_output=True, text=True, check=True).stdout.split()


def test_without_a_command_it_says_which_there_are():
    done = compare(status=64)
    assert "compare mail" in done.stdout and "compare actors" in done.stdout


def test_table_shows_medians_ratios_and_goals():
    values = compare_actors.Values()
    for rate, size in ((10e6, 64), (50e6, 200), (40e6, 100)):
        values.read("tern", lines((("ping_pong", rate), ("idle_bytes", size), ("ping_pong_cross", 3e6),
                                   ("line_floor_cross", 7e6), ("spawn", 20e6)), **MACHINE))
        values.read("peers", lines((("ping_pong", 4e6), ("idle_bytes", 1000)), peer="beam", threads=1))
        values.read("peers", lines((("ping_pong_cross", 6e6), ("spawn", 1e6)), peer="beam", threads=2))
    table = compare_actors.table(values, ["beam", "go"])
    assert table[0] == "a cpu, 2 cores, Linux 6, release build; medians"
    assert line_of(table, "ping_pong") == ["ping_pong", "40.00 M/s", "4.00 M/s", "10.0x", "-", ">= 40.00 M/s: reached"]
    assert line_of(table, "idle_bytes") == ["idle_bytes", "100.0 B", "1000 B", "10.0x", "-", "<= 128.0 B: reached"]
    assert line_of(table, "ping_pong_cross") == ["ping_pong_cross", "3.00 M/s", "6.00 M/s", "0.50x", "-",
                                                 ">= 3.50 M/s: missed"]
    assert line_of(table, "spawn", 1)[1:4] == ["20.00 M/s*", "1.00 M/s", "20.0x"]
    assert not any(line.startswith("counting") for line in table)


def test_peers_that_are_not_installed_are_left_out_and_named(tmp_path):
    program(tmp_path, "erl", ERL)
    program(tmp_path, "erlc", "#!/bin/sh\n")
    tern = program(tmp_path, "tern-bench", TERN)
    done = compare("actors", "--no-install", "--tern", tern, "--runs", "2", "--only", "ping_pong", path=str(tmp_path))
    assert "caf is not installed" in done.stderr and "go is not installed" in done.stderr
    assert "run 2 of 2: ping_pong" in done.stderr
    table = done.stdout.splitlines()
    assert line_of(table, "ping_pong")[:4] == ["ping_pong", "50.00 M/s", "5.00 M/s", "10.0x"]
    assert line_of(table, "ping_pong_cross")[2:4] == ["5.00 M/s", "10.0x"]


def test_json_has_an_object_for_each_figure_and_peer(tmp_path):
    program(tmp_path, "erl", ERL)
    program(tmp_path, "erlc", "#!/bin/sh\n")
    tern = program(tmp_path, "tern-bench", TERN)
    done = compare("actors", "--json", "--no-install", "--tern", tern, "--quick", "--only", "ping_pong",
                   path=str(tmp_path))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(figure["name"], figure["threads"], figure["peer"], figure["ratio"]) for figure in found] == [
        ("ping_pong", 1, "beam", 10), ("ping_pong_cross", 2, "beam", 10)]


def test_no_run_begins_that_would_end_too_late(tmp_path):
    tern = program(tmp_path, "tern-bench", "#!/bin/sh\n/bin/sleep 1\n" + TERN)
    done = compare("actors", "--no-install", "--tern", tern, "--runs", "9", "--minutes", "0.03", "--only", "spawn",
                   path=str(tmp_path))
    assert "no time for more than" in done.stderr
    assert "run 1 of 9" in done.stderr and "run 3 of 9" not in done.stderr


def test_every_figure_that_is_compared_is_one_of_tern_bench():
    done = subprocess.run([os.path.join(BIN, "tern-bench"), "actors", "--only", "nonesuch"], capture_output=True,
                          text=True, check=False)
    there = set(done.stderr.partition("there are:")[2].split())
    wanted = {name for names in compare_actors.MEASUREMENTS.values() for name in names}
    assert there and wanted <= there


@pytest.mark.parametrize("peer", compare_actors.PEERS)
def test_peer_prints_its_figures(peer):
    if peer not in installed():
        pytest.skip("%s is not installed" % peer)
    done = subprocess.run([PEERS_RUN, "--peer", peer, "--json", "--quick", "--only", "ping_pong", "--only", "timers"],
                          capture_output=True, text=True, timeout=120, check=True)
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert {figure["name"] for figure in figures} >= {"ping_pong", "ping_pong_cross", "timer_bytes"}
    assert all(figure["value"] > 0 and figure["unit"] and figure["peer"] == peer for figure in figures)
