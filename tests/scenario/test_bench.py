# SPDX-License-Identifier: Apache-2.0
"""tern-bench: every figure is there with a sane value (no figure is judged: machines differ)."""
import json
import os
import signal
import subprocess

import pytest

from harness import BIN, REACTOR, children, process_ended, wait_until

BENCH = os.path.join(BIN, "tern-bench")
ONLINE = {"online_w%d_%s" % (window, what) for window in (1, 8)
          for what in ("cpu_us", "per_s", "load_cpu_us", "p50_us", "p99_us", "p999_us", "store_writes")}
ONLINE |= {"online_p50_us", "online_p99_us", "online_p999_us", "online_store_writes"}
RATE = {"rate_cpu_us", "rate_per_s", "rate_p50_us", "rate_p99_us", "rate_p999_us", "rate_store_writes"}
OFFLINE = {"offline_accepted_per_s", "offline_cpu_us", "offline_store_writes", "drained_per_s", "drained_cpu_us"}
IDLE = {"login_cpu_us", "login_per_s", "idle_connection_bytes", "idle_fixed_bytes", "idle_kernel_bytes"}
USERS = {"login_cpu_us", "login_per_s", "connections", "idle_connection_bytes", "idle_kernel_bytes",
         "load_connection_bytes", "load_person_bytes", "sent_and_received", "held_connections", "held_seconds", "held_lost", "held_heartbeats",
         "heartbeats_per_s", "messages_per_s", "reads_per_s", "cpu_us", "p50_us", "p99_us", "p999_us", "sent", "delivered", "repeated", "skipped", "node_restarts",
         "actor_restarts"}
STORM = {"storm_" + what for what in ("connections", "seconds", "logins_per_s", "login_cpu_us", "load_cpu_us", "retries",
                                      "waiting_peak", "p99_us")}
GROUND = {"users", "user_bytes", "held_seconds", "people_hours", "connected", "mailboxes_awake", "activations_per_s",
          "logins_per_s", "messages_per_s", "reads_per_s", "cpu_us", "activation_cpu_us", "p50_us", "p99_us",
          "node_begin_bytes", "node_end_bytes", "store_begin_bytes", "store_end_bytes",
          "activations", "passivations", "accepted", "delivered", "waiting",
          "repeated", "retried", "skipped", "lost"}
ACTORS = {"idle_bytes", "idle_bytes_10m", "spawn", "spawn_exit", "fork_join", "ping_pong", "ping_pong_cross",
          "thread_ring", "counting", "counting_cross", "big", "big_cross", "many_to_one_8", "many_to_one_64",
          "many_to_one_cross", "multicast_256", "timer_bytes", "timer_start_cancel", "wake_p50_us", "wake_p99_us",
          "skew", "line_floor_cross", "top_1m_ms", "top_1m_cost"}


def bench(*arguments, status=0):
    if REACTOR and "actors" not in arguments and arguments[:1] in (("mail",), ("users",)) and "--server" not in arguments:
        arguments += ("--set", 'reactor = "%s"' % REACTOR)
    process = subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == status, process.stderr
    return process


def figures(*arguments):
    """The values by name; each line must say what it is and what it ran on."""
    values = {}
    for line in bench(*arguments, "--json").stdout.splitlines():
        figure = json.loads(line)
        assert isinstance(figure["value"], float) and figure["unit"], figure
        assert figure["cpu"] and figure["cores"] >= 1 and figure["kernel"], figure
        assert figure["build"] in ("debug", "release"), figure
        assert figure["name"] not in values
        values[figure["name"]] = figure["value"]
    return values


def test_bench_prints_all_figures_of_people_online(tmp_path):
    values = figures("mail", "--pairs", "10", "--seconds", "1", "--data", str(tmp_path))
    assert set(values) == ONLINE
    assert min(values[name] for name in ONLINE if name.endswith("per_s")) > 0
    assert min(values[name] for name in ONLINE if name.endswith("cpu_us")) > 0
    assert values["online_p50_us"] <= values["online_p99_us"] <= values["online_p999_us"]
    assert os.listdir(tmp_path) == []


def test_bench_holds_users_connections(tmp_path):
    values = figures("users", "--connections", "300", "--seconds", "3", "--rate", "300", "--set", 'heartbeat = "1s"',
                     "--data", str(tmp_path))
    assert set(values) == USERS
    assert values["connections"] == values["sent_and_received"] == values["held_connections"] == 300
    assert values["held_lost"] == values["repeated"] == values["node_restarts"] == values["actor_restarts"] == 0
    assert values["sent"] == values["delivered"] > 300  # everybody has sent one, then some more
    assert values["held_heartbeats"] > 300 and values["heartbeats_per_s"] > 0
    assert values["p50_us"] <= values["p99_us"] <= values["p999_us"]
    assert os.listdir(tmp_path) == []


def test_bench_users_come_back_from_a_storm_and_a_page_is_written(tmp_path):
    report = tmp_path / "report"
    values = figures("users", "--connections", "300", "--seconds", "3", "--leaves", "50000", "--storm", "100",
                     "--seed", "7", "--report", str(report), "--data", str(tmp_path))
    assert set(values) == USERS | STORM
    assert values["storm_connections"] == 100
    assert values["sent"] == values["delivered"] > 300
    assert values["node_restarts"] == values["actor_restarts"] == 0
    page = (report / "index.html").read_text()
    assert page.count("<svg") == page.count("</svg>") == 5
    assert "ground: sockets" in page and "storm_seconds" in page
    for phase in ("log in", "idle", "hello", "hold", "storm", "settle"):
        assert ">%s</text>" % phase in page
    rows = (report / "timeline.csv").read_text().splitlines()
    assert len(rows) > 3 and all(len(row.split(",")) == 11 for row in rows)
    assert max(float(row.split(",")[1]) for row in rows[1:]) == 300


@pytest.mark.parametrize("store", ["memory", "rocksdb"])
def test_bench_has_people_by_the_thousand_as_actors(store, tmp_path):
    report, data = tmp_path / "report", tmp_path / "data"
    data.mkdir()
    values = figures("users", "--ground", "actors", "--store", store, "--people", "20000", "--seconds", "2",
                     "--seed", "3", "--leaves", "10000", "--report", str(report), "--data", str(data))
    assert GROUND - set(values) <= {"activation_cpu_us"}  # all may be awake already when it is measured
    assert set(values) <= GROUND
    assert values["users"] == 20000
    assert values["activations"] == values["passivations"] > 1000
    assert values["accepted"] == values["delivered"] + values["waiting"] > 100
    assert values["lost"] == 0
    page = (report / "index.html").read_text()
    assert "ground: actors" in page
    for phase in ("warm up", "hold", "settle"):
        assert ">%s</text>" % phase in page
    assert os.listdir(data) == []


def test_bench_ends_after_so_many_activations(tmp_path):
    values = figures("users", "--ground", "actors", "--store", "memory", "--people", "20000", "--seconds", "100",
                     "--activations", "5000")
    assert 5000 <= values["activations"] <= 20000 + values["accepted"]
    assert values["held_seconds"] < 100


def test_bench_shows_what_a_message_costs_by_connections(tmp_path):
    values = figures("users", "--cost-at", "20,60", "--rate", "300", "--seconds", "1", "--data", str(tmp_path))
    costs = {"at_%d_%s" % (count, what) for count in (20, 60)
             for what in ("cpu_us", "heartbeats", "receipts", "p50_us", "p99_us")}
    assert set(values) == costs | {"cost_ratio"}
    dearest, cheapest = sorted((values["at_20_cpu_us"], values["at_60_cpu_us"]), reverse=True)
    assert values["cost_ratio"] == pytest.approx(dearest / cheapest, rel=1e-4) and values["cost_ratio"] >= 1


@pytest.mark.parametrize("ground", [(), ("--ground", "actors")])
def test_bench_ends_before_memory_does(ground, tmp_path):
    failed = bench("users", *ground, "--connections", "10", "--seconds", "20", "--memory-left", "1000000",
                   "--data", str(tmp_path), status=1)
    assert "memory" in failed.stderr or "MB left" in failed.stderr


def test_bench_refuses_a_ground_that_it_does_not_know():
    assert "sockets or actors" in bench("users", "--ground", "sand", status=64).stderr
    assert "fewer than half" in bench("users", "--ground", "actors", "--people", "10", "--online", "5", status=1).stderr


def test_bench_refuses_a_report_that_cannot_be_written(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    process = subprocess.run([BENCH, "users", "--connections", "10", "--seconds", "0.5", "--report", str(taken)],
                             capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 1
    assert str(taken) in process.stderr


def test_bench_measures_one_window(tmp_path):
    values = figures("mail", "--pairs", "2", "--window", "3", "--seconds", "0.5", "--data", str(tmp_path))
    assert {"online_w3_cpu_us", "online_p99_us"} < set(values)
    assert not any(name.startswith(("online_w1_", "online_w8_")) for name in values)


def test_bench_prints_all_figures_of_a_rate(tmp_path):
    values = figures("mail", "--pairs", "10", "--rate", "500", "--seconds", "1", "--data", str(tmp_path))
    assert set(values) == RATE
    assert values["rate_per_s"] > 0


def test_bench_drains_what_was_sent_to_people_offline(tmp_path):
    values = figures("mail", "--offline", "--senders", "3", "--receivers", "60", "--each", "5",
                     "--data", str(tmp_path))
    assert set(values) == OFFLINE
    assert values["offline_store_writes"] >= 1  # nobody was there: each is on disk before it is sent
    assert values["offline_accepted_per_s"] > 0 and values["drained_per_s"] > 0


def test_bench_measures_idle_connections(tmp_path):
    values = figures("mail", "--idle", "100", "--data", str(tmp_path))
    assert set(values) == IDLE
    assert values["login_per_s"] > 0


def test_bench_measures_a_node_that_was_named(make_node, tmp_path):
    people = str(tmp_path / "people.jsonl")
    bench("accounts", people, "--count", "4")
    node = make_node(start=False)
    subprocess.run([os.path.join(BIN, "tern-node"), "import", people, "--config", node.config], check=True,
                   capture_output=True)
    node.start()
    named = ("mail", "--server", node.url, "--accounts", people, "--pairs", "2", "--seconds", "0.5")
    values = figures(*named)
    assert values["online_w8_per_s"] > 0 and "online_w8_cpu_us" not in values
    values = figures(*named, "--pid", str(node.process.pid), "--metrics", "127.0.0.1:%d" % node.metrics_port)
    assert "online_w8_cpu_us" in values and "online_store_writes" in values
    assert node.stop() == 0


def test_bench_says_when_accounts_are_unknown(node, tmp_path):
    people = str(tmp_path / "people.jsonl")
    bench("accounts", people, "--count", "4")
    failed = bench("mail", "--server", node.url, "--accounts", people, "--pairs", "2", status=1)
    assert "doesn't know" in failed.stderr


def test_bench_prints_all_figures_of_actors():
    values = figures("actors", "--quick")
    assert set(values) == ACTORS
    assert values.pop("top_1m_cost") < 1  # may be below zero: a difference of two noisy rates
    assert min(values.values()) > 0
    assert 64 <= values["idle_bytes"] <= 256  # two cache lines: not a matter of speed
    assert values["wake_p50_us"] <= values["wake_p99_us"]


def test_bench_measures_only_the_named_actors():
    values = figures("actors", "--quick", "--only", "thread_ring", "--only", "wake_p99_us", "--runs", "2", "--cpu-time")
    assert set(values) == {"thread_ring", "wake_p99_us"}
    assert "no such figure" in bench("actors", "--only", "nothing", status=1).stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_bench_leaves_no_node_behind(how, tmp_path):
    with subprocess.Popen([BENCH, "mail", "--pairs", "2", "--seconds", "60", "--data", str(tmp_path)]) as process:
        def node():
            return [(heart, child) for heart in children(process.pid) for child in children(heart)]

        heart, child = wait_until(node, what="the node")[0]
        process.send_signal(how)
        assert process.wait(30) in (130, -signal.SIGKILL)
    wait_until(lambda: process_ended(heart) and process_ended(child), what="the node's end")
    if how == signal.SIGINT:
        assert os.listdir(tmp_path) == []
