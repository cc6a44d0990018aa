# SPDX-License-Identifier: Apache-2.0
"""Build and test everything: one line per step, and last `N passed, N failed`.

Each step returns (passed, failed). Results are read from the XML that cmocka and pytest write, never
from their text. A step that cannot run (a build that fails, a program that crashes, a hang) is one
failure. Exits 1 when anything failed, or when no test ran at all.
"""
import concurrent.futures
import glob
import hashlib
import os
import re
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
import run_unit  # noqa: E402  (the reader of result files)

JOBS = os.cpu_count() or 1
RESULTS = "build/results"
FOLDERS = ("runtime", "storage", "net", "actors", "tools", "bench", "tests")
STEP_SECONDS_MAX = 600
SCENARIO_SECONDS_MAX = 900
FUZZ_SECONDS = 4
SIM_SECONDS = 60
ON_LIBEV = ("bad_input", "chat", "foreign_client", "kill_9", "node_life")  # tests/README.md says why


def run(command, seconds=STEP_SECONDS_MAX, **environment):
    """Run a command in a process group of its own; return (status, output). A hang is ended, and is a failure."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                               env=dict(os.environ, **environment))
    try:
        output = process.communicate(timeout=seconds)[0]
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return -1, process.communicate()[0] + "\nno end after %d s: %s" % (seconds, " ".join(command))


def c_files(*suffixes):
    return sorted(path for folder in FOLDERS for suffix in suffixes
                  for path in glob.glob(folder + "/**/*" + suffix, recursive=True))


def check_command(command):
    """A command that is one test: it passes, or fails and shows what it said."""
    status, output = run(command)
    if status != 0:
        print(output.rstrip()[-12000:])
    return (0, 1) if status else (1, 0)


def check_format():
    """One test per file, so that the line below says how many to format."""
    files = c_files(".c", ".h")
    status, output = run(["clang-format-14", "--dry-run", *files])
    wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: warning", output, re.MULTILINE)))
    if wrong:
        print("to mend: clang-format-14 -i " + " ".join(wrong))
    elif status != 0:
        print(output)
        return 0, 1
    return len(files) - len(wrong), len(wrong)


def check_headers():
    """Each header compiles alone."""
    def compile_alone(header):
        return run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-I.",
                    "-fsyntax-only", "-include", header, "-xc", "/dev/null"])

    failed = 0
    headers = c_files(".h")
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for header, (status, output) in zip(headers, pool.map(compile_alone, headers)):
            if status != 0:
                failed += 1
                print("%s does not compile alone:\n%s" % (header, output))
    return len(headers) - failed, failed


def build(*arguments):
    return check_command(["scons", "-Q", "-j%d" % JOBS, *arguments])


def check_units(variant):
    """Run the unit programs that the build left in build/<variant>."""
    programs = sorted(path for path in glob.glob("build/%s/tests/unit/*/test_*" % variant) if "." not in path
                      and os.path.exists(path.replace("build/%s/" % variant, "") + ".c"))
    if not programs:
        print("no unit test was built")
        return 0, 1
    results = os.path.join(RESULTS, variant)
    status, output = run(["/usr/bin/python3", "tests/run_unit.py", "--results", results,
                          *map(os.path.abspath, programs)], 2 * STEP_SECONDS_MAX)
    tests, failures = run_unit.count(glob.glob(results + "/*.xml"))
    if status != 0:
        print(output.rstrip()[-12000:])
        failures = failures or 1
    return max(tests - failures, 0), failures


def check_pytest(folder, *choice, name=None, **environment):
    """The tests of a folder, or what `choice` (pytest's arguments) takes of them under another name."""
    if not os.path.isdir(folder):
        return 0, 0
    result = os.path.abspath(os.path.join(RESULTS, (name or folder).replace("/", "-") + ".xml"))
    if os.path.exists(result):
        os.remove(result)
    status, output = run(["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                          "--junitxml", result, *(choice or [folder])], SCENARIO_SECONDS_MAX, **environment)
    tests, failures = run_unit.count([result]) if os.path.exists(result) else (0, 0)
    if status not in (0, 5):  # 5: no test was found, which the sum shows
        print(output.rstrip()[-12000:])
        failures = failures or 1
    return max(tests - failures, 0), failures


def check_libev():
    """What depends on the reactor, once more on the other one."""
    files = ["tests/scenario/test_%s.py" % name for name in ON_LIBEV]
    return check_pytest("tests/scenario", *files, "-k", "not ten_thousand", name="tests/scenario-libev",
                        TERN_TEST_REACTOR="libev")


def check_fuzzers():
    """A few seconds of each fuzzer over its corpus: what was once found stays found."""
    sources = sorted(glob.glob("tests/fuzz/fuzz_*.c"))
    commands = [["/usr/bin/python3", "tests/fuzz/run_fuzzer.py", "--seconds", str(FUZZ_SECONDS),
                 os.path.abspath("build/fuzz/" + source[:-2]), source] for source in sources]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        counts = list(pool.map(check_command, commands))
    return sum(passed for passed, _ in counts), sum(failed for _, failed in counts)


def check_seeds():
    """Fresh seeds of the simulator; the base seed is shown, so that what it found can be found again."""
    status, output = run(["/usr/bin/python3", "tests/sim/run_seeds.py", "--seconds", str(SIM_SECONDS)])
    print(output.rstrip()[-12000:] if status else "    " + output.strip().replace("\n", "; "))
    return (0, 1) if status else (1, 0)


def content_key(path, seen):
    """Add to `seen` this file and all of ours that it includes, whose content decides what clang-tidy says."""
    if path in seen or not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as file:
        seen[path] = text = file.read()
    for target in re.findall(r'#\s*include\s*"([^"]+)"', text):
        content_key(target, seen)


def tidy(path):
    """clang-tidy of one file, unless the same content was clean before."""
    seen = {}
    content_key(path, seen)
    for rules in (".clang-tidy", "tests/.clang-tidy"):
        with open(rules, encoding="utf-8") as file:
            seen[rules] = file.read()
    key = hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()
    mark = os.path.join("build/tidy", key)
    if os.path.exists(mark):
        return 0
    status, output = run(["clang-tidy-14", "--quiet", "-p", ".", path])
    if status == 0:
        open(mark, "w").close()
    else:
        print(output.rstrip()[-6000:])
    return 1 if status else 0


def check_tidy():
    os.makedirs("build/tidy", exist_ok=True)
    files = [path for path in c_files(".c") if not path.startswith("tests/fuzz/")]
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        failed = sum(pool.map(tidy, files))
    return len(files) - failed, failed


STEPS = [
    ("format", check_format),
    ("headers", check_headers),
    ("layering", lambda: check_pytest("tests/layering")),
    ("tools", lambda: check_pytest("tests/unit/tools")),
    ("build, debug", build),
    ("unit tests", lambda: check_units("debug")),
    ("build, address and undefined sanitizers", lambda: build("sanitize=address,undefined", "unit",
                                                              "build/debug-address-undefined/tools")),
    ("build, release", lambda: build("mode=release", "build/release/tools")),
    ("scenarios", lambda: check_pytest("tests/scenario")),
    ("scenarios of connections, on libev", check_libev),
    ("simulator", lambda: check_pytest("tests/sim")),
    ("simulator, fresh seeds", check_seeds),
    ("unit tests, sanitized", lambda: check_units("debug-address-undefined")),
    ("build, thread sanitizer", lambda: build("sanitize=thread", "build/debug-thread/tests/unit/runtime",
                                              "build/debug-thread/tests/unit/node")),
    ("unit tests of runtime and node, thread-sanitized", lambda: check_units("debug-thread")),
    ("build, fuzzers", lambda: build("fuzzers")),
    ("fuzzers", check_fuzzers),
    ("clang-tidy", check_tidy),
]


def main():
    os.chdir(ROOT)
    os.makedirs(RESULTS, exist_ok=True)
    passed = failed = 0
    for name, step in STEPS:
        begin = time.monotonic()
        good, bad = step()
        passed, failed = passed + good, failed + bad
        print("%-42s %4d passed, %d failed, %.0f s" % (name, good, bad, time.monotonic() - begin), flush=True)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
