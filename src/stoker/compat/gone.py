"""Modules that are gone, with all that was in them: they can be imported, and fail where something of them is used.

Rules: only where no such module is installed; the error names the line and what to use.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from stoker.compat.lost import Lost


class Gone(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last of Python's finders: it is asked where nobody else has a module.

    Args:
        remedies: modules that are gone -> what to use.
    """

    def __init__(self, remedies: Mapping[str, str]) -> None:
        self._remedies = remedies

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """A spec for a module that is gone, or is within one."""
        if self._remedy(name) is None:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """A module whose names are lost."""
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Let every name be found, and fail at its use."""
        remedy = self._remedy(module.__name__) or ""
        vars(module)["__all__"] = []

        def find(attribute: str) -> Any:
            there = sys.modules.get(f"{module.__name__}.{attribute}")
            return lost(module.__name__, attribute, remedy) if there is None else there

        module.__getattr__ = find  # type: ignore[method-assign]

    def _remedy(self, name: str) -> str | None:
        return next((remedy for gone, remedy in self._remedies.items() if name == gone or name.startswith(f"{gone}.")), None)


def lost(module: str, attribute: str, remedy: str) -> Lost:
    """What a name of a module that is gone is bound to."""
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    return Lost(f"{module}.{attribute}", remedy)


def complete_lost(module: ModuleType, remedy: str) -> None:
    """Let a module that is there, and empty, have names that fail at their use."""
    module.__getattr__ = lambda attribute: lost(module.__name__, attribute, remedy)  # type: ignore[method-assign]
