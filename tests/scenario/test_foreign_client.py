# SPDX-License-Identifier: Apache-2.0
"""Not only our client can talk to a node (foreign.py). Accuses: actors/connection, mailbox, number."""
import asyncio
import os

import pytest
import websockets.exceptions

import foreign
from foreign import Device, Refused
from harness import wait_until
from people import ADA, BEN, registered, run



def test_registers_sends_acknowledges_and_gets_delivered(node):
    async def scenario():
        ada, ben = await registered(node, ADA, "Ada"), await registered(node, BEN, "Ben")
        assert await ada.find(BEN) == ben.user
        assert await ada.find("+15550009999") is None
        identity = await asyncio.gather(ada.send(ben.user, b"hello"), ben.acknowledge_mail(1))
        mail = ben.mail[0]
        assert mail[1] == identity[0] and mail[8] == b"hello"
        assert (mail[3], mail[4]) == (ada.user, ada.device)
        await ada.wait_status(foreign.DELIVERED, identity[0])
        assert await ben.request(foreign.PROFILE, ada.user) == [ada.user, ADA, "Ada"]
    run(scenario())


def test_mail_waits_for_who_is_away_and_comes_in_order(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        for i in range(20):
            await ada.send(ben.user, b"%d" % i)
        await ben.connect()
        await ben.receive(20)
        assert [m[8] for m in ben.mail] == [b"%d" % i for i in range(20)]
        await ben.acknowledge()
        await ben._until(lambda: ben.empties == 1)
    run(scenario())


def test_a_cut_connection_resumes_behind_its_cursor(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        for i in range(10):
            await ada.send(ben.user, b"%d" % i)
        await ben.connect()
        await ben.receive(10)
        await ben.acknowledge(up_to=ben.mail[3][0])
        ben.socket.transport.abort()
        await ben.connect()
        await ben.receive(6)
        assert [m[8] for m in ben.mail] == [b"%d" % i for i in range(4, 10)]
    run(scenario())


def test_a_retried_send_gets_the_same_answer_and_arrives_once(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        version, devices = await ada.devices(ben.user)
        fields = ada.message(ben.user, version, devices, b"once")
        first = await ada.request(foreign.SEND, *fields)
        assert await ada.request(foreign.SEND, *fields) == first
        await ada.close()
        await ada.connect()
        assert await ada.request(foreign.SEND, *fields) == first
        await ben.connect()
        await ben._until(lambda: ben.mail)
        await ben.acknowledge()
        await ben._until(lambda: ben.empties)
        assert len(ben.mail) == 1
    run(scenario())


def test_a_send_out_of_turn_names_the_missing_number(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        version, devices = await ada.devices(ben.user)
        with pytest.raises(Refused) as refused:
            await ada.request(foreign.SEND, *ada.message(ben.user, version, devices, b"x", number=5))
        assert refused.value.args[0] == foreign.CONFLICT and refused.value.args[2] == [1]
    run(scenario())


def test_an_outdated_device_list_is_refused_with_the_present_one(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        version, devices = await ada.devices(ben.user)
        with pytest.raises(Refused) as refused:
            await ada.request(foreign.SEND, *ada.message(ben.user, version + 1, devices, b"x"))
        code, _, body = refused.value.args
        assert code == foreign.STALE and body[:2] == [ben.user, version]
        assert body[2] == [[ben.device, ben.public]]
    run(scenario())


def test_unknown_recipients_and_oversize_are_refused_by_name(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        with pytest.raises(Refused) as refused:
            await ada.request(foreign.SEND, *ada.message(ben.user + 1000, 1, [1], b"x", number=1))
        assert refused.value.args[0] == foreign.NOT_FOUND
        version, devices = await ada.devices(ben.user)
        with pytest.raises(Refused) as refused:
            await ada.request(foreign.SEND, *ada.message(ben.user, version, devices, bytes(61441)))
        assert refused.value.args[0] == foreign.TOO_BIG
        # A refusal is an answer, too: it has used up its number.
        await asyncio.gather(ada.send(ben.user, bytes(61440), number=3), ben.acknowledge_mail(1))
        assert ben.mail[0][8] == bytes(61440)
    run(scenario())


def test_a_new_device_replaces_the_old_one_which_is_told(node):
    async def scenario():
        old = await registered(node, ADA)
        new = await registered(node, ADA)
        assert new.user == old.user and new.device != old.device
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            while True:
                await old.pump()
        assert old.notices[-1][0] == 3 and old.socket.close_code == 4005
        await old.connect()
        assert old.welcome[2] is False
    run(scenario())


def test_a_wrong_code_changes_nothing_and_runs_out_of_attempts(node):
    async def scenario():
        ada = await registered(node, ADA)
        thief = Device(node.url)
        await thief.connect()
        await thief.request(foreign.REGISTER, ADA)
        code = node.code(ADA)
        wrong = "%06d" % ((int(code) + 1) % 1000000)
        for _ in range(5):
            with pytest.raises(Refused) as refused:
                await thief.request(foreign.VERIFY, ADA, wrong, "Thief")
            assert refused.value.args[0] == foreign.UNAUTHORIZED
        with pytest.raises(Refused) as refused:
            await thief.request(foreign.VERIFY, ADA, code, "Thief")
        assert refused.value.args[0] == foreign.EXPIRED
        await ada.request(foreign.PROFILE, ada.user)
    run(scenario())


def test_a_code_is_bound_to_the_key_that_asked(node):
    async def scenario():
        ada, thief = Device(node.url), Device(node.url)
        await ada.connect()
        await thief.connect()
        await ada.request(foreign.REGISTER, ADA)
        code = node.code(ADA)
        with pytest.raises(Refused):
            await thief.request(foreign.VERIFY, ADA, code, "Thief")
        await ada.request(foreign.VERIFY, ADA, code, "Ada")
    run(scenario())


def test_codes_are_limited_by_number(make_node):
    node = make_node(codes_per_number=2)

    async def scenario():
        ada = Device(node.url)
        await ada.connect()
        for _ in range(2):
            await ada.request(foreign.REGISTER, ADA)
        with pytest.raises(Refused) as refused:
            await ada.request(foreign.REGISTER, ADA)
        assert refused.value.args[0] == foreign.LIMITED and refused.value.args[1] > 0
        await ada.request(foreign.REGISTER, BEN)
    run(scenario())


def test_an_unregistered_key_may_only_register(node):
    async def scenario():
        stranger = Device(node.url)
        await stranger.connect()
        with pytest.raises(Refused) as refused:
            await stranger.request(foreign.DEVICES, 1)
        assert refused.value.args[0] == foreign.UNAUTHORIZED
    run(scenario())


def test_an_undecryptable_message_is_told_to_its_sender(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)

        async def refuse():
            await ben.receive(1)
            await ben.acknowledge(up_to=0, errors=[[ben.mail[0][0], 1]])
        identity, _ = await asyncio.gather(ada.send(ben.user, b"noise"), refuse())
        await ada.wait_status(6, identity)
        await ben.close()
        await ben.connect()
        await ben._until(lambda: ben.empties)
        assert not ben.mail
    run(scenario())


def test_an_acknowledgement_of_another_epoch_is_ignored(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        await ada.send(ben.user, b"keep me")
        await ben.connect()
        await ben.receive(1)
        await ben.send_frames([foreign.ACK, 0, ben.epoch + 1, ben.mail[0][0], [], []])
        await ben.close()
        await ben.connect()
        await ben.receive(1)
        assert ben.mail[0][8] == b"keep me"
    run(scenario())


def test_read_receipts_reach_the_sender_who_was_away(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        identity, _ = await asyncio.gather(ada.send(ben.user, b"read me"), ben.acknowledge_mail(1))
        await ada.wait_status(foreign.DELIVERED, identity)
        await ada.acknowledge()
        await ada.close()
        await ben.send_frames([foreign.RECEIPT, 0, ada.user, foreign.READ, [identity]])
        await asyncio.sleep(0.5)
        await ada.connect()
        await ada.wait_status(foreign.READ, identity)
    run(scenario())


def test_the_node_is_the_one_whose_key_it_prints(node):
    async def scenario():
        ada = Device(node.url)
        await ada.connect()
        key = ada.cluster_key
        await ada.close()
        assert node.stop() == 0
        node.start()
        await ada.connect()
        assert ada.cluster_key == key
    run(scenario())
    for name in ("cluster.key", "node.key"):
        assert os.stat(os.path.join(node.data, name)).st_mode & 0o777 == 0o600


def test_accepted_mail_survives_kill_9(node):
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        await ada.send(ben.user, b"survives")
        node.kill()
        node.start()
        await ben.connect()
        await ben.receive(1)
        assert ben.mail[0][8] == b"survives" and ben.welcome[12] == 1
    run(scenario())


def test_the_heart_starts_a_killed_node_again(node):
    async def scenario():
        ada = await registered(node, ADA)
        child = node.child()
        node.kill_child()
        await asyncio.to_thread(wait_until, lambda: node.log_text().count("is ready") == 2, 30, "the restart")
        assert node.child() != child
        await ada.connect()
        assert ada.welcome[2] is True
    run(scenario())
