"""Makes the modules and names of the table importable, and ``tensorflow.keras`` mean Keras on the backend at hand.

Rules: a module that Keras 3 has is completed, never replaced; a name of the table without a meaning can be imported and fails at its use;
a name that is in no table fails at the import, as ever.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any

import keras

from stoker.compat.keras_names import GONE, LOST, MODULES, RENAMED, SHORT_MODULES
from stoker.compat.lost import Lost

PRIVATE = ("keras.src", "keras._tf_keras")


def complete() -> None:
    """Make every module and name of the table."""
    for module, names in RENAMED.items():
        owner = importlib.import_module(module)
        for old, new in names.items():
            if not hasattr(owner, old) and hasattr(owner, new):
                setattr(owner, old, getattr(owner, new))
    for module, lost in LOST.items():
        place = sys.modules.get(module)
        for name, remedy in lost.items() if place is not None else ():
            if not hasattr(place, name):
                setattr(place, name, Lost(f"{module}.{name}", remedy))
    for name in sorted(MODULES):
        if name not in sys.modules:
            _register(name, _alias(name, MODULES[name]))
    for old, new in SHORT_MODULES.items():
        if old not in sys.modules:
            _register(old, importlib.import_module(new))
    for name, remedy in GONE.items():
        parent = name.rpartition(".")[0]
        is_part_of_nothing = bool(parent) and importlib.util.find_spec(parent) is None
        if not is_part_of_nothing and importlib.util.find_spec(name) is None:
            _stand_in(name, remedy)


def _stand_in(name: str, remedy: str) -> None:
    """A module of lost names, in the place of one that is gone."""
    parent = name.rpartition(".")[0]
    if parent:
        importlib.import_module(parent)
    module = _alias(name, ())
    module.__getattr__ = lambda attribute: _lost(name, attribute, remedy)  # type: ignore[method-assign]
    _register(name, module)


def _lost(module: str, attribute: str, remedy: str) -> Lost:
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    return Lost(f"{module}.{attribute}", remedy)


def complete_tensorflow(is_installed: bool) -> None:
    """Let every public module of Keras be imported under ``tensorflow.keras`` too.

    Args:
        is_installed: TensorFlow itself is there; its own ``tensorflow.python.keras``, which it needs, is then left alone.
    """
    prefixes = ("tensorflow.keras",) if is_installed else ("tensorflow.keras", "tensorflow.python.keras")
    for name in [name for name in sys.modules if name == "keras" or name.startswith("keras.")]:
        if name.startswith(PRIVATE):
            continue
        for prefix in prefixes:
            sys.modules[prefix + name.removeprefix("keras")] = sys.modules[name]


def _alias(name: str, sources: tuple[str, ...]) -> ModuleType:
    """A module whose names are looked up in others."""
    owners = [keras if source == "keras" else importlib.import_module(source) for source in sources]
    lost = LOST.get(name, {})

    def find(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        for owner in owners:
            if hasattr(owner, attribute):
                return getattr(owner, attribute)
        if attribute in lost:
            return Lost(f"{name}.{attribute}", lost[attribute])
        raise AttributeError(f"module {name!r} has no attribute {attribute!r}")

    module = ModuleType(name, f"Names that are now in {', '.join(sources)}.")
    module.__getattr__ = find  # type: ignore[method-assign]
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    vars(module)["__all__"] = sorted({each for owner in owners for each in vars(owner) if not each.startswith("_")})
    return module


def _register(name: str, module: ModuleType) -> None:
    """Make a module importable, and an attribute of its parent."""
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent and not hasattr(sys.modules[parent], last):
        setattr(sys.modules[parent], last, module)
