# SPDX-License-Identifier: MIT
"""What the lint rules share: which files there are, and C text without comments or strings."""
import os
import re
import sys

FOLDERS = ("src", "tests", "contrib", "doc", "conf", "sql", "agents", ".ci")
PRUNED = {"build-aux", "node_modules", "__pycache__", "autom4te.cache", ".deps", ".git"}


def files(root, *suffixes, folders=FOLDERS):
    """Paths relative to root, sorted; all files when no suffix is given."""
    found = []
    for folder in folders:
        for where, names, leaves in os.walk(os.path.join(root, folder)):
            names[:] = [n for n in names if n not in PRUNED and not n.startswith((".venv", "venv"))]
            for leaf in leaves:
                path = os.path.relpath(os.path.join(where, leaf), root)
                if not suffixes or path.endswith(suffixes):
                    found.append(path)
    return sorted(found)


def read(root, path):
    """The text, or "" for what is not text."""
    with open(os.path.join(root, path), "rb") as stream:
        data = stream.read()
    if b"\0" in data:
        return ""
    return data.decode("utf-8", "replace")


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(text, keep_strings=False):
    """C text with comments (and strings) turned into blanks; line numbers stay."""

    def replace(match):
        token = match.group(0)
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        if keep_strings:
            return token
        return token[0] + " " * (len(token) - 2) + token[-1]

    return TOKEN.sub(replace, text)


class Report:
    """Collects findings as file:line: message; exit() ends the program with 1 if any."""

    def __init__(self):
        self.count = 0

    def error(self, path, line, message):
        print(f"{path}:{line}: {message}")
        self.count += 1

    def warn(self, path, line, message):
        print(f"{path}:{line}: warning: {message}")

    def exit(self):
        sys.exit(1 if self.count else 0)


def root_argument():
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(f"usage: {sys.argv[0]} SOURCE_FOLDER")
    return sys.argv[1]
