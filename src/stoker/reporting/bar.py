"""The progress bar: one line that moves while an epoch runs, and one that stays when it has ended.

Rules: drawn by rich, on the caller's thread, at most ten times a second; a display that fails is given up, never the training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from stoker.feed.meter import FeedFigures
from stoker.history import Phase, ReadLogs
from stoker.reporting.lines import TITLES
from stoker.reporting.pace import Pace
from stoker.reporting.text import closing_line, duration, epoch_line, logs_text, rate

BAR_COLUMNS = 14


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
        self._progress: Progress | None = None
        self._tasks: list[TaskID] = []
        """The epoch, and above it its validation while that runs."""
        self._epochs = 0
        self._phase: Phase = "train"
        self._title = ""
        self._steps: int | None = None
        self._done = self._train_done = 0
        self._began_s = clock()
        self._look: Callable[[], FeedFigures] | None = None
        self._figures: FeedFigures | None = None

    def train_begin(self, epochs: int, initial_epoch: int, steps: int | None) -> None:
        self._epochs = epochs

    def epoch_begin(
        self, epoch: int, steps: int | None, phase: Phase, look: Callable[[], FeedFigures] | None = None
    ) -> None:
        if phase == "validate":
            self._train_done = self._done
        else:
            self._began_s = self._clock()
        self._phase, self._steps, self._look, self._done = phase, steps, look, 0
        self._title = TITLES.get(phase) or f"Epoch {epoch + 1}/{self._epochs}"
        self._pace.restart()
        self._next_step = 0
        self._safely(self._open)

    def _open(self) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(BAR_COLUMNS), TextColumn("{task.fields[count]}"),
                TextColumn("{task.fields[logs]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
                console=self._console, auto_refresh=False, transient=True, expand=True)
            self._progress.start()
        title = f"{self._title} val" if self._phase == "validate" else self._title
        self._tasks.append(self._progress.add_task(title, total=self._steps, count="", logs=""))

    def batch_end(self, step: int, read_logs: ReadLogs) -> None:
        self._done = step + 1
        if step >= self._next_step:
            if self._pace.is_due(step):
                self._safely(lambda: self._show(read_logs()))
            self._next_step = self._pace.next_step

    def _show(self, logs: dict[str, float]) -> None:
        if self._progress is None or not self._tasks:
            return
        elapsed_s = self._pace.elapsed_s
        parts = [f"{self._done}/{self._steps}" if self._steps else f"{self._done}", rate(self._done, elapsed_s)]
        if self._steps:
            parts.append(f"eta {duration((self._steps - self._done) * elapsed_s / self._done)}")
        if self._look is not None:
            parts.append(f"wait {self._look().wait_share:.0%}")
        self._progress.update(
            self._tasks[-1], completed=self._done, count=" ".join(part for part in parts if part), logs=logs_text(logs))
        self._progress.refresh()

    def epoch_end(self, epoch: int, logs: dict[str, float], figures: Any, reason: str | None) -> None:
        self._safely(self._close_task)
        if self._phase == "validate":
            self._phase, self._done = "train", self._train_done
            return
        self._figures = figures
        line = epoch_line(self._title, self._done, self._clock() - self._began_s, logs, figures, reason)
        self._safely(lambda: self._console.print(line, markup=False, highlight=False, soft_wrap=True))

    def _close_task(self) -> None:
        if self._progress is not None and self._tasks:
            self._progress.remove_task(self._tasks.pop())
            self._progress.refresh()

    def close(self) -> None:
        self._safely(self._stop)
        text = closing_line(self._figures)
        if text:
            self._safely(lambda: self._console.print(text, markup=False, highlight=False, soft_wrap=True))
        self._figures = None

    def _stop(self) -> None:
        progress, self._progress = self._progress, None
        self._tasks.clear()
        if progress is not None:
            progress.stop()

    def _safely(self, draw: Callable[[], None]) -> None:
        """A terminal that has gone away, or cannot show a character, is no reason to stop."""
        try:
            draw()
        except (OSError, ValueError, SystemExit):  # rich makes SystemExit of a broken pipe
            self._progress = None
            self._tasks.clear()
