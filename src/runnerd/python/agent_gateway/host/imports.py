# SPDX-License-Identifier: MIT
"""Does something right after a package was imported for the first time, and not before."""
import importlib.abc
import importlib.machinery
import importlib.util
import sys


class _Loader(importlib.abc.Loader):
    def __init__(self, loader, then):
        self._loader, self._then = loader, then

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, hooks):
        self._hooks = hooks

    def find_spec(self, name, path=None, target=None):
        then = self._hooks.get(name)
        if then is None or path is not None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, None, target)
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        del self._hooks[name]
        spec.loader = _Loader(spec.loader, then)
        return spec


def after(hooks):
    """hooks: name of a package -> what is called with it."""
    sys.meta_path.insert(0, _Finder(dict(hooks)))
