# SPDX-License-Identifier: Apache-2.0
"""Real nodes for the scenarios: a data directory of their own, free ports on loopback, codes in files."""
import os
import re
import signal
import socket
import stat
import subprocess
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("TERN_BIN", os.path.join(ROOT, "build", "bin"))
NODE, CHAT = os.path.join(BIN, "tern-node"), os.path.join(BIN, "tern-chat")
START_SECONDS_MAX = 60
REACTOR = os.environ.get("TERN_TEST_REACTOR")  # "libev": every node of the scenarios runs on it
SMS = '#!/bin/sh\numask 077\ncat > "{codes}/$1.new" && mv "{codes}/$1.new" "{codes}/$1"\n'


def free_port():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=30, what="it"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError("%s did not happen within %s s" % (what, seconds))


def process_ended(pid):
    """Also when nobody has waited for it yet: a container's first process may never do that."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
            return file.read().rpartition(") ")[2][0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


class Node:
    """A tern-node on a directory; it can be killed and started again on the same data and ports."""

    def __init__(self, directory, program=NODE, environment=None, wrapper=(), **settings):
        """`wrapper`: a command that becomes the node (by exec), such as prlimit."""
        self.directory, self.program, self.wrapper = str(directory), program, wrapper
        self.environment = dict(os.environ, **(environment or {}))
        self.port, self.metrics_port = free_port(), free_port()
        self.url = "ws://127.0.0.1:%d" % self.port
        self.codes = os.path.join(self.directory, "codes")
        self.data = os.path.join(self.directory, "data")
        self.config = os.path.join(self.directory, "tern.conf")
        self.log = os.path.join(self.directory, "node.log")
        self.process = None
        os.makedirs(self.codes, exist_ok=True)
        sms = os.path.join(self.directory, "sms")
        with open(sms, "w", encoding="utf-8") as file:
            file.write(SMS.format(codes=self.codes))
        os.chmod(sms, stat.S_IRWXU)
        keys = {"listen": "127.0.0.1:%d" % self.port, "metrics": "127.0.0.1:%d" % self.metrics_port,
                "data": self.data, "sms_command": sms,
                **({"reactor": REACTOR} if REACTOR else {}), **settings}
        with open(self.config, "w", encoding="utf-8") as file:
            for key, value in keys.items():
                file.write('%s = "%s"\n' % (key, value))

    def start(self):
        begin = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([*self.wrapper, self.program, "--config", self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=self.environment)
        wait_until(lambda: self.process.poll() is not None or "is ready" in self.log_text()[begin:],
                   START_SECONDS_MAX, "the node's start")
        assert self.process.poll() is None, self.log_text()[begin:]
        return self

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def child(self):
        """The serving process; the one we started is its heart."""
        return wait_until(lambda: children(self.process.pid), what="the node's child")[0]

    def kill_child(self):
        """kill -9 of the serving process alone: the heart starts another."""
        os.kill(self.child(), signal.SIGKILL)

    def kill(self):
        """kill -9 of everything, as when the power goes (but for the page cache)."""
        for pid in children(self.process.pid) + [self.process.pid]:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=30):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def destroy(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def code(self, phone):
        path = os.path.join(self.codes, phone)
        wait_until(lambda: os.path.exists(path), what="the code for " + phone)
        with open(path, encoding="ascii") as file:
            code = file.read().strip()
        os.unlink(path)
        assert re.fullmatch(r"\d{6}", code)
        return code

    def http(self, path, port=None):
        url = "http://127.0.0.1:%d%s" % (port or self.port, path)
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()

    def metric(self, name):
        """The sum of a metric over its labels; a full line's start may be given to choose one."""
        _, text = self.http("/metrics", self.metrics_port)
        values = [float(line.rpartition(" ")[2]) for line in text.splitlines()
                  if line.startswith(name) and not line.startswith("#")]
        return sum(values)
