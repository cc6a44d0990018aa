# SPDX-License-Identifier: Apache-2.0
"""What operators put beside a node, started on loopback from the files in tools/ops."""
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request

from harness import ROOT, free_port, wait_until

# Debian puts it where only root's PATH looks.
HAPROXY = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") or "haproxy"

OPS = os.path.join(ROOT, "tools/ops")


def adapted(name, *replacements):
    """The text of a file of tools/ops with other addresses and shorter times; each must be found."""
    with open(os.path.join(OPS, name), encoding="utf-8") as file:
        text = file.read()
    for old, new in replacements:
        assert old in text, "%s has no %s" % (name, old)
        text = text.replace(old, new)
    return text


class Service:
    """A program of somebody else's, stopped by its process id."""

    def __init__(self, directory, command, ready):
        os.makedirs(directory, exist_ok=True)
        self.log = os.path.join(directory, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory)
        try:
            wait_until(lambda: self.process.poll() is not None or ready(), 60, command[0])
            assert self.process.poll() is None, self.said()
        except AssertionError:
            self.stop()
            raise

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class Prometheus(Service):
    def __init__(self, directory, metrics_port, alertmanager_port):
        os.makedirs(directory)
        self.url = "http://127.0.0.1:%d" % free_port()
        with open(os.path.join(directory, "prometheus.yml"), "w", encoding="utf-8") as file:
            file.write(adapted("prometheus.yml", ("15s", "250ms"), ("127.0.0.1:7780", "127.0.0.1:%d" % metrics_port),
                               ("127.0.0.1:9093", "127.0.0.1:%d" % alertmanager_port)))
        shutil.copy(os.path.join(OPS, "rules.yml"), directory)
        super().__init__(directory, [
            "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn",
            "--web.listen-address=" + self.url.removeprefix("http://")], lambda: answers(self.url + "/-/ready"))

    def ask(self, path, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        with urllib.request.urlopen(self.url + "/api/v1/" + path + query, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, expression):
        """The values of an expression now; NaN is none."""
        values = [float(sample["value"][1]) for sample in self.ask("query", query=expression)["result"]]
        return [value for value in values if value == value]


class Alertmanager(Service):
    def __init__(self, directory, pagerduty):
        os.makedirs(directory)
        self.port = free_port()
        key = os.path.join(directory, "pagerduty-key")
        with open(key, "w", encoding="ascii") as file:
            file.write("0123456789abcdef0123456789abcdef")
        with open(os.path.join(directory, "alertmanager.yml"), "w", encoding="utf-8") as file:
            file.write(adapted("alertmanager.yml", ("https://events.pagerduty.com/v2/enqueue", pagerduty.url),
                               ("/etc/prometheus/pagerduty-key", key), ("group_wait: 30s", "group_wait: 100ms"),
                               ("group_interval: 5m", "group_interval: 500ms")))
        super().__init__(directory, [
            "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=data", "--log.level=warn",
            "--cluster.listen-address=", "--web.listen-address=127.0.0.1:%d" % self.port],
            lambda: answers("http://127.0.0.1:%d/-/ready" % self.port))


class PagerDuty:
    """The Events API's place, on loopback: keeps what it is sent."""

    def __init__(self):
        events = self.events = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(202)
                self.end_headers()
                self.wfile.write(b'{"status": "success"}')

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/v2/enqueue" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, name, action="trigger", seconds=60):
        """The event of the alert of that name."""
        def find():
            return [event for event in list(self.events) if event["event_action"] == action
                    and event["payload"]["class"] == name]
        return wait_until(find, seconds, "the event of %s" % name)[0]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Haproxy(Service):
    def __init__(self, directory, node_port):
        os.makedirs(directory)
        self.port = free_port()
        self.certificate = os.path.join(directory, "certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=tern", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", "key", "-out", "certificate"], cwd=directory, capture_output=True, check=True)
        with open(os.path.join(directory, "tern.pem"), "wb") as both:
            for part in ("certificate", "key"):
                with open(os.path.join(directory, part), "rb") as file:
                    both.write(file.read())
        rights = "    user haproxy\n    group haproxy\n    chroot /var/lib/haproxy\n"  # which root alone can give up
        with open(os.path.join(directory, "haproxy.cfg"), "w", encoding="utf-8") as file:
            file.write(adapted("haproxy.cfg", (rights, rights if os.geteuid() == 0 else ""), ("bind :443", "bind 127.0.0.1:%d" % self.port),
                               ("/etc/haproxy/tern.pem", os.path.join(directory, "tern.pem")),
                               ("127.0.0.1:7700", "127.0.0.1:%d" % node_port), ("inter 2s", "inter 100ms"),
                               ("maxconn 100000", "maxconn 1000")))
        # -W -S would be a master with a socket; here one process is enough.
        super().__init__(directory, [HAPROXY, "-db", "-f", "haproxy.cfg"], self.listens)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False
