// SPDX-License-Identifier: MIT
// What an agent may import from the gateway that serves it: import {...} from "agent_gateway".
import { scope } from "./calls.mjs";

/** Marks tools that the gateway runs. */
export const GATEWAY_TOOL = Symbol.for("agent_gateway.tool");

function currentRun() {
  const run = scope.getStore()?.run;
  if (run === undefined)
    throw new Error("gateway tools can be called while the agent answers a request");
  return run;
}

/** What the gateway says of the request at hand: request_id, key_id, agent, user, metadata. */
export function gatewayContext() {
  return currentRun().context;
}

async function call(name, callId, args) {
  const answer = await currentRun().askOnce({ t: "tool.call", name, call_id: callId, args });
  if (!answer.ok) throw new Error(String(answer.error || answer.content || "the tool failed"));
  return typeof answer.content === "string" ? answer.content : JSON.stringify(answer.content);
}

/** Calls a tool of tools.yaml by its name and returns its result; the error says why not. */
export function callGatewayTool(name, args = {}) {
  return call(name, null, args);
}

/** As models see the tools of the gateway: letters, digits, `_` and `-`. */
function functionName(name) {
  return name.replace(/[^A-Za-z0-9_-]/gu, "_").slice(0, 64);
}

/** A tool for new Agent({tools: [...]}) that the gateway runs: an entry of its tools.yaml.
 *
 * Description and parameters are the gateway's. Where policy does not allow the tool to who asks,
 * the model is not told of it. */
export function useGatewayTool(name, { nameOverride, description } = {}) {
  if (typeof name !== "string" || name === "")
    throw new TypeError("useGatewayTool() wants the name of a tool of the gateway");
  return {
    type: "function",
    name: nameOverride ?? functionName(name),
    description: description ?? "",
    parameters: { type: "object", properties: {}, required: [], additionalProperties: true },
    strict: false,
    deferLoading: false,
    needsApproval: async () => false,
    isEnabled: async () => true,
    async invoke(_, input, details) {
      let args = input;
      try {
        args = JSON.parse(input || "{}");
      } catch {
        // The gateway says what is wrong with it.
      }
      try {
        return await call(name, details?.toolCall?.callId ?? null, args);
      } catch (error) {
        return error.message;
      }
    },
    [GATEWAY_TOOL]: { name, description },
  };
}
