# SPDX-License-Identifier: Apache-2.0
"""Broken frames inside an established session, behind Noise, on a sanitized node where there is one.

The node may refuse, ignore or close; it may not end, and the others go on. TERN_SEED repeats a run,
TERN_FUZZ_SECONDS makes it longer. Accuses: actors/connection_input, net/wire_read, actors/mailbox*.
"""
import asyncio
import os
import random
import time

import msgpack

import foreign
from foreign import LOST
from harness import NODE, ROOT
from people import registered

SANITIZED = os.path.join(ROOT, "build", "debug-address-undefined", "tools", "tern-node")
SECONDS = float(os.environ.get("TERN_FUZZ_SECONDS", "10"))
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63, 2**64 - 1, -1]


def frames_of(device, peer):
    """One good frame of each kind that a device may send, and some that it may not."""
    identity = os.urandom(16)
    return [
        [foreign.SEND, 7, device.next_send, identity, peer.user, 1, 1, [[peer.user, 1, b"x" * 50]], b"", 0, 1, 1],
        [foreign.ACK, 0, device.epoch, 3, [4, 5], [[6, 1]]],
        [foreign.RECEIPT, 8, peer.user, foreign.READ, [identity, os.urandom(16)]],
        [foreign.DISCOVER, 9, ["+15550001000", "+15550002000"]],
        [foreign.DEVICES, 10, peer.user],
        [foreign.PROFILE, 11, peer.user],
        [foreign.REGISTER, 12, "+15550003000"],
        [foreign.VERIFY, 13, "+15550003000", "000000", "Name"],
        [foreign.PING, 0, 42], [foreign.PONG, 0, 42],
        [foreign.REPLY, 14, 0, 0, b"\x91\x01"],
        [foreign.HELLO, 0, 1, 1, 0, "again", 0, 0, 1],
        [foreign.MAIL, 0, 1, identity], [foreign.WELCOME, 0, 1], [99, 1, "unknown"],
    ]


def bend(dice, value, depth=0):
    """A value of the same place: another number, another length, another type."""
    if isinstance(value, list) and value and dice.random() < 0.8:
        bent = list(value)
        at = dice.randrange(len(bent))
        bent[at] = bend(dice, bent[at], depth + 1)
        return bent
    choice = dice.randrange(7)
    if choice == 0:
        return dice.choice(NUMBERS)
    if choice == 1:
        return os.urandom(dice.choice([0, 1, 15, 16, 17, 32, 300, 5000]))
    if choice == 2:
        return "".join(dice.choice("ä+0\0\u2603x") for _ in range(dice.randrange(40)))
    if choice == 3:
        return [value] * dice.randrange(20)
    if choice == 4:
        return None
    if choice == 5:
        return {"map": value}
    return value * dice.randrange(4) if isinstance(value, (str, bytes, list)) else dice.random()


def break_bytes(dice, data):
    data = bytearray(data)
    for _ in range(dice.randrange(1, 4)):
        at = dice.randrange(len(data) + 1)
        choice = dice.randrange(5)
        if choice == 0 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif choice == 1:
            del data[at:]
        elif choice == 2:
            data[at:at] = dice.choice([b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\xc6\xff\xff\xff\xff",
                                       b"\xdf\x7f\xff\xff\xff", b"\x91" * 200, b"\xc1"])
        elif choice == 3:
            data[at:at] = os.urandom(dice.randrange(8))
        else:
            data += data[:at]
    return bytes(data)[:65000]


def broken(dice, device, peer):
    frames = [dice.choice(frames_of(device, peer)) for _ in range(dice.randrange(1, 4))]
    if dice.random() < 0.6:
        frames = [bend(dice, frame) for frame in frames]
    data = b"".join(msgpack.packb(frame) for frame in frames)
    return break_bytes(dice, data) if dice.random() < 0.5 else data


async def listen(device):
    while True:
        await device.pump(60)


async def attack(device, peer, dice, end):
    """Sends broken frames until `end`, coming back whenever it is closed. How many it sent."""
    sent = 0
    while time.monotonic() < end:
        try:
            if device.socket.closed:
                await device.connect()
            listening = asyncio.ensure_future(listen(device))
            while time.monotonic() < end and not listening.done():
                await device.socket.send(device.sending.encrypt(broken(dice, device, peer)))
                sent += 1
                await asyncio.sleep(0)
        except LOST:
            await asyncio.sleep(0.01)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    return sent


def test_broken_frames_in_a_session_cost_nobody_else_anything(make_node):
    node = make_node(program=SANITIZED if os.path.exists(SANITIZED) else NODE, codes_per_hour=1000000,
                     codes_per_prefix=1000000, codes_per_address=1000000)
    seed = int(os.environ.get("TERN_SEED", random.randrange(1 << 32)))
    print("TERN_SEED=%d on %s" % (seed, node.program))

    async def scenario():
        ada, ben = await registered(node, "+15550001000"), await registered(node, "+15550002000")
        eve, target = await registered(node, "+15550004000"), await registered(node, "+15550005000")
        child, end = node.child(), time.monotonic() + SECONDS
        attacking = asyncio.ensure_future(attack(eve, target, random.Random(seed), end))
        delivered = 0
        while not attacking.done():
            await ada.send(ben.user, b"%d" % delivered)
            await ben.receive(delivered + 1)
            await ben.acknowledge()
            delivered += 1
            await asyncio.sleep(0.05)
        sent = await attacking
        assert node.child() == child and node.process.poll() is None, node.log_text()[-4000:]
        assert [m[8] for m in ben.mail] == [b"%d" % i for i in range(delivered)]
        print("%d broken messages, %d good ones delivered beside them" % (sent, delivered))
        assert sent > 100 and delivered > 10
    asyncio.run(asyncio.wait_for(scenario(), SECONDS + 120))
    assert node.stop() == 0
    assert "runtime error" not in node.log_text() and "Sanitizer" not in node.log_text(), node.log_text()[-6000:]
