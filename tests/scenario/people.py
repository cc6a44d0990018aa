# SPDX-License-Identifier: Apache-2.0
"""People of a node, each with one foreign device, for scenarios."""
import asyncio

from foreign import Device

ADA, BEN, CLEO = "+15550001000", "+15550002000", "+15550003000"


def run(scenario, seconds=120):
    """The coroutine to its end."""
    return asyncio.run(asyncio.wait_for(scenario, seconds))


async def registered(node, phone, name="Somebody", read_code=None, source=None):
    """A new device that is connected, from the address `source`, and has the number's account."""
    device = Device(node.url)
    device.source = source
    await device.connect()
    assert device.welcome[2] is False
    await device.register(phone, name, read_code or node.code)
    return device


async def chat(node, waiting=None):
    """Ada and Ben, connected: ten messages to who is there, one to who comes later; `waiting` is called when it
    waits."""
    ada, ben = await registered(node, ADA), await registered(node, BEN)
    for i in range(10):
        await asyncio.gather(ada.send(ben.user, b"hello %d" % i), ben.acknowledge_mail(i + 1))
    await ben.close()
    await ada.send(ben.user, b"later")
    if waiting is not None:
        await asyncio.to_thread(waiting)
    await ben.connect()
    await ben.acknowledge_mail(1)
    await ben._until(lambda: ben.empties)
    return ada, ben
