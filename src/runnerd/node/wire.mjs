// SPDX-License-Identifier: MIT
// JSON lines over a socket, with a limit.
export const LINE_MAX = 16 << 20;
export const VERSION = 1;
const LAST_WORDS_MS = 10_000;
const NEWLINE = 0x0a;
// What the C side does not take: an escaped NUL or half a character, however many escaped
// backslashes stand before it.
const UNFIT = /(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/g;

/** A message does not fit into a line. */
export class TooLong extends Error {
  name = "TooLong";
}

export function encode(message) {
  let line = JSON.stringify(message);
  if (line.includes("\\u")) line = line.replace(UNFIT, "$1\ufffd");
  // A character takes at most three bytes of UTF-8 for each of its UTF-16 units.
  const size = line.length * 3 > LINE_MAX ? Buffer.byteLength(line) : line.length;
  if (size > LINE_MAX)
    throw new TooLong(`a message of ${size} bytes; at most ${LINE_MAX} are allowed`);
  return line + "\n";
}

/** Calls onMessage(message) for each line, and onClosed(reason) once. */
export class Wire {
  #socket;
  #onMessage;
  #onClosed;
  #parts = [];
  #size = 0;
  closed = false;

  constructor(socket, onMessage, onClosed) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    this.#onClosed = onClosed;
    socket.on("data", (data) => this.#read(data));
    socket.on("end", () => this.close("the other side has closed the connection"));
    socket.on("error", (error) => this.close(error.message));
    socket.on("close", () => this.close("the connection is closed"));
  }

  /** Bytes that the other side has not taken yet. */
  get pending() {
    return this.#socket.writableLength;
  }

  /** A closed wire swallows it: whoever waits is told by onClosed. */
  send(message) {
    const line = encode(message);
    if (!this.closed) this.#socket.write(line);
  }

  /** Settles when the other side has taken what was sent, or is gone. */
  drained() {
    return new Promise((resolve) => {
      const done = () => {
        this.#socket.off("drain", done);
        this.#socket.off("close", done);
        resolve();
      };
      this.#socket.on("drain", done);
      this.#socket.on("close", done);
    });
  }

  #read(data) {
    let start = 0;
    for (;;) {
      const end = data.indexOf(NEWLINE, start);
      if (end < 0) break;
      this.#parts.push(data.subarray(start, end));
      const line = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
      this.#parts = [];
      this.#size = 0;
      start = end + 1;
      this.#line(line);
      if (this.closed) return;
    }
    if (start < data.length) {
      this.#parts.push(data.subarray(start));
      this.#size += data.length - start;
      if (this.#size > LINE_MAX) this.close("a line is too long");
    }
  }

  #line(line) {
    let message = null;
    try {
      message = JSON.parse(line.toString("utf8"));
    } catch {
      // As any other line that is no object.
    }
    if (message === null || typeof message !== "object" || Array.isArray(message))
      this.close("a line is not a JSON object");
    else this.#onMessage(message);
  }

  /** Closes when all that was sent is taken, or when nobody takes it. */
  finish() {
    if (this.closed) return;
    const timer = setTimeout(() => this.close(), LAST_WORDS_MS);
    this.#socket.end(() => {
      clearTimeout(timer);
      this.close();
    });
  }

  close(reason = "closed") {
    if (this.closed) return;
    this.closed = true;
    this.#parts = [];
    this.#socket.destroy();
    this.#onClosed(reason);
  }
}
