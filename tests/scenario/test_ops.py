# SPDX-License-Identifier: Apache-2.0
"""What tools/ops says to the programs beside a node, tried with those programs. Accuses: tools/ops, and
actors/metrics*.c where a figure is missing."""
import asyncio
import json
import os
import re
import signal
import ssl
import subprocess

import pytest
import yaml

import foreign
from foreign import Device, Refused
from harness import BIN, Node, children, wait_until
from ops import OPS, Alertmanager, Haproxy, PagerDuty, Prometheus, adapted
from people import ADA, BEN, chat

DISK_BYTES, RESERVE_BYTES = 160 << 20, 32 << 20


async def chat_and_leave(node):
    for device in await chat(node):
        await device.close()


class Monitored:
    """A node with Prometheus and Alertmanager; as root its data is on a small disk of its own."""

    def __init__(self, directory):
        self.disk = os.path.join(directory, "disk")
        os.makedirs(self.disk)
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=%d" % DISK_BYTES, "tern-test", self.disk], check=False).returncode == 0
        self.services = []
        self.node = Node(os.path.join(directory, "node"), data=os.path.join(self.disk, "data"), region="here",
                         hold_min="5s", hold_max="6s",  # so that mail for who is there is never stored
                         store_reserve="%dMiB" % (RESERVE_BYTES >> 20), store_memory="16MiB")
        try:
            self.node.start()
            self.pager = self.started(PagerDuty())
            manager = self.started(Alertmanager(os.path.join(directory, "alertmanager"), self.pager))
            self.prometheus = self.started(Prometheus(os.path.join(directory, "prometheus"), self.node.metrics_port,
                                                      manager.port))
        except BaseException:
            self.stop()
            raise

    def started(self, service):
        self.services.append(service)
        return service

    def stop(self):
        for service in reversed(self.services):
            service.stop()
        self.node.destroy()
        if self.mounted:
            subprocess.run(["umount", "-l", self.disk], check=True)


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    """One for all tests of this file: what a test does to the node, those below it find done."""
    monitored = Monitored(str(tmp_path_factory.mktemp("monitored")))
    yield monitored
    monitored.stop()


def dashboard_queries():
    with open(os.path.join(OPS, "grafana-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"datasource", "job", "instance"}
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


def test_every_query_of_the_dashboard_gets_data(monitored):
    prometheus = monitored.prometheus
    wait_until(lambda: prometheus.values('tern_handshakes_tried_total{job="tern"}'), what="the first scrape")
    asyncio.run(chat_and_leave(monitored.node))
    seen = 'increase(tern_delivery_duration_seconds_count{from="storage"}[1m]) > 0'  # twice, with the chat in between
    wait_until(lambda: prometheus.values(seen), what="a scrape after the chat")
    queries = dashboard_queries()
    assert len(queries) > 30
    empty = [(title, expression) for title, expression in queries if not prometheus.values(
        expression.replace("$__rate_interval", "1m").replace("$job", "tern").replace("$instance", ".*"))]
    assert empty == []


def test_every_rule_is_evaluated_and_nothing_is_wrong_yet(monitored):
    def asked():
        return [rule for group in monitored.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    wait_until(lambda: all(rule["health"] != "unknown" for rule in asked()), what="the first evaluation")
    rules = asked()
    assert len(rules) > 10 and [rule for rule in rules if rule["health"] != "ok"] == []
    for rule in rules:
        if rule["type"] == "recording":
            wait_until(lambda name=rule["name"]: monitored.prometheus.values(name), what=rule["name"])
    assert [rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"] == []


def test_a_crash_arrives_at_the_pager_as_a_ticket(monitored):
    monitored.node.kill_child()
    event = monitored.pager.wait_for("TernNodeCrashed")
    assert event["routing_key"] == "0123456789abcdef0123456789abcdef"
    payload = event["payload"]
    assert payload["severity"] == "warning" and payload["group"] == "tern"
    assert payload["summary"] == "127.0.0.1:%d crashed and was started again" % monitored.node.metrics_port
    assert "DATA/crashes" in payload["custom_details"]["action"]


def test_a_full_disk_arrives_at_the_pager_as_a_page_and_is_resolved(monitored):
    if not monitored.mounted:
        pytest.skip("a small disk needs root")
    filler = os.path.join(monitored.disk, "filler")
    with open(filler, "wb") as file:
        free = os.statvfs(monitored.disk).f_bavail * os.statvfs(monitored.disk).f_frsize
        os.posix_fallocate(file.fileno(), 0, free - RESERVE_BYTES // 2)
    payload = monitored.pager.wait_for("TernStoreExhausted")["payload"]
    assert payload["severity"] == "critical" and "new mail is refused" in payload["summary"]
    os.unlink(filler)
    monitored.pager.wait_for("TernStoreExhausted", "resolve")


def test_rules_pass_their_unit_tests():
    for command in (["promtool", "check", "rules", "rules.yml"], ["promtool", "test", "rules", "rules_test.yml"],
                    ["amtool", "check-config", "alertmanager.yml"]):
        done = subprocess.run(command, cwd=OPS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test_in_which_it_fires():
    with open(os.path.join(OPS, "rules.yml"), encoding="utf-8") as file:
        alerts = {rule["alert"] for group in yaml.safe_load(file)["groups"] for rule in group["rules"] if "alert" in rule}
    with open(os.path.join(OPS, "rules_test.yml"), encoding="utf-8") as file:
        tested = {case["alertname"] for test in yaml.safe_load(file)["tests"]
                  for case in test.get("alert_rule_test", []) if case["exp_alerts"]}
    assert alerts == tested


# --- TLS in front -------------------------------------------------------------------------------


class SecureDevice(Device):
    """A device that comes through the proxy, from an address of its own."""

    def __init__(self, haproxy, address):
        super().__init__("wss://127.0.0.1:%d" % haproxy.port)
        self.tls, self.source = ssl.create_default_context(cafile=haproxy.certificate), address


@pytest.fixture
def behind_haproxy(make_node, tmp_path):
    node = make_node(proxies="127.0.0.1", codes_per_address="2")
    haproxy = Haproxy(str(tmp_path / "haproxy"), node.port)
    yield node, haproxy
    haproxy.stop()


def test_devices_chat_over_wss_through_haproxy(behind_haproxy):
    node, haproxy = behind_haproxy

    async def scenario():
        devices = [SecureDevice(haproxy, "127.0.0.%d" % i) for i in (2, 3)]
        for device, phone in zip(devices, (ADA, BEN)):
            await device.connect()
            await device.register(phone, "Somebody", node.code)
        ada, ben = devices
        identity, _ = await asyncio.gather(ada.send(ben.user, b"through two kinds of encryption"), ben.receive(1))
        await ben.acknowledge()
        await ada.wait_status(foreign.DELIVERED, identity)
        assert ben.mail[0][8] == b"through two kinds of encryption"
        for device in devices:
            await device.close()
    asyncio.run(scenario())
    assert node.metric('tern_events_total{name="proxy_junk"}') == 0


def test_limits_are_for_the_device_behind_haproxy(behind_haproxy):
    node, haproxy = behind_haproxy

    async def ask(address, phone):
        device = SecureDevice(haproxy, address)
        await device.connect()
        try:
            await device.request(foreign.REGISTER, phone)
        finally:
            await device.close()

    async def scenario():
        for i in range(2):
            await ask("127.0.0.2", "+1555000100%d" % i)
        with pytest.raises(Refused) as refused:
            await ask("127.0.0.2", "+15550001003")
        assert refused.value.args[0] == foreign.LIMITED
        await ask("127.0.0.3", "+15550001004")
    asyncio.run(scenario())
    assert node.metric('tern_events_total{name="code_limit_address"}') == 1


def test_haproxy_passes_the_protocol_and_health_alone(behind_haproxy):
    node, haproxy = behind_haproxy
    context = ssl.create_default_context(cafile=haproxy.certificate)

    async def status(path):
        reader, writer = await asyncio.open_connection("127.0.0.1", haproxy.port, ssl=context)
        writer.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
        line = await reader.readline()
        writer.close()
        return int(line.split()[1])

    async def scenario():
        assert await status(b"/healthz") == 200
        assert await status(b"/v1") == 426
        assert await status(b"/metrics") == 404
    asyncio.run(scenario())
    wait_until(lambda: node.metric('tern_events_total{name="http_readyz"}') > 1, what="a health check of HAProxy's")


# --- what has no program here ---------------------------------------------------------------------


def test_filebeat_is_told_how_a_line_looks(make_node):
    with open(os.path.join(OPS, "filebeat.yml"), encoding="utf-8") as file:
        config = yaml.safe_load(file)
    [source] = config["filebeat.inputs"]
    assert source["type"] == "filestream" and source["id"]
    [parser] = source["parsers"]
    assert parser["ndjson"] == {"target": "", "expand_keys": True, "overwrite_keys": True, "add_error_key": True}
    assert source["paths"] == ["/var/log/tern/*.json"] and "append:/var/log/tern/node.json" in adapted("tern-node.service")
    node = make_node()
    line = next(line for line in node.log_text().splitlines() if line.startswith("{"))
    expanded = {}
    for name, value in json.loads(line).items():  # as expand_keys does it: no name is another's beginning
        *way, last = name.split(".")
        at = expanded
        for part in way:
            at = at.setdefault(part, {})
            assert isinstance(at, dict), name
        assert last not in at, name
        at[last] = value
    assert expanded["service"]["node"]["name"] == "node" and expanded["log"]["level"] == "info"


def test_systemd_takes_the_unit_and_finds_it_hardened(tmp_path):
    unit = tmp_path / "tern-node.service"
    unit.write_text(adapted("tern-node.service", ("/usr/local/bin/tern-node", os.path.join(BIN, "tern-node"))))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def calls_of(name):
    """The system calls of one of systemd's groups, or the one call."""
    if not name.startswith("@"):
        return {name}
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in told.splitlines()[1:]]
    return set().union(*(calls_of(line) for line in lines if line and not line.startswith("#")))


def calls_that_the_unit_allows():
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", adapted("tern-node.service"), re.MULTILINE):
        calls = set().union(*(calls_of(name) for name in line.lstrip("~").split()))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed


@pytest.mark.parametrize("reactor", ["io_uring", "libev"])
def test_a_node_calls_nothing_that_the_unit_forbids(make_node, tmp_path, reactor):
    """A life with chats, a kill, a crash with its record, and an orderly end, under strace."""
    if subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode != 0:
        pytest.skip("tracing is not allowed here")
    trace = tmp_path / "trace"
    node = make_node(start=False, wrapper=("strace", "-f", "-qq", "-o", str(trace)), reactor=reactor)
    try:
        node.start()
    except AssertionError:
        if "io_uring" in node.log_text():
            pytest.skip("io_uring is not allowed here")
        raise
    heart = children(node.process.pid)[0]
    asyncio.run(chat_and_leave(node))
    for ready, end in enumerate((signal.SIGKILL, signal.SIGSEGV), 2):
        os.kill(wait_until(lambda: children(heart), what="the node's child")[0], end)
        wait_until(lambda wanted=ready: node.log_text().count("is ready") == wanted, 60, "the restart")
    os.kill(heart, signal.SIGTERM)
    node.process.wait(60)
    called = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", trace.read_text(errors="replace"), re.MULTILINE))
    assert len(called) > 40 and sorted(called - calls_that_the_unit_allows()) == []
