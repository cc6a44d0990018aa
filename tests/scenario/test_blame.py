# SPDX-License-Identifier: Apache-2.0
"""Input that brings the node down twice, and was not stored, is refused. Accuses: actors/quarantine, actors/connection."""
import asyncio
import os
import re

import pytest
import websockets.exceptions

from foreign import LOST, Device
from harness import ROOT, wait_until
from people import registered, run

FAULTS = os.path.join(ROOT, "build", "test-bin", "tern-node-faults")
ADDRESS_BLAMED, BLAMED = ('tern_events_total{name="%s"}' % name for name in ("accept_address_blamed", "connection_blamed"))
LIMITED = 4009


def blames(node):
    folder = os.path.join(node.data, "crashes")
    texts = [open(os.path.join(folder, name), encoding="utf-8").read() for name in sorted(os.listdir(folder))]
    return [re.search(r"^blame: (.*)$", text, re.MULTILINE).group(1) for text in texts]


async def crash(node, act):
    """What `act` does brings the node down once more; it is there again."""
    before = len(blames(node))
    starts = node.log_text().count("is ready")
    with pytest.raises(LOST):
        await asyncio.wait_for(act(), 20)
        raise AssertionError("the node did not crash")
    wait_until(lambda: len(blames(node)) == before + 1 and node.log_text().count("is ready") > starts,
               what="crash and restart")


async def expect_refused(device):
    """Refused once its key is known, by name."""
    with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
        await asyncio.wait_for(device.connect(), 20)
    assert closed.value.rcvd is None or closed.value.rcvd.code == LIMITED


async def person(node, number):
    return await registered(node, "+155500030%02d" % number, "Person %d" % number)


def test_a_device_whose_frames_crash_the_node_is_refused_and_nobody_elses_mail_is_touched(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH_FRAME": "p0ison"})

    async def scenario():
        ada, ben, eve = [await person(node, i) for i in range(3)]
        await ben.close()
        identity = await ada.send(ben.user, b"first")  # Ben's mail waits while Eve crashes the node
        for _ in range(2):
            await eve.come_back()
            # ... with a send that copies Ada's: her text, her id, to the same person.
            await crash(node, lambda: eve.send(ben.user, b"first p0ison", identity=identity))
        assert set(blames(node)) == {blames(node)[0]}
        assert re.fullmatch(r"input device=%d/%d key=%s address=127\.0\.0\.1" % (eve.user, eve.device, eve.public.hex()),
                            blames(node)[0])
        await expect_refused(eve)
        assert node.metric('tern_blamed{what="input"}') == 1
        assert node.metric(BLAMED) == 1 and node.metric(ADDRESS_BLAMED) == 0
        for device in (ada, ben):  # from the same address
            await device.come_back()
        await ada.send(ben.user, b"second")
        await ben._until(lambda: len(ben.mail) >= 2, 20)
        assert [m[8] for m in ben.mail] == [b"first", b"second"]
        await ben.acknowledge()
        await ada.wait_status(2, identity, 20)
        assert node.metric('tern_events_total{name="mail_set_aside"}') == 0
        await person(node, 7)  # and strangers, too
        # It lasts when the node is started anew.
        node.stop()
        node.start()
        await expect_refused(eve)
        await ada.come_back()

    run(scenario())
    assert "device=" in node.log_text() and "refused for up to 600 s" in node.log_text()


def test_strangers_that_crash_the_node_by_ever_new_keys_are_refused_and_known_devices_are_not(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH_FRAME": "+15550666"})

    async def scenario():
        ada = await person(node, 1)

        async def register():
            stranger = Device(node.url)
            await stranger.connect()
            await stranger.register("+15550666123", "Stranger", node.code)

        await crash(node, register)
        await crash(node, register)
        assert all(re.fullmatch(r"input key=[0-9a-f]{64} address=127\.0\.0\.1", blame) for blame in blames(node))
        assert blames(node)[0] != blames(node)[1]
        await expect_refused(Device(node.url))
        await ada.come_back()
        elsewhere = await registered(node, "+15550003055", source="127.0.0.2")
        await ada.send(elsewhere.user, b"hello")
        await elsewhere.receive(1)

    run(scenario())


def test_a_key_whose_hello_crashes_the_node_is_refused_before_its_hello_is_read(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH_FRAME": "p0ison"})

    async def scenario():
        eve = await person(node, 1)
        await eve.close()
        eve.client = "p0ison"
        await crash(node, eve.connect)
        await crash(node, eve.connect)
        assert set(blames(node)) == {"hello key=%s address=127.0.0.1" % eve.public.hex()}
        await expect_refused(eve)
        await person(node, 2)
        assert len(blames(node)) == 2

    run(scenario())


def test_an_address_that_crashes_the_node_before_any_key_is_known_is_refused_alone(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH_HTTP": "p0ison"})

    async def scenario():
        ada = await person(node, 1)
        eve = Device(node.url)
        eve.source, eve.headers = "127.0.0.3", {"X-Text": "p0ison"}
        await crash(node, eve.connect)
        await crash(node, eve.connect)
        assert blames(node) == ["input address=127.0.0.3"] * 2
        with pytest.raises(LOST):
            await asyncio.wait_for(eve.connect(), 20)
        assert node.metric(ADDRESS_BLAMED) == 1
        await ada.come_back()
        assert len(blames(node)) == 2

    run(scenario())


def test_what_cannot_be_read_from_the_store_is_set_aside_unread(make_node):
    node = make_node(program=FAULTS, environment={"TERN_FAULT_CRASH_ENTRY": "p0ison"})

    async def scenario():
        ada, ben = [await person(node, i) for i in range(2)]
        await ben.close()
        await ada.send(ben.user, b"before")
        await ada.send(ben.user, b"this is p0ison")
        await ada.send(ben.user, b"after")
        node.stop()  # so that it is read: Ben's mailbox has it in mind as yet
        node.start()
        for _ in range(2):
            await crash(node, ben.connect)
        assert len(set(blames(node))) == 1
        assert re.fullmatch(r"entry of=%d/%d sequence=\d+ hash=[0-9a-f]{32}" % (ben.user, ben.device), blames(node)[0])
        await ben.come_back()
        await ben._until(lambda: len(ben.mail) >= 2, 20)
        assert [m[8] for m in ben.mail] == [b"before", b"after"]
        assert node.metric('tern_events_total{name="mail_set_aside_crash"}') == 1
        await ada.come_back()
        await ada.send(ben.user, b"more")
        await ben._until(lambda: any(m[8] == b"more" for m in ben.mail), 20)

    run(scenario())
