# SPDX-License-Identifier: Apache-2.0
"""A storm: everybody's connection is cut at once, while they write to one another. Accuses: actors/handshake_gate,
connection_handshake, mailbox_load; bench/door, person."""
from test_bench import STORM, USERS, figures


def storm(people, *arguments):
    """The figures of a run in which all came back while mail went on. Each message was shown to its receiver once: what
    comes again is counted (`repeated`), and not as delivered."""
    values = figures("users", "--connections", str(people), "--rate", "600", "--seconds", "1", "--storm", str(people),
                     *arguments)
    assert set(values) == USERS | STORM
    assert values["storm_connections"] == values["held_connections"] == people
    assert values["sent"] == values["delivered"] > people
    assert values["node_restarts"] == values["actor_restarts"] == 0
    return values


def test_all_come_back_from_a_storm_and_nothing_is_lost(tmp_path):
    values = storm(3000, "--data", str(tmp_path), "--connecting", "200")
    assert 0 < values["storm_waiting_peak"] <= 2800


def test_who_is_told_to_come_again_comes_again(tmp_path):
    values = storm(1000, "--data", str(tmp_path), "--connecting", "1000", "--set", "handshakes_waiting = 16")
    assert values["storm_retries"] > 0 and values["storm_waiting_peak"] == 0
