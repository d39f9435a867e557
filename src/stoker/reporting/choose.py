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
    if verbose == 1 and sys.stdout is not None:
        from rich.console import Console

        console = Console()
        # FORCE_COLOR makes rich take a pipe for a terminal; colour is not what a bar needs
        if (console.is_terminal and sys.stdout.isatty() and not console.is_dumb_terminal) or console.is_jupyter:
            from stoker.reporting.bar import Bar

            return Bar(console, monotonic)
    return Lines(sys.stdout, monotonic)
