# SPDX-License-Identifier: Apache-2.0
"""Codes: their limits, their expiry, the program that delivers them. Accuses: actors/number, limits."""
import asyncio
import os
import stat

import pytest

import foreign
from foreign import Device, Refused
from people import ADA, run


async def stranger(node):
    device = Device(node.url)
    await device.connect()
    return device


async def refused_code(request):
    with pytest.raises(Refused) as refused:
        await request
    return refused.value.args[0]


@pytest.mark.parametrize("limit, first, other, free", [
    ("codes_per_number", [ADA, ADA], ADA, "+15550001001"),
    ("codes_per_prefix", [ADA, "+15550001001"], "+15550001999", "+15550021000"),
    ("codes_per_address", [ADA, "+15560001000"], "+15570001000", None),
    ("codes_per_hour", [ADA, "+15560001000"], "+15570001000", None),
])
def test_codes_are_limited(make_node, limit, first, other, free):
    node = make_node(**{limit: 2})

    async def scenario():
        device = await stranger(node)
        for phone in first:
            await device.request(foreign.REGISTER, phone)
        assert await refused_code(device.request(foreign.REGISTER, other)) == foreign.LIMITED
        if free:
            await device.request(foreign.REGISTER, free)
    run(scenario())
    assert node.metric("tern_events_total{name=\"code_limit_") == 1


def test_a_code_expires(make_node):
    node = make_node(code_expiry="1s")

    async def scenario():
        device = await stranger(node)
        await device.request(foreign.REGISTER, ADA)
        code = node.code(ADA)
        await asyncio.sleep(1.2)
        assert await refused_code(device.request(foreign.VERIFY, ADA, code, "Ada")) == foreign.EXPIRED
    run(scenario())


def test_a_used_code_is_void(node):
    async def scenario():
        device = await stranger(node)
        again = Device(node.url, device.secret)  # the same key; a connection that has an account takes no code at all
        await again.connect()
        await device.request(foreign.REGISTER, ADA)
        code = node.code(ADA)
        await device.request(foreign.VERIFY, ADA, code, "Ada")
        assert await refused_code(again.request(foreign.VERIFY, ADA, code, "Ada")) == foreign.EXPIRED
    run(scenario())


@pytest.mark.parametrize("script, code", [("exit 3", foreign.UNAVAILABLE), ("kill -9 $$", foreign.UNAVAILABLE)])
def test_a_failing_sms_command_is_told(make_node, tmp_path, script, code):
    sms = tmp_path / "sms"
    sms.write_text("#!/bin/sh\n%s\n" % script)
    os.chmod(sms, stat.S_IRWXU)
    node = make_node(sms_command=str(sms))

    async def scenario():
        assert await refused_code((await stranger(node)).request(foreign.REGISTER, ADA)) == code
    run(scenario())
    assert node.metric("tern_events_total{name=\"code_not_sent\"}") == 1


def test_a_slow_sms_command_does_not_keep_the_person_waiting(make_node, tmp_path):
    sms = tmp_path / "sms"
    sms.write_text("#!/bin/sh\nsleep 20\n")
    os.chmod(sms, stat.S_IRWXU)
    node = make_node(sms_command=str(sms))

    async def scenario():
        await (await stranger(node)).request(foreign.REGISTER, ADA)
    run(scenario())


def test_without_an_sms_command_nobody_registers(make_node):
    node = make_node(sms_command="")

    async def scenario():
        device = await stranger(node)
        assert await refused_code(device.request(foreign.REGISTER, ADA)) == foreign.FORBIDDEN
    run(scenario())


@pytest.mark.parametrize("phone", ["", "15550001000", "+0555000100", "+123456", "+1234567890123456", "+1555000100x",
                                   "+1555 000100", "+-5550001000"])
def test_what_is_no_phone_number_is_refused(node, phone):
    async def scenario():
        device = await stranger(node)
        code = await refused_code(device.request(foreign.REGISTER, phone))
        assert code == (foreign.BAD_REQUEST if len(phone) <= 16 else foreign.TOO_BIG)
    run(scenario())


def test_a_key_that_is_one_numbers_device_cannot_become_anothers(node):
    async def scenario():
        ada = await stranger(node)
        await ada.register(ADA, "Ada", node.code)
        second = Device(node.url, ada.secret)
        await second.connect()
        assert second.welcome[2] is True
        assert await refused_code(second.request(foreign.REGISTER, "+15550002000")) == foreign.CONFLICT
    run(scenario())
