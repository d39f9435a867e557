"""What a caller may say of a feed, checked once."""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass
from typing import Any

from stoker.arguments import seconds, whole_number
from stoker.errors import OptionError, OptionTypeError

SPARE_SEED_BITS = 63
AUTO = "auto"
MOST_AUTO = 64
"""``workers="auto"`` never takes more; fewer where fewer batches may be in flight."""


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How a feed runs.

    Args:
        workers: 0 makes batches on the caller's thread; more makes them ahead of need. The most there may be where ``auto``.
        processes: workers are processes, not threads.
        max_queue_size: batches in flight or ready at once, at most.
        shuffle: permute the order of an indexed source in every pass.
        seed: what order and items' randomness are derived from.
        timeout_s: after so many seconds a worker that gives no batch counts as hung; None: see ``patience_s``.
        auto: the feed starts with one worker, and finds out how many it needs, and of what kind.
    """

    workers: int
    processes: bool
    max_queue_size: int
    shuffle: bool
    seed: int
    timeout_s: float | None
    auto: bool = False


def check_options(
    *, workers: Any = 1, processes: Any = False, max_queue_size: Any = 10, shuffle: Any = False, seed: Any = None,
    timeout_s: Any = None,
) -> FeedOptions:
    """Make options of what a caller passed.

    Raises:
        OptionError, OptionTypeError: an argument is senseless or of the wrong type; the message names it.
    """
    bound = whole_number("max_queue_size", max_queue_size, 1)
    is_auto = _is_auto(workers)
    return FeedOptions(
        workers=min(MOST_AUTO, bound) if is_auto else whole_number("workers", workers),
        processes=_flag("processes", processes),
        max_queue_size=bound,
        shuffle=_flag("shuffle", shuffle),
        seed=draw_seed() if seed is None else _seed(seed),
        timeout_s=None if timeout_s is None else seconds("timeout_s", timeout_s),
        auto=is_auto,
    )


def sibling_options(mine: FeedOptions, *, shuffle: bool, max_queue_size: int | None, seed: int | None) -> FeedOptions:
    """The options of a feed on the workers of another one; None for what that has."""
    options = check_options(
        workers=AUTO if mine.auto else mine.workers, processes=mine.processes, shuffle=shuffle, timeout_s=mine.timeout_s,
        max_queue_size=mine.max_queue_size if max_queue_size is None else max_queue_size,
        seed=mine.seed if seed is None else seed)
    return dataclasses.replace(options, max_queue_size=min(options.max_queue_size, mine.max_queue_size))


def _is_auto(workers: Any) -> bool:
    if not isinstance(workers, str):
        return False
    if workers == AUTO:
        return True
    raise OptionTypeError(
        "workers is a string", got=repr(workers), expected=f"a whole number, or {AUTO!r}", remedy=f"Pass a number, or workers={AUTO!r}.")


def _seed(value: Any) -> int:
    """A seed that travels in 8 bytes."""
    seed = whole_number("seed", value)
    if seed >> SPARE_SEED_BITS:
        raise OptionError(
            "seed is too large", got=repr(value), expected=f"a whole number below 2**{SPARE_SEED_BITS}", remedy="Pass a smaller seed.")
    return seed


def draw_seed() -> int:
    """A seed from Python's ``random``, so that ``keras.utils.set_random_seed`` reproduces a run."""
    return random.getrandbits(SPARE_SEED_BITS)


def _flag(name: str, value: Any) -> bool:
    if value in (True, False, 0, 1) and not isinstance(value, float):
        return bool(value)
    raise OptionTypeError(
        f"{name} is no bool", got=f"{type(value).__name__} {value!r}", expected="True or False",
        remedy=f"Pass {name}=True or {name}=False.")
