# SPDX-License-Identifier: MIT
"""The scenarios that all hosts share, with the Node.js host and the real SDK."""
import pytest

import host_scenarios

CASES = host_scenarios.load("node")


@pytest.mark.parametrize("scenario, stream", [case[1:] for case in CASES],
                         ids=[case[0] for case in CASES])
def test_scenario(node_scenes, scenario, stream):
    host_scenarios.play(node_scenes, scenario, stream)
