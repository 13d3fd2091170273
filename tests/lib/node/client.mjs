// SPDX-License-Identifier: MIT
// Calls the official npm client as told on standard input: a JSON object a line in, one out.
// Given to `node -e` in the folder that holds node_modules.
import { createInterface } from 'node:readline';
import { APIError, OpenAI } from 'openai';

async function run({ url, key, op, params, retries }) {
  const client = new OpenAI({
    baseURL: `${url}/v1`, apiKey: key, maxRetries: retries, timeout: 30000,
  });
  const payloads = [];
  try {
    if (op === 'list') {
      return { ok: true, text: await (await client.models.list().asResponse()).text() };
    }
    if (op === 'retrieve') {
      return { ok: true, text: JSON.stringify(await client.models.retrieve(params.model)) };
    }
    if (op === 'parse') {
      const completion = await client.chat.completions.parse(params);
      return { ok: true, parsed: completion.choices[0].message.parsed };
    }
    if (op === 'tools') {
      const runner = client.chat.completions.runTools({
        ...params,
        tools: [{ type: 'function', function: {
          name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } },
          parse: JSON.parse, function: ({ city }) => `${city} is sunny`,
        } }],
      });
      return { ok: true, parsed: await runner.finalContent() };
    }
    if (op === 'helper') {
      const stream = client.chat.completions.stream(params);
      const completion = await stream.finalChatCompletion();
      return { ok: true, parsed: completion.choices[0].message.content };
    }
    if (params.stream) {
      for await (const chunk of await client.chat.completions.create(params)) {
        payloads.push(JSON.stringify(chunk));
      }
      return { ok: true, payloads: [...payloads, '[DONE]'] };
    }
    const { _request_id: _, ...completion } = await client.chat.completions.create(params);
    return { ok: true, text: JSON.stringify(completion) };
  } catch (error) {
    if (!(error instanceof APIError)) {
      return { ok: false, payloads, error: { class: error.constructor.name, message: `${error}` } };
    }
    return {
      ok: false,
      payloads,
      error: {
        class: error.constructor.name, status: error.status ?? null, code: error.code ?? null,
        type: error.type ?? null, param: error.param ?? null, message: error.message,
        request_id: error.requestID ?? null,
      },
    };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line)))}\n`);
}
