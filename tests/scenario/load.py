# SPDX-License-Identifier: Apache-2.0
"""Pairs of foreign devices that write and read through every failure, and a checker that knows it all.

A sender counts its messages up from 0, keeps a window of them in flight, and after a cut or a retryable
refusal sends what has no answer again, in order, under the same numbers and ids. A receiver drops what it
has, by (sender, device, id), and acknowledges. check() holds the run to what the node promises: every
message that was answered *sent* arrives, none shows twice, a sender's messages keep their order.
"""
import asyncio
import random

import foreign
from foreign import LOST, Device

RETRYABLE = (foreign.LIMITED, foreign.OVERLOADED, foreign.UNAVAILABLE)


class Peer(Device):
    """Comes back whenever it is cut off, until `stop` is set and its work is done."""

    def __init__(self, url, secret):
        super().__init__(url, secret)
        self.stop = asyncio.Event()
        self.connects = 0

    async def run(self):
        while not (self.stop.is_set() and self.done()):
            try:
                await asyncio.wait_for(self.connect(), 5)
                self.connects += 1
                await self.session()
            except LOST:
                await asyncio.sleep(random.uniform(0.02, 0.1))
            finally:
                if self.socket:
                    self.socket.transport.abort()


class Sender(Peer):
    def __init__(self, url, secret, to, window, body):
        super().__init__(url, secret)
        self.to, self.window, self.body = to, window, body
        self.count, self.accepted, self.open = 0, {}, {}  # number -> fields

    def done(self):
        return not self.open

    async def session(self):
        version, devices = await self.devices(self.to)
        refs, self.welcome_new = {}, True
        while not (self.stop.is_set() and self.done()):
            if self.welcome_new:
                self.welcome_new = False
                await self._post(refs, sorted(self.open))
            new = []
            while len(self.open) < self.window and not self.stop.is_set():
                fields = self.message(self.to, version, devices, b"%d " % self.count + self.body,
                                      number=self.send_high + 1)
                self.send_high += 1
                self.open[fields[0]] = fields
                new.append(fields[0])
                self.count += 1
            await self._post(refs, new)
            await self.pump(3)
            await self._answers(refs)

    send_high = 0

    async def _post(self, refs, numbers):
        frames = []
        for number in numbers:
            self.refs += 1
            refs[self.refs] = number
            frames.append([foreign.SEND, self.refs, *self.open[number]])
        if frames:
            await self.send_frames(*frames)

    async def _answers(self, refs):
        again = None
        for ref, (code, retry_after_ms, _) in sorted(self.replies.items()):
            number = refs.pop(ref, None)
            if number not in self.open:
                continue
            if code == foreign.OK:
                fields = self.open.pop(number)
                self.accepted[fields[1]] = int(fields[5][0][2].split()[0])
            elif code in RETRYABLE or code == foreign.CONFLICT:
                again = max(again or 0, retry_after_ms)
            else:
                raise AssertionError("number %d was refused with code %d" % (number, code))
        self.replies.clear()
        self.send_low = min(self.open, default=self.send_high + 1)
        if again is not None:
            await asyncio.sleep(again / 1000)
            await self._post(refs, sorted(self.open))


class Receiver(Peer):
    def __init__(self, url, secret):
        super().__init__(url, secret)
        self.seen, self.shown, self.duplicates = set(), [], 0

    def done(self):
        return True

    async def session(self):
        while not self.stop.is_set():
            try:
                await self.pump(0.5)
            except asyncio.TimeoutError:
                pass  # what came together with the welcome is here all the same
            for mail in self.mail:
                key = (mail[3], mail[4], mail[1])
                if key in self.seen:
                    self.duplicates += 1
                else:
                    self.seen.add(key)
                    self.shown.append((mail[3], mail[1], int(mail[8].split()[0])))
            if self.mail or self.statuses:
                await self.acknowledge()
            self.mail.clear()
            self.statuses.clear()


class Load:
    """`pairs` senders and receivers that are registered with the node."""

    def __init__(self, node, pairs=6, window=4, body_bytes=100):
        self.node, self.pairs, self.window = node, pairs, window
        self.body = b"x" * body_bytes
        self.senders, self.receivers, self.tasks = [], [], []

    async def register(self):
        for i in range(self.pairs):
            accounts = [await self._account("+1555%03d%04d" % (side, i)) for side in (100, 200)]
            self.senders.append(Sender(self.node.url, accounts[0].secret, accounts[1].user, self.window,
                                       self.body))
            self.receivers.append(Receiver(self.node.url, accounts[1].secret))

    async def _account(self, phone):
        """Registers, also where connections fail on the way."""
        device = Device(self.node.url)
        while True:
            try:
                await device.connect()
                if not device.welcome[2]:
                    await device.register(phone, "Load", self.node.code)
                await device.close()
                return device
            except LOST + (foreign.Refused,):
                await asyncio.sleep(0.05)

    async def start(self):
        await self.register()
        self.tasks = [asyncio.ensure_future(peer.run()) for peer in self.senders + self.receivers]

    def accepted(self):
        return sum(len(sender.accepted) for sender in self.senders)

    def check_running(self):
        for task in self.tasks:
            if task.done():
                task.result()

    async def finish(self, seconds=60):
        """Lets the senders settle and the receivers catch up."""
        for sender in self.senders:
            sender.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks[:self.pairs]), seconds)
        for _ in range(int(seconds / 0.1)):
            self.check_running()
            if not self.missing():
                break
            await asyncio.sleep(0.1)
        for receiver in self.receivers:
            receiver.stop.set()
        await asyncio.wait_for(asyncio.gather(*self.tasks), seconds)

    def missing(self):
        """Accepted messages that have not been shown."""
        lost = []
        for sender, receiver in zip(self.senders, self.receivers):
            shown = {identity for _, identity, _ in receiver.shown}
            lost += [(sender.user, count) for identity, count in sender.accepted.items()
                     if identity not in shown]
        return lost

    def check(self):
        assert not self.missing(), "accepted and lost: %s" % self.missing()[:10]
        for sender, receiver in zip(self.senders, self.receivers):
            counts = [count for _, _, count in receiver.shown]
            assert len(set(counts)) == len(counts), "shown twice"
            turned = [(a, b) for a, b in zip(counts, counts[1:]) if b < a]
            assert not turned, "user %d: out of order: %s" % (sender.user, turned[:10])
