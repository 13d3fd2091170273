// SPDX-License-Identifier: MIT
// The agent of test_transcripts.py, in JavaScript.
import { Agent, handoff, tool } from "@openai/agents";
import { z } from "zod";

const price = tool({
  name: "price",
  description: "What an item costs.",
  parameters: z.object({ item: z.string() }),
  execute: ({ item }) => `${item}: ${item.length} euros`,
});

const till = new Agent({ name: "Till", instructions: "You are the till.", tools: [price] });
export const agent = new Agent({ name: "Shop", instructions: "You are the shop.", tools: [price],
  handoffs: [handoff(till, { toolNameOverride: "pay",
    toolDescriptionOverride: "Hands over to the till." })] });
