// SPDX-License-Identifier: MIT
// Answers one request: with an Agent of the SDK, or with an object of the agent's own.
import { Answer, ofCompletion, toText } from "./answer.mjs";
import { checkParams, textOf, toItems } from "./messages.mjs";
import { ApprovalWanted } from "./outcome.mjs";

const JSON_FORMATS = ["json_object", "json_schema"];

/** -> the fields of run.done. */
export async function serve(run) {
  checkParams(run.start.params ?? {});
  const { module } = run.host;
  const target = await module.target(run.attr, run.context);
  const answer = new Answer(run, Boolean(run.start.stream));
  const last = module.isAgent(target)
    ? await serveAgent(run, target, answer) : await serveObject(run, target, answer);
  if (["length", "content_filter"].includes(run.finishReason))
    last.finish_reason = run.finishReason;
  return last;
}

// ---- agents of the SDK ----

function givesJson(run, agent) {
  return JSON_FORMATS.includes(run.start.params?.response_format?.type) ||
    (agent.outputType !== undefined && agent.outputType !== "text");
}

async function serveAgent(run, agent, answer) {
  const { sdk } = run.host.module;
  const options = { context: run.context, signal: run.signal };
  const limit = run.start.max_turns || run.limits.max_turns;
  if (limit) options.maxTurns = limit;
  const items = toItems(run.start.messages ?? []);
  let result;
  if (answer.isStreaming) {
    result = await stream(run, await sdk.run(agent, items, { ...options, stream: true }), answer);
  } else {
    result = await sdk.run(agent, items, options);
    answer.texts = result.newItems.map(messageText).filter((text) => text !== "");
  }
  if (result.interruptions?.length > 0) {
    throw new ApprovalWanted(
      result.interruptions.map((item) => item.name ?? item.rawItem?.name ?? "?"));
  }
  answer.isWhole = givesJson(run, result.lastAgent ?? agent);
  return { output: await answer.finish(finalText(result)), finish_reason: "stop" };
}

function messageText(item) {
  if (item?.type !== "message_output_item") return "";
  return item.rawItem.content.map((part) => (part.type === "output_text" ? part.text : ""))
    .join("");
}

/** The model's own words where it gave the final output, so that no digit changes. */
function finalText(result) {
  const output = result.finalOutput;
  if (output === undefined || output === null || typeof output !== "object") return toText(output);
  return messageText(result.newItems.at(-1)) || toText(output);
}

async function stream(run, result, answer) {
  answer.isWhole = givesJson(run, result.currentAgent ?? {});
  for await (const event of result) {
    if (event.type === "raw_model_stream_event") await rawEvent(run, event.data, answer);
    else if (event.type === "agent_updated_stream_event")
      answer.isWhole = givesJson(run, event.agent);
  }
  await result.completed;
  if (result.error) throw result.error;
  if (result.cancelled) throw new Error("the agent's code has cancelled the run");
  return result;
}

async function rawEvent(run, event, answer) {
  if (event.type === "output_text_delta") await answer.write(event.delta);
  else if (event.type === "response_done") answer.turnEnds();
  else if (event.type === "model") {
    const delta = event.event?.choices?.[0]?.delta ?? {};
    const reasoning = delta.reasoning_content ?? delta.reasoning;
    if (typeof delta.refusal === "string") await run.delta("refusal", delta.refusal);
    if (typeof reasoning === "string") await run.delta("reasoning_content", reasoning);
  }
}

// ---- objects with run() ----

async function serveObject(run, target, answer) {
  const messages = run.start.messages ?? [];
  const last = messages.findLast((message) => message.role === "user");
  let value = await target.run({
    messages,
    input: textOf(last?.content),
    context: run.context,
    model: run.start.model,
    params: run.start.params ?? {},
    stream: answer.isStreaming,
    signal: run.signal,
  });
  if (typeof value?.toTextStream === "function" && value.completed instanceof Promise)
    await stream(run, value, answer);
  const isResult = value?.finalOutput !== undefined && Array.isArray(value.newItems);
  if (isResult) value = value.finalOutput;
  if (typeof value?.[Symbol.asyncIterator] === "function") {
    for await (const text of value) await answer.write(toText(text));
    answer.turnEnds();
    value = answer.texts.at(-1) ?? "";
  }
  const done = Array.isArray(value?.choices)
    ? ofCompletion(value) : { output: toText(value), finish_reason: "stop" };
  if (done.refusal && answer.isStreaming) await run.delta("refusal", done.refusal);
  return { ...done, output: await answer.finish(done.output) };
}
