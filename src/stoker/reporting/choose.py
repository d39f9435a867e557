"""Which display a call gets.

Rules: 0 nothing; 1 a bar in a terminal or a notebook, elsewhere a line an epoch; 2 a line an epoch.
"""

from __future__ import annotations

import sys
from time import monotonic

from stoker.history import Reporter, Silent
from stoker.reporting.lines import Lines


def make_reporter(verbose: int) -> Reporter:
    """The display for a value of ``verbose``."""
    if verbose == 0:
        return Silent()
    if verbose == 1:
        from rich.console import Console

        console = Console()
        if (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter:
            from stoker.reporting.bar import Bar

            return Bar(console, monotonic)
    return Lines(sys.stdout, monotonic)
