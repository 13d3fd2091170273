# SPDX-License-Identifier: MIT
"""The gateway's JSON Schema says what the official JSON-Schema-Test-Suite says (draft 2020-12),
for every keyword that it has; what it has not is refused, never passed over."""
import json
import os
import subprocess
from pathlib import Path

import pytest

import env

SUITE = Path(os.environ["AGW_TEST_ENV"]) / "json-schema-suite" / "draft2020-12"

# Files about keywords that are not there: each of their schemas is refused.
ABSENT = {"anchor", "contains", "dependentRequired", "dependentSchemas", "dynamicRef",
          "maxContains", "minContains", "refRemote", "unevaluatedItems", "unevaluatedProperties"}
# Files some of whose schemas use such a keyword, or refer to another document.
MIXED = {"additionalProperties", "defs", "not", "ref"}
# Other dialects, which a schema may name, are not looked at.
DIALECTS = {"vocabulary"}
REASONS = ("is not supported", "must be a place of this schema",
           "is understood at the top of a schema only")


def cases(name):
    for group in json.loads((SUITE / f"{name}.json").read_text(encoding="utf-8")):
        for test in group["tests"]:
            yield group, test


def ask(pairs):
    text = "".join(json.dumps(pair) + "\n" for pair in pairs)
    done = subprocess.run([env.BUILD / "tests/lib/schema_suite"], input=text, text=True,
                          capture_output=True, check=True, timeout=60)
    answers = done.stdout.splitlines()
    assert len(answers) == len(pairs)
    return answers


def names():
    return sorted(path.stem for path in SUITE.glob("*.json"))


def test_the_suite_is_there():
    assert len(names()) > 40
    assert ABSENT < set(names())


@pytest.mark.parametrize("name", names())
def test_verdicts_are_the_suites(name):
    every = list(cases(name))
    answers = ask([[group["schema"], test["data"]] for group, test in every])
    refused = 0
    for (group, test), answer in zip(every, answers):
        word = answer.split(" ", 1)[0]
        label = f"{group['description']} / {test['description']}: {answer}"
        if word == "refused":
            refused += 1
            assert any(reason in answer for reason in REASONS), label
        elif name not in DIALECTS:
            assert word == ("valid" if test["valid"] else "invalid"), label
    if name in ABSENT:
        assert refused == len(every)
    else:
        assert name in MIXED or refused == 0
        assert refused < len(every) or name == "defs"
