# SPDX-License-Identifier: Apache-2.0
"""The shell at a terminal: completion, hints, history, the live screen. Accuses: tools/shell/prompt, live, complete."""
import os
import re
import stat

import pexpect
import pytest

from test_shell import SHELL


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def spawn(node, home, *arguments):
    environment = dict(os.environ, TERM="xterm-256color", HOME=str(home), XDG_STATE_HOME=str(home / "state"))
    environment.pop("NO_COLOR", None)
    os.makedirs(home, exist_ok=True)
    child = pexpect.spawn(SHELL, ["--data", node.data, *arguments], encoding="utf-8", timeout=20, env=environment,
                          dimensions=(24, 100))
    return child


def test_prompt_completes_explains_and_remembers(node, home):
    child = spawn(node, home)
    child.expect("node> ")
    child.send("sha\t")
    child.expect("rds ")
    child.send("\r")
    child.expect("turns")
    child.expect("node> ")
    child.send("top --by \t")
    child.expect("mailbox")
    child.expect("bytes")
    child.send("?")
    child.expect("--by: the order")
    child.send("\x15info ?")
    child.expect("ACTOR: 0x..., class:key, class:.phone or a name")
    child.send("\x15nod\r")
    child.expect('did you mean "node"')
    child.expect("node> ")
    child.send("\x04")
    child.expect(pexpect.EOF)
    history = home / "state" / "tern" / "shell_history"
    assert stat.S_IMODE(os.stat(history).st_mode) == 0o600 and "shards" in history.read_text()
    again = spawn(node, home)
    again.expect("node> ")
    again.send("\x1b[A")
    again.expect("nod")
    again.send("\x15quit\r")
    again.expect(pexpect.EOF)


def test_top_is_live_and_obeys_its_keys(node, home):
    child = spawn(node, home, "-c", "top")
    child.expect(r"\[\?1049h")
    child.expect("m mailbox")
    child.expect("committer")
    child.send("b")
    child.expect(r"\[7mb bytes")
    child.expect("limits")
    child.send("t")
    child.expect(r"\[7mt time")
    child.send("m")
    child.expect(r"\[7mm mailbox")
    child.expect("committer")
    child.send("\x1b[B")
    child.send("\r")
    child.expect("any key goes back")
    child.expect("mailbox bytes")
    child.send("x")
    child.expect("m mailbox")
    child.send("q")
    child.expect(r"\[\?1049l")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_watch_shows_the_latest_answer_until_it_is_interrupted(node, home):
    child = spawn(node, home, "-c", "watch --every 100ms top", "-c", "log")
    for _ in range(2):
        child.expect(r"\[2J\d\d:\d\d:\d\d  every 0.1 s  top")
        child.expect("committer")
    assert "[?1049h" not in child.before, "the live screen is another thing"
    child.sendintr()
    child.expect(r"\(all others\)")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_top_says_when_the_node_goes(node, home):
    child = spawn(node, home, "-c", "top")
    child.expect("committer")
    node.kill()
    child.expect("the node has gone")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 76


def test_tables_are_coloured_and_cut_at_the_edge_of_a_terminal(node, home):
    child = spawn(node, home, "-c", "top --once", "-c", "classes")
    child.expect(pexpect.EOF)
    assert "\033[1mactor" in child.before
    for line in child.before.splitlines():
        assert len(re.sub("\033[^m]*m", "", line)) <= 100
