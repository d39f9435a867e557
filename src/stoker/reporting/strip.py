"""The moving line of an epoch, cut to the width there is.

Rules: pure; never wider than asked; what matters least goes first: later metrics, the time left, the share of waiting, the rate, the bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.reporting.text import number, rate, time_left

MOST_BAR, LEAST_BAR = 20, 6


@dataclass(frozen=True, slots=True)
class Row:
    """How far an epoch or a validation has come.

    Args:
        title: what runs.
        steps: how many there will be; None where that is not known.
        done: how many were run.
        elapsed_s: since it began.
        logs: running loss and metrics.
        wait_share: share of the time in which the model waited for data; None where that is not known.
    """

    title: str
    steps: int | None
    done: int
    elapsed_s: float
    logs: Mapping[str, Any]
    wait_share: float | None


def strip(row: Row, width: int, glyphs: str) -> list[tuple[str, str]]:
    """The line as pieces of text with their rich styles.

    Args:
        row: how far it has come.
        width: columns there are.
        glyphs: one for what is done, and one for what is left.
    """
    count = f"{row.done}/{row.steps}" if row.steps else f"{row.done}"
    head = f"{row.title} "
    tail = _fitting(row, width - len(head) - len(count))
    room = width - len(head) - len(count) - sum(len(part) for part in tail) - 1
    if not row.steps or room < LEAST_BAR:
        return [((head + count + "".join(tail))[:max(0, width)], "")]
    columns = min(MOST_BAR, room)
    full = min(columns, columns * row.done // row.steps)
    return [(head, ""), (glyphs[0] * full, "green" if row.done >= row.steps else "cyan"),
            (glyphs[1] * (columns - full), "bright_black"), (f" {count}", ""), ("".join(tail), "")]


def _fitting(row: Row, room: int) -> list[str]:
    """What is said beside the count, in the order of the line, as far as it fits; a bar is left room where it can be."""
    logs = [f"  {name} {number(value)}" for name, value in row.logs.items()]
    pace = f"  {rate(row.done, row.elapsed_s)}" if row.done and row.elapsed_s > 0 else ""
    wait = "" if row.wait_share is None else f"  wait {row.wait_share:.0%}"
    left = ""
    if row.steps and row.done:
        left = f"  eta {time_left((row.steps - row.done) * row.elapsed_s / row.done)}"
    kept: set[int] = set()
    parts = [pace, left, wait, *logs]
    first = 3 if logs else 0
    for place in (first, *(place for place in (0, 2, 1, *range(4, len(parts))) if place != first)):
        bar = LEAST_BAR + 1 if row.steps and room > 2 * LEAST_BAR else 0
        if sum(len(parts[other]) for other in kept) + len(parts[place]) + bar <= room:
            kept.add(place)
    return [parts[place] for place in sorted(kept)]
