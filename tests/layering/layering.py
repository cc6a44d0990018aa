# SPDX-License-Identifier: Apache-2.0
"""What each folder may include, and a reader of sources that names each line which breaks it.

The arrows are those of the README: tools, bench, tests -> actors -> net, storage -> runtime. Besides,
time, randomness and I/O enter through the runtime's seams alone, and the codecs of net touch neither
the system nor an actor, so that they can be fuzzed and simulated.
"""
import os
import re

ALLOWED = {
    "runtime": {"runtime"},
    "storage": {"storage", "runtime"},
    "net": {"net", "runtime"},
    "actors": {"actors", "net", "storage", "runtime"},
    "tools": {"tools", "actors", "net", "storage", "runtime"},
    "tools/chat": {"tools/chat", "net", "runtime"},
    "tools/node": {"tools", "tools/node", "actors", "net", "storage", "runtime"},
    "tools/options": {"tools/options", "net", "runtime"},
    "tools/shell": {"tools/shell", "tools/node", "tools/options", "net", "runtime"},
    "bench": {"bench", "actors", "net", "storage", "runtime"},
    "tests": {"tests", "tools", "bench", "actors", "net", "storage", "runtime"},
}

# Libraries belong to one folder, so that replacing one touches one folder.
LIBRARIES = [
    (r"rocksdb/.*", {"storage"}),
    (r"liburing\.h", {"runtime"}),
    (r"ev\.h", {"runtime", "tools/chat"}),
    (r"sqlite3\.h", {"tools/chat"}),
    (r"msgpack.*", {"net"}),
    (r"confuse\.h", {"tools", "tools/node"}),
    (r"histedit\.h", {"tools/shell"}),
    (r"signal/.*|signal_protocol.*", {"tools/chat"}),  # GPL: nothing of the node may link it
]

SYSTEM = r"(sys/(socket|epoll|time|timerfd|eventfd|random|wait|prctl)|poll|time|spawn|threads)\.h"
SYSTEM_CALLS = (r"\b(clock_gettime|gettimeofday|time|getrandom|rand|random|randombytes_\w+|fork|vfork|execv\w*|"
                r"posix_spawnp?|system|popen|signal|sigaction|sigprocmask|raise|kill|socket|[gs]etsockopt|getpeername|sendmsg|recvmsg|epoll_\w+|io_uring_\w+|usleep|nanosleep|sleep|getenv)\s*\(")
SEAMED = {"net", "storage", "actors"}
ACTOR_HEADERS = r"runtime/(actor|supervisor|runtime|socket|reactor|pool|program|heart)\.h"

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def sources(root):
    """Every C file of ours, as a path from the root."""
    for top in ("runtime", "storage", "net", "actors", "tools", "bench", "tests"):
        for folder, _, files in os.walk(os.path.join(root, top)):
            for file in sorted(files):
                if file.endswith((".c", ".h", ".def")):
                    yield os.path.relpath(os.path.join(folder, file), root)


def folder_of(path):
    folder = os.path.dirname(path)
    return folder if folder in ALLOWED else path.split("/")[0]


def include_fault(root, path, kind, target):
    """Why this include is wrong, or None."""
    folder = folder_of(path)
    if kind == "<":
        if folder in SEAMED and re.fullmatch(SYSTEM, target):
            return "the system is reached through the runtime's seams"
        if folder == "net" and re.fullmatch(r"(netinet|arpa|net)/.*", target):
            return "net is pure: bytes in, bytes out"
        if folder in ("net", "actors") and target == "pthread.h":
            return "only runtime and the engines know of threads"
        for pattern, owners in LIBRARIES:
            if folder != "tests" and re.fullmatch(pattern, target) and folder not in owners:
                return "that library belongs to " + ", ".join(sorted(owners))
        return None
    if not os.path.isfile(os.path.join(root, target)):
        return "an include of ours is written from the root and exists"
    allowed = ALLOWED[folder]
    if folder_of(target) not in allowed and target.split("/")[0] not in allowed:
        return "%s may include only %s" % (folder, ", ".join(sorted(allowed)))
    if folder == "net" and re.fullmatch(ACTOR_HEADERS, target):
        return "net is pure: bytes in, bytes out"
    return None


def faults(root):
    """Sentences, one for each line that breaks the layering."""
    found = []
    for path in sources(root):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read()
        for match in INCLUDE.finditer(text):
            why = include_fault(root, path, match.group(1), match.group(2))
            if why:
                line = text.count("\n", 0, match.start(1)) + 1
                found.append("%s:%d includes %s: %s" % (path, line, match.group(2), why))
        if folder_of(path) in SEAMED:
            code = COMMENT_OR_TEXT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
            for match in re.finditer(SYSTEM_CALLS, code):
                line = code.count("\n", 0, match.start()) + 1
                found.append("%s:%d calls %s: the system is reached through the runtime's seams"
                             % (path, line, match.group(1)))
    return found
