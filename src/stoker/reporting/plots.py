"""Curves of a run, drawn by matplotlib.

Rules: nothing is shown or written here; the caller gets the figure.
"""

from __future__ import annotations

import math
from typing import Any

from stoker.errors import BackendError
from stoker.reporting.page_facts import epochs_of, finite, numbers_of
from stoker.reporting.text import FEED_LOGS


def plot_history(history: Any) -> Any:
    """Loss and metrics by epoch, each with its validation curve; a value that is no finite number is a gap.

    Args:
        history: what ``fit`` returned, or anything with ``history`` (name -> list of floats) and ``epoch`` (list of epoch numbers).

    Returns:
        ``matplotlib.figure.Figure``, one panel for each metric.

    Raises:
        BackendError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise BackendError(
            "plots need matplotlib", got="no matplotlib", expected="an installed one",
            remedy='Run: pip install "stoker[plot]"') from error
    shown = [name for name in history.history if name not in FEED_LOGS]
    names = list(dict.fromkeys(name.removeprefix("val_") for name in shown))
    figure = Figure(figsize=(5 * max(1, len(names)), 3.6), layout="constrained")
    for place, name in enumerate(names, 1):
        panel = figure.add_subplot(1, len(names), place)
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            values = history.history.get(key)
            if values:
                drawn = [math.nan if (known := finite(value)) is None else known for value in values]
                panel.plot(_epochs_of(history, key, len(values)), drawn, marker="o", markersize=3, label=label)
        panel.set(title=name, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        panel.legend()
    return figure


def _epochs_of(history: Any, key: str, count: int) -> list[int]:
    """The epochs, from 1, of the values of a log."""
    known = [record.epoch + 1 for record in getattr(history, "records", ()) if key in record.logs]
    return known if len(known) == count else epochs_of(key, count, numbers_of(history.history, history.epoch))
