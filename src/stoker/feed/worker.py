"""What a worker does with one ask, whatever lane it works in.

Rules: never raises; the item's randomness is set before the source is called and taken away after.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import cast

from stoker.feed.messages import Ask
from stoker.outcome import Ended, Failure, Outcome, Value, failure
from stoker.rng import ITEM
from stoker.source.protocol import Source, Stream

WORKER = "STOKER_WORKER"
"""Environment variable by which a process knows that it is a worker process; its value is the worker's number."""


def make(source: Source, ask: Ask, seed_all: Callable[[Ask], None] | None = None) -> tuple[Outcome, float, float]:
    """Make the batch that is asked for. What a stream has to pull before it is pulled first, each item with its own randomness.

    Args:
        source: makes it.
        ask: says which.
        seed_all: seeds what the process has of random generators for an item.

    Returns:
        What came of it, the wall time that it took, and when it began, in seconds.
    """
    began = perf_counter()
    _, _, pass_number, index, seed, item = ask
    if source.single_owner:
        for before in cast(Stream, source).behind(pass_number, index):
            dropped = make(source, ask._replace(index=before), seed_all)
            if type(dropped[0]) is Failure and not isinstance(dropped[0].error, Exception):  # Ctrl-C
                return dropped
    if seed_all is not None:
        seed_all(ask)
    outside = ITEM.set([seed, pass_number, index, None])
    outcome: Outcome
    try:
        made = source.get(pass_number, index, item)
        outcome = made if type(made) is Ended else Value(made)
    except BaseException as error:
        outcome = failure(error)
    ITEM.reset(outside)  # the caller may itself be making an item
    return outcome, perf_counter() - began, began
