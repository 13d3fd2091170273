# SPDX-License-Identifier: MIT
"""The fixtures are shared with tests/faults."""
from fixtures import *  # noqa: F401,F403
