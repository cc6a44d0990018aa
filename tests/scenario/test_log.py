# SPDX-License-Identifier: Apache-2.0
"""What a node writes into its log, and what it never does. Accuses: runtime/log.c, whoever logs."""
import asyncio
import json
import os
import re
import subprocess

import foreign
import people
from foreign import Device, Refused
from harness import NODE, wait_until

ADA, BEN, NOBODY = "+15550001000", "+15550002000", "+15550009999"
NAME, CONTENT = "Ada Lovelace-Byron", b"the secret of the analytical engine"
# Fields of the Elastic Common Schema, and the only ones.
FIELDS = {"@timestamp": str, "log.level": str, "message": str, "ecs.version": str, "service.name": str,
          "service.node.name": str, "process.pid": int, "log.origin.file.name": str, "log.origin.file.line": int}
REQUIRED = {"@timestamp", "log.level", "message", "ecs.version", "process.pid"}


def start_with_log(node, path):
    """Starts the node with its standard error in a file, as systemd does it."""
    with open(path, "ab") as log, open(node.log, "ab") as out:
        node.process = subprocess.Popen([NODE, "--config", node.config], stdin=subprocess.DEVNULL,
                                        stdout=out, stderr=log)
    wait_until(lambda: "is ready" in node.log_text(), 60, "the node's start")


async def registered(node, phone, codes):
    def code(number):
        codes.append(node.code(number))
        return codes[-1]
    return await people.registered(node, phone, NAME, code)


async def whole_life(node, codes):
    """Registers, also wrongly; chats; disturbs; leaves mail behind."""
    ada, ben = await registered(node, ADA, codes), await registered(node, BEN, codes)
    await ada.send(ben.user, CONTENT)
    await ben.receive(1)
    await ben.acknowledge(errors=[[ben.mail[0][0], 1]], up_to=0)
    await ada.find(NOBODY)
    await ben.close()
    await ada.send(ben.user, CONTENT)
    stranger = Device(node.url)
    await stranger.connect()
    await stranger.request(foreign.REGISTER, NOBODY)
    codes.append(await asyncio.to_thread(node.code, NOBODY))
    try:
        await stranger.request(foreign.VERIFY, NOBODY, "000000" if codes[-1] != "000000" else "000001", NAME)
    except Refused:
        pass
    await stranger.send_frames([99, 1, CONTENT, ADA])
    for device in (ada, stranger):
        device.socket.transport.abort()
    return [ada, ben, stranger]


def break_sms(node):
    with open(os.path.join(node.directory, "sms"), "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 3\n")


async def register_in_vain(node):
    device = Device(node.url)
    await device.connect()
    try:
        await device.request(foreign.REGISTER, NOBODY)
        raise AssertionError("no code can have been sent")
    except Refused:
        await device.close()


def test_every_line_is_json_and_none_tells_a_secret(make_node, tmp_path):
    node = make_node(start=False, log_level="debug", watchdog_budget_ms="1")
    path, codes = tmp_path / "stderr.json", []
    start_with_log(node, path)
    devices = asyncio.run(whole_life(node, codes))
    break_sms(node)
    asyncio.run(register_in_vain(node))
    node.kill_child()
    wait_until(lambda: node.log_text().count("is ready") == 2, 30, "the restart")
    assert node.stop() == 0

    lines = path.read_text().splitlines()
    messages = []
    for line in lines:
        fields = json.loads(line)
        assert REQUIRED <= fields.keys() <= FIELDS.keys(), line
        assert all(isinstance(value, FIELDS[name]) for name, value in fields.items()), line
        messages.append(fields["message"])
    text = "\n".join(messages)
    assert "serving, start 2" in text and "ended by signal 9" in text and "drain: " in text
    assert "sms_command for 15550\u202699" in text  # a masked one is there at all
    secrets = [ADA[1:], BEN[1:], NOBODY[1:], NAME, CONTENT.decode(), CONTENT.hex()]
    secrets += [key.hex() for device in devices for key in (device.secret, device.public)]
    everything = path.read_text() + node.log_text()
    assert [secret for secret in secrets if secret in everything] == []
    assert len(codes) == 3 and [code for code in codes if re.search(r"\b%s\b" % code, everything)] == []
