# SPDX-License-Identifier: Apache-2.0
"""tern-chat for scripts, against a real node. Accuses tools/chat."""
import asyncio
import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import uuid

import pytest

import foreign
from harness import CHAT, wait_until

ADA, BEN, NOBODY = "+15550001000", "+15550002000", "+15550009999"
REFUSED, USAGE, DATA, UNREACHABLE, HOME, QUEUED, PIN, UNREGISTERED = 1, 64, 65, 69, 73, 75, 76, 77
TEXT_BYTES_MAX = 61435


class Client:
    """A home and what is done with it, one process a command."""

    def __init__(self, home, node=None):
        self.home, self.node = str(home), node

    def command(self, verb, *arguments):
        return [CHAT, verb, "--home", self.home, *arguments]

    def start(self, verb, *arguments):
        return subprocess.Popen(self.command(verb, *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def run(self, verb, *arguments, status=0, stdin=""):
        done = subprocess.run(self.command(verb, *arguments), input=stdin, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
        self.said = done.stderr
        return done.stdout

    def register(self, phone, name):
        self.run("register", "--server", self.node.url, "--phone", phone, "--name", name)
        self.run("verify", "--code", self.node.code(phone))
        return self

    def send(self, to, text, *arguments, status=0):
        """The message's id; the state must be the one that was waited for."""
        out = self.run("send", "--to", to, text, *arguments, status=status)
        return out.split()

    def receive(self, *arguments, status=0):
        return [json.loads(line) for line in self.run("receive", "--json", *arguments, status=status).splitlines()]


@pytest.fixture
def people(node, tmp_path):
    return Client(tmp_path / "ada", node).register(ADA, "Ada"), Client(tmp_path / "ben", node).register(BEN, "Ben")


def texts(messages):
    return [message["text"] for message in messages]


# ---- two people


def test_a_message_is_sent_received_once_and_read(people):
    ada, ben = people
    identity, state = ada.send(BEN, "hello")
    assert uuid.UUID(identity).version == 7 and state == "sent"
    assert ada.run("status", identity) == identity + " sent\n"
    before = time.time() * 1000
    message, = ben.receive()
    assert message["id"] == identity and message["from"] == ADA and message["name"] == "Ada"
    assert message["text"] == "hello" and message["sequence"] >= 1 and abs(message["time"] - before) < 60000
    assert ben.receive() == []
    assert ada.run("status", identity) == identity + " read\n"


def test_nothing_waiting_prints_nothing(people):
    _, ben = people
    assert ben.run("receive") == "" and ben.said == ""
    begin = time.monotonic()
    assert ben.run("receive", "--wait", "1") == ""
    assert time.monotonic() - begin >= 1


def test_receive_waits_for_mail_and_ends_with_it(people):
    ada, ben = people
    waiting = ben.start("receive", "--wait", "60", "--json")
    time.sleep(0.5)
    ada.send(BEN, "there you are")
    out, _ = waiting.communicate(timeout=30)
    assert waiting.returncode == 0 and texts(map(json.loads, out.splitlines())) == ["there you are"]


def test_waiting_mail_arrives_in_order_and_history_has_both_sides(people):
    ada, ben = people
    for i in range(5):
        ada.send(BEN, "from ada %d" % i)
    assert texts(ben.receive()) == ["from ada %d" % i for i in range(5)]
    ben.send(ADA, "from ben")
    ada.receive()
    ada.send("Ben", "again")  # a contact's name will do
    expected = ["from ada %d" % i for i in range(5)] + ["from ben", "again"]
    assert texts(map(json.loads, ada.run("history", "--with", BEN, "--json").splitlines())) == expected
    ben.receive()
    assert texts(map(json.loads, ben.run("history", "--with", "Ada", "--json").splitlines())) == expected
    assert texts(map(json.loads, ben.run("history", "--json", "--limit", "2").splitlines())) == expected[-2:]
    contact = json.loads(ada.run("contacts", "--json"))
    assert (contact["phone"], contact["name"]) == (BEN, "Ben")


def test_send_waits_for_delivered_and_read(people):
    ada, ben = people
    sending = ada.start("send", "--to", BEN, "mind this", "--wait", "delivered", "--timeout", "60")
    assert texts(ben.receive("--wait", "60", "--unread")) == ["mind this"]
    out, err = sending.communicate(timeout=60)
    assert sending.returncode == 0 and out.split()[1] == "delivered", err
    assert ada.run("status", out.split()[0]).split()[1] == "delivered"  # --unread told nobody that it was read

    sending = ada.start("send", "--to", BEN, "and this", "--wait", "read", "--timeout", "60", "--json")
    assert texts(ben.receive("--wait", "60")) == ["and this"]
    out, err = sending.communicate(timeout=60)
    assert sending.returncode == 0 and json.loads(out)["state"] == "read", err


def test_waiting_in_vain_is_told_apart(people):
    ada, _ = people
    identity, state = ada.send(BEN, "hello?", "--wait", "delivered", "--timeout", "1", status=UNREACHABLE)
    assert state == "sent" and "within the time" in ada.said
    assert ada.run("status", "--offline", identity).split()[1] == "sent"


def test_every_text_arrives_as_it_was(people):
    ada, ben = people
    said = ["grüße 你好 \U0001f600", "two\nlines", "\x1b[2J\x9b31m", "\x00 nul", "x" * TEXT_BYTES_MAX]
    for text in said:
        ada.run("send", "--to", BEN, "-", stdin=text)
    assert texts(ben.receive()) == said


def test_what_other_clients_send_is_text_or_unreadable(people, node):
    _, ben = people

    async def stranger():
        device = foreign.Device(node.url)
        await device.connect()
        await device.register(NOBODY, "Eve", node.code)
        user = await device.find(BEN)
        for content in ("plain UTF-8 \u263a".encode(), b"\xff\x00 no text", b"\x93\x01\xa4ours\xc0"):
            await device.send(user, content)
        await device.close()
    asyncio.run(stranger())
    messages = ben.receive()
    assert texts(messages) == ["plain UTF-8 \u263a", "[unreadable]", "ours"]
    assert [message.get("unreadable", False) for message in messages] == [False, True, False]
    assert {(message["from"], message["name"]) for message in messages} == {(NOBODY, "Eve")}
    assert ben.receive() == []


def test_others_text_cannot_control_the_terminal(people):
    ada, ben = people
    ada.run("send", "--to", BEN, "-", stdin="\x1b]0;title\x07\x9b2J\r\u202eevil\nnext")
    out = ben.run("receive")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    assert out.endswith("evil\n    next\n")


# ---- what cannot be


def test_mistakes_have_their_exit_codes(people, tmp_path):
    ada, _ = people
    ada.run("send", "--to", NOBODY, "anybody?", status=REFUSED)
    assert "nobody has this number" in ada.said
    ada.run("send", "--to", "12345", "x", status=USAGE)
    ada.run("send", "--to", ADA, "me", status=USAGE)
    ada.run("send", "--to", BEN, status=USAGE)
    ada.run("send", "--to", BEN, "-", stdin="x" * (TEXT_BYTES_MAX + 1), status=DATA)
    assert "too long" in ada.said
    assert subprocess.run(ada.command("send", "--to", BEN, b"\xff"), capture_output=True).returncode == DATA
    ada.run("status", str(uuid.uuid4()), status=REFUSED)
    ada.run("status", "nonsense", status=USAGE)
    stranger = Client(tmp_path / "stranger")
    stranger.run("receive", status=UNREGISTERED)
    assert not os.path.exists(stranger.home)
    stranger.run("verify", "--code", "123456", status=UNREGISTERED)
    not_a_home = Client(__file__)
    not_a_home.run("receive", status=HOME)


def test_a_wrong_code_changes_nothing(node, tmp_path):
    ada = Client(tmp_path / "ada", node)
    ada.run("register", "--server", node.url, "--phone", ADA, "--name", "Ada")
    code = node.code(ADA)
    ada.run("verify", "--code", "%06d" % ((int(code) + 1) % 1000000), status=REFUSED)
    assert "wrong" in ada.said
    ada.run("receive", status=UNREGISTERED)
    ada.run("verify", "--code", code)
    assert ada.receive() == []


def test_a_home_is_private_and_used_by_one_process(people):
    ada, _ = people
    assert stat.S_IMODE(os.stat(ada.home).st_mode) == 0o700
    for name in os.listdir(ada.home):
        assert stat.S_IMODE(os.stat(os.path.join(ada.home, name)).st_mode) & 0o077 == 0
    first = ada.start("receive", "--wait", "60")
    wait_until(lambda: "%d\n" % first.pid == open(os.path.join(ada.home, "lock")).read(), what="the lock")
    ada.run("contacts", status=HOME)
    assert "in use by process %d" % first.pid in ada.said
    first.kill()
    first.communicate()
    ada.run("contacts")


def test_a_device_that_was_replaced_is_told(people, node, tmp_path):
    ada, ben = people
    waiting = ada.start("receive", "--wait", "60")
    time.sleep(0.5)
    new = Client(tmp_path / "ada2", node).register(ADA, "Ada")
    _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == UNREGISTERED and "another device" in err
    ada.run("receive", status=UNREGISTERED)
    ben.send(ADA, "to the new one")  # ben's list of her devices was outdated
    assert texts(new.receive()) == ["to the new one"]
    ada.register(ADA, "Ada")  # and back
    ben.send(ADA, "to the old one")
    assert texts(ada.receive()) == ["to the old one"]


# ---- the cluster's key


def cluster_key(node):
    return re.search(r"tern1[a-z0-9]{58}", node.log_text()).group(0)


def test_the_cluster_key_is_shown_pinned_and_a_changed_one_refused(node, make_node, tmp_path):
    ada = Client(tmp_path / "ada", node)
    ada.run("register", "--server", node.url, "--phone", ADA, "--name", "Ada")
    assert cluster_key(node) in ada.said
    ada.run("verify", "--code", node.code(ADA))
    assert "tern1" not in ada.said
    other = make_node()
    ada.run("receive", "--server", other.url, status=PIN)
    assert cluster_key(other) in ada.said and cluster_key(node) in ada.said
    ada.run("receive")


def test_a_given_cluster_key_is_pinned_from_the_begin(node, make_node, tmp_path):
    other = make_node()
    ada = Client(tmp_path / "ada", node)
    arguments = ["register", "--server", node.url, "--phone", ADA, "--name", "Ada", "--cluster-key"]
    ada.run(*arguments, cluster_key(other), status=PIN)
    mistyped = cluster_key(node)[:-1] + ("p" if cluster_key(node).endswith("q") else "q")
    ada.run(*arguments, mistyped, status=USAGE)
    assert not os.listdir(node.codes)
    ada.run(*arguments, cluster_key(node))
    assert "first contact" not in ada.said


def test_a_registration_elsewhere_that_comes_to_nothing_changes_nothing(people, make_node):
    ada, ben = people
    other = make_node()
    arguments = ["register", "--server", other.url, "--phone", ADA, "--name", "Ada"]
    ada.run(*arguments, status=PIN)
    ada.run(*arguments, "--cluster-key", cluster_key(other))
    ada.run("verify", "--code", "000000" if other.code(ADA) != "000000" else "111111", status=REFUSED)
    ada.send(BEN, "still here")
    assert texts(ben.receive()) == ["still here"]


# ---- without a node


def test_without_a_node_nothing_is_sent_or_kept(people, node):
    ada, ben = people
    node.kill()
    assert ada.send(BEN, "lost", "--timeout", "1", status=UNREACHABLE) == []
    assert "refused" in ada.said and "was not sent" in ada.said
    ada.run("receive", "--timeout", "1", status=UNREACHABLE)
    node.start()
    ada.send(BEN, "kept")
    assert texts(ben.receive()) == ["kept"]


def test_a_queued_message_goes_out_on_the_next_connection_with_the_same_id(people, node):
    ada, ben = people
    node.kill()
    first, state = ada.send(BEN, "first", "--queue")
    assert state == "queued"
    second, _ = ada.send(BEN, "second", "--queue")
    assert ada.run("status", "--offline", first) == first + " queued\n"
    ada.run("status", first, "--timeout", "1", status=UNREACHABLE)
    node.start()
    assert ada.receive() == []  # any command that connects takes them along
    messages = ben.receive()
    assert [(m["id"], m["text"]) for m in messages] == [(first, "first"), (second, "second")]
    assert ada.run("status", second).split()[1] == "read"


def test_something_else_than_a_node_is_named(tmp_path, node):
    ada = Client(tmp_path / "ada", node).register(ADA, "Ada")
    ada.run("receive", "--server", "ws://127.0.0.1:%d" % node.metrics_port, "--timeout", "1", status=UNREACHABLE)
    assert "no Tern node" in ada.said
    ada.run("receive", "--server", "http://127.0.0.1:1", status=USAGE)


class SilentAfterSend:
    """Stands between a client and its node, and lets nothing more through to the client once the client has
    said four things: upgrade, two messages of the handshake, and its first frames, the send among them."""

    def __init__(self, port):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "ws://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.port, self.said = port, 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        client, _ = self.listener.accept()
        with socket.create_connection(("127.0.0.1", self.port)) as node, client:
            threading.Thread(target=self.answer, args=(node, client), daemon=True).start()
            while data := client.recv(65536):
                self.said += 1
                node.sendall(data)

    def answer(self, node, client):
        try:
            while data := node.recv(65536):
                if self.said < 4:
                    client.sendall(data)
        except OSError:
            pass  # closed by serve


def test_an_answer_that_never_came_leaves_the_message_queued_and_it_arrives_once(people, node):
    ada, ben = people
    identity, _ = ada.send(BEN, "known")
    ben.receive()
    ada.run("status", identity)
    between = SilentAfterSend(node.port)
    identity, state = ada.send(BEN, "did it go?", "--server", between.url, "--timeout", "3", status=QUEUED)
    assert state == "queued" and "kept" in ada.said
    assert texts(ben.receive()) == ["did it go?"]  # it did
    assert ada.run("status", identity).split()[1] == "read"
    assert ben.receive() == []  # and not again


# ---- killed at any moment


def test_mail_that_was_fetched_and_not_printed_is_printed_by_the_next(people):
    ada, ben = people
    ada.send(BEN, "one")
    ada.send(BEN, "two")
    ben.send(ADA, "fetches both")  # stores them, prints nothing
    assert ben.run("history", "--json").count('"from":"%s"' % ADA) == 2
    assert texts(ben.receive()) == ["one", "two"]


def test_a_client_that_is_killed_again_and_again_loses_and_repeats_nothing(people):
    ada, ben = people
    count, printed, killed = 600, [], 0
    sending = subprocess.Popen([CHAT, "--home", ada.home, "--to", BEN], text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for i in range(count):
        receiving = ben.start("receive", "--json", "--wait", "2") if i % 30 == 0 else receiving
        sending.stdin.write("%d\n" % i)
        sending.stdin.flush()
        if i % 30 == 29:
            time.sleep(0.01 * (i // 30))
            receiving.kill()
            out, _ = receiving.communicate()
            killed += receiving.returncode == -signal.SIGKILL
            printed += [json.loads(line) for line in out.splitlines(True) if line.endswith("\n")]
    sending.communicate()
    assert sending.returncode == 0
    while rest := ben.receive():
        printed += rest
    assert killed > 0
    once = list({message["id"]: int(message["text"]) for message in printed}.values())
    assert once == list(range(count))
    assert len(printed) - len(once) <= 256 * killed  # what was printed in the very moment of a kill comes again
    stored = [json.loads(line) for line in ben.run("history", "--json", "--with", ADA).splitlines()]
    assert [int(message["text"]) for message in stored] == list(range(count))


def test_a_killed_node_is_waited_for(people, node):
    ada, ben = people
    node.kill_child()
    ada.send(BEN, "while it starts")
    assert texts(ben.receive()) == ["while it starts"]


def test_a_long_queue_is_drained_in_one_go(people):
    ada, ben = people
    ada.send(BEN, "0")
    lines = "/to %s\n%s" % (BEN, "".join("%d\n" % i for i in range(1, 900)))
    subprocess.run([CHAT, "--home", ada.home], input=lines, text=True, timeout=120, check=True,
                   stdout=subprocess.DEVNULL)
    assert texts(ben.receive()) == [str(i) for i in range(900)]


# ---- echo


def test_echo_reads_and_answers_each_message_once(people):
    ada, ben = people
    echo = ben.start("echo")
    try:
        ada.send(BEN, "hello", "--wait", "read", "--timeout", "60")
        assert texts(ada.receive("--wait", "60")) == ["echo: hello"]
        echo.kill()
        echo.communicate()
        ada.send(BEN, "while away")
        echo = ben.start("echo")
        assert texts(ada.receive("--wait", "60")) == ["echo: while away"]
        ada.send(BEN, "echo: from another echo", "--wait", "read", "--timeout", "60")
        echo.send_signal(signal.SIGTERM)
        assert echo.wait(30) == 0
    finally:
        echo.kill()
    assert ada.receive("--wait", "1") == []
