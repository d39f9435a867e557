"""The progress bar: one line that moves while an epoch runs, and one that stays when it has ended.

Rules: drawn by rich, on the caller's thread, at most ten times a second; a display that fails is given up, never the training; what the
training raises is never taken for a failure of the display.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stoker.feed.meter import FeedFigures
from stoker.history import Phase, ReadLogs
from stoker.machine import usable_cores
from stoker.reporting.lines import title_of
from stoker.reporting.pace import Pace
from stoker.reporting.strip import Row, strip
from stoker.reporting.text import UNENDED, Told, epoch_line, folded, writable

GLYPHS, ASCII_GLYPHS = "\u2501\u2500", "#-"
LEAST_WIDTH = 20


class Bar:
    """A reporter that draws a bar.

    Args:
        console: where to.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._pace = Pace(clock)
        self._next_step = 0
        self._live: Live | None = None
        self._gave_up = False
        self._above: Row | None = None
        """The epoch, while its validation runs."""
        self._epochs = 0
        self._phase: Phase = "train"
        self._title = ""
        self._steps: int | None = None
        self._done = self._train_done = 0
        self._began_s = clock()
        self._logs: dict[str, float] = {}
        self._look: Callable[[], FeedFigures] | None = None
        self._told = Told(usable_cores())

    def train_begin(self, epochs: int, initial_epoch: int, steps: int | None) -> None:
        self._epochs = epochs

    def epoch_begin(
        self, epoch: int, steps: int | None, phase: Phase, look: Callable[[], FeedFigures] | None = None
    ) -> None:
        if phase == "validate":
            self._train_done = self._done
            self._above = self._row() if self._title else None
        else:
            self._began_s = self._clock()
            self._above = None
        title = title_of(phase, epoch, self._epochs)
        self._title = f"{title} val" if phase == "validate" else title
        self._phase, self._steps, self._look, self._done, self._logs = phase, steps, look, 0, {}
        self._pace.restart()
        self._next_step = 0
        self._show()

    def batch_end(self, step: int, read_logs: ReadLogs) -> None:
        self._done = step + 1
        if step >= self._next_step:
            if self._pace.is_due(step) and not self._gave_up:
                self._logs = read_logs()
                self._show()
                if self._steps is None and step >= UNENDED:
                    self._say(self._told.unended(self._title, self._phase))
            self._next_step = self._pace.next_step

    def stalled(self, text: str, waited_s: float) -> None:
        self._show(text)

    def epoch_end(self, epoch: int, logs: dict[str, float], figures: Any, reason: str | None) -> None:
        if self._phase == "validate":
            self._phase, self._done = "train", self._train_done
            return
        self._above = None
        title = title_of(self._phase, epoch, self._epochs)
        line = epoch_line(title, self._done, self._clock() - self._began_s, logs, figures, reason)
        self._title = ""
        self._stop()
        self._say(line)
        self._say(self._told.after_epoch(figures, self._epochs - epoch - 1))

    def close(self) -> None:
        self._stop()
        self._say(self._told.at_end())

    def _row(self) -> Row:
        figures = None if self._look is None else self._look()
        wait_share = figures.wait_share if figures is not None and figures.batches else None
        return Row(self._title, self._steps, self._done, self._pace.elapsed_s, self._logs, wait_share)

    def _show(self, note: str = "") -> None:
        if self._gave_up:
            return
        row = self._row()
        rows = [row] if self._above is None else [self._above, row]
        self._safely(lambda: self._draw(rows, note))

    def _draw(self, rows: list[Row], note: str) -> None:
        encoding = self._console.encoding
        glyphs = GLYPHS if encoding.startswith("utf") else ASCII_GLYPHS
        width = max(LEAST_WIDTH, self._console.width - 1)
        drawn = Text("\n", no_wrap=True, overflow="crop").join([
            *(Text.assemble(*((writable(text, encoding), style) for text, style in strip(row, width, glyphs))) for row in rows),
            *(Text(line, "yellow") for line in folded(writable(note, encoding), width).splitlines())])
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(drawn, refresh=True)

    def _say(self, line: str) -> None:
        """Write what stays."""
        if not line:
            return
        text = folded(writable(line, self._console.encoding), max(LEAST_WIDTH, self._console.width - 1))
        self._safely(lambda: self._console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True))

    def _stop(self) -> None:
        """Take the moving line away, and give the cursor and the standard output back."""
        live, self._live = self._live, None
        if live is not None:
            self._safely(live.stop)

    def _safely(self, draw: Callable[[], None]) -> None:
        """A terminal that has gone away, or cannot show a character, is no reason to stop."""
        try:
            draw()
        except (OSError, ValueError, AttributeError, SystemExit):  # rich makes SystemExit of a broken pipe
            self._gave_up = True
            live, self._live = self._live, None
            if live is not None:
                # rich takes a hook away that it has not set where its start failed
                with contextlib.suppress(OSError, ValueError, AttributeError, SystemExit, IndexError):
                    live.stop()
