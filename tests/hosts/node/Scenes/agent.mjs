// SPDX-License-Identifier: MIT
// The agents of tests/cases/hosts/scenarios.yaml, in JavaScript.
import { setTimeout as sleep } from "node:timers/promises";

import { Agent, handoff, OpenAIChatCompletionsModel, OpenAIResponsesModel, run, Runner, tool,
  Usage } from "@openai/agents";
import { useGatewayTool } from "agent_gateway";
import OpenAI from "openai";
import { z } from "zod";

import { weather } from "./helper.mjs";

export const __gateway__ = { display_name: "Scenes", description: "Agents of the tests." };

const nothing = z.object({});

const add = tool({
  name: "add",
  description: "Adds two numbers.",
  parameters: z.object({ a: z.number(), b: z.number() }),
  execute: ({ a, b }) => a + b,
});

const slow = tool({
  name: "slow",
  description: "Takes a while.",
  parameters: z.object({ number: z.number() }),
  async execute({ number }) {
    await sleep(number === 99 ? 30000 : 300);
    return `slow ${number}`;
  },
});

const fails = tool({
  name: "fails",
  description: "Fails.",
  parameters: nothing,
  execute() {
    throw new Error("out of order");
  },
});

const breaks = tool({
  name: "breaks",
  description: "Fails, and the run with it.",
  parameters: nothing,
  errorFunction: null,
  execute() {
    throw new Error("a secret of the agent");
  },
});

const leaves = tool({
  name: "leaves",
  description: "Wants to end the process.",
  parameters: nothing,
  execute: () => process.exit(3),
});

const who = tool({
  name: "who",
  description: "Says who asks.",
  parameters: nothing,
  execute: (_, { context }) => `${context.user} ${context.request_id}`,
});

export const agent = new Agent({ name: "Tools", instructions: "You are Tools.",
  tools: [add, weather, slow, fails, breaks, leaves, who] });

// ---- handoffs ----

export const poet = new Agent({ name: "Poet", instructions: "You are Poet.",
  handoffDescription: "Writes poems.", tools: [add] });
export const triage = new Agent({ name: "Triage", instructions: "You are Triage.",
  handoffs: [handoff(poet, { toolNameOverride: "transfer_to_poet" }), handoff(agent)] });

// ---- structured output ----

export const structured = new Agent({ name: "Structured", instructions: "You are Structured.",
  outputType: z.object({ name: z.string(), guests: z.array(z.string()) }) });

// ---- guardrails ----

export const guarded = new Agent({
  name: "Guarded",
  instructions: "You are Guarded.",
  inputGuardrails: [{ name: "no_magic", execute: async ({ input }) => ({ outputInfo: null,
    tripwireTriggered: JSON.stringify(input).includes("magic") }) }],
  outputGuardrails: [{ name: "no_gold", execute: async ({ agentOutput }) => ({ outputInfo: null,
    tripwireTriggered: String(agentOutput).includes("gold") }) }],
});

export const judge = new Agent({ name: "Judge", instructions: "You are Judge.",
  outputType: z.object({ homework: z.boolean() }) });
export const judged = new Agent({
  name: "Judged",
  instructions: "You are Judged.",
  inputGuardrails: [{
    name: "no_homework",
    async execute({ input, context }) {
      const result = await run(judge, input, { context: context.context });
      return { outputInfo: null, tripwireTriggered: result.finalOutput.homework };
    },
  }],
});

// ---- hooks, settings, dynamic instructions ----

export const hooked = new Agent({ name: "Hooked",
  instructions: ({ context }) => `You serve ${context.user}.`, tools: [add],
  modelSettings: { temperature: 0.5, topP: 0.9 } });
hooked.on("agent_start", () => console.log("hook: start"));
hooked.on("agent_tool_end", (context, { name }, result) =>
  console.log(`hook: ${name} gave ${result}`));

export const failing = new Agent({ name: "Failing",
  instructions: ({ context }) => context.nobody.name });

// ---- agents as tools, tools of the gateway, tools that end the run ----

export const helped = new Agent({ name: "Helped", instructions: "You are Helped.",
  tools: [poet.asTool({ toolName: "write_poem", toolDescription: "Writes a poem." })] });
export const gateway = new Agent({ name: "Gateway", instructions: "You are Gateway.",
  tools: [useGatewayTool("files.read"), useGatewayTool("secret.tool")] });
export const stopping = new Agent({ name: "Stopping", instructions: "You are Stopping.",
  tools: [add], toolUseBehavior: "stop_on_first_tool" });

export function buildAgent(context) {
  return new Agent({ name: "Built", instructions: `You are built for ${context.user}.` });
}

// ---- models that the code names ----

export const big = new Agent({ name: "Big", instructions: "You are Big.", model: "big" });
export const small = new Agent({ name: "Small", instructions: "You are Small.", model: "small",
  handoffs: [big, handoff(poet, { toolNameOverride: "transfer_to_poet" })] });
export const own_chat = new Agent({ name: "OwnChat", instructions: "You are OwnChat.", tools: [add],
  model: new OpenAIChatCompletionsModel(new OpenAI(), "own") });
export const own_responses = new Agent({ name: "OwnResponses", tools: [add],
  instructions: "You are OwnResponses.", model: new OpenAIResponsesModel(new OpenAI(), "own") });

/** A class of the module's own, as adapters for other providers are. */
class Canned {
  constructor(text = "From a can.") {
    this.text = text;
  }

  async getResponse() {
    return { usage: new Usage(), output: [{ type: "message", role: "assistant",
      status: "completed", content: [{ type: "output_text", text: this.text }] }] };
  }

  async* getStreamedResponse() {
    const { output } = await this.getResponse();
    yield { type: "response_done", response: { id: "r", output,
      usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0 } } };
  }
}

export const canned = new Agent({ name: "Canned", model: new Canned() });
export const to_canned = new Agent({ name: "ToCanned", instructions: "You are ToCanned.",
  handoffs: [canned] });
export const canning = { run: ({ input, context }) =>
  new Runner({ model: new Canned() }).run(poet, input, { context }) };
const canner = new Runner({ modelProvider: {
  getModel: async (name) => new Canned(`From a can of ${name}.`) } });
export const providing = { run: ({ input, context }) => canner.run(small, input, { context }) };
export const streaming = { run: ({ input, context }) =>
  run(small, input, { context, stream: true }) };
export const responding = { async run({ input }) {
  return (await new OpenAI().responses.create({ model: "own", input })).output_text;
} };

// ---- blocking code ----

const blocks = tool({
  name: "blocks",
  description: "Keeps the event loop.",
  parameters: z.object({ seconds: z.number() }),
  execute({ seconds }) {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end);
    return "done";
  },
});

const stubborn = tool({
  name: "stubborn",
  description: "Does not want to be cancelled.",
  parameters: nothing,
  async execute() {
    await sleep(30_000, undefined, { ref: false });
    return "done";
  },
});

export const blocking = new Agent({ name: "Blocking", instructions: "You are Blocking.",
  tools: [blocks, stubborn] });
