// SPDX-License-Identifier: MIT
// The text of an answer, whole or as it comes: texts of several turns are one answer.
const GAP = "\n\n";

/** Text that is passed on while the model writes it, or kept back until its turn's end. */
export class Answer {
  #run;
  #turn = ""; // of the turn that is not over
  #sent = "";
  texts = []; // of those that are
  isWhole = false; // JSON: it is passed on at the end, and only the last turn's

  constructor(run, isStreaming) {
    this.#run = run;
    this.isStreaming = isStreaming;
  }

  async write(text) {
    if (!text) return;
    const gap = this.#turn === "" && this.texts.some((turn) => turn) ? GAP : "";
    this.#turn += text;
    if (this.isStreaming && !this.isWhole) {
      this.#sent += gap + text;
      await this.#run.delta("content", gap + text);
    }
  }

  turnEnds() {
    if (this.#turn !== "") this.texts.push(this.#turn);
    this.#turn = "";
  }

  /** The last text; it may have been written already. -> the whole answer. */
  async finish(output) {
    this.turnEnds();
    let answer = output;
    if (!this.isWhole) {
      const texts = this.texts.at(-1) === output || !output ? this.texts : [...this.texts, output];
      answer = texts.join(GAP);
    }
    if (this.isStreaming && answer !== this.#sent) {
      const rest = answer.startsWith(this.#sent) ? answer.slice(this.#sent.length) : GAP + output;
      if (rest) await this.#run.delta("content", rest);
    }
    return answer;
  }
}

/** A text as it is, anything else as JSON text. */
export function toText(value) {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  return JSON.stringify(value) ?? String(value);
}

/** What a chat completion says: fields of run.done. */
export function ofCompletion(value) {
  const choice = value.choices[0] ?? {};
  const message = choice.message ?? {};
  return {
    output: message.content ?? "",
    finish_reason: choice.finish_reason ?? "stop",
    ...(message.refusal ? { refusal: message.refusal } : {}),
  };
}
