# SPDX-License-Identifier: Apache-2.0
"""Which reactor serves the sockets, and what happens at its limits. Accuses: runtime/reactor, runtime/libev_*."""
import asyncio
import os
import socket
import time

import pytest

from harness import ROOT, children, wait_until
from people import ADA, BEN, registered

WITHOUT = os.path.join(ROOT, "build", "test-bin", "without-io-uring")


def chat(node, *texts):
    """Two people register and write to each other; each message arrives once."""
    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        for text in texts:
            await ada.send(ben.user, text)
        assert [mail[8] for mail in await ben.receive(len(texts))] == list(texts)
        await ada.close()
        await ben.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def started_on(node):
    return [line.rpartition(" ")[2] for line in node.log_text().splitlines() if "is ready" in line]


@pytest.mark.parametrize("error, text", [("EPERM", "Operation not permitted"), ("ENOSYS", "Function not implemented"),
                                         ("ENOMEM", "Cannot allocate memory")])
def test_a_node_that_may_not_use_io_uring_serves_on_libev(make_node, error, text):
    node = make_node(wrapper=(WITHOUT, error), reactor="auto")
    assert started_on(node) == ["libev"]
    assert node.log_text().count("io_uring is refused here (%s)" % text) == 1, node.log_text()
    assert node.metric('tern_reactor{name="libev"}') == 1 and node.metric("tern_rings") == 0
    chat(node, b"hello", b"there")
    node.kill_child()  # the heart's next child is under the same filter
    wait_until(lambda: len(started_on(node)) == 2, what="the restart")
    assert started_on(node) == ["libev", "libev"]
    assert node.stop() == 0


def test_a_node_that_is_told_to_use_io_uring_says_that_it_may_not(make_node):
    node = make_node(start=False, wrapper=(WITHOUT, "EPERM"), reactor="io_uring")
    with pytest.raises(AssertionError, match="Operation not permitted"):
        node.start()
    assert node.process.returncode == 78


def test_a_node_that_is_told_to_use_libev_does(make_node):
    node = make_node(reactor="libev")
    assert started_on(node) == ["libev"] and "refused" not in node.log_text()
    assert node.metric('tern_reactor{name="libev"}') == 1
    chat(node, b"hello")
    assert node.stop() == 0


def cpu_seconds(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_strangers_in_crowds_take_no_descriptor_from_those_who_are_served(make_node):
    """Out of descriptors: accepting pauses, the mail and its store go on, nobody who waits is lost."""
    node = make_node(reactor="libev", wrapper=("prlimit", "--nofile=300:300"))
    pid = children(node.process.pid)[0]

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        crowd = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(400)]
        await asyncio.to_thread(wait_until, lambda: "cannot accept: Too many open files" in node.log_text())
        cpu, begin = cpu_seconds(pid), time.monotonic()
        for _ in range(20):  # each is on disk before it is answered
            await ada.send(ben.user, b"while others wait")
            await asyncio.sleep(0.05)
        assert cpu_seconds(pid) - cpu < (time.monotonic() - begin) / 2, "it spins"
        for stranger in crowd:
            stranger.close()
        await ben.connect()
        assert len(await ben.receive(20)) == 20
        assert node.metric('tern_events_total{name="accept_no_room"}') > 0
        await ada.close()
        await ben.close()

    asyncio.run(asyncio.wait_for(scenario(), 90))
    assert node.stop() == 0
