# SPDX-License-Identifier: Apache-2.0
"""Measure the actor runtime beside Erlang, CAF and Go: bench/compare actors.

Builds in release mode, then takes turns: each measurement on Tern, on each peer with one thread, on each
peer with two; then the next; and all of it again (--runs). The medians are compared. A ratio above one
means that Tern is better: faster, smaller, or sooner.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TERN = os.path.join(ROOT, "build", "bin", "tern-bench")
PEERS_RUN = os.path.join(HERE, "peers", "actors", "run")
PEERS = ("beam", "caf", "go")

# A measurement of the peers, and Tern's figures that are taken beside it.
MEASUREMENTS = {
    "idle": ("idle_bytes", "idle_bytes_10m"),
    "spawn": ("spawn",),
    "spawn_exit": ("spawn_exit",),
    "fork_join": ("fork_join",),
    "ping_pong": ("ping_pong", "ping_pong_cross", "line_floor_cross"),
    "thread_ring": ("thread_ring",),
    "counting": ("counting", "counting_cross"),
    "big": ("big", "big_cross"),
    "many_to_one_8": ("many_to_one_8",),
    "many_to_one_64": ("many_to_one_64", "many_to_one_cross"),
    "multicast_256": ("multicast_256",),
    "timers": ("timer_bytes", "timer_start_cancel"),
    "wake": ("wake_p50_us", "wake_p99_us"),
    "skew": ("skew",),
}
# Goals: at least, or at most where less is better. That of ping_pong_cross is half of line_floor_cross.
GOALS = {"idle_bytes": 128, "idle_bytes_10m": 128, "spawn_exit": 15e6, "fork_join": 10e6, "ping_pong": 40e6,
         "thread_ring": 40e6, "counting": 80e6, "counting_cross": 25e6, "big": 30e6, "big_cross": 20e6,
         "many_to_one_64": 50e6, "many_to_one_cross": 25e6, "timer_bytes": 64, "timer_start_cancel": 10e6,
         "wake_p99_us": 50}
LESS_IS_BETTER = {"idle_bytes", "idle_bytes_10m", "timer_bytes", "wake_p50_us", "wake_p99_us"}
ONE = ("idle_bytes", "idle_bytes_10m", "spawn", "spawn_exit", "fork_join", "ping_pong", "thread_ring", "counting",
       "big", "many_to_one_8", "many_to_one_64", "multicast_256", "timer_bytes", "timer_start_cancel", "skew")
TWO = ("line_floor_cross", "ping_pong_cross", "counting_cross", "big_cross", "many_to_one_cross", "wake_p50_us",
       "wake_p99_us", "spawn", "spawn_exit", "fork_join", "thread_ring", "many_to_one_8", "multicast_256",
       "timer_start_cancel", "skew")
# Ten million of a peer's actors don't fit: the figure at a million stands for it.
INSTEAD = {"idle_bytes_10m": "idle_bytes"}
COMMAND_SECONDS_MAX = 180


class Values:
    """What was measured: a list of values for each (who, figure, threads); Tern's threads are 0."""

    def __init__(self):
        self.values, self.machine = {}, None

    def read(self, who, output):
        for line in output.splitlines():
            figure = json.loads(line)
            if who == "tern":
                self.machine = figure
            key = (figure.get("peer", who), figure["name"], figure.get("threads", 0))
            self.values.setdefault(key, []).append(figure["value"])

    def median(self, who, name, threads=0):
        values = self.values.get((who, name, threads))
        return statistics.median(values) if values else None


def run(command):
    """Its output; empty, after a word on standard error, when it failed."""
    try:
        return subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True, timeout=COMMAND_SECONDS_MAX).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        print("compare: %s" % failure, file=sys.stderr)
        return ""


def measure(measurement, peers, options, values):
    extra = ["--quick"] * options.quick + ["--cpu-time"] * options.cpu_time
    only = [word for name in MEASUREMENTS[measurement] for word in ("--only", name)]
    values.read("tern", run([options.tern, "actors", "--json", *only, *extra]))
    if peers:
        names = [word for peer in peers for word in ("--peer", peer)]
        values.read("peers", run([PEERS_RUN, "--json", "--only", measurement, *names, *extra]))


def measure_all(peers, options, values):
    """As many runs as asked for, or as there is time for."""
    begin, end = time.monotonic(), time.monotonic() + options.minutes * 60
    for index in range(options.runs):
        each = (time.monotonic() - begin) / max(index, 1)
        if time.monotonic() + each > end:
            print("compare: no time for more than %d of %d runs (--minutes)" % (index, options.runs), file=sys.stderr)
            return
        for measurement in options.only or MEASUREMENTS:
            if time.monotonic() > end:
                print("compare: no time for %s (--minutes)" % measurement, file=sys.stderr)
                continue
            print("run %d of %d: %s" % (index + 1, options.runs, measurement), file=sys.stderr, flush=True)
            measure(measurement, peers, options, values)


def human(name, value):
    """A figure as people read it: bytes, microseconds, a share, or so many a second."""
    if value is None:
        return "-"
    if name.endswith("_bytes") or name.endswith("_10m"):
        return "%.*f B" % (value < 1000, value)
    if name.endswith("_us"):
        return "%.1f us" % value
    if name == "skew":
        return "%.2f" % value
    return "%.2f M/s" % (value / 1e6)


def ratio(name, ours, theirs):
    """How many times better ours is; None when one is not there."""
    if not ours or not theirs:
        return None
    return theirs / ours if name in LESS_IS_BETTER else ours / theirs


def verdict(name, ours, floor):
    goal = floor / 2 if name == "ping_pong_cross" and floor else GOALS.get(name)
    if goal is None or ours is None:
        return ""
    reached = ours <= goal if name in LESS_IS_BETTER else ours >= goal
    return "%s %s: %s" % ("<=" if name in LESS_IS_BETTER else ">=", human(name, goal), "reached" if reached else "missed")


def row(values, name, threads, peers):
    """The cells of a line: the name, ours, each peer's with the ratio, the goal. None: nobody has it."""
    one_shard = threads == 2 and name in ONE
    ours, theirs = values.median("tern", name), []
    for peer in peers:
        theirs.append(values.median(peer, INSTEAD.get(name, name), threads))
    if ours is None and not any(theirs):
        return None
    cells = [name, human(name, ours) + ("*" if one_shard and ours is not None else "")]
    for value in theirs:
        times = ratio(name, ours, value)
        cells.append(human(name, value) + ("" if times is None else " %6.*fx" % (1 + (times < 1), times)))
    cells.append("" if one_shard else verdict(name, ours, values.median("tern", "line_floor_cross")))
    return cells


def table(values, peers):
    """The lines of the whole comparison."""
    lines = []
    if values.machine:
        lines.append("%s, %d cores, %s, %s build; medians" % tuple(values.machine[key] for key in
                                                                    ("cpu", "cores", "kernel", "build")))
    for heading, names, threads in (("one thread, one shard", ONE, 1), ("two threads, two shards (*: one)", TWO, 2)):
        rows = [cells for cells in (row(values, name, threads, peers) for name in names) if cells]
        if rows:
            widths = "%-34s %12s " + "%22s " * len(peers) + " %s"
            lines += ["", widths % (heading, "tern", *peers, "goal")]
            lines += [(widths % tuple(cells)).rstrip() for cells in rows]
    return lines


def print_json(values, peers):
    for names, threads in ((ONE, 1), (TWO, 2)):
        for name in names:
            ours = values.median("tern", name)
            for peer in peers:
                theirs = values.median(peer, INSTEAD.get(name, name), threads)
                if ours is not None and theirs is not None:
                    print(json.dumps({"name": name, "threads": threads, "peer": peer, "tern": ours, "theirs": theirs,
                                      "ratio": ratio(name, ours, theirs)}))


def prepare(options):
    """Build and install what is to be measured; return the peers that are there."""
    if options.install:
        subprocess.run([os.path.join(HERE, "peers", "actors", "install")], check=True, stdout=sys.stderr)
    installed = run([PEERS_RUN, "--installed"]).split()
    peers = [peer for peer in PEERS if peer in installed]
    for peer in PEERS:
        if peer not in peers:
            print("compare: %s is not installed and left out" % peer, file=sys.stderr)
    if options.tern == TERN:
        subprocess.run(["scons", "-j%d" % (os.cpu_count() or 1), "-Q", "mode=release", "build/bin/tern-bench"],
                       cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return peers


def main(arguments):
    parser = argparse.ArgumentParser(prog="bench/compare actors", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help="of everything, in turns (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="shorter, and a twentieth of what memory is measured by")
    parser.add_argument("--cpu-time", action="store_true", help="rates per second of CPU, for a machine that is shared")
    parser.add_argument("--minutes", type=float, help="no run begins that would end later (9; 1.8 with --quick)")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="this one (may be repeated)")
    parser.add_argument("--json", action="store_true", help="one object per figure and peer")
    parser.add_argument("--no-install", dest="install", action="store_false", help="leave out peers that are missing")
    parser.add_argument("--tern", default=TERN, metavar="PROGRAM", help="another tern-bench, which is not built")
    options = parser.parse_args(arguments)
    options.runs = options.runs or (1 if options.quick else 3)
    options.minutes = options.minutes or (1.8 if options.quick else 9)
    values = Values()
    peers = prepare(options)
    measure_all(peers, options, values)
    if options.json:
        print_json(values, peers)
    else:
        print("\n".join(table(values, peers)))
