"""How a source travels to worker processes: pickled by value, its large arrays beside it in shared memory.

Classes, lambdas and closures of scripts and notebooks travel by value (cloudpickle). Locks travel as fresh ones, h5py files are opened
again, a generator that has not started is rebuilt from its code and arguments, and ``keras.utils.PyDataset`` as a base is replaced by a
light stand-in. The generators of ``random`` and ``numpy.random`` do not travel: what uses them uses those of the worker, which are seeded
for each item; generators that a source keeps are named beside it, so that they can be seeded too. What cannot travel is named by the path
of its attribute.

Rules: runs in the parent only; what a worker needs to load a source is in ``arrive`` and in the classes that travel.
"""

from __future__ import annotations

import inspect
import io
import pickle
import random
import threading
import types
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from stoker.errors import NotPicklable
from stoker.feed.arrive import make_generator, make_lock, make_rlock, open_h5
from stoker.feed.messages import Ask, Refused
from stoker.feed.standin import stand_in

LARGE_BYTES = 64 * 1024
"""Buffers from this size on travel beside the pickle, in shared memory."""

_LOCK = type(threading.Lock())
_RLOCK = type(threading.RLock())
_RANDOM: random.Random = random._inst  # type: ignore[attr-defined]
_NUMPY_RANDOM = np.random.mtrand._rand
OWN_GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
DEEPEST = 6
"""How deep the attribute that cannot travel is looked for."""


def pack_source(source: Any) -> tuple[bytes, list[memoryview]]:
    """A source and the list of the random generators that it keeps, as one pickle, and its large buffers.

    Raises:
        NotPicklable: something in it cannot travel; ``where`` is its path.
    """
    large: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LARGE_BYTES:
            return True
        large.append(raw)
        return False

    try:
        generators: list[Any] = []
        return _dumps((source, generators), keep, generators), large
    except Exception as error:
        original = getattr(source, "original", source)
        path, culprit = find_culprit(original, getattr(original, "__name__", type(original).__name__))
        raise NotPicklable(
            "the source cannot travel to worker processes", got=f"{type(culprit).__name__} ({_first_line(error)})",
            expected="attributes that can be pickled", where=path,
            remedy="Make it in __getitem__ when it is first needed, or leave it out in __getstate__.") from error


def pack_items(asks: Sequence[Ask], slots: Sequence[int]) -> bytes:
    """Asks with the items that were pulled for them, each a pickle of its own, and slots: one that cannot be had is no matter of others.

    In the place of one that cannot travel goes the error that says so.
    """
    return pickle.dumps(([tuple(ask._replace(item=_packed_item(ask))) for ask in asks], slots), 5)


def _packed_item(ask: Ask) -> bytes | Refused:
    try:
        return _dumps(ask.item)
    except Exception as error:
        path, culprit = find_culprit(ask.item, f"item {ask.index}")
        return Refused(pickle.dumps(NotPicklable(
            "an item cannot travel to worker processes", got=f"{type(culprit).__name__} ({_first_line(error)})",
            expected="items that can be pickled", where=path, remedy="Yield what identifies the item, such as its path.")))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _dumps(value: Any, keep: Callable[[pickle.PickleBuffer], bool] | None = None, generators: list[Any] | None = None) -> bytes:
    """A pickle; random generators that were met on the way are added to a list, which may be the last part of the value itself."""
    file = io.BytesIO()
    traveller = _traveller()(file, protocol=5, buffer_callback=keep)
    traveller.generators = generators
    traveller.dump(value)
    return file.getvalue()


@cache
def _traveller() -> Any:
    """The class of picklers."""
    import cloudpickle

    class Traveller(cloudpickle.Pickler):  # type: ignore[misc]
        """cloudpickle, and what it cannot do."""

        generators: list[Any] | None

        def reducer_override(self, obj: Any) -> Any:
            reduced = _reduce(obj)
            if reduced is None and self.generators is not None and type(obj) in OWN_GENERATORS:
                self.generators.append(obj)
            return super().reducer_override(obj) if reduced is None else reduced

    return Traveller


def _reduce(obj: Any) -> Any:
    """How the things that cannot be pickled travel; None for all others."""
    kind = type(obj)
    if obj is _NUMPY_RANDOM:
        return getattr, (np.random.mtrand, "_rand")
    if obj is _RANDOM:
        return getattr, (random, "_inst")
    if kind in (types.MethodType, types.BuiltinMethodType) and obj.__self__ is _RANDOM:
        return getattr, (random, obj.__name__)  # not the method: a worker's own functions look first whether there is a seed to set
    if kind is _LOCK:
        return make_lock, ()
    if kind is _RLOCK:
        return make_rlock, ()
    if kind is types.GeneratorType:
        return _reduce_generator(obj)
    module = getattr(kind, "__module__", "")
    if isinstance(obj, type) and obj.__name__ == "PyDataset" and obj.__module__.startswith("keras."):
        return stand_in, ()
    if module.startswith("h5py."):
        return _reduce_h5(obj)
    return None


def _reduce_generator(generator: types.GeneratorType[Any, Any, Any]) -> Any:
    """A generator that has not started, by its function's code and the arguments in its frame."""
    if inspect.getgeneratorstate(generator) != inspect.GEN_CREATED:
        raise TypeError(f"the generator {generator.__name__} has started: it cannot be made again in another process")
    code, frame = generator.gi_code, generator.gi_frame
    assert frame is not None
    values = frame.f_locals
    cells = tuple(types.CellType(values[name]) if name in values else types.CellType() for name in code.co_freevars)
    function = types.FunctionType(code, frame.f_globals, generator.__name__, None, cells)
    names = code.co_varnames
    positional = code.co_argcount
    keywords = names[positional:positional + code.co_kwonlyargcount]
    arguments = [values[name] for name in names[:positional]]
    place = positional + code.co_kwonlyargcount
    if code.co_flags & inspect.CO_VARARGS:
        arguments += values[names[place]]
        place += 1
    named = {name: values[name] for name in keywords}
    if code.co_flags & inspect.CO_VARKEYWORDS:
        named |= values[names[place]]
    return make_generator, (function, tuple(arguments), named)


def _reduce_h5(obj: Any) -> Any:
    file = getattr(obj, "file", None)
    if file is None or not getattr(obj, "name", None):
        return None
    return open_h5, (str(file.filename), str(obj.name), type(obj).__name__ == "File")


def find_culprit(value: Any, path: str, depth: int = 0) -> tuple[str, Any]:
    """The innermost attribute or item that cannot be pickled, with its path."""
    for name, part in _parts(value):
        if depth < DEEPEST and not _travels(part):
            return find_culprit(part, f"{path}{name}", depth + 1)
    return path, value


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"[{number}]", part) for number, part in enumerate(value)]
    if isinstance(value, types.FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        return [(f".{name}", cell.cell_contents) for name, cell in cells if cell != types.CellType()]
    return [(f".{name}", part) for name, part in getattr(value, "__dict__", {}).items()]


def _travels(value: Any) -> bool:
    try:
        _dumps(value, lambda buffer: False)
    except Exception:
        return False
    return True
