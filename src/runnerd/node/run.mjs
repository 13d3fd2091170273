// SPDX-License-Identifier: MIT
// One run: its connection to the gateway, what it asks there, and how it ends.
import { Call, RunEnded, scope } from "./calls.mjs";
import { INTERNAL, ofError } from "./outcome.mjs";
import { Sink } from "./output.mjs";
import { serve } from "./serve.mjs";
import { VERSION, Wire } from "./wire.mjs";

const HIGH_WATER = 1 << 20;
const DELTA_MAX = 1 << 20;
const HEARTBEAT_MS = 2000;
const ANSWERS = new Set(["llm.chunk", "llm.head", "llm.end", "llm.response", "llm.error",
  "tool.verdict", "tool.result"]);

function count(value) {
  return Number.isInteger(value) && value > 0 ? value : 0;
}

export class Run {
  #number = 0;
  #timers = [];
  #abort = new AbortController();
  over = false;
  cancelled = null;
  calls = new Map();
  limits = {};
  gatewayTools = {};
  start = null;
  usage = { prompt_tokens: 0, completion_tokens: 0 };
  finishReason = null;
  cut = null;

  constructor(host, socket) {
    this.host = host;
    this.wire = new Wire(socket, (message) => this.#message(message),
      (reason) => this.#closed(reason));
    this.sink = new Sink((message) => this.wire.send(message), () => this.wire.pending);
    this.wire.send({ t: "hello", v: VERSION, ...host.identity });
  }

  /** Aborted when nobody waits for the answer any more. */
  get signal() {
    return this.#abort.signal;
  }

  get context() {
    return { ...this.start.context };
  }

  // ---- what the gateway says ----

  #message(message) {
    if (ANSWERS.has(message.t)) {
      this.calls.get(message.id)?.put(message);
    } else if (message.t === "hello") {
      this.limits = message.limits ?? {};
      this.gatewayTools = message.gateway_tools ?? {};
      if (message.v !== VERSION)
        this.#end({ t: "run.error", ...INTERNAL, code: "wire_version",
          message: `this host speaks version ${VERSION} of the wire` });
    } else if (message.t === "run.start" && this.start === null && !this.over) {
      this.#begin(message);
    } else if (message.t === "run.cancel") {
      this.cancel(String(message.reason || "cancelled"));
    }
  }

  #closed(reason) {
    if (this.over) this.host.runEnded(this);
    else if (this.start === null) this.#end();
    else this.cancel(reason);
  }

  #begin(message) {
    this.start = message;
    const beat = () => this.wire.send({ t: "hb" });
    beat();
    this.#timers.push(setInterval(beat, this.limits.heartbeat_ms || HEARTBEAT_MS));
    if (message.deadline_ms)
      this.#timers.push(setTimeout(() => this.cancel("deadline"), message.deadline_ms));
    scope.run({ run: this, depth: 0, model: null, tool: null }, () => this.#serve());
  }

  /** The model that all of the run has to ask, or null when each Agent asks its own. */
  get givenModel() {
    return this.start.model_given ? this.start.model : null;
  }

  /** The export that answers. */
  get attr() {
    return this.start.agent?.attr ?? "agent";
  }

  // ---- the course of it ----

  async #serve() {
    try {
      const last = await serve(this);
      if (this.over) return;
      this.sink.flush();
      this.#end({ t: "run.done", usage: this.usage, ...last });
    } catch (error) {
      this.fail(error);
    }
  }

  /** Ends the run; what its code still does is not waited for. */
  fail(error) {
    if (this.over) return;
    const { details, ...last } = ofError(this, error);
    if (details) this.sink.log("error", details);
    this.sink.flush();
    this.#end({ t: "refusal" in last ? "run.done" : "run.error", usage: this.usage, ...last });
  }

  #end(last) {
    if (last) {
      try {
        this.wire.send(last);
      } catch (error) {
        this.wire.send({ t: "run.error", usage: this.usage, ...INTERNAL,
          message: `the agent's answer is too long: ${error.message}` });
      }
    }
    this.over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const call of [...this.calls.values()]) {
      if (this.cancelled !== null) call.cancel();
      else call.close();
    }
    this.#abort.abort(new RunEnded("the run has ended"));
    if (this.wire.closed) this.host.runEnded(this);
    else this.wire.finish();
  }

  /** JavaScript cannot end code that runs: it is told with the signal, and is on its own. */
  cancel(reason) {
    if (this.over || this.start === null) return;
    this.cancelled = reason;
    this.fail(new RunEnded(reason));
  }

  // ---- what the agent asks ----

  /** Sends it with an id of its own. -> the Call with its answers. */
  ask(message) {
    if (this.over) throw new RunEnded("the run has ended");
    const call = new Call(this, ++this.#number);
    this.wire.send({ ...message, id: call.id });
    this.calls.set(call.id, call);
    return call;
  }

  async askOnce(message) {
    const call = this.ask(message);
    try {
      return await call.get();
    } finally {
      call.end();
    }
  }

  /** Text for the client; waits while the gateway is slower than the agent. */
  async delta(name, text) {
    for (let at = 0; at < text.length;) {
      let end = Math.min(at + DELTA_MAX, text.length);
      // Not between the two halves of a character.
      if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
      this.wire.send({ t: "delta", [name]: text.slice(at, end) });
      at = end;
      if (this.wire.pending > HIGH_WATER) await this.wire.drained();
      if (this.over) throw new RunEnded("the run has ended");
    }
  }

  // ---- what passes by ----

  /** A model's answer, or a part of it. */
  note(body, depth) {
    if (body === null || typeof body !== "object") return;
    for (const name of Object.keys(this.usage)) this.usage[name] += count(body.usage?.[name]);
    const reason = body.choices?.[0]?.finish_reason;
    if (depth <= 1 && reason) this.finishReason = reason;
  }
}
