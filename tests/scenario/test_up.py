# SPDX-License-Identifier: Apache-2.0
"""A newcomer's command: tools/up from nothing, again, beside another, and its end."""
import json
import os
import re
import signal
import socket
import subprocess

import pytest

from harness import ROOT, children, free_port, wait_until

CHAT = os.path.join(ROOT, "build/bin/tern-chat")


def up(data, *arguments):
    done = subprocess.run([os.path.join(ROOT, "tools/up"), "--data", str(data), *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500)
    return done.returncode, done.stdout, done.stderr


def chat(home, verb, *arguments):
    done = subprocess.run([CHAT, verb, "--home", str(home), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def code(data, phone):
    def found():
        text = (data / "codes").read_text()
        return re.findall(re.escape(phone) + r": (\d{6})", text)
    return wait_until(found, what="the code")[-1]


@pytest.fixture
def place(tmp_path):
    data, port = tmp_path / "data", free_port()
    yield data, port
    up(data, "--stop")


def test_a_newcomer_starts_a_node_and_talks_to_echo(place, tmp_path):
    data, port = place
    status, out, err = up(data, "--port", str(port))
    assert status == 0, out + err
    for told in ("ws://127.0.0.1:%d" % port, str(data), "tools/up --stop --data %s" % data, "build/bin/tern-chat",
                 "build/bin/tern-shell --data %s/node" % data):
        assert told in out
    echo = re.search(r"say hello +to (\+\d+)", out).group(1)

    home = tmp_path / "alice"
    chat(home, "register", "--server", "ws://127.0.0.1:%d" % port, "--phone", "+15550001000", "--name", "Alice")
    chat(home, "verify", "--code", code(data, "+15550001000"))
    chat(home, "send", "--to", echo, "hello", "--wait", "read")
    answer = json.loads(chat(home, "receive", "--wait", "30", "--json"))
    assert (answer["from"], answer["text"]) == (echo, "echo: hello")

    looked = subprocess.run([os.path.join(ROOT, "build/bin/tern-shell"), "--data", str(data / "node"), "-c", "node"],
                            capture_output=True, text=True, timeout=30, check=False)
    assert looked.returncode == 0 and "tern" in looked.stdout, looked.stderr

    # Again while it is up: it says so, and disturbs nothing.
    pid = (data / "node.pid").read_text()
    status, out, _ = up(data)
    assert status == 0 and "up already" in out and (data / "node.pid").read_text() == pid

    # Another place with the same port is refused, and told by whom.
    status, _, err = up(tmp_path / "other", "--port", str(port))
    assert status == 1 and "port %d is taken by 'tern-node'" % port in err
    assert not (tmp_path / "other" / "node").exists()

    # The node dies hard; the contact comes back by itself and answers what was sent meanwhile.
    os.kill(children(int(pid))[0], signal.SIGKILL)
    chat(home, "send", "--to", echo, "again", "--wait", "read")
    assert json.loads(chat(home, "receive", "--wait", "30", "--json"))["text"] == "echo: again"

    status, out, _ = up(data, "--stop")
    assert status == 0 and "stopped" in out
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    status, out, _ = up(data, "--stop")
    assert status == 0 and "not running" in out

    # Everything is still there the next time.
    assert up(data)[0] == 0
    chat(home, "send", "--to", echo, "and again", "--wait", "read")
