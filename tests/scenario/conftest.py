# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from harness import Node


@pytest.fixture
def make_node(tmp_path):
    """make_node(key=value, ...): a node that is started and, at the test's end, gone."""
    nodes = []

    def make(start=True, **settings):
        directory = tmp_path / ("node%d" % len(nodes))
        os.makedirs(directory)
        node = Node(directory, **settings)
        nodes.append(node)
        return node.start() if start else node

    yield make
    for node in nodes:
        node.destroy()


@pytest.fixture
def node(make_node):
    return make_node()
