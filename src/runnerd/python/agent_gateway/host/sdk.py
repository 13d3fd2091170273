# SPDX-License-Identifier: MIT
"""Sets the SDK up when it is first imported: client, models, runner, and the tools' guard."""
import asyncio
import contextlib
import contextvars
import copy
import inspect
import json
import time
import weakref

from agent_gateway.host import hints, transport
from agent_gateway.host.calls import current_run, depth
from agent_gateway.host.outcome import Misused
from agent_gateway.tools import GATEWAY_TOOL

# Set by the SDK's own handling of a tool's exception: its text looks like a result.
_failed = contextvars.ContextVar("agent_gateway_tool_failed", default=None)

_SESSION = ("the gateway keeps no conversations: clients send theirs with each request, so {} "
            "cannot be used")


def configure(agents):
    """Called with the module `agents` right after its import."""
    import importlib

    import openai

    run, tool = importlib.import_module("agents.run"), importlib.import_module("agents.tool")

    try:
        import httpx2 as http
    except ImportError:
        import httpx as http

    client = openai.AsyncOpenAI(base_url=transport.BASE_URL, api_key="agent-gateway",
                                max_retries=0, http_client=transport.async_client(http))
    agents.set_default_openai_client(client, use_for_tracing=False)
    agents.set_default_openai_api("chat_completions")
    agents.set_tracing_disabled(True)
    provider = _provider(agents)(openai_client=client, use_responses=False)
    run.set_default_agent_runner(_runner(agents, run.AgentRunner, provider))
    _take_own_clients(agents, http)
    _ask_for_chats(agents)
    _guard_tools(agents)
    _note_failures(tool)


# ---- models ----

def _provider(agents):
    class GatewayProvider(agents.OpenAIProvider):
        def get_model(self, model_name):
            """An Agent that names none gets the gateway's, and where that has none the run's."""
            run = current_run.get()
            if model_name is None and run is not None:
                model_name = run.host.module.default_model or run.start.get("model")
            return super().get_model(model_name)

    return GatewayProvider


def _take_own_clients(agents, http):
    """What a model of the SDK's class asks is of the run, whatever client its code gave it."""
    model = agents.OpenAIChatCompletionsModel
    get_client = model._get_client
    transported = transport.async_client(http)
    known = weakref.WeakKeyDictionary()

    def of_gateway(self):
        client = get_client(self)
        if client.base_url.host != transport.HOST:
            return client
        if client not in known:
            known[client] = client.with_options(http_client=transported)
        return known[client]

    model._get_client = of_gateway


def _ask_for_chats(agents):
    """OpenAIResponsesModel, which there is no API for here, asks the same model for a chat.

    Where the operator gives an agent the network, its clients for other addresses stay as they are.
    """
    model = agents.OpenAIResponsesModel
    get_response, stream_response = model.get_response, model.stream_response

    def chat_of(self):
        client = self._get_client()
        if client.base_url.host != transport.HOST:
            return None
        return agents.OpenAIChatCompletionsModel(model=self.model, openai_client=client)

    async def get(self, *args, **kwargs):
        chat = chat_of(self)
        if chat is None:
            return await get_response(self, *args, **kwargs)
        return await chat.get_response(*args, **kwargs)

    def stream(self, *args, **kwargs):
        chat = chat_of(self)
        if chat is None:
            return stream_response(self, *args, **kwargs)
        return chat.stream_response(*args, **kwargs)

    model.get_response, model.stream_response = get, stream


# ---- runs ----

@contextlib.contextmanager
def _one_deeper():
    token = depth.set(depth.get() + 1)
    try:
        yield
    finally:
        depth.reset(token)


def _runner(agents, base, provider):
    """The SDK's runner; runs that agents begin themselves are held to the same."""

    def prepare(options):
        for name in ("session", "conversation_id", "previous_response_id",
                     "auto_previous_response_id"):
            if options.get(name) not in (None, False):
                raise Misused(_SESSION.format(name))
        run = current_run.get()
        config = options.get("run_config")
        if config is None:
            config = agents.RunConfig()
        elif isinstance(config, dict):
            config = agents.RunConfig(**config)
        else:
            config = copy.copy(config)
        if isinstance(config.model_provider, (agents.MultiProvider, agents.OpenAIProvider)):
            config.model_provider = provider
        if config.model is None and run is not None:
            config.model = run.given_model
        config.tracing_disabled = True
        config.model_settings = agents.ModelSettings(include_usage=True).resolve(
            config.model_settings)
        options["run_config"] = config
        limit = run.limits.get("max_turns") if run is not None else None
        if limit:
            options["max_turns"] = min(options.get("max_turns") or limit, limit)
        return options

    class GatewayRunner(base):
        async def run(self, starting_agent, input, **options):
            with _one_deeper():
                return await super().run(starting_agent, input, **prepare(options))

        def run_sync(self, starting_agent, input, **options):
            with _one_deeper():
                return super().run_sync(starting_agent, input, **prepare(options))

        def run_streamed(self, starting_agent, input, **options):
            with _one_deeper():
                return super().run_streamed(starting_agent, input, **prepare(options))

    return GatewayRunner()


# ---- tools ----

class Guarded:
    """Calls a tool of the module when the gateway has nothing against it, and says how it went.

    Whatever else the SDK wants of the tool's function is answered by that function.
    """

    def __init__(self, inner, tool):
        self._inner, self._tool = inner, tool
        self.module = _module(tool)

    def __getattr__(self, name):
        if name in ("_inner", "_tool"):
            raise AttributeError(name)  # A copy that is not filled yet.
        return getattr(self._inner, name)

    @property
    def __signature__(self):
        return inspect.signature(self._inner)

    async def __call__(self, ctx, arguments):
        run = current_run.get()
        if run is None:
            raise RuntimeError("tools run while the agent answers a request")
        name = self._tool.name
        call = run.ask({"t": "tool.check", "name": name, "module": self.module,
                        "call_id": getattr(ctx, "tool_call_id", None), "args": _parsed(arguments)})
        try:
            verdict = await call.get()
        finally:
            call.end()
        if not verdict.get("allow"):
            return str(verdict.get("message") or f"the tool {name} is not allowed")
        began, ok, failures = time.monotonic(), False, []
        token = _failed.set(failures)
        try:
            result = await self._inner(ctx, arguments)
            ok = not failures
            return result
        except SystemExit as error:
            run.sink.log("error", f"the tool {name} called exit({error.code})")
            return "The tool failed: it wanted to end its process."
        finally:
            _failed.reset(token)
            run.tool_done(call.id, name, ok, round((time.monotonic() - began) * 1000))


def _parsed(arguments):
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _module(tool):
    """Where the tool comes from: a module of the agent's folder, or an MCP server of its own."""
    origin = getattr(tool, "_tool_origin", None)
    server = getattr(origin, "mcp_server_name", None)
    if server:
        return f"mcp:{server}"
    function = getattr(tool, "__wrapped__", tool.on_invoke_tool)
    name = getattr(inspect.unwrap(function), "__module__", None) or ""
    return name.removeprefix("dropin.")


def _guard_tools(agents):
    """At the class: handoff targets, tools of MCP servers and agents as tools are covered too."""
    base = agents.AgentBase
    get_all_tools = base.get_all_tools

    async def guarded(self, run_context):
        run = current_run.get()
        if run is not None and self.mcp_servers:
            await run.host.servers.connect(run, self.mcp_servers)
        try:
            tools = await get_all_tools(self, run_context)
        except Exception:
            if run is not None and self.mcp_servers:
                await run.host.servers.forget(self.mcp_servers)
            raise
        return [tool for tool in (_guard(agents, run, tool) for tool in tools) if tool is not None]

    base.get_all_tools = guarded


def _guard(agents, run, tool):
    if not isinstance(tool, agents.FunctionTool):
        return tool
    wanted = tool.__dict__.get(GATEWAY_TOOL)
    if wanted is not None:
        return _gateway_tool(run, tool, *wanted)
    if not isinstance(tool.on_invoke_tool, Guarded):
        tool.on_invoke_tool = Guarded(tool.on_invoke_tool, tool)
    return tool


def _gateway_tool(run, tool, name, description):
    """As the gateway describes it to this run; it is guarded by the gateway's own door."""
    known = run.gateway_tools.get(name) if run is not None else None
    if known is None:
        if run is not None:
            run.sink.log("warning", f"the gateway has no tool {name!r} for this request")
        return None
    tool = copy.copy(tool)
    tool.description = description or known.get("description") or ""
    tool.params_json_schema = known.get("parameters") or {"type": "object", "properties": {}}
    return tool


def _note_failures(module):
    handle = getattr(module, "maybe_invoke_function_tool_failure_error_function", None)
    if handle is None:
        return

    async def noting(*args, **kwargs):
        failures, run = _failed.get(), current_run.get()
        if failures is not None:
            failures.append(True)
            error = kwargs.get("error")
            run.sink.log("warning", f"a tool failed: {hints.describe(error)}")
        return await handle(*args, **kwargs)

    module.maybe_invoke_function_tool_failure_error_function = noting


# ---- MCP servers of the agent's own ----

class Servers:
    """Connects servers that agents list without having connected them, as a script would."""

    def __init__(self):
        self._managers = {}

    async def connect(self, run, servers):
        missing = [server for server in servers
                   if hasattr(server, "session") and server.session is None]
        if not missing:
            return
        from agents.mcp import MCPServerManager

        waiting = []
        for server in missing:
            if server not in self._managers:
                manager = MCPServerManager([server], strict=True)
                # Its tasks outlive this run, and belong to none.
                context = contextvars.copy_context()
                context.run(current_run.set, None)
                self._managers[server] = run, manager, context.run(
                    asyncio.ensure_future, manager.connect_all())
            waiting.append(self._managers[server])
        for server, (_, _, connected) in zip(missing, waiting):
            try:
                await asyncio.shield(connected)
            except BaseException as error:
                if not connected.done():
                    raise  # The run was cancelled; others may wait for the server.
                self._managers.pop(server, None)
                run.sink.log("error", f"the MCP server {server.name!r} did not start: "
                                      f"{hints.describe(error)}")
                raise Misused(f"the MCP server {server.name!r} of the agent did not start; its log "
                              "says more") from error

    async def forget(self, servers):
        """One of them does not answer: those that were connected here begin anew."""
        for server in servers:
            known = self._managers.pop(server, None)
            if known is not None:
                with contextlib.suppress(Exception):
                    await known[1].cleanup_all()

    async def release(self, run):
        """Those that a factory made for this run alone."""
        for server, (owner, manager, _) in list(self._managers.items()):
            if owner is run:
                del self._managers[server]
                await manager.cleanup_all()
