# SPDX-License-Identifier: MIT
"""The scenarios that all hosts share, with the Python host and the real SDK."""
import pytest

import host_scenarios

CASES = host_scenarios.load("python")


@pytest.mark.parametrize("scenario, stream", [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])
def test_scenario(python_scenes, scenario, stream):
    host_scenarios.play(python_scenes, scenario, stream)
