# SPDX-License-Identifier: Apache-2.0
"""tools/setup: silent when nothing is missing, and a refusal that changes nothing elsewhere."""
import os
import subprocess

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))


def run_setup(what, **environment):
    return subprocess.run([os.path.join(ROOT, "tools/setup"), what], capture_output=True, text=True,
                          env=dict(os.environ, **environment))


def test_nothing_missing_says_nothing():
    done = run_setup("check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("text, name", [  # what /etc/os-release says
    ('ID=ubuntu\nVERSION_ID="22.04"\nPRETTY_NAME="Ubuntu 22.04.4 LTS"\n', "Ubuntu 22.04.4 LTS"),
    ('ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n', "Debian GNU/Linux 11"),
    ('ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME="Alpine Linux v3.19"\n', "Alpine Linux v3.19"),
    ("", "another system"),
], ids=["ubuntu", "debian 11", "alpine", "empty"])
def test_another_system_is_refused_in_a_sentence(tmp_path, text, name):
    (tmp_path / "os-release").write_text(text)
    done = run_setup("run", TERN_OS_RELEASE=str(tmp_path / "os-release"))
    assert done.returncode == 1
    assert name in done.stderr and "Debian 12" in done.stderr and "nothing was changed" in done.stderr
    assert done.stderr.count("\n") == 1


def fake_tools(tmp_path, apt_get, missing="libsodium-dev"):
    """A PATH on which one package is missing and apt-get is a script."""
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\n/usr/bin/dpkg-query \"$@\" | grep -v '|%s$'\n" % missing)
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho \"$*\" >>%s/calls\n%s\n" % (tmp_path, apt_get))
    (tmp_path / "sudo").write_text("#!/bin/sh\nexec \"$@\"\n")
    for tool in ("dpkg-query", "apt-get", "sudo"):
        (tmp_path / tool).chmod(0o755)
    return "%s:%s" % (tmp_path, os.environ["PATH"])


PLAN = ("0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.\n"
        "Need to get %s of archives.\nAfter this operation, %s of additional disk space will be used.\n")


def test_says_what_it_installs_and_how_much_it_downloads(tmp_path):
    done = run_setup("run", PATH=fake_tools(tmp_path, "cat <<E\n" + PLAN % ("181 kB", "1,022 kB") + "E"))
    assert "installing libsodium-dev\n" in done.stderr
    assert "Need to get 181 kB of archives." in done.stderr
    assert "install --no-install-recommends --yes" in (tmp_path / "calls").read_text()
    assert done.returncode == 1 and "yet libsodium-dev is missing" in done.stderr


def test_asks_apt_as_an_ordinary_user_without_its_lock(tmp_path):
    plan = PLAN % ("181 kB", "1,022 kB")
    path = fake_tools(tmp_path, """case "$*" in
*NoLocking=1*--assume-no*) echo '%s' ;;
*--assume-no*) echo 'E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)'; exit 100 ;;
*update*) exit 1 ;;
esac""" % plan)
    done = run_setup("run", PATH=path)
    assert "installing libsodium-dev\n" in done.stderr and "update" not in (tmp_path / "calls").read_text()


def test_too_little_space_is_refused_before_anything_is_installed(tmp_path):
    done = run_setup("run", PATH=fake_tools(tmp_path, "cat <<E\n" + PLAN % ("181 kB", "9,999,999 MB") + "E"))
    assert done.returncode == 1 and "MB free and this needs" in done.stderr
    assert "--yes" not in (tmp_path / "calls").read_text()


def test_no_network_is_refused_in_a_sentence(tmp_path):
    done = run_setup("run", PATH=fake_tools(tmp_path, "echo 'E: Unable to locate package libsodium-dev'; exit 100"))
    assert done.returncode == 1 and "Nothing was installed" in done.stderr


def test_a_package_with_a_service_does_not_start_it(tmp_path):
    for folder in ("etc/systemd/system", "usr/sbin"):
        (tmp_path / folder).mkdir(parents=True)
    policy = tmp_path / "usr/sbin/policy-rc.d"
    apt_get = "case \"$*\" in *--yes*) cp %s %s/seen ;; esac\ncat <<E\n" % (policy, tmp_path) + PLAN % ("3 kB", "9 kB") + "E"
    done = run_setup("check", PATH=fake_tools(tmp_path, apt_get, "haproxy"), TERN_SETUP_ROOT=str(tmp_path))
    assert "haproxy is installed without its service" in done.stderr
    assert os.readlink(tmp_path / "etc/systemd/system/haproxy.service") == "/dev/null"
    assert "exit 101" in (tmp_path / "seen").read_text() and not policy.exists()
    assert not (tmp_path / "etc/systemd/system/prometheus.service").is_symlink()
