// SPDX-License-Identifier: MIT
// Sets the SDK up right after its import: client, models, runner, and the tools' guard.
import { scope } from "./calls.mjs";
import { describe, Misused } from "./outcome.mjs";
import { GATEWAY_TOOL } from "./agent_gateway.mjs";
import { BASE_URL, sdkFetch } from "./transport.mjs";

const SESSION = "the gateway keeps no conversations: clients send theirs with each request, so " +
  "%s cannot be used";
const guarded = new WeakSet();
const watched = new WeakSet(); // tools whose execute() tells how it went
const servers = new WeakMap(); // tool -> name of the MCP server that it comes from

/** `OpenAI`: the class of the client that the SDK uses; `defaultModel`: of Agents without one. */
export function configure(sdk, OpenAI, defaultModel) {
  const client = new OpenAI({ baseURL: BASE_URL, apiKey: "agent-gateway", maxRetries: 0,
    fetch: sdkFetch });
  sdk.setDefaultOpenAIClient(client);
  sdk.setOpenAIAPI("chat_completions");
  sdk.setTracingDisabled(true);
  const provider = new (gatewayProvider(sdk, defaultModel))({ openAIClient: client,
    useResponses: false });
  sdk.setDefaultModelProvider(provider);
  markModels(sdk);
  holdRunner(sdk, provider);
  guardTools(sdk, (model) => new sdk.OpenAIChatCompletionsModel(client, model));
}

// ---- models ----

function gatewayProvider(sdk, defaultModel) {
  return class GatewayProvider extends sdk.OpenAIProvider {
    /** An Agent that names none gets the gateway's, and where that has none the run's. */
    getModel(name) {
      return super.getModel(name || defaultModel || scope.getStore()?.run.start.model);
    }
  };
}

/** Calls of the SDK's classes are known as such, whatever client they have: the client's wishes are
 * for them. OpenAIResponsesModel, which there is no API for here, asks the same model for a chat;
 * where the agent has the network, its clients for other addresses stay as they are. */
function markModels(sdk) {
  const { OpenAIChatCompletionsModel: Chat, OpenAIResponsesModel: Responses } = sdk;
  const marked = () => scope.getStore() && { ...scope.getStore(), isModel: true };

  function mark(kind, chatOf) {
    const { getResponse, getStreamedResponse } = kind.prototype;
    kind.prototype.getResponse = function respond(request) {
      const chat = chatOf(this);
      if (chat !== null) return chat.getResponse(request);
      return scope.run(marked(), () => getResponse.call(this, request));
    };
    kind.prototype.getStreamedResponse = function stream(request) {
      const chat = chatOf(this);
      if (chat !== null) return chat.getStreamedResponse(request);
      const store = marked();
      const events = scope.run(store, () => getStreamedResponse.call(this, request));
      return {
        next: (value) => scope.run(store, () => events.next(value)),
        return: (value) => scope.run(store, () => events.return(value)),
        throw: (error) => scope.run(store, () => events.throw(error)),
        [Symbol.asyncIterator]() {
          return this;
        },
      };
    };
  }

  mark(Chat, () => null);
  mark(Responses, ({ _client: client, _model: model }) =>
    (String(client?.baseURL).startsWith(BASE_URL) ? new Chat(client, model) : null));
}

const ruled = new WeakSet(); // agents and providers

/** What names models as the code has it, but in a run whose model is given: then that is asked. */
function ruleModel(agent, modelOf) {
  if (ruled.has(agent)) return;
  ruled.add(agent);
  let own = agent.model; // a name is replaced where it is sent
  Reflect.defineProperty(agent, "model", { configurable: true, enumerable: true,
    get() {
      const given = scope.getStore()?.givenModel;
      return given && typeof own === "object" ? modelOf(given) : own;
    },
    set(value) {
      own = value;
    } });
}

function ruledProvider(provider) {
  if (ruled.has(provider)) return provider;
  const asking = { getModel: (name) => provider.getModel(scope.getStore()?.givenModel || name) };
  ruled.add(asking);
  return asking;
}

// ---- runs ----

/** Runs that agents begin themselves are held to the same. */
function holdRunner(sdk, provider) {
  const { run: begin } = sdk.Runner.prototype;

  function prepare(runner, given) {
    for (const name of ["session", "conversationId", "previousResponseId"])
      if (given?.[name]) throw new Misused(SESSION.replace("%s", name));
    runner.config.tracingDisabled = true;
    const { modelProvider } = runner.config;
    runner.config.modelProvider = modelProvider instanceof sdk.OpenAIProvider
      ? provider : ruledProvider(modelProvider);
    const run = scope.getStore()?.run;
    const options = { ...given };
    if (run === undefined) return options;
    options.signal = options.signal && options.signal !== run.signal
      ? AbortSignal.any([options.signal, run.signal]) : run.signal;
    const limit = run.limits.max_turns;
    if (limit) options.maxTurns = Math.min(options.maxTurns || limit, limit);
    return options;
  }

  sdk.Runner.prototype.run = async function run(agent, input, given) {
    const options = prepare(this, given);
    const here = scope.getStore();
    if (here === undefined) return begin.call(this, agent, input, options);
    // What the code of a Runner names is its own; else it is as the operator wants it.
    const { model } = this.config;
    const givenModel = model ? null : here.run.givenModel;
    const inner = { ...here, depth: here.depth + 1, tool: null, givenModel,
      model: typeof model === "string" && model ? model : givenModel };
    try {
      return await scope.run(inner, () => begin.call(this, agent, input, options));
    } catch (error) {
      // A tool that begins a run may answer with a text that says so.
      if (here.tool) here.tool.failure = error;
      throw error;
    }
  };
}

// ---- tools ----

/** The SDK's tool(), with execute() watched: what it throws becomes a text for the model. */
export function watchingTool(tool) {
  return (options) => {
    const { execute } = options ?? {};
    if (typeof execute !== "function") return tool(options);
    const made = tool({
      ...options,
      name: options.name ?? execute.name,
      async execute(...values) {
        const watch = scope.getStore()?.tool;
        try {
          const result = await execute.apply(options, values);
          if (watch) watch.hasRun = true;
          return result;
        } catch (error) {
          if (watch) watch.failure = error;
          throw error;
        }
      },
    });
    watched.add(made);
    return made;
  };
}

function parsed(input) {
  try {
    return JSON.parse(input || "{}");
  } catch {
    return input;
  }
}

/** Calls a tool of the module when the gateway has nothing against it, and says how it went. */
async function callGuarded(tool, invoke, runContext, input, details) {
  const here = scope.getStore();
  if (here === undefined) throw new Error("tools run while the agent answers a request");
  const { run } = here;
  const server = servers.get(tool);
  const call = run.ask({ t: "tool.check", name: tool.name,
    module: server === undefined ? "agent" : `mcp:${server}`,
    call_id: details?.toolCall?.callId ?? null, args: parsed(input) });
  let verdict;
  try {
    verdict = await call.get();
  } finally {
    call.end();
  }
  // It may have been cancelled in the same moment: nothing begins any more.
  run.signal.throwIfAborted();
  if (!verdict.allow) return String(verdict.message || `the tool ${tool.name} is not allowed`);
  const watch = { hasRun: false, failure: null };
  const began = performance.now();
  let isFine = false;
  try {
    const result = await scope.run({ ...here, tool: watch },
      () => invoke.call(tool, runContext, input, details));
    isFine = watch.failure === null && (watch.hasRun || !watched.has(tool));
    return result;
  } finally {
    if (watch.failure !== null)
      run.sink.log("warning", `the tool ${tool.name} failed: ${describe(watch.failure)}`);
    run.wire.send({ t: "tool.done", id: call.id, name: tool.name, ok: isFine,
      ms: Math.round(performance.now() - began) });
  }
}

function guard(tool) {
  if (tool.type !== "function" || guarded.has(tool)) return tool;
  const { invoke } = tool;
  tool.invoke = (runContext, input, details) =>
    callGuarded(tool, invoke, runContext, input, details);
  guarded.add(tool);
  return tool;
}

/** As the gateway describes it to this run; it is guarded by the gateway's own door. */
function gatewayTool(run, tool, { name, description }) {
  const known = run?.gatewayTools[name];
  if (known === undefined) {
    run?.sink.log("warning", `the gateway has no tool '${name}' for this request`);
    return null;
  }
  return { ...tool, description: description || known.description || "",
    parameters: known.parameters ?? { type: "object", properties: {} } };
}

/** At the class: handoff targets, tools of MCP servers and agents as tools are covered too. The SDK
 * asks an agent for its tools before it asks its model. */
function guardTools(sdk, modelOf) {
  const { getAllTools, getMcpTools } = sdk.Agent.prototype;

  sdk.Agent.prototype.getMcpTools = async function guardedMcpTools(...values) {
    await connect(this.mcpServers);
    let tools;
    try {
      tools = await getMcpTools.apply(this, values);
    } catch (error) {
      await forget(this.mcpServers);
      throw error;
    }
    for (const tool of tools) servers.set(tool, serverOf(this.mcpServers, tool));
    return tools;
  };
  sdk.Agent.prototype.getAllTools = async function guardedTools(...values) {
    ruleModel(this, modelOf);
    const tools = await getAllTools.apply(this, values);
    const run = scope.getStore()?.run;
    return tools.map((tool) => (tool[GATEWAY_TOOL]
      ? gatewayTool(run, tool, tool[GATEWAY_TOOL]) : guard(tool))).filter((tool) => tool !== null);
  };
}

// ---- MCP servers of the agent's own ----

const connections = new WeakMap(); // of those that are about to be
const connected = new WeakSet();

/** Connects servers that nobody has connected, as a script would. */
async function connect(all) {
  for (const server of all) {
    if (isConnected(server)) continue;
    if (!connections.has(server))
      connections.set(server, scope.exit(() => server.connect()));
    try {
      await connections.get(server);
    } finally {
      connections.delete(server);
    }
    connected.add(server);
  }
}

/** One of them does not answer: those that were connected here begin anew. */
async function forget(all) {
  for (const server of all.filter((one) => connected.delete(one)))
    await server.close().catch(() => {});
}

function isConnected(server) {
  const { session } = server.underlying ?? server;
  return session === undefined ? connected.has(server) : session !== null;
}

function serverOf(all, tool) {
  return (all.find(({ name }) => tool.name.startsWith(name)) ?? all[0]).name;
}
