"""Which display a call gets.

Rules: 0 nothing; 1 a bar in a terminal, or in a notebook that has ipywidgets, elsewhere a line an epoch; 2 a line an epoch.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING

from stoker.history import Reporter, Silent
from stoker.reporting.lines import Lines

if TYPE_CHECKING:
    from rich.console import Console


def make_reporter(verbose: int) -> Reporter:
    """The display for a value of ``verbose``."""
    if verbose == 0:
        return Silent()
    if verbose == 1 and sys.stdout is not None:
        from rich.console import Console

        console = Console()
        if _can_draw(console):
            from stoker.reporting.bar import Bar

            return Bar(console, monotonic)
    return Lines(sys.stdout, monotonic)


def _can_draw(console: Console) -> bool:
    """Whether a line can be drawn again and again."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None  # rich draws with it; without it the line would never be seen, nor that the feed stalls
    # FORCE_COLOR makes rich take a pipe for a terminal; colour is not what a bar needs
    isatty = getattr(sys.stdout, "isatty", None)
    return console.is_terminal and isatty is not None and isatty() and not console.is_dumb_terminal
