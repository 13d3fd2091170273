# SPDX-License-Identifier: MIT
"""What to do about errors that code which runs well as a script meets here first."""
import errno
import os
import traceback

_ENVIRONMENT = ("the environment of the gateway is not passed on to agents: keep settings in a file "
                "of the agent's folder")
_FILES = ("an agent may read its own folder, where the modes of files allow that, and write to "
          "the folder of tempfile.gettempdir() alone")
_NETWORK = "an agent has no network unless its entry in agents.yaml says `network: true`"
_LOADING = ('code that runs the agent as a script belongs under `if __name__ == "__main__":`')

_NO_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT)
_NO_WRITING = (errno.EACCES, errno.EPERM, errno.EROFS)


def causes(error):
    """The exception, and those that it comes from; those of a group too."""
    seen, waiting = [], [error]
    while waiting:
        error = waiting.pop(0)
        if error is None or any(error is other for other in seen):
            continue
        seen.append(error)
        waiting.append(error.__cause__ or (None if error.__suppress_context__
                                           else error.__context__))
        inner = getattr(error, "exceptions", None)  # The agent's own may call anything so.
        if isinstance(inner, (list, tuple)):
            waiting += [one for one in inner if isinstance(one, BaseException)]
    return seen


def _wants_variable(error):
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, KeyError) and frames and frames[-1].filename in (
        os.__file__, "<frozen os>")


def _of(error):
    if _wants_variable(error):
        return _ENVIRONMENT
    if isinstance(error, OSError):
        # Of a name that cannot be resolved the number is none of errno.
        if type(error).__name__ == "gaierror" or error.errno in _NO_NETWORK:
            return _NETWORK
        if error.errno in _NO_WRITING:
            return _FILES if error.filename is not None else _NETWORK
    if type(error).__module__ == "sqlite3" and (
            "unable to open" in str(error) or "readonly" in str(error)):
        return _FILES
    if getattr(error, "code", None) == "no_run":
        return _LOADING
    return None


def of_error(error):
    """A sentence about it, or None."""
    return next(filter(None, map(_of, causes(error))), None)


def describe(error):
    """Its type and text, and what to do about it."""
    hint = of_error(error)
    text = f"{type(error).__name__}: {error}"
    return f"{text} ({hint})" if hint else text
