# SPDX-License-Identifier: Apache-2.0
"""Measure tern-node and ejabberd side by side: bench/compare mail.

Builds in release mode, then takes turns: tern-bench, ejabberd, and again (--runs), so that whatever
else the machine does meets both; the medians are compared. Tern is encrypted and acknowledged, with
fsync on; ejabberd has no TLS. Absolute figures drift between machines and days, ratios in one run hold.
"""
import argparse
import json
import os
import statistics
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TERN, LOAD = "build/bin/tern-bench", "build/peers/xmpp-load"
# The figure, whether more of it is better, and the goal as a share of ejabberd's (None: no such goal).
FIGURES = [
    ("online_w1_cpu_us", False, 0.2), ("online_w1_per_s", True, None), ("online_w1_p99_us", False, None),
    ("online_w8_cpu_us", False, 0.1), ("online_w8_per_s", True, None), ("online_w8_p99_us", False, None),
    ("rate_cpu_us", False, None), ("rate_p99_us", False, None),
    ("offline_cpu_us", False, 0.1), ("offline_accepted_per_s", True, None),
    ("drained_cpu_us", False, None), ("drained_per_s", True, None),
    ("login_cpu_us", False, None), ("login_per_s", True, None), ("idle_connection_bytes", False, None),
]
SCENARIOS = ("online", "rate", "offline", "idle")


def figures(command, values):
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        figure = json.loads(line)
        values.setdefault(figure["name"], []).append(figure["value"])
    return json.loads(output.splitlines()[0])


def tern_command(scenario, options):
    arguments = {"online": [], "rate": ["--rate", str(options.rate)],
                 "offline": ["--offline", "--each", str(options.each)], "idle": ["--idle", str(options.idle)]}
    return [TERN, "mail", "--json", "--pairs", str(options.pairs), "--seconds", str(options.seconds),
            *arguments[scenario]]


def peer_command(scenario, options):
    return [HERE + "/peers/ejabberd/run", "--only", scenario, "--pairs", str(options.pairs), "--seconds",
            str(options.seconds), "--rate", str(options.rate), "--each", str(options.each), "--idle",
            str(options.idle)]


def print_table(tern, peer, machine):
    print("\n%s, %d cores, %s; medians" % (machine["cpu"], machine["cores"], machine["kernel"]))
    print("%-24s %12s %12s %8s  %s" % ("", "tern", "ejabberd", "ratio", "goal"))
    for name, more_is_better, goal in FIGURES:
        if name not in tern or name not in peer:
            continue
        ours, theirs = statistics.median(tern[name]), statistics.median(peer[name])
        ratio = (ours / theirs if more_is_better else theirs / ours) if ours and theirs else 0
        verdict = "" if goal is None else "%.0f times: %s" % (1 / goal, "reached" if ours <= goal * theirs else "missed")
        print("%-24s %12.1f %12.1f %7.1fx  %s" % (name, ours, theirs, ratio, verdict))


def main(arguments):
    parser = argparse.ArgumentParser(prog="bench/compare mail", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--each", type=int, default=100, help="messages for each of 1,000 people offline")
    parser.add_argument("--idle", type=int, default=5000)
    parser.add_argument("--only", choices=SCENARIOS, action="append")
    options = parser.parse_args(arguments)
    subprocess.run([HERE + "/peers/ejabberd/install"], check=True)
    subprocess.run(["scons", "-j%d" % (os.cpu_count() or 1), "-Q", "mode=release", "build/bin/tern-node", TERN, LOAD],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    tern, peer, machine = {}, {}, None
    for run in range(options.runs):
        for scenario in options.only or SCENARIOS:
            print("run %d of %d: %s" % (run + 1, options.runs, scenario), flush=True)
            machine = figures(tern_command(scenario, options), tern)
            figures(peer_command(scenario, options), peer)
    print_table(tern, peer, machine)
