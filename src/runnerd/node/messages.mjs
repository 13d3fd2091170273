// SPDX-License-Identifier: MIT
// A chat request as the SDK takes it: messages become input items; parameters, and what items
// cannot say, are put into the bodies for the model.
import { Refused } from "./outcome.mjs";

// Parameters of a client that hold for the model's requests.
const PARAMS = ["audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens",
  "max_tokens", "metadata", "modalities", "parallel_tool_calls", "prediction", "presence_penalty",
  "prompt_cache_key", "prompt_cache_retention", "reasoning_effort", "safety_identifier", "seed",
  "service_tier", "stop", "store", "temperature", "top_logprobs", "top_p", "user", "verbosity"];
// The SDK knows no developer: this member of a system message says that it was one.
const DEVELOPER = "agent_gateway_developer";

function toPart(part, index) {
  if (typeof part === "string") return { type: "input_text", text: part };
  switch (part?.type) {
  case "text":
    return { type: "input_text", text: part.text ?? "" };
  case "refusal":
    return { type: "input_text", text: part.refusal ?? "" };
  case "image_url":
    return { type: "input_image", image: part.image_url?.url,
      detail: part.image_url?.detail ?? "auto" };
  case "input_audio":
    return { type: "audio", audio: part.input_audio?.data, format: part.input_audio?.format };
  case "file": {
    const { file_id: id, file_data: data, filename } = part.file ?? {};
    return { type: "input_file", file: id ? { id } : data, ...(filename ? { filename } : {}) };
  }
  default:
    throw new Refused(`messages[${index}] has a part of type ${JSON.stringify(part?.type)}, ` +
      "which agents cannot take", { param: `messages[${index}].content` });
  }
}

/** Its text alone. */
export function textOf(content) {
  if (Array.isArray(content))
    return content.map((part) => (typeof part === "string" ? part : part?.text ?? "")).join("");
  return typeof content === "string" ? content : "";
}

function assistantItems(message, index) {
  const items = [];
  const content = [];
  const text = textOf(message.content);
  const calls = message.tool_calls ?? [];
  if (text) content.push({ type: "output_text", text });
  if (message.refusal) content.push({ type: "refusal", refusal: message.refusal });
  if (content.length > 0 || calls.length === 0)
    items.push({ type: "message", role: "assistant", id: `msg_${index}`, status: "completed",
      content: content.length > 0 ? content : [{ type: "output_text", text: "" }] });
  for (const call of calls)
    items.push({ type: "function_call", callId: call.id, name: call.function?.name,
      arguments: call.function?.arguments || "{}", status: "completed" });
  return items;
}

function toItem(message, index) {
  const { role, content } = message;
  switch (role) {
  case "system":
    return [{ role, content: content ?? "" }];
  case "developer":
    return [{ role: "system", content: content ?? "", providerData: { [DEVELOPER]: true } }];
  case "user":
    return [{ role, content: Array.isArray(content)
      ? content.map((part) => toPart(part, index)) : content ?? "" }];
  case "assistant":
    return assistantItems(message, index);
  case "tool":
    return [{ type: "function_call_result", callId: message.tool_call_id, name: "",
      status: "completed", output: textOf(content) }];
  default:
    throw new Refused(`messages[${index}] has the role ${JSON.stringify(role)}, which agents ` +
      "cannot take", { param: `messages[${index}].role` });
  }
}

export function toItems(messages) {
  return messages.flatMap(toItem);
}

export function checkParams(params) {
  if (params.n !== undefined && params.n !== null && params.n !== 1)
    throw new Refused("an agent gives one answer: n must be 1", { param: "n" });
}

/** A message of the SDK as clients write it. The SDK repeats members of the whole message in parts
 * of an assistant's, where no provider expects them. */
function plain(message) {
  if (message[DEVELOPER]) {
    const { [DEVELOPER]: _, ...rest } = message;
    return { ...rest, role: "developer" };
  }
  if (message.role !== "assistant" || !Array.isArray(message.content)) return message;
  const parts = message.content.map(({ type, text, refusal }) =>
    (type === "refusal" ? { type, refusal } : { type, text }));
  const isText = parts.length === 1 && parts[0].type === "text";
  return { ...message, content: isText ? parts[0].text : parts };
}

/** Completes a body that the SDK has made: the client's wishes, where they are for this call. */
export function adjustBody(body, run, { depth, model }) {
  if (model) body.model = model;
  if (Array.isArray(body.messages)) body.messages = body.messages.map(plain);
  if (depth > 1) return;
  const params = run.start.params ?? {};
  for (const name of PARAMS)
    if (params[name] !== undefined && params[name] !== null) body[name] = params[name];
  if (!body.tools) delete body.parallel_tool_calls;
  if (params.response_format && !body.response_format)
    body.response_format = params.response_format;
}
