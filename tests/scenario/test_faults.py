# SPDX-License-Identifier: Apache-2.0
"""Actors that fail at random under load take nothing with them. Accuses: runtime/supervisor, actors/*."""
import asyncio
import os

import pytest

from harness import ROOT
from load import Load

FAULTS = os.path.join(ROOT, "build", "test-bin", "tern-node-faults")
SECONDS = float(os.environ.get("TERN_FAULT_SECONDS", "8"))


@pytest.mark.parametrize("rates", ["connection=0.002", "mailbox=0.002", "committer=0.01",
                                   "connection=0.001,mailbox=0.001,committer=0.005"])
def test_failing_actors_lose_and_repeat_nothing(make_node, rates):
    node = make_node(program=FAULTS, environment={"TERN_FAULTS": rates}, hold_max="60ms",
                     hold_min="5ms", codes_per_number=1000,
                     queue_messages=1000000)  # quotas are for others: a fast sender meets its share while one is away

    async def scenario():
        load = Load(node)
        await load.start()
        await asyncio.sleep(SECONDS)
        load.check_running()
        await load.finish()
        load.check()
        for rate in rates.split(","):
            name = rate.partition("=")[0]
            failed = node.metric('tern_class_failed_total{class="%s"}' % name)
            assert failed > 0, "no %s has failed: the run proves nothing" % name
            print(name, "failed", failed)
        print("accepted", load.accepted())
        assert load.accepted() > 100

    asyncio.run(asyncio.wait_for(scenario(), 200))
    assert node.log_text().count("is ready") == 1, "the node itself must not have ended"
