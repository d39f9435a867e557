"""``stoker run SCRIPT [ARGS...]``: runs a script as ``python SCRIPT`` would, with the old names in place.

Rules: the script is ``__main__``, sees its own arguments, path and exit status; its path is absolute, as Python makes it; a traceback shows
the script's lines and what they called, none of stoker's own.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any

from stoker.errors import is_of_stoker

USAGE = "usage: stoker run [--check] SCRIPT [ARGS...]"
INTERRUPTED = 130


def main(argv: list[str], stays: bool = False) -> int:
    """Run or check a script.

    Args:
        argv: ``[--check] SCRIPT [ARGS...]``.
        stays: the process ends with the script: ``__main__`` and ``sys.argv`` stay the script's, for what runs at the exit of the
            process and for threads that go on; else what was there is put back.

    Returns:
        The exit status.
    """
    check = argv[:1] == ["--check"]
    rest = argv[1:] if check else argv
    if not rest or rest[0].startswith("-"):
        is_help = rest[:1] in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2
    if not Path(rest[0]).is_file():
        print(f"stoker run: there is no file {rest[0]}", file=sys.stderr)  # noqa: T201
        return 2
    if check:
        from stoker.compat.check import report

        text, is_fine = report(rest[0])
        print(text)  # noqa: T201
        return 0 if is_fine else 1
    return run(rest[0], rest[1:], stays)


def run(script: str, arguments: list[str], stays: bool = False) -> int:
    """Run a script; ``stays`` is as in ``main``.

    Returns:
        Its exit status; 1 after an error, 130 after Ctrl-C.
    """
    with _as_main(script, arguments, stays) as module:
        try:
            from stoker.compat.installation import install

            install()
            exec(_compiled(script), module.__dict__)
        except SystemExit as leaving:
            return _status(leaving.code)
        except KeyboardInterrupt as error:
            _show(error)
            return INTERRUPTED
        except BaseException as error:
            _show(error)
            return 1
        finally:
            with suppress(AttributeError, ValueError):  # the script may have closed it, or put something else in its place
                sys.stdout.flush()
    return 0


def _compiled(script: str) -> CodeType:
    with io.open_code(str(Path(script).resolve())) as file:
        made: CodeType = compile(file.read(), os.path.abspath(script), "exec", dont_inherit=True)
    return made


@contextmanager
def _as_main(script: str, arguments: list[str], stays: bool) -> Iterator[ModuleType]:
    """The module ``__main__``, ``sys.argv`` and ``sys.path`` as the script expects them; what was there comes back, unless they stay."""
    module = ModuleType("__main__")
    vars(module).update(__file__=os.path.abspath(script), __builtins__=__builtins__, __cached__=None)
    kept = sys.modules.get("__main__"), sys.argv, sys.path[:]
    sys.modules["__main__"] = module
    sys.argv = [script, *arguments]
    sys.path[0:1] = [str(Path(script).resolve().parent)]
    try:
        yield module
    finally:
        if not stays:
            _put_back(kept)


def _put_back(kept: tuple[Any, list[str], list[str]]) -> None:
    sys.modules["__main__"] = kept[0]
    sys.argv, sys.path[:] = kept[1], kept[2]


def _status(code: object) -> int:
    if code is None or isinstance(code, int):
        return int(code or 0)
    print(code, file=sys.stderr)  # noqa: T201
    return 1


def _show(error: BaseException) -> None:
    _trim_all(error, set())
    traceback.print_exception(error)


def _trim_all(error: BaseException | None, seen: set[int]) -> None:
    """Take stoker's frames out of an error and of those that led to it."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    error.__traceback__ = _trimmed(error.__traceback__)
    _trim_all(error.__cause__, seen)
    _trim_all(error.__context__, seen)


def _trimmed(trace: TracebackType | None) -> TracebackType | None:
    frames = []
    while trace is not None:
        if not is_of_stoker(trace.tb_frame.f_code.co_filename):
            frames.append(trace)
        trace = trace.tb_next
    made: TracebackType | None = None
    for frame in reversed(frames):
        made = TracebackType(made, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return made


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:], stays=True))
