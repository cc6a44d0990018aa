# SPDX-License-Identifier: Apache-2.0
"""tern-chat over wss://, through HAProxy as tools/ops sets it up. Accuses: tools/chat/tls, session_connect,
session_socket, net/url."""
import os
import socket
import subprocess
import threading
import time

import pytest

from harness import free_port, wait_until
from ops import Haproxy
from test_chat import ADA, BEN, UNREACHABLE, USAGE, Client, texts

NO_CA = "is not to be trusted"


@pytest.fixture
def proxied(make_node, tmp_path):
    node = make_node(proxies="127.0.0.1", home_address="127.0.0.1:1")
    haproxy = Haproxy(str(tmp_path / "haproxy"), node.port)
    haproxy.url = "wss://127.0.0.1:%d" % haproxy.port
    yield node, haproxy
    haproxy.stop()


def register(node, haproxy, home, phone, name):
    client = Client(home, node)
    client.run("register", "--server", haproxy.url, "--ca", haproxy.certificate, "--phone", phone, "--name", name)
    client.run("verify", "--code", node.code(phone))
    return client


def test_people_chat_through_tls_and_the_authority_is_remembered(proxied, tmp_path):
    node, haproxy = proxied
    ada = register(node, haproxy, tmp_path / "ada", ADA, "Ada")
    ben = register(node, haproxy, tmp_path / "ben", BEN, "Ben")
    large = "a long one " * 5000  # more than a record of TLS
    ada.send(BEN, large)
    assert texts(ben.receive()) == [large]
    answer, _ = ben.send(ADA, "got it", "--wait", "sent")
    receiving = ada.start("receive", "--json", "--wait", "20")
    assert "got it" in receiving.communicate(timeout=60)[0]
    wait_until(lambda: ben.run("status", answer).split()[1] == "read", what="the receipt")
    assert node.metric('tern_events_total{name="proxy_junk"}') == 0
    assert node.metric('tern_events_total{name="connection_lost"}') == 0, "every connection ends in order"


def test_a_message_that_is_there_at_once_is_not_left_inside_of_tls(proxied, tmp_path):
    """What comes in one read of the socket is taken whole, however many records it is."""
    node, haproxy = proxied
    ada, ben = (register(node, haproxy, tmp_path / name, phone, name) for name, phone in (("ada", ADA), ("ben", BEN)))
    for i in range(30):
        ada.send(BEN, "%d %s" % (i, "x" * 3000), "--queue")
    assert [text.split()[0] for text in texts(ben.receive())] == [str(i) for i in range(30)]


def test_a_certificate_of_nobody_known_is_refused_at_once(proxied, tmp_path):
    node, haproxy = proxied
    ada = Client(tmp_path / "ada", node)
    begin = time.monotonic()
    ada.run("register", "--server", haproxy.url, "--phone", ADA, "--name", "Ada", status=UNREACHABLE)
    assert NO_CA in ada.said and "self-signed certificate" in ada.said and "--ca FILE" in ada.said
    assert time.monotonic() - begin < 10, "trying again would not mend it"
    assert node.metric("tern_connections") == 0 and not os.listdir(node.codes)


def test_a_certificate_of_another_host_is_refused(proxied, tmp_path):
    node, haproxy = proxied
    ada = Client(tmp_path / "ada", node)
    ada.run("register", "--server", "wss://localhost:%d" % haproxy.port, "--ca", haproxy.certificate, "--phone", ADA,
            "--name", "Ada", status=UNREACHABLE)
    assert NO_CA in ada.said and "hostname mismatch" in ada.said.lower()


def test_a_later_command_refuses_a_certificate_that_is_no_longer_trusted(proxied, tmp_path):
    node, haproxy = proxied
    ada = register(node, haproxy, tmp_path / "ada", ADA, "Ada")
    ada.run("receive", "--wait", "0")
    ada.run("receive", "--wait", "1", "--ca", "system", status=UNREACHABLE)
    assert NO_CA in ada.said
    ada.run("receive", "--wait", "1", status=UNREACHABLE)
    ada.run("receive", "--wait", "0", "--ca", haproxy.certificate)


def test_mistakes_with_ca_are_named(proxied, tmp_path):
    node, haproxy = proxied
    ada = Client(tmp_path / "ada", node)
    rest = ["--server", haproxy.url, "--phone", ADA, "--name", "Ada"]
    ada.run("register", *rest, "--ca", str(tmp_path / "none"), status=USAGE)
    assert "No such file" in ada.said
    empty = tmp_path / "empty.pem"
    empty.write_text("this is no certificate\n")
    ada.run("register", *rest, "--ca", str(empty), status=USAGE)
    assert "holds no certificate in PEM form" in ada.said
    ada.run("history", "--ca", haproxy.certificate, status=USAGE)
    ada.run("register", "--server", "https://127.0.0.1", "--phone", ADA, "--name", "Ada", status=USAGE)
    assert "ws://, or wss:// for TLS" in ada.said


def test_what_speaks_no_tls_is_said_so(node, tmp_path):
    ada = Client(tmp_path / "ada", node)
    ada.run("register", "--server", "wss://127.0.0.1:%d" % node.port, "--phone", ADA, "--name", "Ada", "--timeout", "3",
            status=UNREACHABLE)
    assert "TLS" in ada.said and "cannot be reached" in ada.said


def test_a_server_that_is_silent_in_the_handshake_is_given_up(node, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        taken = []
        threading.Thread(target=lambda: taken.append(silent.accept()), daemon=True).start()
        ada = Client(tmp_path / "ada", node)
        ada.run("register", "--server", "wss://127.0.0.1:%d" % silent.getsockname()[1], "--phone", ADA, "--name", "Ada",
                "--timeout", "2", status=UNREACHABLE)
        assert "within the time" in ada.said and len(taken) == 1


def test_the_old_versions_of_tls_are_refused(tmp_path, node):
    """TLS 1.1 is broken (RFC 8996); a server that has nothing else is not spoken to."""
    certificate, key = str(tmp_path / "certificate"), str(tmp_path / "key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tern",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate], capture_output=True, check=True)
    port = free_port()
    server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", certificate, "-key", key,
                               "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-quiet"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def listens():
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return True
            except OSError:
                return False
        wait_until(listens, what="openssl s_server")
        ada = Client(tmp_path / "ada", node)
        ada.run("register", "--server", "wss://127.0.0.1:%d" % port, "--ca", certificate, "--phone", ADA, "--name", "Ada",
                "--timeout", "3", status=UNREACHABLE)
        assert "TLS" in ada.said and "version" in ada.said
    finally:
        server.terminate()
        server.wait(20)
