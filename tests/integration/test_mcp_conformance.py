# SPDX-License-Identifier: MIT
"""The official conformance tool finds nothing against the gateway's MCP client, which
`agwctl tools mcp-probe` shows it."""
import json
import os
import subprocess

import pytest

import env
import mcp_servers


# The tool calls it a pass when a client asks nothing, so successes are counted; a program that is
# no client proves that they are missed.
@pytest.mark.parametrize("scenario", ["initialize", "tools_call", "sse-retry"])
@pytest.mark.parametrize("program, expected", [(f"{env.AGWCTL} tools mcp-probe --call", True),
                                               ("/bin/true", False)])
def test_scenarios(directory, scenario, program, expected):
    done = subprocess.run(
        [mcp_servers.NODE, mcp_servers.CONFORMANCE, "client", "--command", program,
         "--scenario", scenario, "--timeout", str(int(60000 * env.SLOW)),
         "--output-dir", directory / "found"],
        capture_output=True, text=True, timeout=100 * env.SLOW, cwd=directory,
        env={**os.environ, "NO_COLOR": "1"})
    checks = [check for path in (directory / "found").rglob("checks.json")
              for check in json.loads(path.read_text())]
    results = {check["status"] for check in checks}
    passed = done.returncode == 0 and "SUCCESS" in results and not results & {"FAILURE", "WARNING"}
    assert passed is expected, done.stdout + done.stderr
