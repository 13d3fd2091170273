// SPDX-License-Identifier: MIT
// Calls the gateway through frameworks that people build on: Vercel's AI SDK and LangChain.
// Told on standard input like client.mjs: {"url", "key", "op", "params": {"model"}} a line.
import { createInterface } from 'node:readline';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

const weather = z.object({ city: z.string(), degrees: z.number() });
const city = z.object({ city: z.string() });

const viaAiSdk = {
  text: async (model) => {
    const answer = await generateText({ model, prompt: 'hi', maxRetries: 0 });
    return { text: answer.text, finish: answer.finishReason, usage: answer.usage.totalTokens };
  },
  stream: async (model) => {
    const answer = streamText({ model, prompt: 'hi', maxRetries: 0, onError: () => {} });
    let text = '';
    for await (const part of answer.textStream) text += part;
    return {
      text, finish: await answer.finishReason, usage: (await answer.usage).totalTokens,
    };
  },
  object: async (model) => (await generateObject({
    model, prompt: 'hi', schema: weather, maxRetries: 0,
  })).object,
  tools: async (model) => ({
    text: (await generateText({
      model,
      prompt: 'hi',
      maxRetries: 0,
      stopWhen: stepCountIs(3),
      tools: {
        weather: tool({
          description: 'weather', inputSchema: city, execute: (wish) => `${wish.city} is sunny`,
        }),
      },
    })).text,
  }),
};

const viaLangChain = {
  text: async (model) => {
    const answer = await model.invoke([new HumanMessage('hi')]);
    return {
      text: answer.content,
      finish: answer.response_metadata.finish_reason,
      usage: answer.usage_metadata.total_tokens,
    };
  },
  stream: async (model) => {
    let whole;
    for await (const chunk of await model.stream([new HumanMessage('hi')])) {
      whole = whole ? whole.concat(chunk) : chunk;
    }
    return {
      text: whole.content,
      finish: whole.response_metadata.finish_reason,
      usage: whole.usage_metadata.total_tokens,
    };
  },
  object: (model) => model.withStructuredOutput(weather, { method: 'jsonSchema' })
    .invoke([new HumanMessage('hi')]),
  tools: async (model) => {
    const bound = model.bindTools([{
      type: 'function',
      function: { name: 'weather', parameters: { type: 'object', properties: {} } },
    }]);
    const call = (await bound.invoke([new HumanMessage('hi')])).tool_calls[0];
    return { text: `${call.name} ${call.args.city}` };
  },
};

async function run({ url, key, op, params }) {
  const [framework, what] = op.split('-');
  if (framework === 'ai') {
    const provider = createOpenAICompatible({
      name: 'gateway',
      baseURL: `${url}/v1`,
      apiKey: key,
      includeUsage: true,
      supportsStructuredOutputs: true,
    });
    return viaAiSdk[what](provider(params.model));
  }
  return viaLangChain[what](new ChatOpenAI({
    model: params.model, apiKey: key, maxRetries: 0, configuration: { baseURL: `${url}/v1` },
  }));
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = { ok: true, ...await run(JSON.parse(line)) };
  } catch (error) {
    answer = { ok: false, message: `${error}`, status: error.statusCode ?? error.status ?? null };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
