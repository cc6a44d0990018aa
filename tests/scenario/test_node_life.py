# SPDX-License-Identifier: Apache-2.0
"""Starting, refusing to start, draining, importing. Accuses: tools/node, runtime/heart, actors/drainer."""
import asyncio
import json
import os
import signal
import socket
import subprocess
import urllib.error

import pytest
import websockets.exceptions

import foreign
from foreign import Device
from harness import NODE, ROOT, Node, process_ended, wait_until
from people import ADA, BEN, registered, run



def command(*arguments, **more):
    return subprocess.run([NODE, *arguments], capture_output=True, text=True, timeout=60, **more)


def test_the_sample_configuration_is_right_and_explains_each_key():
    result = command("--check-config", os.path.join(ROOT, "tools", "tern.conf"))
    assert result.returncode == 0 and "it is right" in result.stdout, result.stderr
    with open(os.path.join(ROOT, "tools", "tern.conf"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    keys = [i for i, line in enumerate(lines) if line and not line.startswith("#")]
    assert any(lines[i].startswith("data") for i in keys) and any(lines[i].startswith("sms_command") for i in keys)
    reference = command("--help-config").stdout
    for i in keys:
        assert lines[i].partition(" ")[0] + " = " in reference
        assert lines[i - 1].startswith("#") or lines[i - 1] in lines, lines[i]


@pytest.mark.parametrize("text, line, reason", [
    ("liste = \"127.0.0.1:1\"\n", 1, "no such option 'liste'"),
    ("hold = on\nheartbeat = \"30 parsecs\"\n", 2, "the unit is unknown"),
    ("heartbeat = 30\n", 1, "a unit is wanted"),
    ("sender_share = 400\n", 1, "too large"),
    ("listen = \"localhost\"\n", 1, "an address is written"),
    ("hold = perhaps\n", 1, "on or off"),
    ("reactor = \"kqueue\"\n", 1, "auto io_uring libev"),
    ("reactor = \"auto libev\"\n", 1, "auto io_uring libev"),
    ("log_level = \"info \"\n", 1, "debug info warning error"),
    ("sms_command = \"./nowhere\"\n", 1, "not there"),
    ("proxies = {\"10.0.0.1\", \"10.0.0.2:80\"}\n", 1, "without a port"),
    ("queue_messages = -1\n", 1, "a number is wanted"),
    ("listen = \"127.0.0.1:1\n", 2, ""),
    ("node \"a\" {\n  shards = 99\n}\n", 2, "too large"),
])
def test_a_mistake_names_file_line_and_reason(tmp_path, text, line, reason):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    result = command("--check-config", str(path))
    assert result.returncode == 78
    assert "%s:%d: " % (path, line) in result.stderr and reason in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("text, printed", [
    ('proxies = {"10.0.0.1", "fd00::2"}\n', 'proxies = {"::ffff:10.0.0.1", "fd00::2"}\n'),
    ("", "proxies = {}\n"),
])
def test_named_proxies_are_read_and_printed_so_that_they_can_be_read(tmp_path, text, printed):
    path = tmp_path / "tern.conf"
    path.write_text(text)
    values = command("--print-config", "--config", str(path)).stdout
    assert printed in values
    path.write_text(printed)
    assert printed in command("--print-config", "--config", str(path)).stdout


@pytest.mark.parametrize("where", ["", 'node "a" { data = "%s" }\n', 'data = "%s"\n'])
def test_home_is_needed_only_where_a_path_says_it(tmp_path, where):
    path = tmp_path / "homeless.conf"
    path.write_text(where and where % (tmp_path / "data"))
    result = command("--check-config", str(path), env={"PATH": os.environ["PATH"]})
    assert result.returncode == (0 if where else 78), result.stderr
    if not where:
        assert "data is not said" in result.stderr and "HOME" in result.stderr


def test_one_file_holds_several_nodes(tmp_path):
    path = tmp_path / "two.conf"
    path.write_text('hold = off\nnode "a" { listen = "127.0.0.1:1001" }\nnode "b" { listen = "127.0.0.1:1002"\nhold = on }\n')
    assert "say which with --node" in command("--check-config", str(path)).stderr
    assert "no node \"c\"" in command("--check-config", str(path), "--node", "c").stderr
    a = command("--print-config", "--config", str(path), "--node", "a").stdout
    b = command("--print-config", "--config", str(path), "--node", "b").stdout
    assert "127.0.0.1:1001" in a and "hold = off" in a
    assert "127.0.0.1:1002" in b and "hold = on" in b


def test_a_printed_configuration_can_be_read_again(tmp_path):
    first = command("--print-config", "--config", os.path.join(ROOT, "tools", "tern.conf")).stdout
    path = tmp_path / "again.conf"
    path.write_text(first)
    assert command("--print-config", "--config", str(path)).stdout == first


def test_wrong_usage_is_told_from_trouble():
    assert command().returncode == 64
    assert command("--config", "/nowhere/tern.conf").returncode == 78
    assert command("--help").returncode == 0


def test_a_second_node_on_the_same_data_is_refused(node, tmp_path):
    other = Node(tmp_path / "other", data=node.data)
    result = command("--config", other.config)
    assert result.returncode == 69 and "in use by another node" in result.stderr
    assert node.http("/healthz")[0] == 200


def test_a_taken_port_is_named(node, tmp_path):
    other = Node(tmp_path / "other", listen="127.0.0.1:%d" % node.port)
    result = command("--config", other.config)
    assert result.returncode == 69 and "127.0.0.1:%d" % node.port in result.stderr


def test_plain_http_gets_proper_answers(node):
    assert node.http("/healthz")[0] == 200
    assert node.http("/readyz")[0] == 200
    for path, status in (("/nowhere", 404), ("/v1", 426)):
        with pytest.raises(urllib.error.HTTPError) as error:
            node.http(path)
        assert error.value.code == status
    status, text = node.http("/metrics", node.metrics_port)
    assert status == 200 and "tern_connections" in text


def test_sigterm_tells_the_clients_loses_nothing_and_exits_0(make_node):
    node = make_node(hold_min="5s", hold_max="10s")

    async def scenario():
        ada, ben = await registered(node, ADA), await registered(node, BEN)
        sending = asyncio.ensure_future(ada.send(ben.user, b"held when the end came"))
        await ben.receive(1)  # held in memory: neither acknowledged nor stored
        node.process.send_signal(signal.SIGTERM)
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            while True:
                await ben.pump()
        assert ben.notices and ben.notices[0][0] == 1 and ben.socket.close_code == 4006
        accepted = True
        try:
            await sending
        except (foreign.Refused, websockets.exceptions.ConnectionClosed):
            accepted = False
        assert await asyncio.to_thread(node.stop) == 0
        node.start()
        await ben.connect()
        if accepted:
            await ben.receive(1)
            assert ben.mail[0][8] == b"held when the end came"
        return accepted
    run(scenario())


def test_the_node_dies_with_its_heart(node):
    child = node.child()
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    wait_until(lambda: process_ended(child), 10, "the child's end")
    node.start()


def write_accounts(path, secrets, first=0):
    with open(path, "w", encoding="ascii") as file:
        for i, secret in enumerate(secrets, first):
            key = foreign.sodium.crypto_scalarmult_base(secret).hex()
            file.write(json.dumps({"phone": "+1666%07d" % i, "name": "U%d" % i, "device_public_key": key}) + "\n")


def test_imported_accounts_can_log_in(make_node, tmp_path):
    node = make_node(start=False)
    secrets = [os.urandom(32) for _ in range(50)]
    write_accounts(tmp_path / "users", secrets)
    result = command("import", str(tmp_path / "users"), "--config", node.config)
    assert result.returncode == 0 and "50 accounts imported, 0 skipped" in result.stdout, result.stderr
    result = command("import", str(tmp_path / "users"), "--config", node.config)
    assert "0 accounts imported, 50 skipped" in result.stdout
    node.start()

    async def scenario():
        first, last = Device(node.url, secrets[0]), Device(node.url, secrets[-1])
        assert (await first.connect())[2] and (await last.connect())[2]
        assert first.user != last.user
        assert await first.find("+16660000049") == last.user
        fresh = await registered(node, ADA)
        assert fresh.user > max(first.user, last.user)
    run(scenario())
    assert command("import", str(tmp_path / "users"), "--config", node.config).returncode == 69


def test_a_bad_line_of_an_import_is_named_and_the_lines_before_it_are_kept(make_node, tmp_path):
    node = make_node(start=False)
    secrets = [os.urandom(32) for _ in range(3)]
    write_accounts(tmp_path / "users", secrets)
    with open(tmp_path / "users", "a", encoding="ascii") as file:
        file.write('{"phone": "+1", "name": "x", "device_public_key": "00"}\n')
    result = command("import", str(tmp_path / "users"), "--config", node.config)
    assert result.returncode == 65 and "users:4: the phone" in result.stderr
    assert "3 accounts imported" in result.stdout


def test_connections_wait_while_the_node_starts_again(node):
    """The listening socket is the heart's: between two lives a connect is queued, not refused.

    What the dying process's ring had accepted already is reset with it, and comes again.
    """
    def healthy():
        with socket.create_connection(("127.0.0.1", node.port), 10) as connection:
            connection.settimeout(20)
            try:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                return connection.recv(100)
            except (ConnectionResetError, BrokenPipeError):
                return b""

    for _ in range(5):
        node.kill_child()
        assert wait_until(healthy, what="an answer").startswith(b"HTTP/1.1 200")
