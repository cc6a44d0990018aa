# SPDX-License-Identifier: Apache-2.0
"""Many connections in one process, both ends on the runtime. Accuses: runtime/uring_open, libev_open, socket."""
import os
import re
import subprocess

import pytest

from harness import ROOT

SOAK = os.path.join(ROOT, "build", "test-bin", "soak-connections")


def soak(*arguments):
    """The figures by name, after each connection was spoken on, heard on, and ended."""
    done = subprocess.run([SOAK, *arguments], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: float(value) for name, value in re.findall(r"^(\w+) +(-?[\d.]+)", done.stdout, re.MULTILINE)}


def test_io_uring_holds_far_more_connections_than_descriptors():
    figures = soak("-r", "auto", "-n", "3000", "-d", "250")
    if figures["rings"] == 0:
        pytest.skip("io_uring is refused here")
    assert figures["connections"] == 3000 and figures["lost"] == 0
    assert figures["sockets"] == 6000
    assert figures["rings"] >= 6000 / 250


def test_libev_holds_as_many_as_descriptors_allow():
    figures = soak("-r", "libev", "-n", "2000", "-d", "5000")
    assert figures["connections"] == 2000 and figures["lost"] == 0
    assert figures["sockets"] == 4000 and figures["rings"] == 0
