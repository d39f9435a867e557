"""When to give up on a worker: deaths and silences counted, and the words for them; and those for a feed that is not open.

Rules: pure; times are passed in.
"""

from __future__ import annotations

from stoker.errors import FeedClosed, WorkerDied, WorkerHung
from stoker.feed.messages import Ask, Died
from stoker.outcome import Failure

DEATHS_ON_ONE_BATCH = 3
"""So many workers may die at one batch before it is given up; one death may be bad luck, three are the batch's doing."""
DEATHS_WITHOUT_A_BATCH = 5
"""So many times a worker may die while no answer comes from any: with what it held for its next message it takes batches along that it has
made, so its own answers alone do not tell."""
LEAST_TIMEOUT_S = 60.0
FIRST_TIMEOUT_S = 180.0
"""Before its first batch a worker loads the source, and what it imports: minutes where files are slow or the machine is busy."""
TIMES_SLOWEST = 20
TIMES_LONGEST = 3
"""A batch that took very long once (a new file is loaded, say) may do so again, however many were quick since."""


class Silence:
    """How long each worker has been at what it does, and how often it died without an answer."""

    def __init__(self, workers: int) -> None:
        self._since_s = [0.0] * workers
        self._fruitless = [0] * workers
        self._is_new = [True] * workers

    def heard(self, worker: int, now_s: float) -> None:
        """A worker answered."""
        self._since_s[worker] = now_s
        self._fruitless = [0] * len(self._fruitless)
        self._is_new[worker] = False

    def asked(self, worker: int, now_s: float) -> None:
        """An idle worker was asked."""
        self._since_s[worker] = now_s

    def died(self, worker: int, now_s: float) -> bool:
        """A worker died; True if it did so too often while nothing was made."""
        self._since_s[worker] = now_s
        self._fruitless[worker] += 1
        self._is_new[worker] = True
        return self._fruitless[worker] >= DEATHS_WITHOUT_A_BATCH

    def is_new(self, worker: int) -> bool:
        """Whether a worker, or the one that took its place, has not answered yet."""
        return self._is_new[worker]

    def deaths(self, worker: int) -> int:
        """How often a worker died since there was an answer."""
        return self._fruitless[worker]

    def forgive(self, lost_s: float) -> None:
        """The caller's own process did not run for so long (its whole job was stopped, say): no worker is to blame for that."""
        if lost_s > 0:
            self._since_s = [since_s + lost_s for since_s in self._since_s]

    def length_s(self, worker: int, now_s: float) -> float:
        """How long a worker has been silent."""
        return now_s - self._since_s[worker]


def patience_s(timeout_s: float | None, slowest_usual_s: float, longest_s: float, dropped: int, is_new: bool) -> float:
    """How long a worker may be silent.

    What the caller said, else max(60 s, 20 times the 99th percentile of make times, 3 times the longest), and 180 s at least before its
    first batch; before the first of all, when these are 0, as much for each that a stream drops before it.
    """
    if timeout_s is not None:
        return timeout_s
    if not longest_s:
        return FIRST_TIMEOUT_S * (1 + dropped)
    least_s = FIRST_TIMEOUT_S if is_new else LEAST_TIMEOUT_S
    return max(least_s, TIMES_SLOWEST * slowest_usual_s, TIMES_LONGEST * longest_s)


def made_by(found: Failure, index: int | None, label: str, who: str) -> Failure:
    """What a source raised, with a note that says where."""
    return Failure(found.error, found.trace, (*found.notes, f"raised while index {index} of {label} was made {who}"))


def died_error(ask: Ask | None, event: Died, deaths: int, label: str) -> WorkerDied:
    """The error for a batch that kills its workers, or for workers that die whatever they do."""
    index = ask.index if ask else None
    at = f"index {index} of {label}" if ask else label
    remedy = (
        f"Make that batch by hand (source[{index}]) and watch the memory; fewer workers need less of it."
        if ask else "Run with workers=0 to see the error itself.")
    return WorkerDied(
        "workers died again and again", got=f"{deaths} deaths, the last {event.cause}", expected="a batch",
        where=at, remedy=remedy, index=index, worker=event.worker)


def owner_died_error(index: int, event: Died, label: str) -> WorkerDied:
    """The error for a stream whose owner died: what it had not yielded yet is gone with it."""
    return WorkerDied(
        "the worker that ran the generator died, and a generator cannot be made again from the middle", got=event.cause,
        expected=f"item {index}", where=label,
        remedy="A Sequence or stoker.parallel_map survives this; without use_multiprocessing the generator runs on a thread.",
        index=index, worker=event.worker)


def hung_error(ask: Ask | None, worker: int, silent_s: float, stack: str, label: str) -> WorkerHung:
    """The error for a worker that gives no answer."""
    shown = f"\nIts stack:\n{stack.rstrip()}" if stack else ""
    index = ask.index if ask else None
    return WorkerHung(
        f"worker {worker} gave no batch", got=f"silence for {silent_s:.0f} s", expected="a batch",
        where=f"index {index} of {label}",
        remedy=f"Look at what it waits for, or pass a larger timeout_s.{shown}", index=index, worker=worker)


def closed_error() -> FeedClosed:
    """Batches are asked of a feed that is not open."""
    return FeedClosed(
        "the feed is not open", expected="a feed inside its with block", remedy="Iterate in: with stoker.Feed(...) as feed: ...")


def opened_again_error(label: str) -> FeedClosed:
    """A feed is opened that has been open before: what had been pulled ahead is gone, and nobody could say where it goes on."""
    return FeedClosed(
        "the feed has been open before", expected="a feed that is opened once", where=label, remedy="Make a new Feed for each with block.")
