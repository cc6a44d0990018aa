# SPDX-License-Identifier: Apache-2.0
"""The runtime's example compiles against the installed library by pkg-config, and does what it says."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def test_example_runs_on_the_installed_library(tmp_path):
    prefix, program = str(tmp_path / "prefix"), str(tmp_path / "ping_pong")
    subprocess.run(["scons", "-s", "PREFIX=" + prefix, prefix + "/lib", prefix + "/include"], cwd=ROOT, check=True)
    environment = dict(os.environ, PKG_CONFIG_PATH=prefix + "/lib/pkgconfig")
    flags = subprocess.check_output(["pkg-config", "--cflags", "--libs", "tern-runtime"], env=environment, text=True)
    source = os.path.join(ROOT, "runtime/examples/ping_pong.c")
    subprocess.run(["cc", source, "-o", program, *flags.split()], cwd=tmp_path, check=True)
    output = subprocess.run([program], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout
    assert output.split("\n") == ["pong", "no answer: once more", "pong", ""]
