# SPDX-License-Identifier: MIT
"""The fixtures of tests/integration, and gateways whose C library fails on command."""
import pytest

from fixtures import *  # noqa: F401,F403
from shim import Shim


@pytest.fixture
def shim(directory):
    return Shim(directory)
