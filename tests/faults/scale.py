# SPDX-License-Identifier: MIT
"""How much of each fault test runs: AGW_FAULTS is "sample" (part of make check), "all" (make
check-faults) or "long" (make check-long)."""
import os

LEVEL = os.environ.get("AGW_FAULTS", "sample")
LEVELS = ("sample", "all", "long")
assert LEVEL in LEVELS, f"AGW_FAULTS={LEVEL}: one of {LEVELS}"


def count(name, sample, every, long=None):
    """The number for this level; the environment variable `name` overrides it."""
    numbers = (sample, every, every if long is None else long)
    return int(os.environ.get(name) or numbers[LEVELS.index(LEVEL)])


def limit(numbers):
    """Seconds that a test of so many turns may take, generously."""
    return max(120, int(numbers))


def report(**figures):
    """One line of figures for doc/TESTING.md; printed with -rP or into AGW_FAULT_FIGURES."""
    line = " ".join(f"{name}={value}" for name, value in figures.items())
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition("::")[2].split(" ")[0]
    print(f"figures: {test} {line}")
    if path := os.environ.get("AGW_FAULT_FIGURES"):
        with open(path, "a") as file:
            file.write(f"{test} {line}\n")
