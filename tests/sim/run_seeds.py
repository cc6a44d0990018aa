# SPDX-License-Identifier: Apache-2.0
"""Run fresh seeds of tern-sim for so many seconds: what `scons soak` and `tools/check` do.

Says the base seed first, and of each seed that is not good what broke and the command that replays
it. Exits 1 if there was one, or if none was run.
"""
import argparse
import json
import random
import subprocess
import sys
import time

BATCH = 20
BATCH_SECONDS_MAX = 600


def run_batch(program, seed, options):
    """The reports of BATCH seeds, and what the program said on its error output when it died."""
    command = [program, "--json", "--seed", str(seed), "--seeds", str(BATCH), *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                            timeout=BATCH_SECONDS_MAX)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    died = result.stderr[-4000:] if result.returncode not in (0, 1) else None
    return reports, died


def tell(report):
    print("seed %d, trace %s: not good" % (report["seed"], report["trace"]))
    for name, promise in report["promises"].items():
        if promise["verdict"] == "broken":
            print("    %s: %s" % (name, promise["first"]))
    print("    to replay: " + report["replay"], flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/bin/tern-sim")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--base", type=int, default=random.SystemRandom().randrange(1 << 48))
    arguments, options = parser.parse_known_args()
    print("base seed %d" % arguments.base, flush=True)
    end, seed, bad, exercised = time.monotonic() + arguments.seconds, arguments.base, 0, {}
    while time.monotonic() < end:
        reports, died = run_batch(arguments.program, seed, options)
        for report in reports:
            for name, promise in report["promises"].items():
                exercised[name] = exercised.get(name, 0) + promise["exercised"]
            if not report["good"]:
                bad += 1
                tell(report)
        if died is not None:
            print("seed %d: the program died\n%s" % (seed + len(reports), died))
            return 1
        seed += BATCH
    never = [name for name, count in exercised.items() if not count]
    print("%d seeds, %d not good; not exercised by any: %s" % (seed - arguments.base, bad, ", ".join(never) or "none"))
    return 1 if bad or seed == arguments.base else 0


if __name__ == "__main__":
    sys.exit(main())
