# SPDX-License-Identifier: Apache-2.0
"""Each program has a manual page that man formats without a warning. That it tells every option: tests/scenario."""
import glob
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PAGES = sorted(glob.glob(os.path.join(ROOT, "tools/*/*.1")) + glob.glob(os.path.join(ROOT, "bench/*.1")))


def formatted(page):
    done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="100", MANPAGER="cat"))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=os.path.basename)
def test_page_is_formatted_without_a_warning(page):
    status, text, warnings = formatted(page)
    assert (status, warnings) == (0, "")
    name = os.path.basename(page)[:-2]
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES"):
        assert "\n%s\n" % section in text, section
    assert "     %s \u2014 " % name in text  # what apropos finds


def test_warning_would_be_seen(tmp_path):
    page = tmp_path / "wrong.1"
    page.write_text(".Dd November 24, 2026\n.Dt WRONG 1\n.Os\n.Sh NAME\n.Nm wrong\n.Nd \\*[nowhere]\n")
    assert formatted(str(page))[2] != ""
