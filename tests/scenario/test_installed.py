# SPDX-License-Identifier: Apache-2.0
"""`scons install`: what it puts, and that the manual pages tell every option of the programs (tools/*/tern-*.1)."""
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = sorted(name for name in os.listdir(os.path.join(ROOT, "build/bin")) if name.startswith("tern-"))
INSTALLED = [name for name in PROGRAMS if name != "tern-sim"]  # it is of use beside the sources alone


def page_of(name):
    folder = "bench" if name == "tern-bench" else "tools/" + name[len("tern-"):]
    return os.path.join(ROOT, folder, name + ".1")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("install") / "prefix")
    subprocess.run(["scons", "-s", "install", "PREFIX=" + path], cwd=ROOT, check=True, timeout=800)
    return path


def files_below(path):
    return sorted(os.path.relpath(os.path.join(folder, file), path)
                  for folder, _, files in os.walk(path) for file in files)


def test_install_puts_programs_pages_library_and_samples_and_nothing_else(prefix):
    found = files_below(prefix)
    headers = [path for path in found if path.startswith("include/tern/runtime/")]
    assert len(headers) > 10 and all(path.endswith(".h") for path in headers)
    assert not any(path.endswith("_internal.h") for path in headers)
    examples = "share/doc/tern-runtime/examples/"
    assert [path for path in found if path not in headers] == sorted(
        ["bin/" + name for name in INSTALLED] + ["share/man/man1/%s.1" % name for name in INSTALLED]
        + ["share/bash-completion/completions/" + name for name in INSTALLED]
        + ["lib/libtern-runtime.a", "lib/pkgconfig/tern-runtime.pc", "share/doc/tern/sms-print", "share/doc/tern/tern.conf"]
        + [examples + name for name in os.listdir(os.path.join(ROOT, "runtime/examples"))])


@pytest.mark.parametrize("line, expected", [
    ("tern-node --print", {"--print-config"}),
    ("tern-node ", {"import", "quarantine"}),
    ("tern-chat se", {"send"}),
    ("tern-chat send --qu", {"--queue"}),
    ("tern-bench u", {"users"}),
    ("tern-bench users --sto", {"--store", "--storm"}),
])
def test_bash_completes_what_help_says(prefix, line, expected):
    name = line.split()[0]
    program = ("PATH=%s/bin:$PATH; source %s/share/bash-completion/completions/%s; COMP_WORDS=(%s); "
               "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); compopt() { :; }; _tern %s; echo ${COMPREPLY[*]}"
               % (prefix, prefix, name, line if line[-1] != " " else line + "''", name))
    said = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=30).stdout
    assert expected == set(said.split())


def test_installed_programs_run_and_their_pages_are_found(prefix):
    for name in INSTALLED:
        said = subprocess.run([prefix + "/bin/" + name, "--help"], capture_output=True, text=True, timeout=60)
        assert said.returncode == 0 and name in said.stdout
        where = subprocess.run(["man", "-M", prefix + "/share/man", "-w", name], capture_output=True, text=True,
                               timeout=60)
        assert where.stdout.strip() == "%s/share/man/man1/%s.1" % (prefix, name)


def test_installed_sample_is_a_right_cluster_file(prefix):
    subprocess.run([prefix + "/bin/tern-node", "--check-config", prefix + "/share/doc/tern/tern.conf"], check=True,
                   timeout=60, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", PROGRAMS)
def test_page_tells_every_option_and_command_of_help(name):
    usage = subprocess.run([os.path.join(ROOT, "build/bin", name), "--help"], capture_output=True, text=True,
                           check=True, timeout=60).stdout
    page = subprocess.run(["man", "-l", page_of(name)], capture_output=True, text=True, check=True, timeout=60,
                          env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="200", MANPAGER="cat")).stdout
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", usage))
    assert options
    missing = sorted(option for option in options if not re.search(r"(?<![\w-])%s(?![\w-])" % option, page))
    assert not missing, "not in %s: %s" % (page_of(name), " ".join(missing))
    commands = set(re.findall(r"^ *(?:Usage: )?%s ([a-z]+)\b" % name, usage, re.MULTILINE))
    assert not [word for word in commands if not re.search(r"\b%s\b" % word, page)]
    statuses = set(re.findall(r"(?:^   *|[;:] )(\d+)  ?[a-z]", usage[usage.find("Exit status"):], re.MULTILINE))
    assert not [number for number in statuses if not re.search(r"^ +%s +\S" % number, page, re.MULTILINE)]
