# SPDX-License-Identifier: Apache-2.0
"""Start a node with its store on this machine, and an echo contact to talk to.

Everything of it lies in one directory: the configuration (made from tools/tern.conf at the first start,
the person's own from then on), the node's data, logs, the verification codes, the echo contact's home.
Run again while the node is up it only says so.
"""
import argparse
import fcntl
import glob
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NODE, CHAT, SHELL = "build/bin/tern-node", "build/bin/tern-chat", "build/bin/tern-shell"
PORT_DEFAULT = 7700
METRICS_PORT_AFTER = 80  # 7780, as in the sample
PORT_MAX = 65535 - METRICS_PORT_AFTER
ECHO_PHONE = "+15550000000"
ECHO_MARK = "\0echo\0--home\0"  # in its command line
CHAT_NOT_REGISTERED = 77
CODE_SECONDS_MAX = 20
BUILD_MEGABYTES, DATA_MEGABYTES = 300, 100  # less than this free is refused before anything starts
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 60


def refuse(sentence):
    print("up: " + sentence, file=sys.stderr)
    sys.exit(1)


class Place:
    """The directory that holds all of a person's node."""

    def __init__(self, directory):
        self.directory = os.path.abspath(directory)
        for name in ("tern.conf", "node", "node.log", "node.pid", "echo", "echo.log", "echo.pid", "codes",
                     "terminal", "lock"):
            setattr(self, name.replace(".", "_"), os.path.join(self.directory, name))

    def make(self):
        """Make the directory, and keep every other tools/up out of it."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            self.lock_file = open(self.lock, "w")
            try:
                fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("waiting for another tools/up in %s" % self.directory, flush=True)
                fcntl.flock(self.lock_file, fcntl.LOCK_EX)
        except OSError as error:
            refuse("the data directory %s cannot be used: %s. Choose another with --data."
                   % (self.directory, error.strerror))

    def ports(self):
        """The ports that the configuration names, that of devices first; none when it does not exist yet."""
        try:
            with open(self.tern_conf, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        lines = [re.search(r"^\s*%s\s*=(.*)$" % key, text, re.MULTILINE) for key in ("listen", "metrics")]
        return [int(port) for line in lines if line for port in re.findall(r':(\d+)"', line.group(1))]


def process_of(pid_file, program):
    """The process id in this file if it still runs this program, else None."""
    try:
        with open(pid_file, encoding="ascii") as file:
            pid = int(file.read())
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return pid if program.encode() in file.read() else None
    except (OSError, ValueError):
        return None


def port_owner(port):
    """Who listens on this port: "'nginx' (process 12)", or "another user's process"; None when it is free."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as file:
            for row in (line.split() for line in list(file)[1:]):
                if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port:
                    inodes.add("socket:[%s]" % row[9])
    if not inodes:
        return None
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                pid = link.split("/")[2]
                with open("/proc/%s/comm" % pid, encoding="utf-8", errors="replace") as file:
                    return "'%s' (process %s)" % (file.read().strip(), pid)
        except OSError:
            continue
    return "a process of another user"


def require_space(directory, megabytes):
    free = shutil.disk_usage(directory).free // 1000000
    if free < megabytes:
        refuse("the disk with %s is nearly full: %d MB free, %d MB needed; nothing was started."
               % (directory, free, megabytes))


def build():
    """A release build of node and client, with progress on one line of a terminal."""
    command = ["scons", "-Q", "-j%d" % (os.cpu_count() or 1), "mode=release", NODE, CHAT, SHELL]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    terminal, lines = sys.stdout.isatty(), []
    for line in process.stdout:  # until it has ended, of ^C too
        lines.append(line)
        if line.startswith("scons: `"):
            continue
        if terminal:
            print("\r\033[K%3d  %s" % (len(lines), line.rstrip()[:70]), end="", flush=True)
        elif len(lines) % 20 == 1:
            print("%3d  %s" % (len(lines), line.rstrip()), flush=True)
    if terminal:
        print("\r\033[K", end="")
    if process.wait() != 0:
        text = "".join(lines[-40:])
        print(text, file=sys.stderr)
        refuse("the disk is full." if "No space left on device" in text else "the build failed, see above.")


def write_configuration(place, port):
    """The sample with this person's data, port and sms_command; only where there is none yet."""
    if os.path.exists(place.tern_conf):
        return
    with open("tools/tern.conf", encoding="utf-8") as file:
        text = file.read()
    own = {"data": place.node, "listen": "127.0.0.1:%d" % port, "metrics": "127.0.0.1:%d" % (port + METRICS_PORT_AFTER),
           "sms_command": os.path.join(ROOT, "tools/sms-print")}
    for key, value in own.items():
        text, count = re.subn(r"(?m)^#?\s*%s\s*=.*$" % key, lambda _, k=key, v=value: '%s = "%s"' % (k, v), text, 1)
        if not count:
            refuse("tools/tern.conf has no line `%s = ...`." % key)
    with open(place.tern_conf, "w", encoding="utf-8") as file:
        file.write(text)


def start(command, log, pid_file, environment=None):
    """Start a program that outlives this one; return its Popen."""
    with open(log, "ab") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   env=dict(os.environ, **(environment or {})), start_new_session=True)
    with open(pid_file, "w", encoding="ascii") as file:
        file.write("%d\n" % process.pid)
    return process


def log_end(path, begin):
    with open(path, encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        return "".join("    " + line for line in file.readlines()[-12:])


def wait_until_ready(process, port, log, begin):
    """Return when /readyz answers; say why when the node ends or never comes up."""
    for _ in range(START_SECONDS_MAX * 10):
        status = process.poll()
        if status is not None:
            refuse("the node ended with status %d while starting. It said:\n%s" % (status, log_end(log, begin)))
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % port, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    refuse("the node is not ready after %d s; its log is %s." % (START_SECONDS_MAX, log))


def require_ports(place, ports):
    """Refuse, and say what to do about it, when the node could not listen on these ports of this machine."""
    choose = ("Choose another for `listen` or `metrics` in %s" % place.tern_conf if os.path.exists(place.tern_conf)
              else "Choose another with --port")
    for port, purpose in zip(ports, ("", " (for metrics)")):
        owner = port_owner(port)
        if owner:
            refuse("port %d%s is taken by %s; nothing was started. %s, or stop that one."
                   % (port, purpose, owner, choose))
        try:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError as error:
            refuse("port %d%s cannot be used: %s; nothing was started. %s."
                   % (port, purpose, error.strerror.lower(), choose))


def start_node(place, port):
    begin = os.path.getsize(place.node_log) if os.path.exists(place.node_log) else 0
    process = start([os.path.join(ROOT, NODE), "--config", place.tern_conf], place.node_log, place.node_pid,
                    {"TERN_DATA": place.directory})
    wait_until_ready(process, port, place.node_log, begin)


def remember_terminal(place):
    """Tell tools/sms-print which terminal to write codes on."""
    if os.path.exists(place.terminal):
        os.remove(place.terminal)
    if sys.stdin.isatty():
        try:
            terminal = os.ttyname(0)
        except OSError:  # a terminal that has no name here, as in a container or chroot: then `codes` alone
            return
        with open(place.terminal, "w", encoding="ascii") as file:
            file.write("%s %d\n" % (terminal, os.getppid()))


def stop(place):
    """End echo, then the node; return whether there was a node."""
    found = False
    for pid_file, program in ((place.echo_pid, ECHO_MARK), (place.node_pid, "tern-node")):
        pid = process_of(pid_file, program)
        if pid is None:
            continue
        found = found or program == "tern-node"
        os.kill(pid, signal.SIGTERM)
        for _ in range(STOP_SECONDS_MAX * 20):
            if process_of(pid_file, program) is None:
                break
            time.sleep(0.05)
        else:
            refuse("process %d does not stop; its log is in %s." % (pid, place.directory))
        os.remove(pid_file)
    return found


def chat(place, verb, *arguments):
    """Run one tern-chat command for the echo contact; return its exit status."""
    with open(place.echo_log, "ab") as log:
        return subprocess.run([os.path.join(ROOT, CHAT), verb, "--home", place.echo, *arguments],
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode


def await_code(place, phone, offset):
    """The verification code for this number that comes into the codes file after `offset`, or None."""
    for _ in range(CODE_SECONDS_MAX * 10):
        if os.path.exists(place.codes):
            with open(place.codes, encoding="utf-8") as file:
                file.seek(offset)
                codes = re.findall(re.escape(phone) + r": (\d+)", file.read())
            if codes:
                return codes[-1]
        time.sleep(0.1)
    return None


def register_echo(place, port):
    """Register the echo contact where its home is new; return whether it is registered."""
    if chat(place, "contacts", "--json") != CHAT_NOT_REGISTERED:
        return True
    offset = os.path.getsize(place.codes) if os.path.exists(place.codes) else 0
    if chat(place, "register", "--server", "ws://127.0.0.1:%d" % port, "--phone", ECHO_PHONE, "--name", "echo") != 0:
        return False
    code = await_code(place, ECHO_PHONE, offset)
    return code is not None and chat(place, "verify", "--code", code) == 0


def start_echo(place, port):
    """Start the echo contact where it is not running. Without it the node is of use all the same."""
    if process_of(place.echo_pid, ECHO_MARK):
        return
    if register_echo(place, port):
        start([os.path.join(ROOT, CHAT), "echo", "--home", place.echo], place.echo_log, place.echo_pid)
    else:
        print("up: the echo contact could not register; see %s." % place.echo_log, file=sys.stderr)


def cluster_key(place):
    """The public half of the cluster's key, which the node prints when it is ready; devices may pin it."""
    with open(place.node_log, encoding="utf-8", errors="replace") as file:
        found = re.findall(r"^  cluster key +(\S+)$", file.read(), re.MULTILINE)
    return found[-1] if found else "see " + place.node_log


def tell(place, port, options, begin):
    home = os.path.expanduser("~")
    data = place.directory.replace(home, "~", 1) if place.directory.startswith(home + "/") else place.directory
    own = "" if options.data is None else " --data " + options.data
    print("""%s

  listens at   ws://127.0.0.1:%d
  cluster key  %s
  data in      %s   (node.log, codes, tern.conf)
  stop it      tools/up --stop%s
  chat         build/bin/tern-chat    in a second terminal, and in a third for a second person.
               The server is ws://127.0.0.1:%d; take any phone number, such as +15550001000.
               The verification code appears in this terminal and in %s/codes.
  say hello    to %s, the echo contact, who answers everything.
  look inside  build/bin/tern-shell%s    (type help)""" % (
        begin, port, cluster_key(place), data, own, port, data, ECHO_PHONE, "" if not own else own + "/node"))


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/up", description="Build and start a node on this machine.")
    parser.add_argument("--data", help="where everything of the node lies (default: ~/.local/share/tern)")
    parser.add_argument("--port", type=int, help="port at the first start (default: %d)" % PORT_DEFAULT)
    parser.add_argument("--stop", action="store_true", help="stop the node and the echo contact")
    options = parser.parse_args()
    if options.port is not None and not 1 <= options.port <= PORT_MAX:
        parser.error("--port is from 1 to %d; the port that is %d higher is for metrics." % (
            PORT_MAX, METRICS_PORT_AFTER))
    return options


def main():
    options = parse_arguments()
    place = Place(options.data or os.path.join(
        os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share"), "tern"))
    os.chdir(ROOT)
    if options.stop and not os.path.exists(place.directory):
        print("Tern was not running.")
        return
    place.make()
    if options.stop:
        print("Tern is stopped." if stop(place) else "Tern was not running.")
        return
    first = options.port or PORT_DEFAULT
    ports = place.ports() or [first, first + METRICS_PORT_AFTER]
    port = ports[0]
    if options.port and options.port != port:
        refuse("%s says port %d; change it there." % (place.tern_conf, port))
    pid = process_of(place.node_pid, "tern-node")
    if pid:
        begin = "Tern is up already (process %d)." % pid
    else:
        require_space(place.directory, DATA_MEGABYTES)
        require_space(ROOT, BUILD_MEGABYTES)
        require_ports(place, ports)
        print("building", flush=True)
        build()
        write_configuration(place, port)
        start_node(place, port)
        begin = "Tern is up."
    start_echo(place, port)
    remember_terminal(place)  # after echo's own code, which nobody needs to see
    tell(place, port, options, begin)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nup: interrupted. Run it again to go on from there; `tools/up --stop` ends what is running.",
              file=sys.stderr)
        sys.exit(130)
