"""What a caller may say of a feed, checked once."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from stoker.arguments import seconds, whole_number
from stoker.errors import OptionTypeError

SPARE_SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How a feed runs.

    Args:
        workers: 0 makes batches on the caller's thread; more makes them ahead of need.
        processes: workers are processes, not threads.
        max_queue_size: batches in flight or ready at once, at most.
        shuffle: permute the order of an indexed source in every pass.
        seed: what order and items' randomness are derived from.
        timeout_s: after so many seconds a worker that gives no batch counts as hung; None: 60 s or 20 times the 99th
            percentile of make times so far, whichever is longer.
    """

    workers: int
    processes: bool
    max_queue_size: int
    shuffle: bool
    seed: int
    timeout_s: float | None


def check_options(
    *, workers: Any = 1, processes: Any = False, max_queue_size: Any = 10, shuffle: Any = False, seed: Any = None,
    timeout_s: Any = None,
) -> FeedOptions:
    """Make options of what a caller passed.

    Raises:
        OptionError, OptionTypeError: an argument is senseless or of the wrong type; the message names it.
    """
    return FeedOptions(
        workers=whole_number("workers", workers),
        processes=_flag("processes", processes),
        max_queue_size=whole_number("max_queue_size", max_queue_size, 1),
        shuffle=_flag("shuffle", shuffle),
        seed=draw_seed() if seed is None else whole_number("seed", seed),
        timeout_s=None if timeout_s is None else seconds("timeout_s", timeout_s),
    )


def draw_seed() -> int:
    """A seed from Python's ``random``, so that ``keras.utils.set_random_seed`` reproduces a run."""
    return random.getrandbits(SPARE_SEED_BITS)


def _flag(name: str, value: Any) -> bool:
    if value in (True, False, 0, 1) and not isinstance(value, float):
        return bool(value)
    raise OptionTypeError(
        f"{name} is no bool", got=f"{type(value).__name__} {value!r}", expected="True or False",
        remedy=f"Pass {name}=True or {name}=False.")
