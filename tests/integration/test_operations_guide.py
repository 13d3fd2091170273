# SPDX-License-Identifier: MIT
"""doc/OPERATIONS.md is followed from its first command to its last, as an operator would: each
command prints what the guide says it prints."""
import pytest

import guide
from env import SOURCE

GUIDE = SOURCE / "doc/OPERATIONS.md"


@pytest.mark.parametrize("expected, printed, good", [
    ([], "", True),
    ([], "surprise\n", False),
    (["a … c"], "a b c\n", True),
    (["a … c"], "a b d\n", False),
    (["first", "…", "last"], "first\nlast\n", True),
    (["first", "…", "last"], "first\n1\n2\nlast\n", True),
    (["first", "…", "last"], "first\n1\n", False),
    (["id  name"], "id     name   \n", True),
    (["1.5"], "1x5\n", False),
    (["one"], "one\ntwo\n", False),
    (["no newline"], "no newline", True),
])
def test_what_the_guide_promises_is_compared(expected, printed, good):
    assert guide.matches(expected, printed) is good


def test_every_command_prints_what_the_guide_says():
    steps = guide.steps(GUIDE.read_text())
    assert len(steps) > 40
    room = guide.Room()
    try:
        for step in steps:
            printed, status = room.run(step.command)
            # 1 is a finding; a command that fails is in the guide for its message.
            assert status in (0, 1) or step.expected[:1] != ["…"], (step.command, printed)
            assert guide.matches(step.expected, printed), (
                f"doc/OPERATIONS.md:{step.line}: {step.command}\n--- promised\n"
                + "\n".join(step.expected) + f"\n--- printed\n{printed}")
    finally:
        room.close()
