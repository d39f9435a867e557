"""``stoker.report``: a run as one HTML page that needs nothing else, drawn by plotly.

Rules: the page fetches nothing, and its own policy forbids it; the file is written whole or not at all; plotly and the page's parts are
imported when a report is asked for.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from stoker.errors import BackendError, OptionError, OptionTypeError


def report(history: Any, path: str | os.PathLike[str]) -> Path:
    """Write a page that shows a run: curves, verdicts by epoch, a timeline of the last epoch, and what the call was.

    Args:
        history: what ``fit`` returned, or ``model.history`` of a call that was interrupted; Keras's own History gives the curves alone.
        path: of the HTML file; a file that is there is replaced.

    Returns:
        The path.

    Raises:
        OptionTypeError, OptionError: ``history`` is no history, or nothing can be written at ``path``.
        BackendError: plotly is not installed.
    """
    from stoker.reporting.page_body import page_text
    from stoker.reporting.page_facts import read_facts

    facts = read_facts(history)
    target = _checked(path)
    text = page_text(facts, plotly_javascript())
    _write_whole(target, text)
    return target


def plotly_javascript() -> str:
    """The code of plotly.js, which a page carries with it.

    Raises:
        BackendError: plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise BackendError(
            "a report needs plotly", got="no plotly", expected="an installed one", remedy='Run: pip install "stoker[report]"') from error
    return str(get_plotlyjs())


def _checked(path: Any) -> Path:
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise OptionTypeError(
            "path is no path", got=type(path).__name__, expected="a str or a pathlib.Path", remedy='Pass a name such as "run.html".')
    target = Path(path)
    if target.is_dir() or not target.name:
        raise OptionError(
            "path is a folder", got=repr(str(path)), expected="the path of a file", remedy='Add a name such as "run.html" to it.')
    if not target.parent.is_dir():
        raise OptionError(
            "the folder of path is not there", got=repr(str(path)), expected="a path in an existing folder",
            remedy=f"Make the folder {str(target.parent)!r} first, or pass another path.")
    return target


def _write_whole(target: Path, text: str) -> None:
    """Write beside the target, then put it in its place."""
    beside = target.with_name(f".stoker-{os.getpid()}-{threading.get_ident()}.part")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
