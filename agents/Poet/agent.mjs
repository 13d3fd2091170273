// SPDX-License-Identifier: MIT
// Writes short poems that rhyme: an agent in JavaScript with a tool and an output guardrail.
//
// It is served as default/poet as soon as this folder lies in `agents/`. What it needs from npm is
// in package.json beside it: contrib/install-agent-deps --agent Poet
import { Agent, tool } from "@openai/agents";
import { z } from "zod";

import { RHYMES } from "./rhymes.mjs";

const MAX_LINES = 8;

/** Exports say what is served; this one is no agent, but what the gateway shows of it. */
export const gateway = {
  display_name: "Poet",
  description: `Writes poems of at most ${MAX_LINES} lines.`,
};

const findRhymes = tool({
  name: "find_rhymes",
  description: "Words that rhyme with a word.",
  parameters: z.object({ word: z.string().describe("One English word.") }),
  execute({ word }) {
    const wanted = word.trim().toLowerCase();
    const family = RHYMES.find((words) => words.includes(wanted)) ?? [];
    const others = family.filter((other) => other !== wanted);
    return others.length > 0 ? others.join(", ") : `No rhyme with ${word} is known.`;
  },
});

/** A plain check, without a model: whoever asks for an epic gets an error instead. */
const isShort = {
  name: "is_short",
  async execute({ agentOutput }) {
    const lines = agentOutput.split("\n").filter((line) => line.trim() !== "").length;
    return { outputInfo: { lines }, tripwireTriggered: lines > MAX_LINES };
  },
};

export const agent = new Agent({
  name: "Poet",
  instructions: `You write poems of at most ${MAX_LINES} lines. Never guess a rhyme: look it up ` +
    "with find_rhymes, then answer with the poem alone.",
  tools: [findRhymes],
  outputGuardrails: [isShort],
});
