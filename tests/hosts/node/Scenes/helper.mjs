// SPDX-License-Identifier: MIT
// A helper module beside agent.mjs.
import { tool } from "@openai/agents";
import { z } from "zod";

export const weather = tool({
  name: "weather",
  description: "What the weather is.",
  parameters: z.object({ city: z.string() }),
  execute({ city }) {
    console.log(`looking at ${city}`);
    return `${city}: sunny`;
  },
});
