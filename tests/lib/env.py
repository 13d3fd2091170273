# SPDX-License-Identifier: MIT
"""Where the source and the build under test lie."""
import os
import pathlib

SOURCE = pathlib.Path(os.environ.get("AGW_SOURCE") or pathlib.Path(__file__).parents[2]).resolve()
BUILD = pathlib.Path(os.environ.get("AGW_BUILD") or SOURCE).resolve()
TEST_ENV = pathlib.Path(os.environ.get("AGW_TEST_ENV") or BUILD / "test-env")
NODE_ROOT = TEST_ENV / "node"
MCP_ROOT = TEST_ENV / "mcp"
GATEWAY = BUILD / "agent-gateway"
AGWCTL = BUILD / "agwctl"
SANITIZED = GATEWAY.exists() and any(
    sign in GATEWAY.read_bytes() for sign in (b"__asan_init", b"__tsan_init"))
# Sanitizers and busy machines make everything slower, never faster.
SLOW = float(os.environ.get("AGW_TEST_SLOW", "1"))
