# SPDX-License-Identifier: Apache-2.0
"""The sources keep the layering, and the reader that says so finds each kind of planted fault."""
import os

import pytest

from layering import faults, sources

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_sources_keep_the_layering():
    assert list(sources(ROOT)), "no source was found"
    assert faults(ROOT) == []


def plant(root, path, line):
    """A tree with one header in every folder, and `line` in the file at `path`."""
    for header in ("runtime/actor.h", "runtime/message.h", "net/wire.h", "storage/mail.h", "actors/tree.h",
                   "tools/chat/chat.h", "tools/node/node.h", "bench/load.h", "tests/unit/helper.h"):
        os.makedirs(root / os.path.dirname(header), exist_ok=True)
        (root / header).write_text("/* a comment may say time() and #include nothing */\n")
    os.makedirs(root / os.path.dirname(path), exist_ok=True)
    (root / path).write_text('#include <stdint.h>\n' + line + "\n")


@pytest.mark.parametrize("path, line", [
    ("runtime/a.c", '#include "net/wire.h"'),
    ("runtime/a.h", '#include "actors/tree.h"'),
    ("net/a.c", '#include "storage/mail.h"'),
    ("net/a.c", '#include "runtime/actor.h"'),
    ("net/a.c", "#include <sys/socket.h>"),
    ("net/a.c", "#include <netinet/in.h>"),
    ("actors/a.c", "int f(int fd) { return epoll_wait(fd, 0, 0, 0); }"),
    ("storage/a.c", '#  include "net/wire.h"'),
    ("storage/a.c", '#include "actors/tree.h"'),
    ("actors/a.c", '#include "tools/node/node.h"'),
    ("actors/a.c", "#include <time.h>"),
    ("actors/a.c", "#include <pthread.h>"),
    ("actors/a.c", "long now(void) { return time(0); }"),
    ("actors/a.c", "#include <rocksdb/c.h>"),
    ("tools/node/a.c", '#include "bench/load.h"'),
    ("tools/node/a.c", '#include "tests/unit/helper.h"'),
    ("tools/chat/a.c", '#include "actors/tree.h"'),
    ("tools/chat/a.c", '#include "storage/mail.h"'),
    ("bench/a.c", '#include "tests/unit/helper.h"'),
    ("net/a.c", '#include "wire.h"'),
])
def test_planted_fault_is_found_and_named(tmp_path, path, line):
    plant(tmp_path, path, line)
    found = faults(tmp_path)
    assert len(found) == 1 and found[0].startswith(path + ":2 ")


@pytest.mark.parametrize("path, line", [
    ("net/a.c", '#include "runtime/message.h"'),
    ("actors/a.c", '#include "storage/mail.h"'),
    ("tools/chat/a.c", '#include "net/wire.h"'),
    ("tools/node/a.c", '#include "actors/tree.h"'),
    ("runtime/a.c", "#include <time.h>"),
    ("actors/a.c", "#include <netinet/in.h>"),  # for AF_INET6, as in struct socket_address
    ("tests/unit/net/a.c", '#include "net/wire.h"'),
])
def test_right_arrow_is_accepted(tmp_path, path, line):
    plant(tmp_path, path, line)
    assert faults(tmp_path) == []
