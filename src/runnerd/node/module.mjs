// SPDX-License-Identifier: MIT
// Loads an agent.mjs as people write it, and says what it exports and what is wrong with it.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import module from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

import { from, install as installHooks, loaded } from "./hooks.mjs";
import { hint } from "./hints.mjs";
import { causes, isA } from "./outcome.mjs";
import { missing } from "./packages.mjs";
import { configure } from "./sdk.mjs";

const META = ["namespace", "display_name", "description", "model", "upstream"];
const NO_REQUEST = { request_id: null, key_id: null, agent: null, user: null, metadata: {} };
const FACTORY_MS = 30_000;
const CHECK_MS = 30_000;
const FAILED = Symbol("failed");

function camelCase(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
}

function isObject(value) {
  return value !== null && typeof value === "object";
}

export class Module {
  #names;
  #exports = new Map(); // attr -> [value, kind]
  #defaultModel;
  #root;
  #diagnostics = [];
  #gateway = {};
  #namespace = {};
  sdk = null;
  sdkVersion = null;

  constructor(message) {
    this.path = fs.realpathSync(message.path);
    this.folder = path.dirname(this.path);
    this.url = pathToFileURL(this.path).href;
    this.#root = message.root;
    this.#defaultModel = message.defaults?.model ?? null;
    this.#names = message.exports?.length > 0 ? message.exports : ["agent", "build_agent"];
  }

  #problem(kind, message, more = {}) {
    this.#diagnostics.push({ kind, severity: "error", message, path: this.path, line: null,
      attr: null, ...more });
  }

  // ---- loading ----

  /** -> the fields of the message catalog. */
  async load() {
    installHooks(this.url);
    let found = [];
    if (this.#canBeRead() && this.#packagesAreThere() && await this.#import()) {
      this.#readMeta();
      found = await this.#list();
    }
    return { gateway: this.#gateway, doc: null, exports: found, diagnostics: this.#diagnostics,
      sdk: this.sdkVersion };
  }

  /** What no part of load() expects: it is told all the same. */
  failed(error) {
    this.#problem("import", `${error?.name ?? typeof error}: ${error?.message ?? error}`);
    return { gateway: {}, doc: null, exports: [], diagnostics: this.#diagnostics, sdk: null };
  }

  #install() {
    const folder = /[^\w./+:@%-]/.test(this.folder)
      ? `'${this.folder.replaceAll("'", "'\\''")}'` : this.folder;
    return `contrib/install-agent-deps --agent ${folder}`;
  }

  #canBeRead() {
    const can = !this.path.endsWith(".ts") || Boolean(process.features.typescript);
    if (!can)
      this.#problem("dependency", `Node.js is ${process.version}: agent.ts needs 22.18 or newer, ` +
        "which runner.node of gateway.yaml can name; or compile it to agent.mjs");
    return can;
  }

  #packagesAreThere() {
    const found = missing(this.folder, this.#root);
    for (const { path: file, line, what } of found)
      this.#problem("dependency", `${what} is not installed; run ${this.#install()}`,
        { path: file, line });
    return found.length === 0;
  }

  async #import() {
    try {
      await this.#importSdk();
      this.#namespace = { ...await import(this.url) };
    } catch (error) {
      this.#importFailed(error);
      return false;
    }
    // What a CommonJS module assigns to module.exports, and an agent that is the default.
    const { default: given, "module.exports": assigned } = this.#namespace;
    delete this.#namespace.default;
    delete this.#namespace["module.exports"];
    if (this.isAgent(given) || runs(given)) this.#namespace[this.#names[0]] ??= given;
    else if (isObject(given) && (assigned !== undefined || this.path.endsWith(".js")))
      this.#namespace = { ...given, ...this.#namespace };
    return true;
  }

  /** Before the module, so that what it builds while it is loaded is built as it should. */
  async #importSdk() {
    let manifest, version;
    try {
      manifest = module.findPackageJSON("@openai/agents", this.url);
      if (manifest === undefined) return; // A module may do without.
      ({ version } = JSON.parse(fs.readFileSync(manifest, "utf8")));
    } catch (error) {
      // Node.js looks upwards: what it sees there may not be open to this module.
      if (["ERR_MODULE_NOT_FOUND", "EACCES"].includes(error.code)) return;
      throw error;
    }
    this.sdk = await import(from(this.url, "@openai/agents"));
    this.sdkVersion = `@openai/agents ${version}`;
    // pnpm links packages, and has theirs beside what is linked.
    const real = pathToFileURL(fs.realpathSync(manifest)).href;
    const { default: OpenAI } = await import(from(real, "openai"));
    configure(this.sdk, OpenAI, this.#defaultModel);
  }

  /** The innermost line of the agent's own files. */
  #place(error) {
    const own = (text) => {
      const file = text.startsWith("file:") ? fileURLToPath(text) : text;
      return file.startsWith(`${this.folder}/`) && !file.includes("/node_modules/") ? file : null;
    };
    const stack = typeof error?.stack === "string" ? error.stack : "";
    for (const line of stack.split("\n")) {
      const [, where, number] =
        /^(?:\s+at (?:.*\()?)?((?:file:\/\/)?\/[^()]*?):(\d+)(?::\d+)?\)?$/.exec(line) ?? [];
      if (where && own(where)) return { path: own(where), line: Number(number) };
    }
    return { path: this.path, line: null };
  }

  /** Where it is: for ES modules Node.js says that only when it ends. */
  #placeOfSyntaxError(error) {
    const place = this.#place(error);
    for (const file of place.line === null ? loaded.toReversed() : []) {
      const done = spawnSync(process.execPath, ["--check", file],
        { encoding: "utf8", env: {}, stdio: ["ignore", "ignore", "pipe"], timeout: CHECK_MS });
      const line = /^(?:file:\/\/)?\/.*:(\d+)$/m.exec(done.stderr ?? "")?.[1];
      if (done.status === 1 && line) return { path: file, line: Number(line) };
    }
    return place;
  }

  #importFailed(error) {
    const name = error?.name ?? typeof error;
    const text = String(error?.message ?? error);
    if (name === "SyntaxError") {
      this.#problem("import", `${name}: ${text}`, this.#placeOfSyntaxError(error));
      return;
    }
    const lacks = /^Cannot find (?:package|module) '([^'./][^']*)'/.exec(text)?.[1];
    if (["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND"].includes(error?.code) && lacks) {
      this.#problem("dependency", `the package ${lacks} is not installed; name it in ` +
        `package.json and run ${this.#install()}`, this.#placeOfImport(text, lacks));
      return;
    }
    this.#problem("import", `${name}: ${text}${hint(causes(error))}`, this.#place(error));
  }

  #placeOfImport(text, name) {
    const file = / imported from (\/.*)$/m.exec(text)?.[1] ?? this.path;
    if (!file.startsWith(`${this.folder}/`) || file.includes("/node_modules/"))
      return { path: this.path, line: null };
    const lines = fs.readFileSync(file, "utf8").split("\n");
    const at = lines.findIndex((line) => line.includes(name));
    return { path: file, line: at < 0 ? null : at + 1 };
  }

  #readMeta() {
    const given = ["gateway", "__gateway__"].filter((name) => name in this.#namespace)
      .find((name) => !this.isAgent(this.#namespace[name]) && !runs(this.#namespace[name]));
    if (given === undefined) return;
    const meta = this.#namespace[given];
    delete this.#namespace[given];
    if (!isObject(meta) || Array.isArray(meta)) {
      this.#problem("validation", `the export ${given} must be an object`);
      return;
    }
    for (const [name, value] of Object.entries(meta)) {
      if (!META.includes(name))
        this.#problem("validation", `${given} has no member '${name}'; it knows ` +
          META.join(", "), { severity: "warning" });
      else if (typeof value !== "string" || value === "")
        this.#problem("validation", `${name} of ${given} must be a text`);
      else this.#gateway[name] = value;
    }
  }

  // ---- exports ----

  async #list() {
    const found = [];
    const seen = new Set();
    for (const [attr, value, kind] of this.#candidates()) {
      if (seen.has(value)) continue;
      seen.add(value);
      const shown = kind === "factory" ? await this.#tryFactory(attr, value) : value;
      if (shown === FAILED || !this.#canBeServed(attr, shown)) continue;
      this.#exports.set(attr, [value, kind]);
      found.push({ attr, kind, ...this.#describe(shown) });
    }
    if (found.length === 0 && !this.#diagnostics.some(({ severity }) => severity === "error"))
      this.#problem("validation", `the module exports none of ${this.#names.join(", ")}, and no ` +
        "other Agent");
    return found;
  }

  /** A name of the operator's list is looked for in both spellings: build_agent, buildAgent. */
  *#candidates() {
    const names = this.#namespace;
    const taken = new Set();
    for (const attr of this.#names) {
      const name = [attr, camelCase(attr)].find((one) => Object.hasOwn(names, one));
      if (name === undefined) continue;
      taken.add(name);
      const value = names[name];
      if (this.isAgent(value)) yield [attr, value, "agent"];
      else if (runs(value)) yield [attr, value, "runner"];
      else if (typeof value === "function") yield [attr, value, "factory"];
      else if (value !== undefined && value !== null)
        this.#problem("validation", `the export ${name} is of type ${typeof value}: it must be ` +
          "an Agent, a function that makes one, or an object with run()", { attr });
    }
    for (const [name, value] of Object.entries(names)) {
      if (taken.has(name) || name.startsWith("_")) continue;
      if (this.isAgent(value)) yield [name, value, "agent"];
      else if (runs(value)) yield [name, value, "runner"];
    }
  }

  isAgent(value) {
    return isObject(value) && isA(value, "Agent") && typeof value.getAllTools === "function";
  }

  /** What it makes; it may need what only a request has, so that a failure is no end. */
  async #tryFactory(attr, make) {
    let made;
    try {
      const late = new Promise((_, reject) => {
        setTimeout(() => reject(new Error(`no agent within ${FACTORY_MS / 1000} s`)),
          FACTORY_MS).unref();
      });
      made = await Promise.race([make(structuredClone(NO_REQUEST)), late]);
    } catch (error) {
      this.#problem("runtime", `${attr}() fails without a request: ${error?.name}: ` +
        `${error?.message}${hint(causes(error))}`, { severity: "warning", attr, ...this.#place(error) });
      return null;
    }
    if (this.isAgent(made) || runs(made)) return made;
    this.#problem("validation", `${attr}() gives ${typeof made}: it must be an Agent, or an ` +
      "object with run()", { attr });
    return FAILED;
  }

  #canBeServed(attr, agent) {
    if (!this.isAgent(agent)) return true;
    let isFine = true;
    for (const member of this.#reachable(agent))
      for (const tool of member.tools) {
        if (tool.type === "function") continue;
        isFine = false;
        this.#problem("validation", `the tool ${tool.name ?? tool.type} of ${member.name} is one ` +
          "that only OpenAI's Responses API runs; take tool(), an MCP server, or " +
          "useGatewayTool()", { attr });
      }
    return isFine;
  }

  /** The agent and all it can hand over to. */
  #reachable(agent) {
    const seen = new Set();
    const waiting = [agent];
    while (waiting.length > 0) {
      const member = waiting.pop();
      if (seen.has(member)) continue;
      seen.add(member);
      waiting.push(...member.handoffs.map((one) => (this.isAgent(one) ? one : one.agent))
        .filter((one) => this.isAgent(one)));
    }
    return seen;
  }

  #describe(agent) {
    if (!this.isAgent(agent))
      return { name: typeof agent?.name === "string" ? agent.name : null, model: null, tools: [],
        handoffs: [] };
    return {
      name: agent.name,
      model: modelName(agent.model),
      tools: [...new Set(agent.tools.map((tool) => tool.name))].sort(),
      handoffs: agent.handoffs.map((one) => one.agent?.name ?? one.name ?? "?"),
    };
  }

  // ---- for a run ----

  /** -> an Agent or an object with run(). */
  async target(attr, context) {
    const known = this.#exports.get(attr);
    if (known === undefined) throw new Error(`the module has no agent ${attr}`);
    const [value, kind] = known;
    if (kind !== "factory") return value;
    const made = await value(context);
    if (!this.isAgent(made) && !runs(made)) throw new TypeError(`${attr}() gave ${typeof made}`);
    return made;
  }
}

/** Of a text, or of an object of the SDK's classes. */
function modelName(model) {
  const name = isObject(model) ? model._model ?? model.model : model;
  return typeof name === "string" && name !== "" ? name : null;
}

/** An object of the agent's own that answers requests; a Runner of the SDK is none. */
function runs(value) {
  return isObject(value) && typeof value.run === "function" && !isA(value, "Runner");
}
