# SPDX-License-Identifier: Apache-2.0
"""tools/up: what it refuses before it starts anything, and where verification codes are shown."""
import os
import pty
import socket
import subprocess
import sys

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import up  # noqa: E402


def sms_print(data, number, code):
    return subprocess.run([os.path.join(ROOT, "tools/sms-print"), number], input=code, text=True,
                          env=dict(os.environ, TERN_DATA=str(data))).returncode


def test_port_owner_is_named_while_somebody_listens():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert up.port_owner(port) is None
        listener.listen()
        assert "(process %d)" % os.getpid() in up.port_owner(port)
    assert up.port_owner(port) is None


def test_taken_port_is_refused_with_its_owner_and_what_to_do(tmp_path, capsys):
    place = up.Place(str(tmp_path))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(SystemExit):
            up.require_ports(place, [port, port])
        told = capsys.readouterr().err
        assert "port %d is taken by" % port in told and "(process %d)" % os.getpid() in told and "--port" in told
        (tmp_path / "tern.conf").write_text("")  # from now on that says which ports
        with pytest.raises(SystemExit):
            up.require_ports(place, [port, port])
        assert str(tmp_path / "tern.conf") in capsys.readouterr().err
    up.require_ports(place, [port, port])


def test_port_that_cannot_be_used_is_refused_before_anything_starts(tmp_path, capsys):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # held, though nobody listens
        with pytest.raises(SystemExit):
            up.require_ports(up.Place(str(tmp_path)), [holder.getsockname()[1], 1])
    assert "cannot be used: address already in use; nothing was started" in capsys.readouterr().err


def test_full_disk_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        up.require_space(str(tmp_path), 10 ** 9)
    assert "nothing was started" in capsys.readouterr().err


def test_process_of_a_stale_or_foreign_pid_is_none(tmp_path):
    pid_file = tmp_path / "node.pid"
    assert up.process_of(pid_file, "tern-node") is None
    pid_file.write_text("%d\n" % os.getpid())
    assert up.process_of(pid_file, "tern-node-which-nobody-runs") is None
    pid_file.write_text("junk")
    assert up.process_of(pid_file, "tern-node") is None


def test_code_is_kept_in_the_file_of_its_owner_alone(tmp_path):
    assert sms_print(tmp_path, "+15550001000", "123456\n") == 0
    assert sms_print(tmp_path, "+15550002000", "654321") == 0
    lines = (tmp_path / "codes").read_text().splitlines()
    assert lines[0].endswith("for +15550001000: 123456") and lines[1].endswith("for +15550002000: 654321")
    assert (tmp_path / "codes").stat().st_mode & 0o777 == 0o600


def test_empty_code_is_a_failure(tmp_path):
    assert sms_print(tmp_path, "+15550001000", "") == 1
    assert not (tmp_path / "codes").exists()


def test_code_is_shown_on_the_terminal_while_its_shell_lives(tmp_path):
    master, slave = pty.openpty()
    shell = subprocess.Popen(["sleep", "60"], stdin=slave)
    try:
        (tmp_path / "terminal").write_text("%s %d\n" % (os.ttyname(slave), shell.pid))
        assert sms_print(tmp_path, "+15550001000", "123456") == 0
        assert b"123456" in os.read(master, 1000)
    finally:
        shell.kill()
        shell.wait()
    os.set_blocking(master, False)
    assert sms_print(tmp_path, "+15550001000", "777777") == 0
    with pytest.raises(BlockingIOError):
        os.read(master, 1000)
    os.close(master)
    os.close(slave)
