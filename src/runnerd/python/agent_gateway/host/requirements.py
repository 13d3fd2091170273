# SPDX-License-Identifier: MIT
"""What requirements.txt asks for and is not there, without importing any of it.

contrib/install-agent-deps --check runs this file as a program: FOLDER of the agent.
"""
import importlib.metadata
import os
import re
import sys

_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(.*)$")


def _packaging():
    """pip brings its own copy of the library; without any of them versions are not compared."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        try:
            from pip._vendor.packaging.requirements import Requirement
        except ImportError:
            return None
    return Requirement


def _lines(path, seen):
    """(file, line number, text) of each requirement; -r is followed, other options are pip's."""
    if path in seen:
        return
    seen.add(path)
    with open(path, encoding="utf-8", errors="replace") as stream:
        text = stream.read().replace("\\\n", " ")
    for number, line in enumerate(text.split("\n"), 1):
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        more = re.match(r"(?:-r|--requirement)[\s=]*(\S+)", line)
        if more:
            included = os.path.join(os.path.dirname(path), more.group(1))
            if os.path.isfile(included):
                yield from _lines(included, seen)
        elif line and not line.startswith("-"):
            yield path, number, re.split(r"\s--hash", line)[0].strip()


def _lacks(line, parse):
    """What is missing of one requirement, or None."""
    match = _NAME.match(line)
    if not match:
        return None  # A path or an address: only pip knows what it holds.
    name, rest = match.group(1), match.group(3)
    wanted = None
    if parse is not None:
        try:
            wanted = parse(line)
        except ValueError:
            return f"{line!r} is no requirement"
        if wanted.marker is not None and not wanted.marker.evaluate():
            return None
    elif rest.startswith(";"):
        return None
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return line
    if wanted is not None and wanted.specifier and not wanted.specifier.contains(
            version, prereleases=True):
        return f"{line} (version {version} is installed)"
    return None


def missing(folder):
    """[(file, line number, what)] of the folder's requirements.txt; [] without such a file."""
    path = os.path.join(folder, "requirements.txt")
    if not os.path.isfile(path):
        return []
    parse = None
    found = []
    for where, number, line in _lines(path, set()):
        parse = parse or _packaging()
        what = _lacks(line, parse)
        if what:
            found.append((where, number, what))
    return found


def main():
    found = missing(sys.argv[1])
    for where, number, what in found:
        print(f"{where}:{number}: {what}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
