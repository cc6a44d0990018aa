# SPDX-License-Identifier: Apache-2.0
"""*Sent* waits for the disk, and a full or failing disk loses nothing. Accuses: actors/committer, storage."""
import asyncio
import os
import subprocess

import pytest

import foreign
from foreign import Refused
from harness import ROOT, wait_until
from people import ADA, BEN, registered, run

FAULT = os.path.join(ROOT, "build", "test-bin", "libfault-fdatasync.so")


@pytest.fixture
def disk(tmp_path):
    """A node's environment whose syncs follow the file that disk.say() writes."""
    class Disk:
        path = str(tmp_path / "sync")
        environment = {"LD_PRELOAD": FAULT, "TERN_FAULT_SYNC": path}

        def say(self, text):
            with open(self.path + ".new", "w", encoding="ascii") as file:
                file.write(text)
            os.rename(self.path + ".new", self.path)

        def calls(self):
            try:
                with open(self.path + ".calls", encoding="utf-8") as file:
                    return file.read().splitlines()
            except FileNotFoundError:
                return []
    return Disk()


def test_sent_waits_for_fdatasync(make_node, disk):
    node = make_node(environment=disk.environment)

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        disk.say("hold\n")
        before = len(disk.calls())
        sending = asyncio.ensure_future(ada.send(ben.user, b"durable"))
        await asyncio.to_thread(wait_until, lambda: len(disk.calls()) > before, 10, "a sync")
        assert disk.calls()[-1].startswith("begin")
        await asyncio.sleep(0.5)
        assert not sending.done(), "*sent* was told before the sync had returned"
        disk.say("")
        await sending
        assert any(call.startswith("end") for call in disk.calls()[before:])
        await ben.connect()
        await ben.receive(1)
    run(scenario())


def test_mail_that_is_acknowledged_in_time_does_not_wait_for_the_disk(make_node, disk):
    node = make_node(environment=disk.environment, hold_min="5s", hold_max="10s")

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await asyncio.gather(ada.send(ben.user, b"first"), ben.acknowledge_mail(1))
        disk.say("hold\n")
        await asyncio.gather(ada.send(ben.user, b"second"), ben.acknowledge_mail(2))
        assert [m[8] for m in ben.mail] == [b"first", b"second"]
        disk.say("")
    run(scenario())


def test_a_failed_fdatasync_ends_the_node_and_loses_nothing_accepted(make_node, disk):
    node = make_node(environment=disk.environment)

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        await ada.send(ben.user, b"before")
        disk.say("fail\n")
        with pytest.raises(foreign.LOST):
            await ada.send(ben.user, b"during")
        disk.say("")
        await asyncio.to_thread(wait_until, lambda: node.log_text().count("is ready") >= 2, 30, "the restart")
        await ada.connect()
        await ben.connect()
        await ben.receive(1)
        assert ben.mail[0][8] == b"before"
    run(scenario())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 192 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tern-test", str(path)], check=True)
    yield str(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_refuses_new_mail_with_a_reason_and_loses_none(make_node, small_disk):
    node = make_node(data=os.path.join(small_disk, "data"), store_reserve="32MiB", store_memory="16MiB")

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        await ben.close()
        await ada.send(ben.user, b"kept 0")
        filler = os.path.join(small_disk, "filler")
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        with open(filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - (16 << 20))
        version, devices = await ada.devices(ben.user)
        fields = ada.message(ben.user, version, devices, b"kept 1")
        with pytest.raises(Refused) as refused:
            await ada.request(foreign.SEND, *fields)
        code, retry_after_ms, _ = refused.value.args
        assert code in (foreign.FULL, foreign.OVERLOADED), code
        assert code == foreign.FULL or retry_after_ms > 0
        assert node.metric("tern_engine_refused_batches_total") > 0 or node.metric("tern_store_full") == 1
        os.unlink(filler)
        await asyncio.sleep(1.1)
        if code == foreign.FULL:  # that number has had its end
            fields[:2] = [fields[0] + 1, os.urandom(16)]
        await ada.request(foreign.SEND, *fields)
        await ben.connect()
        await ben.receive(2)
        assert [m[8] for m in ben.mail] == [b"kept 0", b"kept 1"]
    run(scenario())
