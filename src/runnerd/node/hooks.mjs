// SPDX-License-Identifier: MIT
// What `import` and `require` find: the package agent_gateway, and the SDK with tools watched.
import fs from "node:fs";
import module from "node:module";
import { fileURLToPath } from "node:url";

const GATEWAY = new URL("agent_gateway.mjs", import.meta.url).href;
const SDK = new URL("sdk.mjs", import.meta.url).href;
const MARK = "?agent_gateway";
const PACKAGES = ["@openai/agents", "@openai/agents-core"];
const FROM = "agent_gateway:from/";

/** Files of the agent that were loaded, in their order. */
export const loaded = [];

/** For the host itself: what to import() to get what `parent`, a URL, gets with `name`. */
export function from(parent, name) {
  return `${FROM}${encodeURIComponent(parent)}/${name}`;
}

function isOwn(parent) {
  return parent !== undefined && !parent.includes("/node_modules/") && !parent.includes(MARK);
}

/** `agent`: the URL of its main file. */
export function install(agent) {
  const folder = new URL(".", agent).href;

  /** TypeScript names its files as the compiler would: "./x.js" is x.ts, when there is no other. */
  function sourceOf(specifier, { parentURL: parent }) {
    if (!isOwn(parent) || !parent.endsWith(".ts") || !/^\.{1,2}\//.test(specifier)) return null;
    const named = new URL(specifier, parent);
    if (fs.existsSync(named)) return null;
    const source = new URL(`${named.href.replace(/\.js$/, "")}.ts`);
    return fs.existsSync(source) ? source.href : null;
  }

  function resolve(specifier, context, next) {
    if (specifier === "agent_gateway")
      return { url: GATEWAY, format: "module", shortCircuit: true };
    if (specifier.startsWith(FROM)) {
      const [, parent, name] = /^([^/]*)\/(.*)$/.exec(specifier.slice(FROM.length));
      return next(name, { ...context, parentURL: decodeURIComponent(parent) });
    }
    if (PACKAGES.includes(specifier) && isOwn(context.parentURL)) {
      // One SDK, whether it is imported or required.
      const conditions = context.conditions.filter((name) => name !== "require");
      const found = next(specifier, { ...context, conditions: [...conditions, "import"] });
      return { url: found.url + MARK, format: "module", shortCircuit: true };
    }
    const source = sourceOf(specifier, context);
    if (source !== null) return next(source, context);
    if (context.parentURL?.endsWith(MARK))
      return next(specifier, { ...context, parentURL: context.parentURL.slice(0, -MARK.length) });
    return next(specifier, context);
  }

  function load(url, context, next) {
    if (url.endsWith(MARK)) {
      const real = JSON.stringify(url.slice(0, -MARK.length));
      const source = `export * from ${real};\nimport { tool as plain } from ${real};\n` +
        `import { watchingTool } from ${JSON.stringify(SDK)};\n` +
        "export const tool = watchingTool(plain);\n";
      return { format: "module", source, shortCircuit: true };
    }
    if (url.startsWith(folder) && isOwn(url)) loaded.push(fileURLToPath(url));
    return next(url, context);
  }

  module.registerHooks({ resolve, load });
}
