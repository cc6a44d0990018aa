#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run one libFuzzer program, then print the line coverage of the parser that its source names.

A fuzzer's opening comment has a line `Covers: net/websocket.c [more files]`. The corpus grows in
build/fuzz/corpus/<name>, beginning with tests/fuzz/corpus/<name>. Exits 1 on a crash (the input is kept
and named), or when coverage is below what was asked.
"""
import argparse
import json
import os
import re
import subprocess
import sys


def covered_sources(source):
    with open(source) as file:
        found = re.search(r"Covers:((?:[\s*]+[\w/]+\.c)+)", file.read())
    if not found:
        sys.exit("%s: its comment has no line `Covers: folder/file.c`" % source)
    return re.findall(r"[\w/]+\.c", found.group(1))


def line_coverage(program, profile, sources):
    """Percent of the lines of `sources` that the run reached."""
    merged = profile + ".merged"
    subprocess.run(["llvm-profdata-14", "merge", "-o", merged, profile], check=True)
    out = subprocess.run(["llvm-cov-14", "export", "-summary-only", "-instr-profile", merged, program, *sources],
                         check=True, capture_output=True).stdout
    lines = json.loads(out)["data"][0]["totals"]["lines"]
    if not lines["count"]:
        sys.exit("%s: no line of %s was compiled in" % (program, " ".join(sources)))
    return lines["percent"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--coverage", type=float, default=0, help="fail below this many percent of lines")
    parser.add_argument("program")
    parser.add_argument("source")
    options = parser.parse_args()
    name = os.path.basename(options.program)[len("fuzz_"):]
    sources = covered_sources(options.source)

    seeds = os.path.join("tests/fuzz/corpus", name)
    corpus = os.path.join("build/fuzz/corpus", name)
    os.makedirs(corpus, exist_ok=True)
    profile, log = options.program + ".profraw", options.program + ".log"
    with open(log, "wb") as output:
        status = subprocess.run(
            [options.program, "-max_total_time=%d" % options.seconds, "-timeout=10", "-rss_limit_mb=2048",
             "-artifact_prefix=build/fuzz/crash-%s-" % name, corpus] + ([seeds] if os.path.isdir(seeds) else []),
            env=dict(os.environ, LLVM_PROFILE_FILE=profile), stdout=output, stderr=output).returncode
    with open(log, errors="replace") as file:
        text = file.read()
    if status != 0:
        print(text[-6000:])
        print("fuzz %s: FAILED, status %d; the input is in build/fuzz/crash-%s-*" % (name, status, name))
        return 1
    runs = re.findall(r"Done (\d+) runs", text)
    percent = line_coverage(options.program, profile, sources)
    low = percent < options.coverage
    print("fuzz %s: %s runs in %d s, %.1f %% of the lines of %s%s" % (
        name, runs[-1] if runs else "?", options.seconds, percent, " ".join(sources),
        ": FAILED, below %.0f %%" % options.coverage if low else ""), flush=True)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
