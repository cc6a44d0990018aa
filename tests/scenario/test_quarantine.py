# SPDX-License-Identifier: Apache-2.0
"""Mail that brings the node down twice is set aside. Accuses: actors/quarantine, runtime/crash_posix, runtime/heart."""
import asyncio
import json
import os
import re
import subprocess

import pexpect

from foreign import LOST
from harness import BIN, NODE, ROOT, wait_until
from people import ADA, BEN, registered, run

FAULTS = os.path.join(ROOT, "build", "test-bin", "tern-node-faults")
SHELL = os.path.join(BIN, "tern-shell")


def records(node):
    folder = os.path.join(node.data, "crashes")
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


async def crash_by_fetching(node, device):
    """The device fetches its mail, and the node dies of it: twice, and is there again."""
    for _ in range(200):
        try:
            await asyncio.wait_for(device.connect(), 5)
            await device.receive(1, 10)
            raise AssertionError("the mail came through")
        except LOST:
            if len(records(node)) == 2:
                break
            await asyncio.sleep(0.1)
    wait_until(lambda: node.log_text().count("is ready") == 3, what="the second restart")


def test_mail_that_crashes_the_node_twice_is_set_aside_and_nobody_elses(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH": "p0ison"})

    people = []

    async def scenario():
        for i in range(3):
            people.append(await registered(node, "+1555000200%d" % i))
        ada, ben, eve = people
        await ben.close()
        poison = await eve.send(ben.user, b"this is p0ison")
        innocent = await ada.send(ben.user, b"harmless")
        await crash_by_fetching(node, ben)
        for device in (ada, eve, ben):
            await device.come_back()
        await ben._until(lambda: any(m[8] == b"harmless" for m in ben.mail), 20)
        await ben.acknowledge()
        assert all(b"p0ison" not in m[8] for m in ben.mail)
        await eve.wait_status(7, poison, 20)
        assert not any(innocent in s[6] for s in ada.statuses if s[1] == 7)
        assert node.metric('tern_events_total{name="mail_set_aside"}') == 1
        assert node.metric('tern_blamed{what="mail"}') == 1 and node.metric("tern_node_crashes_total") == 2
        # It stays so after another start.
        node.stop()
        node.start()
        await ben.come_back()
        await ada.come_back()
        more = await ada.send(ben.user, b"after it")
        await ben._until(lambda: any(m[8] == b"after it" for m in ben.mail), 20)
        assert more and all(b"p0ison" not in m[8] for m in ben.mail)

    run(scenario(), 150)
    check_records(node)
    run(release(node, people), 100)


def quarantine(node, *arguments):
    return subprocess.run([NODE, "quarantine", *arguments, "--config", node.config], capture_output=True, text=True, timeout=30)


async def release(node, people):
    """An operator lists what is aside, releases it, and the device gets it (of a node that no longer crashes at it)."""
    _, ben, eve = people
    assert quarantine(node, "list").returncode == 69  # it runs
    node.stop()
    listed = quarantine(node, "list")
    entry, reason, _, kind, sender, size = listed.stdout.splitlines()[1].split()
    assert len(listed.stdout.splitlines()) == 2 and (reason, kind) == ("crash", "mail")
    assert entry.startswith("%d/%d/" % (ben.user, ben.device)) and sender == "%d/%d" % (eve.user, eve.device)
    assert int(size) == 88 + len(b"this is p0ison")
    shown = quarantine(node, "show", entry).stdout
    assert "user %d, device %d" % (eve.user, eve.device) in shown and "p0ison" not in shown
    assert quarantine(node, "show", "1/1/999").returncode == 65
    assert quarantine(node, "release", "all").returncode == 64
    assert quarantine(node, "release", entry).returncode == 0
    assert quarantine(node, "release", entry).returncode == 65
    assert "Nothing is set aside" in quarantine(node, "list").stdout
    node.environment.pop("TERN_FAULT_CRASH")
    node.start()
    await ben.come_back()
    await ben._until(lambda: any(b"p0ison" in m[8] for m in ben.mail), 20)
    assert all(name.endswith(".forgiven") for name in records(node))


def check_records(node):
    assert len(records(node)) == 2
    texts = [open(path, encoding="utf-8").read() for path in records(node)]
    blames = {re.search(r"^blame: (.*)$", text, re.MULTILINE).group(1) for text in texts}
    assert len(blames) == 1 and re.fullmatch(r"mail to=\d+/\d+ from=\d+/\d+ id=[0-9a-f]{32} hash=[0-9a-f]{32}",
                                             blames.pop())
    for path, text in zip(records(node), texts):
        assert "p0ison" not in text, "a record never holds what a message holds"
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert "\nclass: connection\n" in text and "\naddress: 0x10\n" in text and text.endswith("\nend\n")
        assert path in node.log_text(), "the heart says where it is"
    assert "set aside: it brought the node down twice" in node.log_text()


def shell(node, command):
    result = subprocess.run([SHELL, "--data", node.data, "--json", "-c", command], capture_output=True, text=True, timeout=30)
    return result.returncode, json.loads(result.stdout or "null")


def test_an_operator_releases_and_drops_on_a_running_node(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH": "p0ison"})

    async def scenario():
        ada, ben = [await registered(node, phone) for phone in (ADA, BEN)]
        assert shell(node, "quarantine") == (0, [])
        await ben.close()
        await ada.send(ben.user, b"this is p0ison")
        await crash_by_fetching(node, ben)
        await ben.come_back()
        wait_until(lambda: len(shell(node, "quarantine")[1]) == 1, what="the set aside mail")
        row = shell(node, "quarantine")[1][0]
        assert (row["reason"], row["kind"], row["from"]) == ("crash", "mail", "%d/%d" % (ada.user, ada.device))
        assert "p0ison" not in json.dumps(row)
        entry = row["entry"]
        (one,) = shell(node, "quarantine " + entry)[1]
        assert row.items() <= one.items() and one["chat"] == ada.user
        assert one["ciphertext_bytes"] + one["external_bytes"] == len(b"this is p0ison")
        assert shell(node, "quarantine 1/1/999")[0] != 0 and shell(node, "quarantine 1/2")[0] != 0
        for command in ("release", "drop"):  # asks at a terminal, and takes a no
            child = pexpect.spawn(SHELL, ["--data", node.data, "-c", "%s %s" % (command, entry)], encoding="utf-8",
                                  timeout=20)
            child.expect(r"%s %s on node .node.\? \[y/N\]" % (command, entry))
            child.send("\r")
            child.expect("nothing was done")
            child.expect(pexpect.EOF)
            assert shell(node, "%s %s" % (command, entry))[0] == 64, "and without a terminal it wants --yes"
        assert len(shell(node, "quarantine")[1]) == 1
        assert shell(node, "release 1/2 --yes")[0] != 0 and shell(node, "drop 1/2/3 --yes")[0] != 0
        # Released, it may bring the node down again: it must do so twice to be set aside again.
        await ben.close()
        assert shell(node, "release %s --yes" % entry)[0] == 0
        assert shell(node, "quarantine") == (0, [])
        assert node.metric('tern_events_total{name="quarantine_released"}') == 1
        for crashes in (3, 4):
            for _ in range(200):
                try:
                    await asyncio.wait_for(ben.connect(), 5)
                    await ben.receive(1, 10)
                    raise AssertionError("the mail came through")
                except LOST:
                    if len(records(node)) == crashes:
                        break
                    await asyncio.sleep(0.1)
            wait_until(lambda: node.log_text().count("is ready") == crashes + 1, what="the restart")
        await ben.come_back()
        wait_until(lambda: len(shell(node, "quarantine")[1]) == 1, what="the mail set aside again")
        again = shell(node, "quarantine")[1][0]["entry"]
        assert again != entry
        assert shell(node, "drop %s --yes" % again)[0] == 0 and shell(node, "quarantine") == (0, [])
        await ada.come_back()
        await ada.send(ben.user, b"and on")
        await ben._until(lambda: any(m[8] == b"and on" for m in ben.mail), 20)
        return entry, again

    entry, again = run(scenario(), 150)
    for words in ("asks by the shell: drop 1/2/3", "asked by the shell: drop 1/2/3: no such entry is set aside",
                  "asked by the shell: release %s: it is released" % entry, "asked by the shell: drop %s: it is dropped" % again):
        assert "admin: uid %d (pid " % os.getuid() in node.log_text() and words in node.log_text(), words
