# SPDX-License-Identifier: Apache-2.0
"""Mail that waits, the store and durations, seen by the shell. Accuses: actors/admin_store, admin_histogram."""
import asyncio
import time

from people import registered
from test_shell import rows, run


def test_mail_that_waits_is_counted_by_device_and_age_and_never_shown(node):
    async def scenario():
        ada, ben = [await registered(node, "+1555000500%d" % i) for i in range(2)]
        await ben.close()
        for i in range(3):
            await ada.send(ben.user, b"the secret words %d" % i)
        waiting = rows(node, "mail +15550005001")
        assert len(waiting) == 1 and waiting[0]["user"] == ben.user and waiting[0]["phone"] == "+15550005001"
        assert waiting[0]["messages"] == 3 and waiting[0]["damaged"] == 0 and waiting[0]["more"] is False
        assert abs(waiting[0]["oldest_time_ms"] / 1000 - time.time()) < 60
        assert rows(node, "mail %d" % ben.user) == waiting
        assert "secret" not in run(node, "mail +15550005001", "info mailbox:+15550005001", "mailbox mailbox:+15550005001")
        none = rows(node, "mail +15550005000")[0]
        assert none["messages"] == 0 and none["oldest_time_ms"] is None
        store = rows(node, "store")[0]
        assert store["mail_keys"] >= 3 and store["account_keys"] > 0 and store["fsyncs"] > 0
        assert 0 < store["fsync_median_ns"] <= store["fsync_99_percent_ns"]
        await ada.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    sends = {row["histogram"]: row for row in rows(node, "histogram")}["response/send"]
    assert sends["count"] == 3 and sends["median_ns"] <= sends["99_percent_ns"]
    buckets = rows(node, "histogram response/send")
    assert sum(bucket["count"] for bucket in buckets) == 3 and buckets[-1]["percent_so_far"] == 100


def test_durations_are_empty_at_first_and_unknown_ones_named(node):
    assert rows(node, "histogram delivery/storage") == []
    assert run(node, "histogram delivery/storage") == "nothing was measured yet\n"
    assert '"histogram" lists them' in run(node, "histogram nonsense", status=1)


def test_users_that_are_not_there_are_said_so(node):
    assert "no such account" in run(node, "mail +15550009999", status=1)
    assert "no such account" in run(node, "mail 77", status=1)
    for wrong in ("ada", "+1", "0", "12x"):
        assert "a user is +15550001111" in run(node, "mail " + wrong, status=64)
