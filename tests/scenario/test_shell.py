# SPDX-License-Identifier: Apache-2.0
"""The shell on a live node. Accuses: tools/shell, actors/admin*, net/admin_*, runtime/local."""
import asyncio
import json
import os
import socket
import stat
import struct
import subprocess

import msgpack
import pytest

import foreign
from foreign import Device
from harness import BIN, ROOT, wait_until
from people import registered
from test_durability import disk  # noqa: F401: a fixture

SHELL = os.path.join(BIN, "tern-shell")


def run(node, *commands, options=(), status=0):
    """What the shell prints for these commands; the status is checked."""
    arguments = [SHELL, "--data", node.data, *options]
    for command in commands:
        arguments += ["-c", command]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=30)
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    return result.stdout if status == 0 else result.stderr


def rows(node, command):
    """The answer as JSON."""
    return json.loads(run(node, command, options=["--json"]))


def connect(node):
    """A client of the socket by hand, after its hello."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(os.path.join(node.data, "admin.sock"))
    return client


def read_frame(client):
    def exactly(count):
        data = b""
        while len(data) < count:
            more = client.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    return msgpack.unpackb(exactly(struct.unpack(">I", exactly(4))[0]))


def frame(value):
    body = msgpack.packb(value)
    return struct.pack(">I", len(body)) + body


def test_socket_is_its_owners_alone_and_comes_back_after_a_kill(node):
    path = os.path.join(node.data, "admin.sock")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_ISSOCK(os.stat(path).st_mode)
    node.kill()
    node.start()
    assert rows(node, "node")[0]["boot"] == 2


def test_node_and_its_parts_are_shown_and_parse_as_json(node):
    about = rows(node, "node")[0]
    assert about["node"] == "node" and about["starts"] == 1 and about["descriptors"] > 5
    assert about["memory_resident_bytes"] > 1 << 20 and about["data"] == node.data
    assert sum(shard["actors"] for shard in rows(node, "shards")) > 5
    classes = {row["class"]: row for row in rows(node, "classes")}
    assert classes["admin_session"]["actors"] == 1 and classes["mailbox"]["actors"] == 0
    text = run(node, "node")
    assert "uptime" in text and "\033" not in text, "no colour in a pipe"


def test_shards_say_how_busy_they_are_within_a_window(node):
    for _ in range(3):
        run(node, "classes")  # something to do
    since, within = rows(node, "shards"), rows(node, "shards --window 200ms")
    assert [row["shard"] for row in within] == [row["shard"] for row in since]
    for row in within:
        assert 0 <= row["busy_percent"] <= 100 and row["actors"] > 0
        assert row["messages_per_second"] >= row["messages"], "it lasted less than a second"
    assert sum(row["messages"] for row in within) < sum(row["messages_total"] for row in since) + 1000
    assert "busy percent" in run(node, "shards --window 100ms")
    assert "a number from 0 to 60000" in run(node, "shards --window 2m", status=64)


def test_watch_asks_again_and_again(node):
    text = run(node, "watch --every 100ms --times 3 shards --window 100ms", options=["--json"])
    answers, at = [], 0
    while text[at:].strip():
        answer, end = json.JSONDecoder().raw_decode(text[at:].lstrip())
        answers.append(answer)
        at += len(text[at:]) - len(text[at:].lstrip()) + end
    assert len(answers) == 3 and all(answer[0]["shard"] == 0 for answer in answers)
    for command, why in (("watch kill metrics --yes", "only looks"), ("watch help", "this is none"),
                         ("watch nonsense", "there is no command"), ("watch", "watch wants"),
                         ("watch trace metrics", "this is none"), ("watch --every 1ms node", "from 100ms to 1d")):
        assert why in run(node, command, status=64), command
    assert "no such account" in run(node, "watch --times 5 mail +15550009999", status=1), "what fails is not asked again"


def test_tree_shows_supervisors_their_children_and_pools(node):
    tree = rows(node, "tree")
    assert tree[0]["name"] == "root" and tree[0]["depth"] == 0
    names = [row["name"] for row in tree]
    assert {"committer", "users", "mailbox", "connections", "listener", "admin"} <= set(names)
    pools = {row["name"]: row for row in tree if row["what"] == "pool"}
    assert pools["admin_session"]["children"] == 1 and pools["number"]["children"] == 0
    text = run(node, "tree")
    assert "\u251c\u2500 committer" in text and "\u2502  \u251c\u2500 mailbox" in text


def test_what_is_empty_is_an_empty_array_and_a_sentence(node):
    assert rows(node, "events") == []
    assert run(node, "events") == "nothing was counted yet\n"


def test_mistakes_are_named_with_what_to_do(make_node):
    node = make_node()
    assert 'did you mean "node"?' in run(node, "nod", status=64)
    assert "usage: shards" in run(node, "shards of", status=64)
    error = json.loads(run(node, "nod", options=["--json"], status=64))
    assert error["error"] == "unknown"
    node.stop()
    assert "no node is running there" in run(node, "node", status=69)
    elsewhere = make_node(start=False)
    assert "start one, or say where its data is with --data" in run(elsewhere, "node", status=69)


def test_cluster_file_says_where_the_node_is(node):
    result = subprocess.run([SHELL, "--config", node.config, "-c", "node"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and node.data in result.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_is_told_that_permission_is_denied(node, tmp_path):
    for folder in (tmp_path, *tmp_path.parents[:3], node.directory, node.data):
        os.chmod(folder, 0o755)
    result = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", SHELL, "--data",
                             node.data, "-c", "node"], capture_output=True, text=True, timeout=30)
    assert result.returncode == 77 and "as the node's user, or as root" in result.stderr


def test_help_teaches(node):
    text = run(node, "help")
    assert "what this node is and how it does" in text and "help COMMAND" in text
    assert "`boot` those on this data" in run(node, "help node")
    assert {row["command"] for row in rows(node, "help")} > {"node", "help"}
    known = {row["command"] for row in json.loads(run(node, "help", options=["--json"]))}
    with connect(node) as client:
        read_frame(client)
        client.sendall(frame([1, "commands", {}]))
        answer = read_frame(client)
        while answer[1] == 1:
            if answer[2]["command"] != "commands":
                assert answer[2]["command"] in known, "the shell explains what the node can"
            answer = read_frame(client)


def test_commands_on_standard_input_are_carried_out_one_by_one(node):
    result = subprocess.run([SHELL, "--data", node.data], input="shards\nnonsense\nclasses\n", capture_output=True,
                            text=True, timeout=30)
    assert "turns" in result.stdout and "admin_session" in result.stdout and "nonsense" in result.stderr
    assert result.returncode == 64


def test_junk_ends_its_own_connection_and_nothing_else(node):
    for junk in (b"\0\0\0\0", b"\xff" * 64, frame([0, "node", {}]), frame([1, "node"]), frame([1, "node", {"a": {}}]),
                 b"GET / HTTP/1.1\r\n\r\n"):
        with connect(node) as client:
            assert read_frame(client)[2]["version"] == 1
            client.sendall(junk)
            assert client.recv(1) == b""
    assert node.metric('tern_events_total{name="admin_junk"}') == 6
    assert rows(node, "node")[0]["starts"] == 1


def test_actors_are_found_in_every_way_they_are_named(node):
    phone = "+15550001111"
    async def scenario():
        person = await registered(node, phone)
        mailbox = rows(node, "info mailbox:" + phone)[0]
        assert mailbox["class"] == "mailbox" and mailbox["key"] == person.user
        for name in (mailbox["actor"], "mailbox:%d" % person.user):
            assert rows(node, "info " + name)[0]["actor"] == mailbox["actor"]
        connection = rows(node, "actors connection")[0]
        assert rows(node, "info " + connection["actor"])[0]["class"] == "connection"
        assert rows(node, "info listener/0")[0]["has_name"] is True
        top = rows(node, "top --by bytes --rows 3")
        assert [row["bytes"] for row in top] == sorted((row["bytes"] for row in top), reverse=True) and len(top) == 3
        window = rows(node, "top --by messages --window 300ms")
        assert all(row["messages"] <= 100 for row in window)
        await person.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_connection_is_found_by_whose_it_is(node):
    phone = "+15550001112"

    async def scenario():
        person = await registered(node, phone)
        found = rows(node, "info connection:" + phone)
        assert len(found) == 1 and (found[0]["user"], found[0]["device"]) == (person.user, person.device)
        assert (found[0]["class"], found[0]["stage"], found[0]["address"]) == ("connection", "OPEN", "127.0.0.1")
        assert found[0]["encrypted"] is True and found[0]["requests_open"] == 0 and found[0]["silent_ms"] < 60000
        connection = found[0]["actor"]
        for name in ("connection:%d" % person.user, "connection:%d/%d" % (person.user, person.device)):
            assert rows(node, "info " + name)[0]["actor"] == connection
        mailbox, *devices = rows(node, "info mailbox:" + phone)
        assert found[0]["attached_to"] == mailbox["actor"]
        assert [(row["device"], row["connection"], row["waiting_messages"]) for row in devices] == [
            (person.device, connection, 0)]
        assert "this device is not connected" in run(node, "info connection:%d/77" % person.user, status=1)
        assert "no device of this user is connected" in run(node, "info connection:999999", status=1)
        assert "a connection is its user's and device's" in run(node, "info connection:1/x", status=1)
        assert "no groups yet" in run(node, "info group:5", status=1)
        assert "no such class" in run(node, "info mailbux:5", status=1)
        assert "was killed" in run(node, "kill connection:%s --yes" % phone), "as every command that wants an actor"
        assert "no device of this user is connected" in run(node, "info connection:" + phone, status=1)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_mailbox_says_what_waits_for_each_device(node):
    async def scenario():
        ada, ben = [await registered(node, "+1555000130%d" % i) for i in range(2)]
        for i in range(3):
            await ada.send(ben.user, b"the secret words %d" % i)
        await ben.receive(3)
        text = run(node, "info mailbox:+15550001301", options=["--json"])
        _, device = json.loads(text)
        assert (device["waiting_messages"], device["in_flight"]) == (3, 3) and device["waiting_bytes"] >= 3 * 16
        assert "secret" not in text
        await ben.acknowledge()
        await asyncio.to_thread(wait_until, lambda: rows(node, "info mailbox:+15550001301")[1]["waiting_messages"] == 0)
        await ben.close()
        await asyncio.to_thread(wait_until, lambda: rows(node, "info mailbox:+15550001301")[1]["connection"] is None)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_waits_in_a_mailbox_is_shown_with_kind_size_and_age(make_node, disk):
    node = make_node(environment=disk.environment)
    phone = "+15550001113"

    async def scenario():
        ada, other = Device(node.url), Device(node.url)
        for device in (ada, other):
            await device.connect()
        await ada.request(foreign.REGISTER, phone)
        assert rows(node, "mailbox number:" + phone) == []
        disk.say("hold\n")  # the account is being written, and whoever else wants the number waits
        await ada.send_frames([foreign.VERIFY, 71, phone, node.code(phone), "Ada"])
        await asyncio.to_thread(wait_until, lambda: disk.calls()[-1:] and disk.calls()[-1].startswith("begin"))
        await other.send_frames([foreign.REGISTER, 72, phone])
        waiting = await asyncio.to_thread(wait_until, lambda: rows(node, "mailbox number:" + phone))
        sender = rows(node, "info " + waiting[0]["from"])[0]
        assert len(waiting) == 1 and (waiting[0]["place"], waiting[0]["message"]) == (1, "register")
        assert waiting[0]["bytes"] > 0 and waiting[0]["deferred"] is True and sender["class"] == "connection"
        later = rows(node, "mailbox number:" + phone)
        assert later[0]["age_ns"] > waiting[0]["age_ns"] > 0
        assert phone not in json.dumps(waiting)
        found = rows(node, "actors number where mailbox >= 1")
        assert [row["mailbox"] for row in found] == [1] and found[0]["oldest_ns"] > 0
        disk.say("")
        await ada.answer(71)
        await asyncio.to_thread(wait_until, lambda: rows(node, "mailbox number:" + phone) == [])
        for device in (ada, other):
            await device.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_empty_views_of_one_actor(node):
    assert rows(node, "mailbox committer") == [] and run(node, "mailbox committer") == "nothing waits\n"
    assert rows(node, "links committer") == [] and run(node, "links committer") == "it has no links\n"
    assert rows(node, "info admin")[0]["class"] == "admin", "the only one of its class needs no other name"
    watched = rows(node, "monitors admin")
    assert [row["relation"] for row in watched] == ["monitors"], "the session that asks"
    assert rows(node, "actors listener where mailbox > 1000") == []
    assert run(node, "actors listener where age > 5d") == "no actor matches\n"


def test_actors_that_are_not_there_are_said_so(node):
    for name, why in (("nobody", "no actor has this name"), ("0x99", "it has ended"), ("0xyz", "hexadecimal"),
                      ("mailbox:+15550009999", "no account has this phone number"), ("mailbox:+1", "is written +1"),
                      ("mailbox:7", "not in memory"), ("mailbox:x", "a user's number or a phone number")):
        for command in ("info", "mailbox", "links", "monitors"):
            assert why in run(node, "%s %s" % (command, name), status=1)
    assert json.loads(run(node, "info nobody", options=["--json"], status=1))["error"] == "not_found"
    assert '"classes" lists them' in run(node, "actors no_class", status=1)
    assert "usage: info ACTOR" in run(node, "info", status=64)


def test_one_shell_too_many_is_told_so(node):
    clients = [connect(node) for _ in range(16)]
    for client in clients:
        assert read_frame(client)[1] == 0
    assert "too many shells" in run(node, "node", status=69)
    clients.pop().close()
    wait_until(lambda: subprocess.run([SHELL, "--data", node.data, "-c", "node"], capture_output=True,
                                      timeout=30).returncode == 0, what="a place")
    for client in clients:
        client.close()


def test_requests_in_pieces_and_in_one_piece_are_answered_in_order(node):
    with connect(node) as client:
        read_frame(client)
        data = frame([1, "shards", {}]) + frame([2, "no such", {}]) + frame([3, "node", {}])
        for i in range(0, len(data), 7):
            client.sendall(data[i:i + 7])
        answers = []
        while not answers or answers[-1][:2] != [3, 2]:
            answers.append(read_frame(client))
        assert [answer[0] for answer in answers] == sorted(answer[0] for answer in answers)
        assert [answer[2]["code"] for answer in answers if answer[0] == 2] == ["unknown"]


def test_bash_completes_options_and_commands():
    script = os.path.join(ROOT, "tools", "shell", "tern-shell.bash")
    def words(line):
        program = ("PATH=%s:$PATH; source %s; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); compopt() { :; }; "
                   "_tern_shell; echo ${COMPREPLY[*]}" % (BIN, script, line))
        return subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=30).stdout.split()

    assert words("tern-shell --js") == ["--json"]
    assert words("tern-shell -c hist") == ["histogram"]
    assert words("tern-shell -c re") == ["recorder", "restart", "reload", "release"]
