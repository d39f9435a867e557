"""Numbers, times and epochs as short text.

Rules: pure; our own words are ASCII; names of metrics are users', so what is written goes through ``writable``.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from stoker.feed.advice import AS_PROCESSES, SMALL_SHARE, verdict
from stoker.feed.meter import FeedFigures

WORTH_A_WORD_S = 0.5
"""A shorter epoch holds nobody up, however much of it was waiting."""
UNENDED = 10_000
"""After so many batches of an epoch whose number nobody knows it is asked whether it will end: a function that yields for ever trains one
epoch, for ever."""
STEPS = {"train": "steps_per_epoch", "validate": "validation_steps"}
FEED_LOGS = ("feed_wait_share", "feed_batches_per_s", "feed_make_ms", "feed_cpu_ms", "feed_cross_ms", "feed_workers")
"""What ``FeedMonitor`` puts into the logs, for other callbacks: here it is said in words."""


def number(value: Any) -> str:
    """A loss or metric with four significant digits."""
    if not isinstance(value, int | float):
        return str(value).replace("\n", " ")
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:.3e}"


def writable(text: str, encoding: str | None) -> str:
    """The text on one line, with ``?`` for what cannot be shown: control characters, and what ``encoding`` lacks."""
    encoding = encoding or "utf-8"
    known = text.encode(encoding, "replace").decode(encoding)
    return "".join(character if character.isprintable() else "?" for character in known)


def duration(seconds: float) -> str:
    """A time: ``0.42 s``, ``42 s``, ``3:05`` or ``1:02:03``."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_left(seconds: float) -> str:
    """A time in whole seconds: ``0:05``, ``3:05`` or ``1:02:03``."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def folded(line: str, width: int) -> str:
    """The line on as many lines as it needs, broken between parts (two spaces) where that can be; later ones are indented."""
    lines = [""]
    for part in line.split("  "):
        joined = f"{lines[-1]}  {part}" if lines[-1] else part
        if len(joined) <= width:
            lines[-1] = joined
            continue
        pieces = textwrap.wrap(part, max(10, width - 2)) or [""]
        lines += [f"  {piece}" for piece in pieces]
    return "\n".join(lines if lines[0] else lines[1:]).lstrip()


def rate(steps: int, seconds: float) -> str:
    """Steps a second, or seconds a step where that is more telling."""
    if steps == 0 or seconds <= 0:
        return ""
    pace = steps / seconds
    if pace < 1:
        return f"{seconds / steps:.1f} s/step"
    return f"{pace:,.0f}/s" if pace >= 10 else f"{pace:.1f}/s"


def logs_text(logs: Mapping[str, Any]) -> str:
    """Loss and metrics in a row."""
    return "  ".join(f"{name} {number(value)}" for name, value in logs.items() if name not in FEED_LOGS)


def epoch_line(title: str, steps: int, elapsed_s: float, logs: Mapping[str, Any], figures: FeedFigures | None,
               reason: str | None) -> str:
    """What stays of an epoch: how long it took, what came out, how long the model waited, and why it ended early if it did."""
    parts = [title, f"{steps} steps in {duration(elapsed_s)}", logs_text(logs)]
    if figures is not None and figures.elapsed_s > 0:
        parts.append(f"waited for data {figures.wait_share:.0%}{_bound(figures)}")
    if figures is not None:
        parts.append(deaths_text(figures.deaths, figures.last_death))
    if reason:
        parts.append(reason)
    return "  ".join(part for part in parts if part)


def _bound(figures: FeedFigures) -> str:
    """The limit in a word, where it is not the model; none beside a share of next to nothing, which has the compiling step in it."""
    bound = verdict(figures).bound
    if bound == "input" and figures.wait_share < SMALL_SHARE:
        return ""
    return {"input": " (input-bound)", "balanced": " (balanced)"}.get(bound, "")


def _is_short(figures: FeedFigures) -> bool:
    """Whether a stretch, its longest step aside (which compiles), was too short for advice."""
    return figures.elapsed_s - figures.longest_step_s < WORTH_A_WORD_S


def deaths_text(deaths: int, last: str) -> str:
    """That workers died and nothing was lost; empty where none did.

    Args:
        deaths: how many.
        last: how the last of them ended.
    """
    if not deaths:
        return ""
    who, whose = ("1 worker", "its") if deaths == 1 else (f"{deaths} workers", "their")
    return f"{who} died ({'' if deaths == 1 else 'the last was '}{last.splitlines()[0]}) and {whose} batches were made again"


class Told:
    """What has been said of the feed in a call: the verdict once as soon as the model waits, and again at the end.

    Args:
        cores: that can be used.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self._figures: FeedFigures | None = None
        self._is_warned = self._has_asked = False
        self._deaths, self._last_death = 0, ""

    def unended(self, title: str, phase: str) -> str:
        """What is to be said, once, of an epoch that has had ``UNENDED`` batches and of which nobody knows how many it has."""
        if self._has_asked:
            return ""
        self._has_asked = True
        return (
            f"stoker: {title}: {UNENDED:,} batches so far. The source does not say how many it has; if it yields for ever, "
            f"pass {STEPS.get(phase, 'steps')}.")

    def after_epoch(self, figures: FeedFigures | None, epochs_left: int) -> str:
        """What is to be said after an epoch: nothing, or the first time that the model waited, what would mend it."""
        self._figures = figures
        if figures is not None and figures.deaths:
            self._deaths, self._last_death = self._deaths + figures.deaths, figures.last_death
        if figures is None or self._is_warned or epochs_left < 1 or _is_short(figures):
            return ""
        found = verdict(figures, self._cores)
        self._is_warned = found.bound == "input"
        return f"stoker: {found.text}" if self._is_warned else ""

    def at_end(self) -> str:
        """The verdict on the call, and the workers that died in it."""
        figures, self._figures = self._figures, None
        return closing_line(figures, self._cores, deaths_text(self._deaths, self._last_death))


def closing_line(figures: FeedFigures | None, cores: int | None = None, died: str = "") -> str:
    """The verdict on a call, by its last epoch: earlier ones hold what happens once, such as compiling. A short one is worth no advice.

    Args:
        figures: of the last epoch.
        cores: that can be used.
        died: what is to be said of workers that died.
    """
    if figures is None:
        return ""
    found = verdict(figures, cores)
    text = found.text
    if found.bound == "input" and _is_short(figures):
        text = f"the model waited for data {figures.wait_share:.0%} of the time (input-bound)"
    parts = [text] if found.bound != "none" else []
    if figures.is_auto:
        parts.append(f"workers='auto' settled on {settled(figures)}")
    if died:
        parts.append(died)
    return f"stoker: {'; '.join(parts)}" if parts else ""


def settled(figures: FeedFigures) -> str:
    """The arguments that a feed with ``workers="auto"`` has come to, as one would write them, and what kept it from more."""
    limit = f" ({figures.auto_limit})" if figures.auto_limit else ""
    return f"workers={figures.workers}" + (f", {AS_PROCESSES}" if figures.lane == "processes" else "") + limit
