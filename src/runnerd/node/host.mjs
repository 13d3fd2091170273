// SPDX-License-Identifier: MIT
// The process that agw-runner starts for one module in JavaScript: what the runner says on the
// channel that Node.js has for its children, and the runs it has.
import module from "node:module";

import { scope } from "./calls.mjs";
import { Module } from "./module.mjs";
import { describe, ExitCalled } from "./outcome.mjs";
import { redirect, Sink } from "./output.mjs";
import { Run } from "./run.mjs";
import { BASE_URL, install as installTransport } from "./transport.mjs";
import { VERSION } from "./wire.mjs";

const exit = process.exit.bind(process);
const send = process.send.bind(process);
const on = process.on.bind(process);
let unsent = 0;

function tell(message) {
  const size = message.message?.length ?? 0;
  unsent += size;
  send(message, () => {
    unsent -= size;
  });
}

/** 0: it is not known, as too many files are open. */
function memory() {
  try {
    return process.memoryUsage.rss();
  } catch {
    return 0;
  }
}

class Host {
  #isDraining = false;
  #runs = new Set();
  identity = { lang: "node", sdk: null, pid: process.pid };
  module = null;
  sink = new Sink(tell, () => unsent);

  // ---- what the runner says ----

  message(message, connection) {
    switch (message?.t) {
    case "conn":
      this.#connect(connection);
      break;
    case "ping":
      tell({ t: "pong", n: message.n, rss: memory(), runs: this.#runs.size });
      break;
    case "load":
      if (this.module === null) this.#load(message);
      break;
    case "drain":
      this.#isDraining = true;
      this.#drained();
      break;
    case "shutdown":
      exit(0);
      break;
    case "hello":
      if (message.v !== VERSION) {
        this.sink.log("error", `the runner speaks version ${message.v} of the wire, this host ` +
          VERSION);
        setImmediate(exit, 1);
      }
    }
  }

  async #load(message) {
    // What nobody names: the SDK's own default would bring parameters of that model.
    process.env.OPENAI_DEFAULT_MODEL = String(message.defaults?.model || "default");
    const began = performance.now();
    let catalog;
    if (typeof module.registerHooks === "function") {
      this.module = new Module(message);
      catalog = await this.module.load().catch((error) => this.module.failed(error));
      this.identity.sdk = this.module.sdkVersion;
    } else {
      const text = `Node.js is ${process.version}: agents need 22.15 or newer, which runner.node ` +
        "of gateway.yaml can name";
      catalog = { gateway: {}, doc: null, sdk: null, exports: [], diagnostics: [{ attr: null,
        kind: "dependency", severity: "error", message: text, path: message.path, line: null }] };
    }
    tell({ t: "catalog", ms: Math.round(performance.now() - began), ...catalog });
  }

  #connect(connection) {
    if (!connection) return;
    if (this.#isDraining || this.module === null) connection.destroy();
    else this.#runs.add(new Run(this, connection));
  }

  runEnded(run) {
    this.#runs.delete(run);
    this.#drained();
  }

  #drained() {
    if (this.#isDraining && this.#runs.size === 0) exit(0);
  }

  // ---- what agents do ----

  /** Where Node.js would end the process: the run that it belongs to ends, if that is known. */
  uncaught(error) {
    const run = scope.getStore()?.run;
    if (run === undefined || run.over)
      this.sink.log("error", `an error that nobody caught: ${describe(error)}`);
    else run.fail(error);
  }

  unhandled(error) {
    const run = scope.getStore()?.run;
    (run === undefined || run.over ? this.sink : run.sink)
      .log("warning", `a rejection that nobody handled: ${describe(error)}`);
  }
}

function main() {
  const host = new Host();
  on("message", (message, connection) => host.message(message, connection));
  on("disconnect", () => exit(0));
  on("uncaughtException", (error) => host.uncaught(error));
  on("unhandledRejection", (error) => host.unhandled(error));
  on("SIGINT", () => {});
  on("SIGTERM", () => exit(0));
  redirect(host.sink);
  // The channel is the host's.
  process.send = undefined;
  process.exit = (status) => {
    throw new ExitCalled(status);
  };
  // For clients that agents build themselves; there is no key that could leak.
  Object.assign(process.env, { OPENAI_BASE_URL: BASE_URL, OPENAI_API_KEY: "agent-gateway",
    OPENAI_AGENTS_DISABLE_TRACING: "1" });
  installTransport();
  tell({ t: "hello", v: VERSION, ...host.identity });
}

main();
