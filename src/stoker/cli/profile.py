"""``stoker profile MODULE:FACTORY``: finds a source in a module or a file, profiles it, and prints the table or JSON.

A generator function, and anything that is a source already, is taken as it is; a class or another function is called without arguments,
and what it returns is the source.

Rules: what is wrong with the words, the module or the factory is told with one remedy; an error raised by the user's code is shown with
the user's own lines only; with ``--json`` whatever the user's code prints goes to the standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from stoker.errors import OptionError, SourceError, StokerError, is_of_stoker
from stoker.profiling.call import profile
from stoker.reporting.text import writable

EXAMPLES = "such as train.py:make_source or package.data:Digits"
LOADED = "_stoker_profiled"
"""The name under which a file is imported; its own name may be that of an installed module."""


def main(words: list[str]) -> int:
    """Profile what the words name.

    Args:
        words: those after ``stoker profile``.

    Returns:
        The exit status: 0; 1 after an error, or where no batch could be made.
    """
    options = _parser().parse_args(words)
    with _own_output(to_error=options.json) as out, _current_folder():
        try:
            source = find_source(options.source)
            if sys.stderr.isatty():
                print(f"profiling {options.source} for about {options.seconds:g} s ...", file=sys.stderr)
            found = profile(source, items=options.items, seconds=options.seconds)
        except _UsersError as error:
            _show(error.error)
            print(f"stoker: {error}", file=sys.stderr)
            return 1
        text = json.dumps(found.to_dict(), indent=2) if options.json else str(found)
        for line in text.splitlines():
            print(writable(line, out.encoding), file=out)
    return 0 if found.recommendation is not None else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stoker profile", description="Draws items from a source without a model, and says how it will feed one.",
        epilog="A generator function, and anything that is a source already, is taken as it is; a class or another function is called "
        "without arguments. More: docs/how-to/profile.md.")
    parser.add_argument("source", metavar="MODULE:FACTORY", help=f"where the source is, {EXAMPLES}")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--seconds", type=float, default=10.0, help="about how long it may take (10)")
    parser.add_argument("--items", type=int, default=200, help="items in the first look, at most (200)")
    return parser


class _UsersError(Exception):
    """The user's code raised; the text says in what."""

    def __init__(self, doing: str, error: BaseException) -> None:
        super().__init__(f"{doing} raised {type(error).__name__}; it must work before it can be profiled.")
        self.error = error


def find_source(words: str) -> Any:
    """The source that ``module:factory`` names.

    Raises:
        StokerError: there is no such module or name, or it wants arguments.
    """
    place, colon, name = words.rpartition(":")
    if not colon or not place or not name:
        raise OptionError(
            "no place of a source", got=repr(words), expected=f"MODULE:FACTORY, {EXAMPLES}",
            remedy="Write the module, a colon, and a name in it.")
    module = _module(place)
    found: Any = module
    for part in name.split("."):
        if part not in dir(found):
            raise SourceError(
                f"{place} has no {name}", got=repr(part), expected=f"one of {_names(found)}", remedy="Name a source or what makes one.")
        found = getattr(found, part)
    return _made(found, words)


def _module(place: str) -> ModuleType:
    """A module by its name, or a file by its path."""
    path = Path(place)
    if path.suffix == ".py" or os.sep in place:
        if not path.is_file():
            raise SourceError("there is no such file", got=place, expected="a Python file", remedy=f"Look for it from {_here()}.")
        made: ModuleType = _told(f"importing {place}", lambda: _from_file(path))
        return made
    try:
        spec = importlib.util.find_spec(place)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise SourceError(
            "there is no such module", got=place, expected="a module that can be imported, or the path of a .py file",
            remedy=f"Check its name, and that it can be found from {_here()}.")
    imported: ModuleType = _told(f"importing {place}", lambda: importlib.import_module(place))
    return imported


def _from_file(path: Path) -> ModuleType:
    """A file as a module of its own name, or of ours where that name is taken. What stands in it travels to workers by value."""
    import cloudpickle

    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(_name_for(path), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    cloudpickle.register_pickle_by_value(module)  # before it runs: it may train when it is imported
    spec.loader.exec_module(module)
    return module


def _name_for(path: Path) -> str:
    known = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    is_free = known is not None and known.origin is not None and Path(known.origin).resolve() == path.resolve()
    return path.stem if is_free and path.stem not in sys.modules else LOADED


def _made(found: Any, words: str) -> Any:
    """The source itself, or what a factory returns."""
    kind = type(found)
    is_source = any(getattr(kind, name, None) is not None for name in ("__getitem__", "__iter__", "__next__", "stoker_source"))
    if inspect.isgeneratorfunction(found) or (is_source and not isinstance(found, type)) or not callable(found):
        return found
    try:
        missing = [
            one.name for one in inspect.signature(found).parameters.values()
            if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    except (TypeError, ValueError):
        missing = []
    if missing:
        raise SourceError(
            f"{words} wants arguments", got=", ".join(missing), expected="a factory that needs none",
            remedy="Write a function beside it that calls it with its arguments, and name that.")
    return _told(f"calling {words}", found)


def _told(doing: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except StokerError:
        raise
    except (Exception, SystemExit) as error:
        raise _UsersError(doing, error) from error


def _names(found: Any) -> str:
    """Public names in a module that may be sources, the first few."""
    own = [
        name for name, value in vars(found).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and getattr(value, "__module__", None) == found.__name__]
    names = own or [name for name in vars(found) if not name.startswith("_")]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing: it is empty"


def _here() -> str:
    return str(Path.cwd())


def _show(error: BaseException) -> None:
    """The traceback, without the lines that led to the user's code."""
    trace = error.__traceback__
    while trace is not None and _is_inner(trace):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def _is_inner(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_code.co_filename
    return is_of_stoker(name) or name.startswith("<frozen ") or Path(name).parent.name == "importlib"


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Modules of the current folder can be imported, here and in worker processes."""
    kept = sys.path[:]
    sys.path.insert(0, _here())
    try:
        yield
    finally:
        sys.path[:] = kept


@contextlib.contextmanager
def _own_output(*, to_error: bool) -> Iterator[Any]:
    """The standard output for us; what others print there goes to the standard error if that is wanted, from worker processes too."""
    out = sys.stdout
    if not to_error:
        yield out
        return
    out.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr), os.fdopen(os.dup(kept), "w", encoding="utf-8") as own:
            yield own if _is_descriptor_1(out) else out
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _is_descriptor_1(out: Any) -> bool:
    try:
        return bool(out.fileno() == 1)
    except (OSError, ValueError, AttributeError):
        return False
