# SPDX-License-Identifier: Apache-2.0
"""A node that crashes on and on: restarts with growing pauses, strangers refused, then the heart gives up, loudly.
Accuses: runtime/heart, tools/node/serve, actors/connection_session."""
import asyncio
import re

import pytest

from foreign import UNAVAILABLE, Device, Refused
from harness import wait_until

STRANGERS_AFTER, RESTARTS_MAX = 5, 10


def crash(node, times):
    """The serving process ends `times` more times, and is there again after each."""
    for _ in range(times):
        ready = node.log_text().count("is ready")
        node.kill_child()
        wait_until(lambda: node.log_text().count("is ready") > ready, 60, "the restart")


def test_too_many_crashes_refuse_strangers_then_end_the_node_loudly(node):
    async def person(number):
        device = Device(node.url)
        await device.come_back()
        await device.register("+155500040%02d" % number, "Person %d" % number, node.code)
        return device

    async def refused():
        stranger = Device(node.url)
        await stranger.come_back()
        with pytest.raises(Refused) as refusal:
            await stranger.register("+15550004099", "Stranger", node.code)
        code, retry_after_ms, _ = refusal.value.args
        assert code == UNAVAILABLE and 0 < retry_after_ms <= 60000

    async def scenario():
        ada, ben = await person(1), await person(2)
        crash(node, STRANGERS_AFTER - 1)
        await person(3)  # not yet
        crash(node, 1)
        assert "refuse strangers" in node.log_text()
        await refused()
        await ada.come_back()  # known devices are let in, and their mail goes
        await ben.come_back()
        await ada.send(ben.user, b"all the same")
        await ben.receive(1)
        assert node.metric('tern_events_total{name="stranger_refused"}') == 1

    asyncio.run(asyncio.wait_for(scenario(), 120))
    crash(node, RESTARTS_MAX - STRANGERS_AFTER)
    node.kill_child()
    assert node.process.wait(30) == 70
    log = node.log_text()
    assert "giving up. Nothing is served any more" in log
    pauses = [int(ms) for ms in re.findall(r"starting the node again in (\d+) ms", log)]
    assert len(pauses) == RESTARTS_MAX and pauses[0] == 0 and max(pauses) <= 6250
    means = [100 << i for i in range(RESTARTS_MAX - 1)]
    for pause, mean in zip(pauses[1:], means):
        assert min(mean, 5000) * 3 // 4 <= pause <= min(mean, 5000) * 5 // 4 + 1
