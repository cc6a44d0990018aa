# SPDX-License-Identifier: Apache-2.0
"""What a node says of itself on /metrics. Accuses: actors/metrics*.c, actors/measures.c."""
import asyncio
import re
import socket
import subprocess

from harness import wait_until
from people import ADA, BEN, chat, registered

LINE = re.compile(r"(tern_\w+)(?:\{(.*)\})? (\S+)$")


def samples(node):
    """{(name, labels as they stand): value}."""
    text = node.http("/metrics", node.metrics_port)[1]
    found = [LINE.match(line) for line in text.splitlines() if not line.startswith("#")]
    assert all(found), text
    return {(match.group(1), match.group(2) or ""): float(match.group(3)) for match in found}


def test_promtool_has_nothing_to_say(make_node):
    node = make_node(region='quoted \\"region\\"')

    async def scenario():
        await chat(node)
        text = (await asyncio.to_thread(node.http, "/metrics", node.metrics_port))[1]
        result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        assert 'tern_errors_total{region="quoted \\"region\\"",kind="delivery"} 0' in text
    asyncio.run(scenario())


def test_the_life_of_messages_is_measured(make_node):
    node = make_node(hold_min="5s", hold_max="6s")  # mail for who is there is never stored

    async def scenario():
        waiting = {}
        devices = await chat(node, lambda: waiting.update(samples(node)))
        assert waiting["tern_mail_stored", ""] == 1
        now = await asyncio.to_thread(samples, node)
        assert now["tern_messages_accepted_total", ""] == 11
        assert now["tern_response_duration_seconds_count", 'request="send"'] == 11
        assert now["tern_response_duration_seconds_count", 'request="other"'] >= 4  # two of each registration
        assert now["tern_delivery_duration_seconds_count", 'from="memory"'] == 10
        assert now["tern_delivery_duration_seconds_count", 'from="storage"'] == 1
        assert now["tern_delivery_duration_seconds_bucket", 'from="memory",le="60"'] == 10
        assert now["tern_registrations_total", ""] == 2
        assert now["tern_active_users", 'day="today"'] + now["tern_active_users", 'day="yesterday"'] >= 2
        assert now["tern_engine_sync_duration_seconds_count", ""] > 0
        assert sum(value for (name, _), value in now.items() if name == "tern_delivery_failures_total") == 0
        for device in devices:
            await device.close()
    asyncio.run(scenario())


def test_handshakes_are_counted_as_tried_and_as_succeeded(node):
    async def scenario():
        await (await registered(node, ADA)).close()
        before = await asyncio.to_thread(samples, node)
        with socket.create_connection(("127.0.0.1", node.port)) as junk:
            junk.sendall(b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n")  # no upgrade
            assert b"426" in junk.recv(100)
        await (await registered(node, BEN)).close()
        now = await asyncio.to_thread(samples, node)
        assert before["tern_handshakes_tried_total", ""] == before["tern_handshakes_succeeded_total", ""] == 1
        assert now["tern_handshakes_tried_total", ""] == 3
        assert now["tern_handshakes_succeeded_total", ""] == 2
        assert now["tern_errors_total", 'region="",kind="handshake"'] == 1
    asyncio.run(scenario())


def test_every_shard_and_every_purpose_of_memory_is_there(make_node):
    now = samples(make_node(shards="2"))
    assert {labels for name, labels in now if name == "tern_shard_busy_seconds_total"} == {'shard="0"', 'shard="1"'}
    purposes = {labels for name, labels in now if name == "tern_memory_bytes"}
    assert purposes == {'purpose="%s"' % name for name in (
        "messages", "actors", "blobs", "sockets", "store_memtables", "store_cache", "store_tables")}
    assert now["tern_memory_bytes", 'purpose="actors"'] > 0


def test_a_crash_is_counted(node):
    assert samples(node)["tern_node_crashes_total", ""] == 0
    node.kill_child()
    wait_until(lambda: node.log_text().count("is ready") == 2, 30, "the restart")
    assert samples(node)["tern_node_crashes_total", ""] == 1


def test_who_was_active_today_is_known_after_a_restart(node):
    def active():
        now = samples(node)
        return now["tern_active_users", 'day="today"'] + now["tern_active_users", 'day="yesterday"']
    asyncio.run(chat(node))
    before = active()
    assert before >= 2
    node.stop()
    node.start()
    assert active() == before  # nobody has come back yet
