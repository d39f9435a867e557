"""How much of a source is drawn, and how long an item is waited for: until making items has used up its share of the time.

What counts is time in which items were made, not time that went by: a machine that stands still for a moment (another process has the core,
a control group has used up its quota) costs a profile time, and no items.

Rules: pure; times are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

START_PATIENCE_S = 60.0
"""How long a worker process may take to start and to load the source: on a busy machine, with a source that imports a framework."""
TIMES_USUAL = 20
"""An item counts for so many usual ones at most: one that took longer stood still, or is a straggler of which there are few."""


@dataclass(frozen=True, slots=True)
class Budget:
    """When to stop drawing.

    Args:
        share_s: so much time making items may take.
        hard_s: when no further item is begun, however little was made; by the clock.
    """

    share_s: float
    hard_s: float

    def may_draw(self, now_s: float, made_s: float, drawn: int) -> bool:
        """Whether a further item may be begun.

        Args:
            now_s: by the clock.
            made_s: the time that making items took so far.
            drawn: how many these were.
        """
        return drawn == 0 or (made_s < self.share_s and now_s < self.hard_s)

    def half(self) -> Budget:
        """Half the share, up to the same limit."""
        return replace(self, share_s=self.share_s / 2)


class Spent:
    """The time that making items took, of which no single one counts for more than many usual ones."""

    def __init__(self) -> None:
        self.drawn = 0
        self._made_s = 0.0
        self._longest_s = 0.0

    def add(self, make_s: float) -> None:
        """An item was made."""
        self.drawn += 1
        self._made_s += make_s
        self._longest_s = max(self._longest_s, make_s)

    @property
    def made_s(self) -> float:
        """What counts: all of it, but of the longest item only so much as many of the others take on average."""
        rest_s = self._made_s - self._longest_s
        usual_s = rest_s / (self.drawn - 1) if self.drawn > 1 else self._longest_s
        return rest_s + min(self._longest_s, TIMES_USUAL * usual_s)


class Deadline:
    """When to wait no longer for what a worker was asked.

    Args:
        until_s: when, by the clock; but not before it has begun.
        least_s: and not before it has worked for so long.
        asked_s: when it was asked.
    """

    def __init__(self, until_s: float, least_s: float, asked_s: float) -> None:
        self._until_s = until_s
        self._least_s = least_s
        self._start_s = asked_s + START_PATIENCE_S
        self._began_s: float | None = None

    def is_over(self, now_s: float, *, has_begun: bool) -> bool:
        """Whether it has come.

        Args:
            now_s: by the clock.
            has_begun: whether the worker is at something, or has answered.
        """
        if self._began_s is None and has_begun:
            self._began_s = now_s
        if self._began_s is None:
            return now_s > max(self._until_s, self._start_s)
        return now_s > max(self._until_s, self._began_s + self._least_s)
