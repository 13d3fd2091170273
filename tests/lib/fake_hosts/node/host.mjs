// SPDX-License-Identifier: MIT
// A host of JavaScript modules without any SDK, for tests of the runner: as fake_hosts/python.
import { pathToFileURL } from "node:url";

let runs = 0;
let module_ = {};
let draining = false;

function leave() {
  if (draining && runs === 0) process.exit(0);
}

async function load(message) {
  const diagnostics = [];
  try {
    module_ = await import(pathToFileURL(message.path).href);
  } catch (problem) {
    diagnostics.push({ kind: "import", severity: "error", message: String(problem),
      path: message.path, line: null });
  }
  const exports = Object.entries(module_).filter(([, value]) => value?.fake !== undefined)
    .map(([attr, value]) => ({ attr, kind: "agent", name: value.name ?? attr, model: null,
      tools: [], handoffs: [] }));
  process.send({ t: "catalog", gateway: module_.gateway ?? {}, doc: null, exports, diagnostics });
}

function serve(connection) {
  let data = "";
  runs += 1;
  connection.setEncoding("utf8");
  connection.write(JSON.stringify({ t: "hello", v: 1, lang: "node", sdk: "none",
    pid: process.pid }) + "\n");
  connection.on("data", (more) => {
    data += more;
    for (const line of data.split("\n").slice(0, -1)) {
      const message = JSON.parse(line);
      if (message.t === "run.start")
        connection.end(JSON.stringify({ t: "run.done", output: module_[message.agent.attr].fake,
          usage: null, finish_reason: "stop" }) + "\n");
    }
    data = data.slice(data.lastIndexOf("\n") + 1);
  });
  connection.on("error", () => {});
  connection.on("close", () => {
    runs -= 1;
    leave();
  });
}

process.on("message", (message, handle) => {
  if (message.t === "load") load(message);
  else if (message.t === "conn") serve(handle);
  else if (message.t === "ping")
    process.send({ t: "pong", n: message.n, runs, rss: process.memoryUsage.rss() });
  else if (message.t === "drain") {
    draining = true;
    leave();
  } else if (message.t === "shutdown") process.exit(0);
});
process.send({ t: "hello", v: 1, lang: "node", sdk: "none", pid: process.pid });
