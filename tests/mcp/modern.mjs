// SPDX-License-Identifier: MIT
// A small MCP server on the official package, for both eras: `modern.mjs stdio` and
// `modern.mjs http`, which prints its port on 127.0.0.1. Tests copy it beside node_modules.
//   AGW_MCP_ERA     modern (default: legacy clients are refused), both
//   AGW_MCP_ANSWER  auto (default), sse, json: how HTTP answers
//   AGW_MCP_RUNS    a file that gets a line for each run of a tool
// http has /seen besides: [{method, headers, body}] of each request so far.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, fromJsonSchema, inputRequired, McpServer }
  from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';

const legacy = process.env.AGW_MCP_ERA === 'both';
const IMAGE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const object = (properties, required = Object.keys(properties)) => fromJsonSchema(
  { type: 'object', properties, required, additionalProperties: false });
const text = (value) => ({ content: [{ type: 'text', text: value }] });
const run = (name) => process.env.AGW_MCP_RUNS && appendFileSync(process.env.AGW_MCP_RUNS, `${name}\n`);

let grown = false;

async function count(steps, ms, { mcpReq }) {
  const progressToken = mcpReq._meta?.progressToken;
  for (let progress = 1; progress <= steps; progress += 1) {
    await sleep(ms, undefined, { signal: mcpReq.signal });
    if (progressToken !== undefined) {
      await mcpReq.notify({
        method: 'notifications/progress', params: { progressToken, progress, total: steps },
      });
    }
  }
  return text(`counted to ${steps}`);
}

// Name, description, arguments, what it does, and the schema of its structured result.
const TOOLS = [
  ['echo', 'Says it again.', object({ message: { type: 'string' } }),
    ({ message }) => text(message)],
  ['add', 'Adds two numbers.', object({ a: { type: 'number' }, b: { type: 'number' } }),
    ({ a, b }) => text(`${a + b}`)],
  ['weather', 'A structured result.', object({ city: { type: 'string' } }),
    ({ city }) => ({ ...text('21 degrees'), structuredContent: { city, degrees: 21 } }),
    object({ city: { type: 'string' }, degrees: { type: 'number' } })],
  ['numbers', 'A structured result that is no object.', object({}),
    () => ({ content: [], structuredContent: [1, 2, 3] }),
    fromJsonSchema({ type: 'array', items: { type: 'integer' } })],
  ['regional', 'Wants one argument as a header too.',
    object({ region: { type: 'string', 'x-mcp-header': 'Region' }, limit: { type: 'integer' } }),
    ({ region, limit }) => text(`${limit} of ${region}`)],
  ['confirm', 'Wants to ask the user.', object({}),
    () => inputRequired({ inputRequests: { sure: inputRequired.elicit({
      message: 'Sure?',
      requestedSchema: { type: 'object', properties: { sure: { type: 'boolean' } } },
    }) } })],
  ['again', 'Wants to be asked a second time.', object({}),
    (_, { mcpReq }) => (mcpReq.requestState() === 'once' ? text('asked twice')
      : inputRequired({ requestState: 'once' }))],
  ['slow', 'Counts, and reports progress.',
    object({ steps: { type: 'integer' }, ms: { type: 'integer' } }),
    ({ steps, ms }, context) => count(steps, ms, context)],
  ['picture', 'An image.', object({}),
    () => ({ content: [{ type: 'text', text: 'A dot:' },
      { type: 'image', data: IMAGE, mimeType: 'image/png' }] })],
  ['broken', 'Fails, and says so.', object({}),
    () => ({ ...text('this tool is broken'), isError: true })],
  ['throwing', 'Fails with an exception.', object({}), () => { throw new Error('out of paper'); }],
  ['grow', 'Adds a tool to the list.', object({}), () => {
    grown = true;
    changed();
    return text('grown');
  }],
];
const GROWN = ['grown', 'Was not there before.', object({}), () => text('here I am')];
const servers = new Set();
let changed = () => servers.forEach((server) => {
  add(server, GROWN);
  server.sendToolListChanged();
});

function add(server, [name, description, inputSchema, action, outputSchema]) {
  server.registerTool(name, { description, inputSchema, outputSchema }, async (args, context) => {
    run(name);
    return action(args, context);
  });
}

function build() {
  const server = new McpServer({ name: 'modern', version: '1.0.0' },
    { capabilities: { tools: { listChanged: true } } });
  [...TOOLS, ...(grown ? [GROWN] : [])].forEach((tool) => add(server, tool));
  return server;
}

function serveHttp() {
  const handler = createMcpHandler(build, {
    legacy: legacy ? 'stateless' : 'reject', responseMode: process.env.AGW_MCP_ANSWER ?? 'auto',
  });
  changed = () => handler.notify.toolsChanged();
  const serve = toNodeHandler(handler);
  const seen = [];
  const http = createServer(async (request, response) => {
    if (request.url === '/seen') {
      response.end(JSON.stringify(seen));
      return;
    }
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const body = pieces.length ? JSON.parse(Buffer.concat(pieces)) : undefined;
    seen.push({ method: request.method, headers: request.headers, body });
    await serve(request, response, body);
  });
  http.listen(0, '127.0.0.1', () => console.log(http.address().port));
}

if (process.argv[2] === 'http') {
  serveHttp();
} else {
  serveStdio(() => {
    const server = build();
    servers.add(server);
    return server;
  }, { legacy: legacy ? 'serve' : 'reject' });
}
