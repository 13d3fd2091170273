// SPDX-License-Identifier: MIT
// Questions to the gateway and their answers, and the run that the code at hand belongs to.
import { AsyncLocalStorage } from "node:async_hooks";

/** {run, depth, model, tool}: what is inherited by all that a run starts. `depth` is how many
 * runs of the SDK are around the code at hand: 1 in the run that answers the client, more in
 * those that its tools and guardrails begin. */
export const scope = new AsyncLocalStorage();

/** The run is over: its client left, its time is up, or it has answered. */
export class RunEnded extends Error {
  name = "RunEnded";
}

/** The answers to one message. */
export class Call {
  #answers = [];
  #wake = null;
  ended = false;

  constructor(run, id) {
    this.run = run;
    this.id = id;
    this.depth = scope.getStore()?.depth ?? 0;
  }

  put(message) {
    this.#answers.push(message);
    this.#wake?.();
  }

  /** No further answer will come. */
  close() {
    this.put(null);
  }

  /** The answer is complete. */
  end() {
    this.ended = true;
    this.run.calls.delete(this.id);
  }

  /** The answer is not wanted any more. */
  cancel() {
    if (this.ended) return;
    this.end();
    this.run.wire.send({ t: "llm.cancel", id: this.id });
    this.close();
  }

  /** An answer that is there already, or undefined. */
  take() {
    if (this.#answers.length === 0) return undefined;
    if (this.#answers[0] === null) throw new RunEnded("the run has ended");
    return this.#answers.shift();
  }

  async get() {
    while (this.#answers.length === 0)
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    return this.take();
  }
}
