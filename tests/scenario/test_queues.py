# SPDX-License-Identifier: Apache-2.0
"""What a queue holds, for how long, and whom it tells. Accuses: actors/mailbox*."""
import asyncio
import os

import pytest
import websockets.exceptions

import foreign
from foreign import Device, Refused
from people import registered, run

PHONES = ["+1555000%04d" % i for i in range(20)]
EXPIRED = 5


async def people(node, count):
    return [await registered(node, phone) for phone in PHONES[:count]]


async def fill(sender, to, most):
    """Sends until it is refused; how many were taken, and the refusal's code."""
    for taken in range(most):
        try:
            await sender.send(to, b"%d" % taken)
        except Refused as refused:
            return taken, refused.args[0]
    return most, foreign.OK


def test_no_one_sender_fills_more_than_a_tenth_of_a_queue(make_node):
    node = make_node(queue_messages=50)

    async def scenario():
        ada, eve, ben = await people(node, 3)
        await ben.close()
        assert await fill(eve, ben.user, 50) == (5, foreign.FULL)
        assert await fill(ada, ben.user, 50) == (5, foreign.FULL)
        await ben.connect()
        await ben.receive(10)
        await ben.acknowledge()
        await ben._until(lambda: ben.empties)
        await ben.close()
        assert await fill(eve, ben.user, 50) == (5, foreign.FULL)
    run(scenario())


def test_a_full_queue_refuses_and_keeps_what_it_has(make_node):
    node = make_node(queue_messages=20, sender_share=100)

    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        assert await fill(ada, ben.user, 50) == (20, foreign.FULL)
        await ben.connect()
        await ben.receive(20)
        assert [m[8] for m in ben.mail] == [b"%d" % i for i in range(20)]
    run(scenario())


def test_a_queue_is_bounded_in_bytes_too(make_node):
    node = make_node(queue_bytes="64KiB", sender_share=100)

    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        await ada.send(ben.user, bytes(40000))
        with pytest.raises(Refused) as refused:
            await ada.send(ben.user, bytes(40000))
        assert refused.value.args[0] == foreign.FULL
    run(scenario())


def test_expired_mail_goes_and_its_sender_is_told(make_node):
    node = make_node(mail_expiry="2s")

    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        identity = await ada.send(ben.user, b"too late")
        await ada.wait_status(EXPIRED, identity, 30)
        await ben.connect()
        await ben._until(lambda: ben.empties)
        assert not ben.mail
    run(scenario())


def test_mail_expires_also_while_the_node_is_away(make_node):
    node = make_node(mail_expiry="2s")

    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        identity = await ada.send(ben.user, b"too late")
        await ada.close()
        node.kill()
        await asyncio.sleep(2.5)
        node.start()
        await ben.connect()
        await ben._until(lambda: ben.empties)
        assert not ben.mail
        await ada.connect()
        await ada.wait_status(EXPIRED, identity, 30)
    run(scenario())


def test_the_window_opens_by_acknowledgement_alone(make_node):
    node = make_node(mail_in_flight=8)

    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        for i in range(20):
            await ada.send(ben.user, b"%d" % i)
        await ben.connect()
        await ben.receive(8)
        await asyncio.sleep(0.3)
        with pytest.raises(asyncio.TimeoutError):
            await ben.receive(9, seconds=0.5)
        await ben.acknowledge(up_to=0, singles=[ben.mail[0][0], ben.mail[2][0]])
        await ben.receive(10)
        await ben.acknowledge()
        await ben.receive(18)
        await ben.acknowledge()
        await ben.receive(20)
        assert [m[8] for m in ben.mail] == [b"%d" % i for i in range(20)]
    run(scenario())


def test_a_second_connection_replaces_the_first_which_is_told(node):
    async def scenario():
        ada, = await people(node, 1)
        again = Device(node.url, ada.secret)
        await again.connect()
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            while True:
                await ada.pump()
        assert ada.notices[-1][0] == 2 and ada.socket.close_code == 4004
        assert again.welcome[2] is True
    run(scenario())


def test_large_mail_drains_whole_and_in_order(node):
    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        bodies = [os.urandom(60000) for _ in range(40)]
        for body in bodies:
            await ada.send(ben.user, body)
        await ben.connect()
        while len(ben.mail) < 40:
            await ben.pump()
            await ben.acknowledge()
        assert [m[8] for m in ben.mail] == bodies
    run(scenario())


def test_mail_that_is_never_answered_is_set_aside_and_told(make_node):
    """Five deliveries without any answer: that mail may be what kills the device."""
    node = make_node()

    async def scenario():
        ada, ben = await people(node, 2)
        await ben.close()
        poison = await ada.send(ben.user, b"poison")
        await ada.send(ben.user, b"harmless")
        for _ in range(5):
            await ben.connect()
            await ben.receive(1)
            ben.socket.transport.abort()
            await asyncio.sleep(0.1)
        await ben.connect()
        await ben._until(lambda: any(m[8] == b"harmless" for m in ben.mail))
        assert all(m[8] != b"poison" for m in ben.mail)
        await ada.wait_status(7, poison, 20)
        await ben.wait_status(7, poison, 20)
        assert [s[3:5] for s in ben.statuses if poison in s[6]] == [[ben.user, 1]]
    run(scenario())
