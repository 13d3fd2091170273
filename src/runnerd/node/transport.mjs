// SPDX-License-Identifier: MIT
// HTTP calls to the gateway's address become messages, whichever client makes them: the SDK's, and
// those that agents build themselves, as OPENAI_BASE_URL names a host that does not exist.
import { scope } from "./calls.mjs";
import { adjustBody } from "./messages.mjs";
import { TooLong } from "./wire.mjs";

const ORIGIN = "http://gateway.invalid";
export const BASE_URL = `${ORIGIN}/v1`;
const PATH = "/v1/chat/completions";
const JSON_TYPE = { "content-type": "application/json" };
// The gateway has retried already, as its configuration says.
const NO_RETRY = { "x-should-retry": "false" };
const NOT_PASSED_ON = new Set(["content-length", "content-encoding", "transfer-encoding"]);
const encoder = new TextEncoder();

function errorObject(message, type, code = null) {
  return { error: { message, type, param: null, code } };
}

/** Answered here: the gateway is not asked. */
function refusal(status, message, code) {
  return new Response(JSON.stringify(errorObject(message, "invalid_request_error", code)),
    { status, headers: { ...JSON_TYPE, ...NO_RETRY } });
}

function headersOf(message, status) {
  const headers = {};
  for (const [name, value] of Object.entries(message.headers ?? {}))
    if (!NOT_PASSED_ON.has(name.toLowerCase())) headers[name] = String(value);
  return { ...headers, ...JSON_TYPE, ...(status >= 400 ? NO_RETRY : {}) };
}

function statusOf(message, otherwise) {
  const { status } = message;
  return Number.isInteger(status) && status >= 200 && status <= 599 ? status : otherwise;
}

function whole(call, message) {
  call.end();
  let status = 502;
  let body = message.body;
  if (message.t === "llm.response") {
    status = statusOf(message, 200);
    call.run.note(body, call.depth);
  } else if (message.t === "llm.error") {
    status = statusOf(message, 502);
    body ??= errorObject("the upstream failed", "api_error");
  } else {
    body = errorObject(`the gateway answered with ${message.t}`, "api_error");
  }
  return new Response(JSON.stringify(body), { status, headers: headersOf(message, status) });
}

/** -> [text of the event stream, whether it has ended]. */
function event(call, message) {
  if (message.t === "llm.chunk") {
    call.run.note(message.data, call.depth);
    return [`data: ${JSON.stringify(message.data)}\n\n`, false];
  }
  call.end();
  if (message.t === "llm.end") return ["data: [DONE]\n\n", true];
  call.run.cut = message;
  const body = message.body ?? errorObject("the upstream's stream was cut", "api_error");
  return [`data: ${JSON.stringify(body.error ? body : { error: body })}\n\n`, true];
}

function events(call, head) {
  const status = statusOf(head, 200);
  const stream = new ReadableStream({
    async pull(controller) {
      let message = await call.get();
      let text = "";
      let hasEnded = false;
      while (message !== undefined && !hasEnded) {
        const [more, isLast] = event(call, message);
        text += more;
        hasEnded = isLast;
        message = isLast ? undefined : call.take();
      }
      controller.enqueue(encoder.encode(text));
      if (hasEnded) controller.close();
    },
    cancel() {
      call.cancel();
    },
  });
  return new Response(stream, { status,
    headers: { ...headersOf(head, status), "content-type": "text/event-stream" } });
}

function parse(text) {
  try {
    const body = JSON.parse(text);
    return body !== null && typeof body === "object" && !Array.isArray(body) ? body : null;
  } catch {
    return null;
  }
}

/** Like fetch(), and no other address is known. */
async function ask(input, init, isOfSdk) {
  const request = typeof init?.body === "string" ? null : new Request(input, init);
  const url = new URL(request?.url ?? input.url ?? input);
  const method = request?.method ?? (init.method ?? "GET").toUpperCase();
  const signal = init?.signal ?? request?.signal;
  if (url.pathname !== PATH || method !== "POST")
    return refusal(404, `agents can ask the gateway for POST ${PATH}, and not for ${method} ` +
      `${url.pathname}: take client.chat.completions`, "not_served");
  const here = scope.getStore();
  if (here === undefined)
    return refusal(409, "a model can be asked while the agent answers a request, not while its " +
      "module is loaded or in code that no run has started", "no_run");
  const body = parse(request === null ? init.body : await request.text());
  if (body === null) return refusal(400, "the body is no JSON object", "invalid_body");
  const isOfModel = isOfSdk || here.isModel;
  if (isOfModel) adjustBody(body, here.run, here);
  body.model ??= here.run.start.model;
  let call;
  try {
    call = here.run.ask({ t: "llm.request", api: "chat/completions", body,
      main: isOfModel && here.depth === 1 });
  } catch (error) {
    if (error instanceof TooLong) return refusal(413, error.message, "request_too_large");
    throw error;
  }
  return answer(call, signal);
}

async function answer(call, signal) {
  const onAbort = () => call.cancel();
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  let first;
  try {
    first = await call.get();
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
  if (first.t === "llm.head") return events(call, first);
  signal?.removeEventListener("abort", onAbort);
  return whole(call, first);
}

/** The fetch() of the SDK's own client. */
export function sdkFetch(input, init) {
  return ask(input, init, true);
}

/** Puts the gateway before the network for clients of the agent's own. */
export function install() {
  const network = globalThis.fetch;
  globalThis.fetch = function fetch(input, init) {
    const address = String(input?.url ?? input);
    if (address.startsWith(`${ORIGIN}/`)) return ask(input, init, false);
    return network.call(globalThis, input, init);
  };
}

