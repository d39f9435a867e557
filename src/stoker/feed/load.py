"""What a batch takes, of the model and of the workers, and how fast so many workers would make them.

By Little's law the number of workers that are busy on average is rate times make time; so a model that takes a batch every ``step_s`` is
kept fed by ``make_s / step_s`` workers (J. D. C. Little, 1961: L = lambda * W).

Rules: pure; the same figures give the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from stoker.feed.meter import FeedFigures

MARGIN = 1.1
"""Workers are advised for a tenth more than the model takes."""
TIMES_USUAL = 20
TIMES_REST = 1.5
"""A step that took so many times the usual one, and so many times all others together, happened once: compiling."""
IDLE_CPU = 0.25
"""A source whose CPU time is below this share of its wall time waits for something else than a core."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one batch takes, in seconds, and how fast they came.

    Args:
        make_s: making it.
        cpu_s: of that on a core.
        cross_s: putting it into shared memory.
        step_s: the model's step.
        rate: batches a second that the model got.
        pull_s: pulling its item, on the thread of the step.
    """

    make_s: float
    cpu_s: float
    cross_s: float
    step_s: float
    rate: float
    pull_s: float = 0.0

    @property
    def busy_s(self) -> float:
        """What keeps a worker busy."""
        return self.make_s + self.cross_s

    @property
    def core_s(self) -> float:
        """What keeps a core busy."""
        return self.cpu_s + self.cross_s

    @property
    def turn_s(self) -> float:
        """What keeps the thread of the step busy: batches are used no faster than that."""
        return self.step_s + self.pull_s

    def needed(self, busy_s: float) -> int:
        """How many workers keep the model fed, if each batch keeps one busy for so long."""
        return max(1, math.ceil(busy_s / self.turn_s * MARGIN))

    def gain(self, workers: int, busy_s: float, cores: int | None) -> float:
        """How many times as many batches the model would get from so many workers."""
        by_cores = math.inf if cores is None or self.core_s <= 0 else cores / self.core_s
        by_workers = workers / busy_s if busy_s > 0 else math.inf
        return min(by_workers, by_cores, 1 / self.turn_s) / max(self.rate, 1e-9)


def without_one_step(figures: FeedFigures) -> FeedFigures:
    """The figures without a step that happened once and took most of the time, such as that in which the model is compiled."""
    own_s = figures.elapsed_s - figures.wait_s
    rest_s = own_s - figures.longest_step_s
    if figures.batches < 2 or figures.longest_step_s <= max(TIMES_REST * rest_s, TIMES_USUAL * rest_s / (figures.batches - 1)):
        return figures
    return replace(figures, elapsed_s=figures.elapsed_s - figures.longest_step_s, batches=figures.batches - 1, longest_step_s=0.0)


def load_of(figures: FeedFigures) -> Load:
    """What a batch took, of figures with at least one."""
    return Load(
        figures.make_s / figures.made, figures.cpu_s / figures.made, figures.cross_s / figures.made,
        max((figures.elapsed_s - figures.wait_s) / figures.batches, 1e-9), figures.batches / figures.elapsed_s,
        figures.pull_s / figures.batches)


def waits_elsewhere(figures: FeedFigures) -> bool:
    """Whether making batches waits for something else than a core: a disk, the network.

    A busy machine, or one whose quota of CPU time is used up, stretches wall time too; what the workers waited for a core is left out.
    """
    return figures.cpu_s < IDLE_CPU * figures.make_s * (1 - figures.crowded)


def pace_of(figures: FeedFigures, load: Load) -> float:
    """Batches a second that the workers make: no more than they have time for, and no more than came.

    What had been made before the stretch began, or while the model was compiled, is no pace of theirs.
    """
    return min(load.rate, figures.makers / load.busy_s if load.busy_s > 0 else load.rate)
