// SPDX-License-Identifier: MIT
// What agents print becomes log messages: of their run, or of the module.
import { StringDecoder } from "node:string_decoder";

import { scope } from "./calls.mjs";

const LINE_MAX = 8 << 10;
// So much a second passes, and as much at once; what is more is counted and dropped.
const BYTES_A_SECOND = 64 << 10;
const BURST = 256 << 10;

/** One place for log messages, with a limit: endless output must not fill anybody's disk. */
export class Sink {
  #send;
  #pending;
  #room = BURST;
  #at = performance.now();
  #dropped = 0;
  #parts = new Map();

  constructor(send, pending) {
    this.#send = send;
    this.#pending = pending;
  }

  log(level, message, stream) {
    const now = performance.now();
    this.#room = Math.min(BURST, this.#room + ((now - this.#at) * BYTES_A_SECOND) / 1000);
    this.#at = now;
    const text = message.slice(0, LINE_MAX);
    const size = text.length + 32;
    if (size > this.#room || this.#pending() > 4 * BURST) {
      this.#dropped += message.length;
      return;
    }
    this.#room -= size;
    if (this.#dropped > 0) {
      this.#send({ t: "log", level: "warning",
        message: `${this.#dropped} bytes of output were dropped` });
      this.#dropped = 0;
    }
    this.#send({ t: "log", level, message: text, ...(stream ? { stream } : {}) });
  }

  /** Collects lines; what never ends a line is logged in pieces. */
  write(stream, text) {
    const lines = ((this.#parts.get(stream) ?? "") + text).split("\n");
    let rest = lines.pop();
    while (rest.length > LINE_MAX) {
      lines.push(rest.slice(0, LINE_MAX));
      rest = rest.slice(LINE_MAX);
    }
    this.#parts.set(stream, rest);
    for (const line of lines) if (line.trim()) this.log("info", line, stream);
  }

  flush() {
    for (const [stream, text] of this.#parts) if (text.trim()) this.log("info", text, stream);
    this.#parts.clear();
  }
}

/** console.log() and process.stdout.write(), and the same of stderr. */
export function redirect(sink) {
  for (const stream of ["stdout", "stderr"]) {
    const decoder = new StringDecoder("utf8");
    process[stream].write = (data, encoding, callback) => {
      const run = scope.getStore()?.run;
      const text = typeof data === "string" ? data : decoder.write(Buffer.from(data));
      (run === undefined || run.over ? sink : run.sink).write(stream, text);
      const done = typeof encoding === "function" ? encoding : callback;
      if (done) process.nextTick(done);
      return true;
    };
  }
}
