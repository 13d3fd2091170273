// SPDX-License-Identifier: MIT
// Asks an MCP server with the official client what the gateway will ask it, so that what tests
// expect is what servers do and not what the gateway makes of it:
//   client.mjs auto|legacy http URL CALLS     client.mjs auto|legacy stdio COMMAND CALLS
// COMMAND is an argv, CALLS [[tool, arguments]], both JSON. Prints
// {"era", "protocol", "tools": [...], "results": [result or {"error"}]}.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [mode, transport, where, calls] = process.argv.slice(2);
const client = new Client({ name: 'reference', version: '1.0.0' },
  { capabilities: {}, versionNegotiation: { mode } });
if (transport === 'http') {
  await client.connect(new StreamableHTTPClientTransport(new URL(where)));
} else {
  const [command, ...args] = JSON.parse(where);
  await client.connect(new StdioClientTransport({ command, args, env: process.env }));
}
const results = [];
const { tools } = await client.listTools();
for (const [name, args] of JSON.parse(calls)) {
  try {
    results.push(await client.callTool({ name, arguments: args }));
  } catch (error) {
    results.push({ error: { code: error.code, message: error.message } });
  }
}
const after = (await client.listTools()).tools;
console.log(JSON.stringify({
  era: client.getProtocolEra(), protocol: client.getNegotiatedProtocolVersion(), tools, results,
  after,
}));
await client.close();
