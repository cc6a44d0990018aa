# SPDX-License-Identifier: Apache-2.0
"""runtime/README.md holds: its commands lead to what it shows, its excerpts are in the examples."""
import os
import random
import re
import signal
import socket
import subprocess
import threading

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
EXAMPLES = ("ping_pong", "echo_server", "recover")


def blocks():
    """(language, text, the line above) of each fenced block."""
    with open(os.path.join(ROOT, "runtime/README.md"), encoding="utf-8") as file:
        parts = re.split(r"^```(\w*)\n", file.read(), flags=re.MULTILINE)
    found = []
    for i in range(1, len(parts), 4):  # language, content, an empty language, what follows
        found.append((parts[i], parts[i + 1], parts[i - 1].rstrip().split("\n")[-1]))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A newcomer's home in which the page's commands were run; its folder with the programs."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def session(home):
    """Each command block with what it printed, run one after the other in one shell."""
    script, shown = "set -eu\n", []
    for language, text, _ in blocks():
        if language == "sh":
            script += text.replace("/tmp/hello", str(home / "hello")) + "printf '\\001'\n"
            shown.append("")
        elif language == "text":
            shown[-1] = text
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=500,
                          env=dict(os.environ, HOME=str(home)))
    assert done.returncode == 0
    return list(zip(shown, done.stdout.split("\1")))


def test_commands_print_what_the_page_shows(session):
    assert len(session) >= 4
    for shown, printed in session:
        assert printed == shown


def test_excerpts_are_in_the_examples():
    excerpts = [(text, above) for language, text, above in blocks() if language == "c"]
    assert len(excerpts) >= 6
    for text, above in excerpts:
        name = re.fullmatch(r"`(examples/\w+\.c)`:", above).group(1)
        with open(os.path.join(ROOT, "runtime", name), encoding="utf-8") as file:
            assert text in file.read(), "not in %s any more:\n%s" % (name, text)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_compiles_without_warnings(session, home, name):
    environment = dict(os.environ, PKG_CONFIG_PATH=str(home / "tern/lib/pkgconfig"))
    flags = subprocess.check_output(["pkg-config", "--cflags", "tern-runtime"], env=environment, text=True)
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-fsyntax-only", name + ".c",
                    *flags.split()], cwd=home / "hello", check=True)


def test_installed_headers_compile_alone(session, home):
    include = home / "tern/include/tern"
    headers = sorted(path.name for path in (include / "runtime").iterdir())
    assert "actor.h" in headers and not [name for name in headers if name.endswith("_internal.h")]
    for name in headers:
        subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-I%s" % include, "-fsyntax-only", "-xc", "-"],
                       input="#include <runtime/%s>\n" % name, text=True, check=True)


def converse(port, data):
    """Send everything, end our half, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        def write():
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
        writer = threading.Thread(target=write)
        writer.start()
        received = bytearray()
        while part := stream.recv(65536):
            received += part
        writer.join()
        return bytes(received)


@pytest.fixture
def echo_server(session, home):
    """On a port below those that the kernel gives to clients, of which a busy machine may have none left."""
    for port in random.sample(range(20000, 32000), 50):
        process = subprocess.Popen([home / "hello/echo_server", str(port)], stdout=subprocess.PIPE, text=True)
        if process.stdout.readline() == "%d\n" % port:
            break
        process.communicate()
    try:
        yield process, port
    finally:
        process.kill()
        process.communicate()


def test_echo_server_sends_back_all_to_each(echo_server):
    process, port = echo_server
    data = bytes(range(251)) * 40000
    assert converse(port, b"hello\n") == b"hello\n"
    assert converse(port, data) == data
    streams = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(200)]
    for number, stream in enumerate(streams):
        stream.sendall(b"%03d" % number)
    for number, stream in enumerate(streams):
        assert stream.recv(3, socket.MSG_WAITALL) == b"%03d" % number
        stream.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_echo_server_lets_a_client_that_does_not_read_wait_alone(echo_server):
    _, port = echo_server
    with socket.create_connection(("127.0.0.1", port), timeout=60) as deaf:
        deaf.setblocking(False)
        sent, quiet = 0, 0
        while quiet < 20:  # until nothing more is taken: it was held back, for it takes no end
            try:
                sent += deaf.send(bytes(1 << 20))
                quiet = 0
            except BlockingIOError:
                quiet += 1
                assert converse(port, b"others are served") == b"others are served"
            assert sent < 1 << 30
