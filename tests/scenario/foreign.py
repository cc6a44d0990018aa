# SPDX-License-Identifier: Apache-2.0
"""A device written from the protocol's description alone, on libraries that are not ours.

WebSocket by python3-websockets, X25519 and ChaCha20-Poly1305 by PyNaCl, msgpack by python3-msgpack; the
Noise handshake (specification revision 34, pattern XX) is spelled out here. If a change to the node breaks
this client, it breaks other people's clients. The numbers of frames and places of fields are those of
net/WIRE.md.
"""
import asyncio
import hashlib
import hmac
import os
import struct
import time

import msgpack
import nacl.bindings as sodium
import nacl.signing
import websockets
import websockets.exceptions

# What a device meets whose connection is cut, or that is not let in.
LOST = (OSError, websockets.exceptions.WebSocketException, asyncio.TimeoutError, EOFError)

HELLO, WELCOME, REPLY, PING, PONG, NOTICE = 1, 2, 3, 4, 5, 6
SEND, MAIL, ACK, EMPTY, STATUS, RECEIPT = 10, 11, 12, 13, 14, 15
REGISTER, VERIFY, DISCOVER, DEVICES, PROFILE = 20, 21, 22, 23, 24
OK, BAD_REQUEST, TOO_BIG, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, STALE, FULL = range(8)
LIMITED, OVERLOADED, UNAVAILABLE, EXPIRED, CONFLICT, INTERNAL = range(8, 14)
ENDS_A_SEND = (OK, BAD_REQUEST, TOO_BIG, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, FULL, EXPIRED)
DELIVERED, READ, PLAYED = 2, 3, 4
# What a field means that is missing at its frame's end.
DEFAULTS = {
    WELCOME: [1, 0, False, 0, 0, 65000, 256, 1048576, 64, 10000, 30000, 0, 0, 1, 0, "", b"", 50],
    REPLY: [0, 0, b""],
    PING: [0],
    PONG: [0],
    NOTICE: [0, 0, "", ""],
    MAIL: [0, bytes(16), 0, 0, 0, 0, 0, 0, b"", b"", 0, 0, 1],
    STATUS: [0, 0, 0, 0, 0, 0, []],
    EMPTY: [],
}
NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
CERTIFICATE_DOMAIN = b"tern/1 node certificate\0"


def _hash(data):
    return hashlib.sha256(data).digest()


def _hkdf(key, material):
    secret = hmac.digest(key, material, "sha256")
    one = hmac.digest(secret, b"\x01", "sha256")
    return one, hmac.digest(secret, one + b"\x02", "sha256")


class Cipher:
    """A CipherState: a key and a counter."""

    def __init__(self, key):
        self.key, self.counter = key, 0

    def _nonce(self):
        nonce = b"\0\0\0\0" + struct.pack("<Q", self.counter)
        self.counter += 1
        return nonce

    def encrypt(self, plain, associated=b""):
        return sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plain, associated, self._nonce(), self.key)

    def decrypt(self, sealed, associated=b""):
        return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, associated, self._nonce(), self.key)


class Handshake:
    """The initiator's side of Noise XX."""

    def __init__(self, static_secret, prologue=b"tern/1"):
        self.h = NAME
        self.chaining = NAME
        self.cipher = None
        self.static_secret = static_secret
        self.ephemeral_secret = os.urandom(32)
        self.remote_ephemeral = self.remote_static = None
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = _hash(self.h + data)

    def mix_key(self, secret, public):
        self.chaining, key = _hkdf(self.chaining, sodium.crypto_scalarmult(secret, public))
        self.cipher = Cipher(key)

    def seal(self, plain):
        sealed = self.cipher.encrypt(plain, self.h) if self.cipher else plain
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        plain = self.cipher.decrypt(sealed, self.h)
        self.mix_hash(sealed)
        return plain

    def first(self):
        public = sodium.crypto_scalarmult_base(self.ephemeral_secret)
        self.mix_hash(public)
        return public + self.seal(b"")

    def second(self, message):
        self.remote_ephemeral = message[:32]
        self.mix_hash(self.remote_ephemeral)
        self.mix_key(self.ephemeral_secret, self.remote_ephemeral)
        self.remote_static = self.open(message[32:80])
        self.mix_key(self.ephemeral_secret, self.remote_static)
        return self.open(message[80:])

    def third(self, payload):
        message = self.seal(sodium.crypto_scalarmult_base(self.static_secret))
        self.mix_key(self.static_secret, self.remote_ephemeral)
        message += self.seal(payload)
        send, receive = _hkdf(self.chaining, b"")
        return message, Cipher(send), Cipher(receive)


def certificate_cluster_key(certificate, node_key):
    """The cluster's key, after the certificate was checked against the handshake's static key."""
    length = certificate[73]
    body, signature = certificate[:74 + length], certificate[74 + length:]
    assert certificate[0] == 1 and certificate[33:65] == node_key
    assert struct.unpack(">Q", certificate[65:73])[0] > time.time() * 1000
    nacl.signing.VerifyKey(certificate[1:33]).verify(CERTIFICATE_DOMAIN + body, signature)
    return certificate[1:33]


class Refused(Exception):
    """A reply that is not ok: code, retry_after_ms, body."""


class Device:
    """One device. What must survive its connections (key, numbers, cursor) are its attributes."""

    def __init__(self, url, secret=None):
        self.url = url + "/v1"
        self.secret = secret or os.urandom(32)
        self.public = sodium.crypto_scalarmult_base(self.secret)
        self.epoch = self.cursor = 0
        self.next_send, self.send_low = 1, 1
        self.user = self.device = 0
        self.socket = self.welcome = self.cluster_key = None
        self.client, self.source, self.headers, self.tls = "foreign", None, {}, None
        self.welcome_new = False

    async def connect(self):
        self.socket = await websockets.connect(self.url, subprotocols=["tern.v1"], max_size=1 << 20,
                                               ping_interval=None, compression=None, close_timeout=0.2,
                                               extra_headers=self.headers, ssl=self.tls,
                                               **({"local_addr": (self.source, 0)} if self.source else {}))
        assert self.socket.subprotocol == "tern.v1"
        handshake = Handshake(self.secret)
        await self.socket.send(handshake.first())
        certificate = handshake.second(await self.socket.recv())
        self.cluster_key = certificate_cluster_key(certificate, handshake.remote_static)
        hello = [HELLO, 0, 1, 1, 0, self.client, self.epoch, self.cursor, self.send_low,
                 self.next_send]
        message, self.sending, self.receiving = handshake.third(msgpack.packb(hello))
        await self.socket.send(message)
        self.refs, self.replies, self.frames = 0, {}, []
        self.mail, self.statuses, self.notices, self.empties = [], [], [], 0
        self.welcome_new = False
        await self._until(lambda: self.welcome_new)
        return self.welcome

    async def come_back(self):
        """Connects as soon as the node is there again."""
        for _ in range(200):
            try:
                return await asyncio.wait_for(self.connect(), 5)
            except LOST:
                await asyncio.sleep(0.1)
        raise AssertionError("the node did not come back")

    async def send_frames(self, *frames):
        await self.socket.send(self.sending.encrypt(b"".join(msgpack.packb(f) for f in frames)))

    async def pump(self, seconds=10):
        """Takes one Noise message in."""
        sealed = await asyncio.wait_for(self.socket.recv(), seconds)
        unpacker = msgpack.Unpacker(max_buffer_size=1 << 20)
        unpacker.feed(self.receiving.decrypt(sealed))
        for frame in unpacker:
            self._take(frame)

    def _take(self, frame):
        kind, ref, fields = frame[0], frame[1] if len(frame) > 1 else 0, frame[2:]
        fields += DEFAULTS.get(kind, [])[len(fields):]
        if kind == WELCOME:
            self.welcome, self.welcome_new = fields, True
            self.epoch, self.cursor = fields[11], self.cursor if fields[12] == 0 else 0
            self.user, self.device = fields[3], fields[4]
            self.next_send = max(self.next_send, fields[13])
        elif kind == REPLY:
            self.replies[ref] = fields
        elif kind == MAIL:
            self.mail.append(fields)
        elif kind == STATUS:
            self.statuses.append(fields)
        elif kind == NOTICE:
            self.notices.append(fields)
        elif kind == EMPTY:
            self.empties += 1
        elif kind == PING:
            asyncio.ensure_future(self.send_frames([PONG, 0, fields[0]]))
        self.frames.append(kind)

    async def _until(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            await self.pump(max(0.01, end - time.monotonic()))

    async def request(self, kind, *fields):
        """The reply's body, unpacked; or Refused."""
        self.refs += 1
        ref = self.refs
        await self.send_frames([kind, ref, *fields])
        return await self.answer(ref)

    async def answer(self, ref):
        await self._until(lambda: ref in self.replies)
        code, retry_after_ms, body = self.replies.pop(ref)
        if code != OK:
            raise Refused(code, retry_after_ms, msgpack.unpackb(body) if body else None)
        return msgpack.unpackb(body) if body else None

    async def register(self, phone, name, read_code):
        await self.request(REGISTER, phone)
        self.welcome_new = False
        user, device = await self.request(VERIFY, phone, read_code(phone), name)
        await self._until(lambda: self.welcome_new)
        assert (self.user, self.device) == (user, device)

    async def devices(self, user):
        _, version, devices = await self.request(DEVICES, user)
        return version, [device for device, _ in devices]

    async def find(self, phone):
        body = await self.request(DISCOVER, [phone])
        return body[0][0][1] if body and body[0] else None

    def message(self, to, version, devices, content, number=None, identity=None, own_version=1):
        """A send's fields."""
        identity = identity or os.urandom(16)
        number = number or self.next_send
        self.next_send = max(self.next_send, number + 1)
        recipients = [[to, device, content] for device in devices]
        return [number, identity, to, version, own_version, recipients, b"", 0, number, number, self.send_low]

    async def send(self, to, content, **more):
        version, devices = await self.devices(to)
        fields = self.message(to, version, devices, content, **more)
        try:
            await self.request(SEND, *fields)
        except Refused as refused:
            if refused.args[0] in ENDS_A_SEND:
                self.send_low = max(self.send_low, fields[0] + 1)
            raise
        self.send_low = max(self.send_low, fields[0] + 1)
        return fields[1]

    async def receive(self, count, seconds=10):
        """Waits until `count` mails are here; they are not acknowledged."""
        await self._until(lambda: len(self.mail) >= count, seconds)
        return self.mail

    async def acknowledge(self, up_to=None, singles=(), errors=()):
        if up_to is None:
            up_to = max([m[0] for m in self.mail] + [s[0] for s in self.statuses] + [self.cursor])
        self.cursor = max(self.cursor, up_to)
        await self.send_frames([ACK, 0, self.epoch, up_to, list(singles), list(errors)])

    async def acknowledge_mail(self, count):
        """Waits until `count` mails are here, and acknowledges them."""
        await self.receive(count)
        await self.acknowledge()

    async def wait_status(self, state, identity, seconds=10):
        await self._until(lambda: any(s[1] == state and identity in s[6] for s in self.statuses), seconds)

    async def close(self):
        await self.socket.close()
