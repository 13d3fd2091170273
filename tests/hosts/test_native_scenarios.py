# SPDX-License-Identifier: MIT
"""The scenarios that all hosts share, with agents in C."""
import pytest

import host_scenarios

CASES = host_scenarios.load("native")


@pytest.mark.parametrize("scenario, stream", [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])
def test_scenario(native_scenes, scenario, stream):
    host_scenarios.play(native_scenes, scenario, stream)
