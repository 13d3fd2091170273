# SPDX-License-Identifier: MIT
"""Loads an agent.py as people write it, and says what it exports and what is wrong with it."""
import asyncio
import importlib.util
import inspect
import os
import shlex
import sys
import traceback
import types

from agent_gateway.host import hints, requirements
from agent_gateway.host.calls import Context

# Its name as a module; its helpers can say `from .helper import x` as well as `import helper`.
PACKAGE = "dropin"
# Those whose package has another name.
_PACKAGES = {"agents": "openai-agents"}
_NO_REQUEST = {"request_id": None, "key_id": None, "agent": None, "user": None, "metadata": {}}
_META = ("namespace", "display_name", "description", "model", "upstream")


class Module:
    def __init__(self, message):
        self.path = os.path.realpath(message["path"])
        self.folder = os.path.dirname(self.path)
        self.names = message.get("exports") or ["agent", "build_agent"]
        self.module, self.exports, self.diagnostics, self.gateway = None, {}, [], {}
        self.default_model = (message.get("defaults") or {}).get("model")
        self.doc = None

    def problem(self, kind, message, severity="error", path=None, line=None, attr=None):
        self.diagnostics.append({"kind": kind, "severity": severity, "message": message,
                                 "path": path or self.path, "line": line, "attr": attr})

    # ---- loading ----

    def load(self, loop):
        """-> the fields of the message catalog."""
        exports = []
        if self._requirements_are_there() and self._import():
            self._read_meta()
            exports = self._list(loop)
        return {"gateway": self.gateway, "doc": self.doc, "exports": exports,
                "diagnostics": self.diagnostics}

    def _install(self):
        return f"contrib/install-agent-deps --agent {shlex.quote(self.folder)}"

    def _requirements_are_there(self):
        lacking = requirements.missing(self.folder)
        for path, line, what in lacking:
            self.problem("dependency", f"{what} is not installed; run {self._install()}",
                         path=path, line=line)
        return not lacking

    def _import(self):
        # Never the folder around it: a discovery root called `agents` would hide the SDK.
        sys.path.insert(0, self.folder)
        package = types.ModuleType(PACKAGE)
        package.__path__ = [self.folder]
        sys.modules[PACKAGE] = package
        stem = os.path.splitext(os.path.basename(self.path))[0]
        spec = importlib.util.spec_from_file_location(f"{PACKAGE}.{stem}", self.path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = sys.modules[stem] = module
        setattr(package, stem, module)
        try:
            spec.loader.exec_module(module)
        except BaseException as error:  # Also SystemExit, and what inherits from nothing else.
            self._import_failed(error)
            return False
        self.module = module
        self.doc = inspect.getdoc(module)
        return True

    def _place(self, error):
        """The innermost line of the agent's own files."""
        if isinstance(error, SyntaxError) and error.filename:
            return error.filename, error.lineno
        own = os.path.join(self.folder, "")
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            # Python's own frozen modules have no path: they would be taken for files of here.
            if os.path.isabs(frame.filename) and f"{os.sep}.venv{os.sep}" not in frame.filename \
                    and os.path.realpath(frame.filename).startswith(own):
                return frame.filename, frame.lineno
        return self.path, None

    def _import_failed(self, error):
        path, line = self._place(error)
        kind, message = "import", hints.describe(error)
        if isinstance(error, SyntaxError):
            message = f"{type(error).__name__}: {error.msg}"
        elif isinstance(error, ModuleNotFoundError) and error.name:
            top = error.name.partition(".")[0]
            if not os.path.exists(os.path.join(self.folder, top)):
                kind = "dependency"
                package = _PACKAGES.get(top, f"the package of module {error.name!r}")
                message = (f"{package} is not installed; name it in requirements.txt and run "
                           f"{self._install()}")
        elif isinstance(error, SystemExit):
            message = f"the module called exit({error.code}) while it was loaded"
        self.problem(kind, message, path=path, line=line)

    def _read_meta(self):
        meta = getattr(self.module, "__gateway__", None)
        if meta is None:
            return
        if not isinstance(meta, dict):
            self.problem("validation", "__gateway__ must be a dict")
            return
        for name, value in meta.items():
            if name not in _META:
                self.problem("validation", f"__gateway__ has no member {name!r}; it knows "
                                           f"{', '.join(_META)}", "warning")
            elif not isinstance(value, str) or not value:
                self.problem("validation", f"{name} of __gateway__ must be a text")
            else:
                self.gateway[name] = value

    # ---- exports ----

    def _list(self, loop):
        found = []
        seen = set()
        for attr, value, kind in self._candidates():
            if id(value) in seen:
                continue
            seen.add(id(value))
            shown = value
            if kind == "factory":
                shown = self._try_factory(loop, attr, value)
                if shown is _FAILED:
                    continue
            if not self._can_be_served(attr, shown):
                continue
            self.exports[attr] = value, kind
            found.append({"attr": attr, "kind": kind, **self._describe(shown)})
        if not found and not any(d["severity"] == "error" for d in self.diagnostics):
            self.problem("validation", f"the module has none of {', '.join(self.names)}, and no "
                                       "other global that is an Agent")
        self._look_for_sessions()
        return found

    def _candidates(self):
        names = vars(self.module)
        order = [n for n in self.names if n in names]
        order += [n for n in names if n not in self.names and not n.startswith("_")]
        for attr in order:
            value = names[attr]
            if self.is_agent(value):
                yield attr, value, "agent"
            elif attr in self.names and callable(value) and not _runs(value):
                yield attr, value, "factory"
            elif _runs(value) and (attr in self.names or self._is_own(type(value))):
                yield attr, value, "runner"
            elif attr in self.names and value is not None:
                self.problem("validation", f"{attr} is of type {type(value).__name__}: it must be "
                                           "an Agent, a function that makes one, or an object "
                                           "with run() or run_sync()", attr=attr)

    @staticmethod
    def is_agent(value):
        # None of them can exist before the SDK was imported.
        sdk = sys.modules.get("agents")
        return sdk is not None and isinstance(value, getattr(sdk, "Agent", ()))

    def _is_own(self, cls):
        source = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
        return os.path.realpath(source).startswith(os.path.join(self.folder, "")) and \
            f"{os.sep}.venv{os.sep}" not in source

    def _try_factory(self, loop, attr, function):
        """What it makes; it may need what only a request has, so that a failure is no end."""
        try:
            made = _call_factory(function, Context(_NO_REQUEST))
            if inspect.isawaitable(made):
                made = loop.run_until_complete(_await(made))
        except BaseException as error:
            path, line = self._place(error)
            self.problem("runtime", f"{attr}() fails without a request: {hints.describe(error)}",
                         "warning", path, line, attr)
            return None
        if not self.is_agent(made) and not _runs(made):
            self.problem("validation", f"{attr}() gives {type(made).__name__}: it must be an "
                                       "Agent, or an object with run() or run_sync()", attr=attr)
            return _FAILED
        return made

    def _can_be_served(self, attr, agent):
        if not self.is_agent(agent):
            return True
        sdk = sys.modules["agents"]
        fine = True
        for member in _reachable(agent):
            for tool in member.tools:
                if not isinstance(tool, sdk.FunctionTool):
                    fine = False
                    self.problem("validation",
                                 f"the tool {getattr(tool, 'name', type(tool).__name__)} of "
                                 f"{member.name} is one that only OpenAI's Responses API runs; "
                                 "take a @function_tool, an MCP server, or use_gateway_tool()",
                                 attr=attr)
            why = _output_problem(sdk, member)
            if why:
                fine = False
                self.problem("validation", f"the output_type of {member.name} cannot be used: "
                                           f"{why}", attr=attr)
        return fine

    def _describe(self, agent):
        if not self.is_agent(agent):
            name = getattr(agent, "name", None)
            return {"name": name if isinstance(name, str) else None, "model": None, "tools": [],
                    "handoffs": []}
        return {"name": agent.name, "model": _model_name(agent.model),
                "tools": sorted({tool.name for tool in agent.tools if hasattr(tool, "name")}),
                "handoffs": [_handoff_name(handoff) for handoff in agent.handoffs]}

    def _look_for_sessions(self):
        session = getattr(sys.modules.get("agents"), "SessionABC", None)
        for attr, value in vars(self.module).items():
            if session is not None and isinstance(value, session):
                self.problem("validation", f"{attr} is a session: a run that is given it is "
                                           "refused, as clients send their whole conversation "
                                           "with each request", "warning", attr=attr)

    # ---- for a run ----

    async def target(self, attr, context):
        """-> (an Agent or an object with run(), whether it was made for this run alone)."""
        if attr not in self.exports:
            raise LookupError(f"the module has no agent {attr!r}")
        value, kind = self.exports[attr]
        if kind != "factory":
            return value, False
        made = _call_factory(value, context)
        if inspect.isawaitable(made):
            made = await made
        if not self.is_agent(made) and not _runs(made):
            raise TypeError(f"{attr}() gave {type(made).__name__}")
        return made, True


_FAILED = object()


async def _await(value):
    return await asyncio.wait_for(asyncio.ensure_future(value), 30)


def _call_factory(function, context):
    """With the keyword `context` where the function takes it, else without arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return function()
    if any(p.kind is p.VAR_KEYWORD or p.name == "context" and p.kind is not p.POSITIONAL_ONLY
           for p in parameters):
        return function(context=context)
    return function()


def _runs(value):
    if inspect.ismodule(value) or inspect.isclass(value) or inspect.isroutine(value):
        return False
    return any(callable(getattr(value, name, None)) for name in ("run", "run_sync"))


def _output_problem(sdk, agent):
    """What the SDK would say in each run, before the first one."""
    wanted = agent.output_type
    if wanted is None or isinstance(wanted, sdk.AgentOutputSchemaBase):
        return None
    try:
        sdk.AgentOutputSchema(wanted)
    except Exception as error:  # Pydantic's, and the SDK's own.
        return f"{type(error).__name__}: {error}"
    return None


def _model_name(model):
    """Of a text, or of an object of a class as the SDK has them."""
    name = model if isinstance(model, str) else getattr(model, "model", None)
    return name if isinstance(name, str) and name else None


def _handoff_name(handoff):
    return getattr(handoff, "agent_name", None) or getattr(handoff, "name", "?")


def _reachable(agent):
    """The agent and all it can hand over to."""
    seen, waiting = [], [agent]
    while waiting:
        member = waiting.pop()
        if any(member is other for other in seen):
            continue
        seen.append(member)
        waiting += [handoff for handoff in member.handoffs if Module.is_agent(handoff)]
    return seen
