# SPDX-License-Identifier: Apache-2.0
"""Reads from the sources which names are counted, and from actors/COUNTERS.md which are explained.

A name reaches a counter as a literal, by a table of literals in the same file (or of an
X-macro), or by a parameter: then
whoever calls that function names it. An argument that is none of these is a fault, so that no name
escapes.
"""
import os
import re

FOLDERS = ("runtime", "storage", "net", "actors")
PAGE = "actors/COUNTERS.md"
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
LITERAL = re.compile(r'"([a-z][a-z0-9_]*)"')
DEFINITION = re.compile(r"^(?!struct \w+ \{|enum )[a-z_][\w \t*()]*?\b(\w+)\(([^;{}]*)\)\s*\{", re.MULTILINE)
TABLE = r"\b%s\[[^\]]*\]\s*=\s*\{(.*?)\};"


class Reader:
    def __init__(self, files):
        """`files`: path -> text of C sources."""
        self.files = {path: COMMENT.sub(" ", text) for path, text in files.items()}
        # (file or None for a function that others see, function) -> which argument is the name
        self.sinks = {(None, "actor_count"): 0, (None, "classes_count_event"): 1}
        self.names, self.faults = {}, []

    def read(self):
        """Find all sinks, then all names; returns {name: path}."""
        while True:
            known = len(self.sinks)
            self.names, self.faults = {}, []
            for path, text in self.files.items():
                if path.endswith(".c"):
                    self.read_file(path, text)
            if len(self.sinks) == known:
                return self.names

    def sink(self, path, function):
        return self.sinks.get((path, function), self.sinks.get((None, function)))

    def read_file(self, path, text):
        functions = [(match.start(), match.group(1), split(match.group(2)), "static" in match.group(0).split("(")[0])
                     for match in DEFINITION.finditer(text)]
        for call in re.finditer(r"\b(\w+)\(", text):
            index = self.sink(path, call.group(1))
            around = [function for function in functions if function[0] <= call.start()]
            if index is None or not around or text[around[-1][0]:call.start()].count("{") == 0:
                continue
            arguments = split(inside(text, call.end()))
            self.read_argument(path, text, around[-1], arguments[index])

    def read_argument(self, path, text, function, argument):
        literals = LITERAL.findall(argument)
        table = re.fullmatch(r"(\w+)\[.*\]", argument)
        found = re.search(TABLE % table.group(1), text, re.DOTALL) if table else None
        parameters = [parameter.split()[-1].lstrip("*") for parameter in function[2]]
        if argument in parameters:
            self.sinks[(path if function[3] else None, function[1])] = parameters.index(argument)
        elif not literals and not found:
            self.faults.append("%s: %s counts by %s" % (path, function[1], argument))
        if found:
            literals += LITERAL.findall(self.expanded(found.group(1)))
        for name in literals:
            self.names.setdefault(name, path)

    def expanded(self, table):
        """A table, and the rows of the lists (X-macros) that it is made of."""
        rows = table
        for name in re.findall(r"(\w+)\(X\)", table):
            for text in self.files.values():
                rows += "".join(re.findall(r"#define %s\(X\)((?:.*\\\n)*.*)" % name, text))
        return rows


def inside(text, begin):
    """From `begin` to the bracket that closes the one before it."""
    depth = 1
    for at in range(begin, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at]
    return text[begin:]


def split(arguments):
    """The arguments of a call or the parameters of a function, without blanks around them."""
    parts, depth = [""], 0
    for char in arguments:
        depth += {"(": 1, "{": 1, "[": 1, ")": -1, "}": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [" ".join(part.split()) for part in parts]


def counted(root):
    """Returns ({name: a file that counts it}, faults)."""
    files = {}
    for folder in FOLDERS:
        for file in sorted(os.listdir(os.path.join(root, folder))):
            if file.endswith((".c", ".h")):
                with open(os.path.join(root, folder, file), encoding="utf-8") as source:
                    files[folder + "/" + file] = source.read()
    reader = Reader(files)
    return reader.read(), reader.faults


def summed(text):
    """The names of the tables in a source that sums events up: EVENTS("one", "two")."""
    return [name for names in re.findall(r"\bEVENTS\((\s*\"[^)]*)\)", COMMENT.sub(" ", text))
            for name in LITERAL.findall(names)]


def explained(text):
    """The names in the first column of the page's tables, as often as they stand there."""
    return [name for line in text.splitlines() if line.startswith("| `")
            for name in re.findall(r"`(\w+)`", line.split("|")[1])]
