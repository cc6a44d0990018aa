# SPDX-License-Identifier: Apache-2.0
"""Strangers and devices that behave badly are bounded, counted, and cost the others nothing.
Accuses: actors/listener, connection, mailbox."""
import asyncio
import resource
import socket
import time

import pytest

import foreign
from harness import wait_until
from people import ADA, BEN, CLEO, registered, run

STRANGERS = 10000


def resident_bytes(pid):
    with open("/proc/%d/statm" % pid, encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def event(node, name):
    return node.metric('tern_events_total{name="%s"}' % name)


def connect(node):
    return socket.create_connection(("127.0.0.1", node.port))


def allow_descriptors(count):
    """For this process alone. An ordinary user's begin with 1,024, and may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip("only %d descriptors are allowed here (ulimit -Hn)" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def has_ended(stranger):
    with stranger:
        stranger.settimeout(10)
        try:
            return stranger.recv(1) == b""
        except ConnectionResetError:
            return True


def answer_of(node, request):
    with connect(node) as stranger:
        stranger.sendall(request)
        stranger.settimeout(10)
        answer = b""
        while part := stranger.recv(65536):
            answer += part
        return answer


async def send_many(device, to, count, content):
    """Sends in the windows that the node allows; all are answered ok."""
    version, devices = await device.devices(to)
    while count:
        frames, refs = [], []
        for _ in range(min(count, 32)):
            device.refs += 1
            refs.append(device.refs)
            frames.append([foreign.SEND, device.refs, *device.message(to, version, devices, content)])
        for frame in frames:
            await device.send_frames(frame)
        for ref in refs:
            await device.answer(ref)
        count -= len(refs)


def test_ten_thousand_connections_that_say_nothing_cost_little_and_end(make_node):
    node = make_node(handshake_timeout="20s")
    allow_descriptors(STRANGERS + 1000)  # the node has begun with what it was given

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        before = resident_bytes(node.child())
        strangers = [connect(node) for _ in range(STRANGERS)]
        wait_until(lambda: node.metric("tern_connections ") == STRANGERS + 2, what="all to be accepted")
        grown = resident_bytes(node.child()) - before
        assert grown < STRANGERS * 2048, grown
        await asyncio.gather(ada.send(ben.user, b"still here"), ben.acknowledge_mail(1))
        wait_until(lambda: event(node, "connection_timeout_http") == STRANGERS, 60, "their end")
        assert node.metric("tern_connections ") == 2
        assert all(has_ended(stranger) for stranger in strangers)
        await ada.request(foreign.PROFILE, ada.user)
    run(scenario())


def test_more_connections_than_allowed_are_closed_and_counted(make_node):
    node = make_node(connections_per_address="5")
    kept = [connect(node) for _ in range(5)]
    wait_until(lambda: node.metric("tern_connections ") == 5)
    assert has_ended(connect(node))
    assert event(node, "accept_address_max") == 1
    kept.pop().close()
    wait_until(lambda: node.metric("tern_connections ") == 4)
    assert node.http("/healthz")[0] == 200


def test_junk_is_refused_by_name(node):
    assert answer_of(node, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello, TLS here\r\n\r\n").startswith(
        b"HTTP/1.1 400 ")
    assert answer_of(node, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9000).startswith(b"HTTP/1.1 431 ")
    assert answer_of(node, b"GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert event(node, "http_refused") == 2 and event(node, "http_not_found") == 1


def test_a_device_that_never_acknowledges_gets_its_window_and_no_more(node):
    async def scenario():
        ada, ben, cleo = [await registered(node, phone) for phone in (ADA, BEN, CLEO)]
        await send_many(ada, ben.user, 300, b"x")
        await ben.receive(256)
        try:
            while True:
                await ben.pump(1)
        except asyncio.TimeoutError:
            pass
        assert len(ben.mail) == 256
        await asyncio.gather(ada.send(cleo.user, b"to somebody else"), cleo.acknowledge_mail(1))
        await ben.acknowledge()
        await ben.receive(300)
        assert [m[0] for m in ben.mail] == list(range(ben.mail[0][0], ben.mail[0][0] + 300))
    run(scenario())


def test_a_device_that_never_reads_is_cut_off_and_loses_nothing(make_node):
    node = make_node(heartbeat="1s")

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        ben.socket.transport.pause_reading()
        await send_many(ada, ben.user, 100, bytes(40000))
        wait_until(lambda: event(node, "connection_silent") + event(node, "connection_slow") >= 1, 60, "its end")
        ben.socket.transport.abort()
        await ben.connect()
        while len(ben.mail) < 100:
            await ben.pump()
            await ben.acknowledge()
        assert all(mail[8] == bytes(40000) for mail in ben.mail)
    run(scenario())


def test_a_handshake_of_one_byte_at_a_time_succeeds_or_ends_at_its_deadline(make_node):
    node = make_node(handshake_timeout="1s")
    with connect(node) as slow:
        slow.settimeout(10)
        begun = time.monotonic()
        try:
            for byte in b"GET /healthz HTTP/1.1\r\nHost: somewhere\r\nX: " + b"x" * 1000:
                slow.sendall(bytes([byte]))
                time.sleep(0.01)
        except OSError:
            pass
        assert time.monotonic() - begun < 9
    wait_until(lambda: event(node, "connection_timeout_http") == 1)
