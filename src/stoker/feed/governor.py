"""``workers="auto"``: how many workers a feed needs, judged from its figures while it runs.

    start with one thread
    every third of a second, if at least ten batches were taken:
        the model waited            -> as many workers as Little's law asks for (``advice.py``), at most what helps
        ... and the GIL was held    -> the same, as processes; there is no way back
        more workers were no faster -> back to as many as before, and no more than that from now on
        three times too many        -> as many as are needed

Rules: pure; it decides, the feed acts; the stream does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stoker.feed.advice import MOST_ADVISED, count_of, verdict
from stoker.feed.load import load_of, waits_elsewhere, without_one_step
from stoker.feed.meter import FeedFigures

LEAST_S = 0.3
"""The shortest stretch that is judged."""
LONG_S = 3.0
"""A stretch so long is judged by fewer batches."""
ENOUGH, FEW = 10, 4
"""Batches in a stretch that is judged, and in a long one."""
FASTER = 1.05
"""More workers that make the feed less than this much faster were of no use."""
NO_FASTER = "more were no faster"
STAYS = "the source cannot go to processes"
PATIENCE = 3
"""So many times in a row there must have been too many workers before some are dropped."""
SHARE_OF_MEMORY = 0.5
"""Workers may take so much of the memory that is free."""
PROCESS_BYTES = 60e6
"""What a process takes beside its batches."""
BATCHES_OF_A_WORKER = 3
"""Batches that a worker adds to those in memory: one being made, two that wait."""


@dataclass(frozen=True, slots=True)
class Crewing:
    """How many workers of what kind."""

    workers: int
    processes: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What workers may take.

    Args:
        most: workers, however idle they are.
        cores: that can be used.
        free_bytes: memory that is free; None where that is not known.
        may_fork: whether processes can be had for this source.
    """

    most: int
    cores: int
    free_bytes: int | None
    may_fork: bool


class Governor:
    """The state of one feed's adaptation.

    Args:
        crewing: what the feed starts with.
        limits: what workers may take.
    """

    def __init__(self, crewing: Crewing, limits: Limits) -> None:
        self.crewing = crewing
        self.limits = limits
        self._before: FeedFigures | None = None
        self._rate_before = 0.0
        self._crew_before = crewing
        self._is_on_trial = False
        self._is_moving = False
        """The stretch after a move is not judged: it holds the start of processes, and what threads made last."""
        self._ceiling = limits.most
        self._floor = 1
        self._calm = 0
        self.limit = ""
        """What keeps the feed from having as many workers as the model needs; empty where nothing does."""

    def judge(self, now: FeedFigures, batch_bytes: int) -> Crewing:
        """What the feed should have from now on, from its figures so far in this epoch.

        Args:
            now: the figures since the epoch began.
            batch_bytes: the size of a batch.
        """
        stretch = without_one_step(_since(self._before, now))
        enough = ENOUGH if stretch.elapsed_s < LONG_S else FEW
        if stretch.batches < enough or stretch.made < 1 or stretch.elapsed_s < LEAST_S:
            return self.crewing
        self._before = now
        if self._is_moving:
            self._is_moving = False
            return self.crewing
        chosen = self._choose(stretch, batch_bytes)
        self._is_moving = chosen.processes != self.crewing.processes
        if chosen != self.crewing:
            self._rate_before = stretch.batches / stretch.elapsed_s
            self._crew_before, self.crewing = self.crewing, chosen
        return self.crewing

    def stay_with_threads(self) -> None:
        """Processes could not be had, and will not be asked for again."""
        self.limits = replace(self.limits, may_fork=False)
        self.crewing = replace(self._crew_before, processes=False)  # as many threads as before: that they do no better was seen
        self.limit = STAYS

    def _choose(self, stretch: FeedFigures, batch_bytes: int) -> Crewing:
        """What to have after a stretch."""
        if self._is_on_trial:
            self._is_on_trial = False
            if self._was_of_no_use(stretch):
                self._ceiling, self.limit = self._crew_before.workers, NO_FASTER
                return replace(self.crewing, workers=self._ceiling)
        found = verdict(stretch, fewest=FEW)
        needed = _needed(stretch)
        if found.bound != "input":
            self.limit = ""
            return self._fewer(needed)
        self._calm = 0
        processes = self.crewing.processes or (found.processes is True and self.limits.may_fork)
        count = found.advised_workers or needed
        most, why = self._most(stretch, processes, batch_bytes)
        must_stay = found.processes is True and not processes
        self.limit = STAYS if must_stay else why if count > most else ""
        if processes != self.crewing.processes:
            self._ceiling = self.limits.most
            return Crewing(min(count, most), processes)
        chosen = replace(self.crewing, workers=min(max(count, self.crewing.workers), max(most, 1), self._ceiling))
        self._is_on_trial = chosen.workers > self.crewing.workers
        if self._is_on_trial:
            self._floor = max(self._floor, self.crewing.workers)
        return chosen

    def _was_of_no_use(self, stretch: FeedFigures) -> bool:
        """Whether the workers that were added left the feed as slow as it was, though the model still waits."""
        return (self._crew_before.processes == self.crewing.processes and verdict(stretch, fewest=FEW).bound == "input"
                and stretch.batches / stretch.elapsed_s < FASTER * self._rate_before)

    def _fewer(self, needed: int) -> Crewing:
        """The model did not wait: drop workers once it is clear that they are not needed."""
        self._calm = self._calm + 1 if max(needed, self._floor) < self.crewing.workers else 0
        if self._calm < PATIENCE:
            return self.crewing
        self._calm = 0
        return replace(self.crewing, workers=max(needed, self._floor))

    def _most(self, stretch: FeedFigures, processes: bool, batch_bytes: int) -> tuple[int, str]:
        """How many workers there may be, and what allows no more."""
        bounds = [(self.limits.most, f"max_queue_size allows no more than {self.limits.most}" if self.limits.most < MOST_ADVISED else "")]
        if processes == self.crewing.processes and self._ceiling < self.limits.most:
            bounds.append((self._ceiling, NO_FASTER))
        if not waits_elsewhere(stretch):
            bounds.append((self.limits.cores, f"there {'is' if self.limits.cores == 1 else 'are'} {count_of(self.limits.cores, 'core')}"))
        if self.limits.free_bytes is not None:
            each = BATCHES_OF_A_WORKER * batch_bytes + (PROCESS_BYTES if processes else 0)
            bounds.append((int(SHARE_OF_MEMORY * self.limits.free_bytes / max(each, 1)), "memory allows no more"))
        most, why = min(bounds, key=lambda bound: bound[0])
        return max(1, most), why


def _needed(stretch: FeedFigures) -> int:
    """Workers that are busy while the model goes at its own pace, and a tenth."""
    load = load_of(stretch)
    return min(10**6, load.needed(load.busy_s))


def _since(before: FeedFigures | None, now: FeedFigures) -> FeedFigures:
    """The figures of the stretch between two looks; all of them if a new epoch has begun."""
    if before is None or now.batches < before.batches or now.elapsed_s < before.elapsed_s:
        return now
    return replace(
        now, batches=now.batches - before.batches, elapsed_s=now.elapsed_s - before.elapsed_s, wait_s=now.wait_s - before.wait_s,
        make_s=now.make_s - before.make_s, cpu_s=now.cpu_s - before.cpu_s, made=now.made - before.made,
        cross_s=now.cross_s - before.cross_s, slots_s=now.slots_s - before.slots_s, longest_step_s=0.0, ran_s=now.ran_s - before.ran_s,
        queued_s=now.queued_s - before.queued_s, pull_s=now.pull_s - before.pull_s)
