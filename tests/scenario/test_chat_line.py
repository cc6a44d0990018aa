# SPDX-License-Identifier: Apache-2.0
"""tern-chat by a person, in a real terminal (tmux), against a real node. Accuses tools/chat/line*.c, editor.c."""
import os
import re
import shlex
import subprocess

import pytest

from harness import CHAT, wait_until
from test_chat import ADA, BEN, NOBODY, Client, cluster_key, people, texts  # noqa: F401 (people is a fixture)

CLEO = "+15550003000"


class Terminal:
    """A program in a terminal of its own, and a person before it."""

    def __init__(self, socket, *command, columns=100, rows=50):
        self.socket = socket
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  "LANG=C.UTF-8 TZ=UTC %s; echo ended with $?; sleep 600" % shlex.join(command))

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-S", self.socket, *arguments], check=True, capture_output=True,
                              text=True).stdout

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def key(self, *names):
        self.tmux("send-keys", *names)

    def enter(self, text):
        self.type(text)
        self.key("Enter")

    def see(self, pattern):
        try:
            return wait_until(lambda: re.search(pattern, self.screen(), re.MULTILINE), 30, repr(pattern))
        except AssertionError as error:
            raise AssertionError("%s; the screen:\n%s" % (error, self.screen())) from None


@pytest.fixture
def terminal(tmp_path):
    """terminal(command...): a Terminal that is gone at the test's end."""
    sockets = []

    def make(*command, **size):
        sockets.append(str(tmp_path / ("tmux%d" % len(sockets))))
        return Terminal(sockets[-1], *map(str, command), **size)

    yield make
    for socket in sockets:
        subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True, check=False)


def test_a_newcomer_is_asked_for_what_is_needed_and_chats(terminal, people, node, tmp_path):
    ada, _ = people
    cleo = terminal(CHAT, "--home", tmp_path / "cleo", columns=130)
    cleo.see(r"^Server \[ws://127\.0\.0\.1:7700\]:$")
    cleo.enter("nonsense")
    cleo.see(r"ws://HOST:PORT")
    cleo.enter(node.url)
    cleo.see(r"^Your phone number:$")
    cleo.enter("555")
    cleo.see(r"7 to 15 digits")
    cleo.enter(CLEO)
    cleo.see(r"^Your name:$")
    cleo.enter("Cleo")
    cleo.see(r"^Verification code:$")
    assert cluster_key(node) in cleo.screen().replace("\n", "")
    code = node.code(CLEO)
    cleo.enter("%06d" % ((int(code) + 1) % 1000000))
    cleo.see(r"the code is wrong")
    cleo.enter(code)
    cleo.see(r"you are Cleo \(\+15550003000\)")
    cleo.see(r"not yet end-to-end encrypted")
    cleo.see(r"^-- connected to ws://")
    cleo.enter("/to " + ADA)
    cleo.see(r"^-- chatting with ")
    cleo.enter("hello from cleo")
    cleo.see(r"^ +sent: hello from cleo")
    assert texts(ada.receive()) == ["hello from cleo"]
    cleo.see(r"^ +read: hello from cleo")
    cleo.enter("/quit")
    cleo.see(r"^ended with 0")


def test_two_people_see_each_others_messages_and_states(terminal, people):
    ada, ben = people
    a, b = terminal(CHAT, "--home", ada.home, "--to", BEN), terminal(CHAT, "--home", ben.home)
    a.see(r"^-- connected")
    b.see(r"^-- connected")
    a.enter("grüße 你好")
    b.see(r"^\d\d:\d\d  Ada \(\+15550001000\): grüße 你好$")
    b.see(r"/to \+15550001000 opens this chat")
    a.see(r"^\d\d:\d\d  me: grüße 你好$")
    a.see(r"^ +delivered: grüße 你好$")
    assert "read:" not in a.screen()  # ben has not opened the chat
    b.enter("/to Ada")
    a.see(r"^ +read: grüße 你好$")
    b.see(r"^Ada>")
    b.enter("hi")
    a.see(r"^\d\d:\d\d  Ben \(\+15550002000\): hi$")
    a.see(r"^Ben>")  # his name is known now
    b.see(r"^ +read: hi$")  # her chat with him was open
    b.enter("/contacts")
    b.see(r"^\+15550001000 +Ada$")
    b.enter("/history 1")
    b.see(r"^\d\d:\d\d  me: hi\n(.*\n)*.*me: hi$")
    b.enter("/help")
    b.see(r"^ +/quit")
    b.enter("/nothing")
    b.see(r"there is no command /nothing")


def test_what_is_being_typed_stays_whole_when_messages_come(terminal, people):
    ada, ben = people
    a = terminal(CHAT, "--home", ada.home, "--to", BEN)
    a.see(r"^-- connected")
    a.type("half a sente")
    a.see(r"> half a sente$")
    ben.run("send", "--to", ADA, "-", stdin="in between\n\x1b[2J\x1b[1;1Hsecond \x07line")
    a.see(r"Ben \(\+15550002000\): in between\n +\ufffd\[2J\ufffd\[1;1Hsecond \ufffdline\nBen> half a sente$")
    a.key("Left", "Left", "Left", "Left", "Left", "Left")
    a.type(" whole")
    a.key("End")
    a.type("nce")
    a.see(r"^Ben> half a whole sentence$")
    a.key("Enter")
    assert texts(ben.receive("--wait", "30")) == ["half a whole sentence"]
    a.key("Up")
    a.see(r"^Ben> half a whole sentence$")
    a.key("C-u")
    a.see(r"^Ben>$")


def test_a_long_line_stays_in_its_row(terminal, people):
    ada, ben = people
    a = terminal(CHAT, "--home", ada.home, "--to", BEN, columns=40)
    a.see(r"^-- connected")
    a.type("".join("%d " % i for i in range(100)))
    a.see(r"> .*98 99$")
    assert len(re.findall(r"98 99", a.screen())) == 1  # not "99": the port or the key may have it
    a.key("Enter")
    assert texts(ben.receive("--wait", "30")) == [" ".join(map(str, range(100)))]


def test_a_pasted_text_keeps_its_lines(terminal, people):
    ada, ben = people
    a = terminal(CHAT, "--home", ada.home, "--to", BEN)
    a.see(r"^-- connected")
    a.tmux("set-buffer", "one\ntwo")
    a.tmux("paste-buffer", "-p")
    a.see(r"one.two$")
    a.key("Enter")
    assert texts(ben.receive("--wait", "30")) == ["one\ntwo"]


def test_it_connects_again_by_itself_and_says_so(terminal, people, node):
    ada, ben = people
    a = terminal(CHAT, "--home", ada.home, "--to", BEN)
    a.see(r"^-- connected")
    node.kill()
    a.see(r"^-- the connection to \S+ is lost; trying again in \d")
    a.see(r"cannot be reached: Connection refused; trying again in \d")
    a.enter("while it is away")
    a.see(r"^-- not connected: it is kept")
    node.start()
    a.see(r"^ +sent: while it is away")
    assert len(re.findall(r"^-- connected", a.screen(), re.MULTILINE)) == 2
    assert texts(ben.receive()) == ["while it is away"]


def test_a_number_that_nobody_has_is_told_at_once(terminal, people):
    ada, _ = people
    a = terminal(CHAT, "--home", ada.home)
    a.see(r"^-- connected")
    a.enter("to nobody in particular")
    a.see(r"^-- no chat is open")
    a.enter("/to " + NOBODY)
    a.see(r"^-- nobody has the number \+15550009999")
    a.enter("/to 12")
    a.see(r"neither a phone number")


def test_a_replaced_device_is_told_and_ends(terminal, people, node, tmp_path):
    ada, _ = people
    a = terminal(CHAT, "--home", ada.home)
    a.see(r"^-- connected")
    Client(tmp_path / "ada2", node).register(ADA, "Ada")
    a.see(r"another device took the number over")
    a.see(r"^ended with 77")


def test_the_terminal_is_left_as_it_was(terminal, people):
    ada, _ = people
    a = terminal("sh", "-c", "stty -a > %s; %s --home %s; stty -a > %s" % (
        shlex.quote(ada.home + "/before"), shlex.quote(CHAT), shlex.quote(ada.home), shlex.quote(ada.home + "/after")))
    a.see(r"^-- connected")
    a.key("C-d")
    a.see(r"^ended with 0")
    with open(os.path.join(ada.home, "before")) as before, open(os.path.join(ada.home, "after")) as after:
        assert before.read() == after.read()
