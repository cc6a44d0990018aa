# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under load loses nothing that was accepted. Accuses: actors/mailbox, storage."""
import asyncio
import os
import random

from load import Load

ROUNDS = int(os.environ.get("TERN_KILL_ROUNDS", "20"))


def test_twenty_kills_under_load_lose_and_repeat_nothing(make_node):
    node = make_node()
    seed = int(os.environ.get("TERN_SEED", random.randrange(1 << 32)))
    print("TERN_SEED=%d" % seed)
    dice = random.Random(seed)

    async def scenario():
        load = Load(node)
        await load.start()
        progress = []
        for i in range(ROUNDS):
            before = load.accepted()
            await asyncio.sleep(dice.uniform(0.1, 0.8))
            load.check_running()
            if i % 2:
                node.kill_child()
            else:
                node.kill()
                await asyncio.to_thread(node.start)
            progress.append(load.accepted() - before)
        await load.finish()
        load.check()
        assert sum(load_peer.connects for load_peer in load.senders) > ROUNDS
        assert sum(1 for p in progress if p) > ROUNDS / 2, progress
        print("accepted %d, duplicates dropped by devices %d" %
              (load.accepted(), sum(receiver.duplicates for receiver in load.receivers)))

    asyncio.run(asyncio.wait_for(scenario(), 300))
