# SPDX-License-Identifier: Apache-2.0
"""Following and changing a live node by its shell. Accuses: actors/admin_trace, admin_records, admin_change,
admin_config, tools/node/live_config."""
import asyncio
import json
import os
import re
import signal
import subprocess

import pexpect
import pytest

from harness import ROOT, wait_until
from people import registered
from test_shell import SHELL, rows, run

FAULTS = os.path.join(ROOT, "build", "test-bin", "tern-node-faults")


def test_trace_shows_kinds_and_times_and_never_contents(node):
    async def scenario():
        people = [await registered(node, "+1555000300%d" % i) for i in range(2)]
        process = await asyncio.create_subprocess_exec(
            SHELL, "--data", node.data, "--json", "-c", "trace mailbox:+15550003001 for 4s",
            stdout=asyncio.subprocess.PIPE)
        await asyncio.sleep(1)
        await people[0].send(people[1].user, b"the secret words")
        await people[1].receive(1, 10)
        await people[1].acknowledge()
        output = (await process.communicate())[0].decode()
        events = json.loads(output)
        assert {"handled", "sent"} <= {event["what"] for event in events}
        assert any(event["message"] == "deliver" and event["took_ns"] > 0 for event in events)
        assert "secret" not in output
        for person in people:
            await person.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_trace_of_a_quiet_class_ends_by_itself_and_empty(node):
    assert rows(node, "trace expirer for 100ms") == []
    assert "0 events" in run(node, "trace expirer for 100ms")
    assert "no actor has this name" in run(node, "trace nonsense for 1s", status=1)
    assert "a number from 1 to 600000" in run(node, "trace expirer for 1h", status=64)


def test_trace_ends_in_order_when_it_is_interrupted(node):
    child = pexpect.spawn(SHELL, ["--data", node.data, "-c", "trace admin for 60s"], encoding="utf-8", timeout=20)
    wait_until(lambda: run(node, "node") and child.expect([pexpect.TIMEOUT, "admin"], timeout=0.5), what="an event")
    child.sendintr()
    child.expect("events shown")
    child.expect(pexpect.EOF)


def test_past_is_shown_and_empty_where_there_was_none(node):
    assert rows(node, "slow") == [] and rows(node, "crashes") == []
    assert run(node, "crashes") == "it never crashed\n"
    events = rows(node, "recorder 0")
    assert {"message", "spawn"} <= {event["event"] for event in events}
    assert [event["number"] for event in events] == sorted(event["number"] for event in events)
    assert "a number from 0 to" in run(node, "recorder 99", status=64)
    assert "no such record" in run(node, "crashes CRASH-x", status=1)
    assert "is CRASH-" in run(node, "crashes ../node.key", status=64)


def test_slow_shows_what_ran_over_its_budget_and_where_it_was(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_STALL": "slow words"})

    async def scenario():
        people = [await registered(node, "+1555000600%d" % i) for i in range(2)]
        await people[0].send(people[1].user, b"these are slow words")
        await people[1].receive(1)
        connection = rows(node, "info connection:%d" % people[1].user)[0]["actor"]
        for person in people:
            await person.close()
        return connection

    connection = asyncio.run(asyncio.wait_for(scenario(), 60))
    report = next(row for row in rows(node, "slow") if row["actor"] == connection)
    assert report["class"] == "connection" and report["doing"].startswith("message mail") and report["ran_ms"] >= 25
    assert "connection_send_mail" in report["at"] and "slow words" not in json.dumps(report)
    text = run(node, "slow")
    assert "connection_send_mail" in text and text.splitlines()[0].split()[:4] == ["seen", "shard", "class", "actor"]
    assert rows(node, "node")[0]["slow_total"] >= 1


def test_crash_is_listed_and_its_record_shown(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH": "p0ison"})

    async def scenario():
        people = [await registered(node, "+1555000400%d" % i) for i in range(2)]
        try:
            await people[0].send(people[1].user, b"this is p0ison")
        except Exception:  # noqa: BLE001: the node dies of it
            pass

    asyncio.run(asyncio.wait_for(scenario(), 60))
    wait_until(lambda: node.log_text().count("is ready") == 2, what="the restart")
    crash = rows(node, "crashes")[0]
    assert crash["class"] == "connection" and crash["blame"].startswith("mail to=")
    text = run(node, "crashes " + crash["record"])
    assert text.startswith("Tern crash record") and "backtrace:" in text and "p0ison" not in text
    assert rows(node, "node")[0]["starts"] == 2


def test_changes_need_a_yes_and_are_logged_with_who_did_it(node):
    assert "say --yes" in run(node, "kill metrics", status=64)
    before = rows(node, "info metrics")[0]["actor"]
    assert "was killed" in run(node, "kill metrics --yes")
    after = wait_until(lambda: [row["actor"] for row in rows(node, "actors metrics")], what="its restart")[0]
    assert after != before
    tree = {row["name"]: row for row in rows(node, "tree")}
    assert tree["metrics"]["ends"] == 1 and tree["metrics"]["last_reason"] == "killed"
    assert "admin: uid %d (pid " % os.getuid() in node.log_text()
    assert "asks by the shell: kill metrics" in node.log_text() and "metrics %s was killed" % before in node.log_text()
    assert "started again" in run(node, "restart committer --yes")
    assert rows(node, "info committer")[0]["state"] == "idle"
    for command, why in (("kill 0x1", "the root supervisor"), ("restart 0x99", "it has ended"),
                         ("restart admin", "this shell stands on it")):
        assert why in run(node, command + " --yes", status=1)


@pytest.mark.parametrize("command", ["kill expirer", "restart expirer", "drain", "limit queue_messages 20",
                                     "log debug", "reload", "release 1/2/3", "drop 1/2/3"])
def test_every_change_asks_at_a_terminal_and_is_not_done_without_a_yes(node, command):
    child = pexpect.spawn(SHELL, ["--data", node.data, "-c", command], encoding="utf-8", timeout=20)
    child.expect(r"%s on node .node.\? \[y/N\]" % command)
    child.send("\r")
    child.expect("nothing was done")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1 and "by the shell" not in node.log_text()
    assert "say --yes" in run(node, command, status=64), "and where nobody can be asked it is not done either"


def test_every_change_says_what_it_did_and_is_logged_with_who_did_it(node):
    for command, said in (("kill metrics", "was killed"), ("restart committer", "was stopped in order and started again"),
                          ("limit queue_messages 20", "queue_messages was 10000 and is 20"),
                          ("limit no_such 1", 'there is no setting "no_such"'),
                          ("log debug mailbox", "the log writes debug and what is graver, of actors of class mailbox"),
                          ("log info", "the log writes info and what is graver"),
                          ("reload", "changed: queue_messages"), ("release 1/2/3", "no such entry is set aside"),
                          ("drop 1/2/3", "no such entry is set aside"), ("drain", "the node drains")):
        refused = said.startswith(("there is no", "no such"))
        assert said in run(node, command + " --yes", status=int(refused))
        who = r"admin: uid %d \(pid \d+\) ask(s|ed) by the shell: %s" % (os.getuid(), re.escape(command.split()[0]))
        assert len(re.findall(who, node.log_text())) >= 2, (command, "when it begins and when it is over")
    assert node.process.wait(30) == 0


def test_hangup_reloads_the_cluster_file_through_the_heart(node):
    with open(node.config, "a", encoding="utf-8") as file:
        file.write('queue_messages = 20\npool_threads = 7\n')
    changes = {row["setting"]: (row["value"], row["in_file"], row["reload"]) for row in rows(node, "config") if row["reload"]}
    assert changes == {"queue_messages": ("10000", "20", "would change it"),
                       "pool_threads": ("0", "7", "needs a restart of the node")}
    node.process.send_signal(signal.SIGHUP)  # to the heart, as systemctl reload does
    wait_until(lambda: "SIGHUP: reload: changed: queue_messages; 1 more need a restart" in node.log_text(), what="the reload")
    assert {row["setting"]: row["value"] for row in rows(node, "config")}["queue_messages"] == "20"
    with open(node.config, "a", encoding="utf-8") as file:
        file.write("code_attempts = lots\n")
    node.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP: nothing was reloaded" in node.log_text(), what="the mistake's line")
    settings = {row["setting"]: row for row in rows(node, "config")}
    assert settings["queue_messages"]["value"] == "20" and node.process.poll() is None
    assert rows(node, "node")[0]["starts"] == 1, "a reload is no restart"


def test_a_person_at_a_terminal_is_asked(node):
    child = pexpect.spawn(SHELL, ["--data", node.data, "-c", "kill expirer"], encoding="utf-8", timeout=20)
    child.expect(r"kill expirer on node .node.\? \[y/N\]")
    child.send("n\r")
    child.expect("nothing was done")
    child.expect(pexpect.EOF)
    assert rows(node, "tree")[0]["name"] == "root" and "kill expirer" not in node.log_text()
    child = pexpect.spawn(SHELL, ["--data", node.data, "-c", "kill expirer"], encoding="utf-8", timeout=20)
    child.expect("y/N")
    child.send("y\r")
    child.expect("was killed")
    child.expect(pexpect.EOF)


def test_limits_change_at_once_and_reload_takes_the_file(node):
    settings = {row["setting"]: row for row in rows(node, "config")}
    assert settings["queue_messages"]["value"] == "10000" and settings["queue_messages"]["in_file"] is None
    assert "was 10000 and is 20" in run(node, "limit queue_messages 20 --yes")
    settings = {row["setting"]: row for row in rows(node, "config")}
    assert settings["queue_messages"]["value"] == "20" and settings["queue_messages"]["in_file"] == "10000"
    with open(node.config, "a", encoding="utf-8") as file:
        file.write('code_attempts = 3\npool_threads = 7\n')
    assert "changed: queue_messages, code_attempts; 1 more need a restart" in run(node, "reload --yes")
    settings = {row["setting"]: row for row in rows(node, "config")}
    assert settings["queue_messages"]["value"] == "10000" and settings["code_attempts"]["value"] == "3"
    assert settings["pool_threads"]["reload"] == "needs a restart of the node"
    for command, why in (("limit no_such 1", "there is no setting"), ("limit shards 1", "fixed while the node runs"),
                         ("limit queue_messages lots", "a number is wanted"),
                         ("limit hold_max 1ms", "greater than hold_max")):
        assert why in run(node, command + " --yes", status=1)
    with open(node.config, "a", encoding="utf-8") as file:
        file.write("nonsense = 3\n")
    assert "nonsense" in run(node, "reload --yes", status=1)
    assert "nonsense" in run(node, "config"), "what is in force is shown all the same"


def test_log_level_of_one_class_changes_alone(node):
    assert rows(node, "log") == [{"class": "(all others)", "level": "info"}]
    assert rows(node, "log debug mailbox --yes")[1] == {"class": "mailbox", "level": "debug"}
    assert "debug info warning error" in run(node, "log loud --yes", status=64)


def test_drain_ends_the_node_in_order(node):
    assert "the node drains" in run(node, "drain --yes")
    assert node.process.wait(30) == 0
    assert "no node is running" in run(node, "node", status=69)
    assert subprocess.run([SHELL, "--data", node.data, "--json", "-c", "node"], capture_output=True,
                          timeout=30).returncode == 69
