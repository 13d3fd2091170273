# SPDX-License-Identifier: MIT
"""The scenarios that the hosts of all languages share, each with its real SDK."""
import pytest

import host_play
import host_scenarios

CASES = host_play.each(**{language: host_scenarios.load(language)
                          for language in ("python", "node", "native")})


@pytest.mark.parametrize("any_language, scenario, stream",
                         [(language, *case) for language, _, *case in CASES],
                         ids=[f"{language}: {name}" for language, name, *_ in CASES])
def test_scenario(scenes, scenario, stream):
    host_scenarios.play(scenes, scenario, stream)
