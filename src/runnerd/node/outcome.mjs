// SPDX-License-Identifier: MIT
// How a run ends: each error's class, HTTP status and message for the client.
import { RunEnded } from "./calls.mjs";
import { hint } from "./hints.mjs";
import { TooLong } from "./wire.mjs";

export const INTERNAL = { class: "internal", status: 500, code: "agent_error",
  message: "the agent failed" };
// Codes of what transport.mjs itself refuses: the agent's mistake, not a word of an upstream.
const NOT_HERE = ["not_served", "no_run"];
const DETAILS_MAX = 6000;

/** The request is one that no agent can answer: the client's mistake. */
export class Refused extends Error {
  constructor(message, { code = "unsupported_value", param = null } = {}) {
    super(message);
    this.code = code;
    this.param = param;
  }
}

/** The agent wants of the SDK what there is not here; the text is fit for clients. */
export class Misused extends Error {}

/** The SDK has stopped the run, so that somebody may approve of a call. */
export class ApprovalWanted extends Error {
  constructor(tools) {
    super(`the tool ${tools.join(", ")} needs an approval, which nobody can give here: take ` +
      "needsApproval away, and let policy or the tool itself decide");
  }
}

/** The agent's code called process.exit(). */
export class ExitCalled extends Error {
  constructor(status) {
    super(`process.exit(${status ?? ""}) was called`);
    this.name = "ExitCalled";
  }
}

/** By the name of its classes: an agent may bring several copies of a package. */
export function isA(error, name) {
  for (let at = error; at !== null && typeof at === "object"; at = Object.getPrototypeOf(at))
    if (Object.hasOwn(at, "constructor") && at.constructor?.name === name) return true;
  return false;
}

/** What the agent's own object says, whatever that does. */
function attempt(get, otherwise) {
  try {
    return get() ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function* causes(error) {
  const seen = new Set();
  while (error !== null && typeof error === "object" && !seen.has(error)) {
    seen.add(error);
    yield error;
    const at = error;
    error = attempt(() => [at.error, at.originalError, at.cause]
      .find((one) => one instanceof Error), null);
  }
}

function retryAfter(headers) {
  const text = headers?.get?.("retry-after") ?? headers?.["retry-after"];
  const seconds = text === undefined || text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(seconds) ? { retry_after: Math.max(0, seconds) } : {};
}

function ofUpstream(status, body, headers, otherwise) {
  const said = body?.error && typeof body.error === "object" ? body.error : body ?? {};
  return { class: "upstream", status, code: said.code ?? null,
    message: String(said.message || otherwise), ...retryAfter(headers) };
}

function ofOpenai(run, error) {
  if (!isA(error, "APIError")) return null;
  if (isA(error, "APIConnectionTimeoutError"))
    return { class: "upstream", status: 504, code: "upstream_timeout",
      message: "the model did not answer in the time that the agent gives it" };
  if (isA(error, "APIConnectionError"))
    return { class: "upstream", status: 502, code: "upstream_unreachable",
      message: "the agent could not reach the model provider that its code names; its log says " +
        "more", details: describe(error) };
  if (NOT_HERE.includes(error.code))
    return { class: "user_error", status: 500, code: "agent_error",
      message: error.error?.message ?? error.message };
  if (typeof error.status === "number")
    return ofUpstream(error.status, error.error, error.headers, error.message);
  const cut = run.cut ?? {};
  return ofUpstream(cut.status ?? 502, cut.body ?? error.error, cut.headers, error.message);
}

function named(what, result) {
  const name = result?.guardrail?.name;
  return `${what}${name ? ` '${name}'` : ""} has stopped this request`;
}

const OF_SDK = [
  ["InputGuardrailTripwireTriggered", (error) => ["input_guardrail", 400, "content_filter",
    named("the input guardrail", error.result)]],
  ["OutputGuardrailTripwireTriggered", (error) => ["output_guardrail", 400, "content_filter",
    named("the output guardrail", error.result)]],
  ["ToolInputGuardrailTripwireTriggered", (error) => ["output_guardrail", 400, "content_filter",
    named("the tool guardrail", error.result)]],
  ["ToolOutputGuardrailTripwireTriggered", (error) => ["output_guardrail", 400, "content_filter",
    named("the tool guardrail", error.result)]],
  ["MaxTurnsExceededError", (error) => ["max_turns", 500, "max_turns",
    `the agent did not come to an end: ${error.message}`]],
  ["ModelBehaviorError", (error) => ["model_behavior", 500, "model_behavior",
    `the model did what the agent cannot work with: ${error.message}`]],
  ["ModelTimeoutError", (error) => ["upstream", 504, "upstream_timeout", error.message]],
  ["ToolTimeoutError", (error) => ["tool", 500, "tool_error", error.message]],
  ["ToolCallError", () => ["tool", 500, "tool_error", "a tool of the agent failed"]],
  // The SDK's text may show a tool with all its settings.
  ["UserError", () => ["user_error", 500, "agent_error",
    "the agent uses the SDK in a way that cannot work; its log says more"]],
];

function ofSdk(error) {
  if (isA(error, "ModelRefusalError"))
    return { output: "", refusal: error.refusal, finish_reason: "stop" };
  const known = OF_SDK.find(([name]) => isA(error, name));
  if (known === undefined) return null;
  const [kind, status, code, message] = known[1](error);
  return { class: kind, status, code, message };
}

/** Stacks alone: errors of the SDK hold the state of the whole run. */
export function describe(error) {
  const texts = [];
  for (const cause of causes(error))
    texts.push(attempt(() => (typeof cause.stack === "string" ? cause.stack : String(cause)),
      "an error without a text"));
  return (texts.join("\ncaused by: ") || String(error)).slice(0, DETAILS_MAX) +
    hint(causes(error));
}

function nameOf(error) {
  const name = attempt(() => error.constructor.name, "");
  return typeof name === "string" && name !== "" ? name : typeof error;
}

function ofCancelled(run) {
  if (run.cancelled === "deadline")
    return { class: "cancelled", status: 504, code: "timeout",
      message: "the agent did not answer in time" };
  return { class: "cancelled", status: 499, code: "cancelled",
    message: `cancelled: ${run.cancelled}` };
}

function ofCauses(run, error) {
  let last = null;
  for (const cause of causes(error)) {
    if (cause instanceof Misused)
      return { class: "user_error", status: 500, code: "agent_error", message: cause.message };
    const found = ofSdk(cause) ?? ofOpenai(run, cause);
    // A tool's failure may have a better known reason: the upstream of an agent in it.
    if (found !== null && (last === null || found.class === "upstream")) last = found;
    if (last !== null && last.class !== "tool") break;
  }
  return last;
}

/** The fields of run.error, or with `refusal` those of run.done; `details` are for the log. */
export function ofError(run, error) {
  if (run.cancelled !== null) return ofCancelled(run);
  if (error instanceof Refused)
    return { class: "user_error", status: 400, code: error.code, message: error.message,
      param: error.param };
  if (error instanceof ApprovalWanted)
    return { class: "approval", status: 500, code: "approval_required", message: error.message };
  if (error instanceof TooLong)
    return { ...INTERNAL, message: `the agent's answer is too long: ${error.message}` };
  const last = ofCauses(run, error);
  if (last !== null)
    return ["tool", "user_error"].includes(last.class)
      ? { ...last, details: describe(error) } : last;
  const details = describe(error);
  if (error instanceof RunEnded || attempt(() => error.name === "AbortError", false))
    return { ...INTERNAL, message: "the agent has cancelled itself", details };
  for (const cause of causes(error))
    if (cause instanceof ExitCalled)
      return { ...INTERNAL, message: "the agent's code called process.exit()", details };
  // Texts of errors are the agent's: they may hold what clients should not see.
  return { ...INTERNAL, message: `the agent failed: ${nameOf(error)}`, details };
}
