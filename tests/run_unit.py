#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run cmocka programs and say how many of their tests passed.

Each program writes cmocka's XML into the results folder, where tools/check sums it up. A program that
crashes, hangs or reports no test at all counts as one failed test, in a result file of its own.
"""
import argparse
import concurrent.futures
import glob
import os
import subprocess
import sys
import xml.etree.ElementTree as xml

SECONDS_MAX = 300  # a bound against a hang; no test is timed


def write_failure(path, program, text):
    suite = xml.Element("testsuite", name=program, tests="1", failures="1", errors="0", skipped="0")
    xml.SubElement(xml.SubElement(suite, "testcase", name=program), "failure").text = text
    xml.ElementTree(suite).write(path)


def count(files):
    """Sum (tests, failures) over result files; a file that cannot be read raises ParseError."""
    tests = failures = 0
    for file in files:
        for suite in xml.parse(file).iter("testsuite"):
            skipped = int(suite.get("skipped") or 0)
            tests += int(suite.get("tests")) - skipped
            failures += int(suite.get("failures") or 0) + int(suite.get("errors") or 0)
    return tests, failures


def run(program, results):
    """Run one program; return (tests, failures, what to show)."""
    stem = os.path.join(results, "-".join(program.split("/")[-2:]))
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="xml", CMOCKA_XML_FILE=stem + ".%g.xml")
    try:
        done = subprocess.run([program], env=environment, timeout=SECONDS_MAX, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as hang:
        status, output = "no end after %d s" % SECONDS_MAX, (hang.stdout or b"").decode(errors="replace")
    files = glob.glob(stem + ".*.xml")
    try:
        tests, failures = count(files)
    except xml.ParseError:
        tests, failures = 0, 0
    if (status != 0 and failures == 0) or tests == 0:
        for file in files:
            os.remove(file)
        write_failure(stem + ".crash.xml", program, "status %s\n" % status)
        tests, failures = tests + 1, failures + 1
    text = ""
    if failures:
        details = [f"{case.get('name')}: {(case.findtext('failure') or '').strip()}"
                   for file in glob.glob(stem + ".*.xml") for case in xml.parse(file).iter("testcase")
                   if case.find("failure") is not None]
        text = "%s: FAILED\n%s\n%s" % (program, output[-8000:], "\n".join(details))
    return tests, failures, text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    os.makedirs(options.results, exist_ok=True)
    for old in glob.glob(os.path.join(options.results, "*.xml")):
        os.remove(old)
    tests = failures = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for ran, failed, text in pool.map(lambda program: run(program, options.results), options.programs):
            tests, failures = tests + ran, failures + failed
            if text:
                print(text, flush=True)
    print("unit: %d programs, %d passed, %d failed" % (len(options.programs), tests - failures, failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
