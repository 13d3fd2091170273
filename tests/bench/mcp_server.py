# SPDX-License-Identifier: MIT
"""The least of an MCP server on standard input and output: one tool, whose answer is there at
once."""
import json
import sys

TOOL = {"name": "echo", "description": "Says it again.",
        "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}}}
RESULTS = {
    "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                   "serverInfo": {"name": "bench", "version": "1"}},
    "tools/list": {"tools": [TOOL]},
    "tools/call": {"content": [{"type": "text", "text": "x" * 400}]},
    "ping": {},
}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] in RESULTS:
        answer["result"] = RESULTS[message["method"]]
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(answer), flush=True)
