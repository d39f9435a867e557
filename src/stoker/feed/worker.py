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
    lost: Failure | None = None
    if source.single_owner and source.behind(ask[2], ask[3]):  # type: ignore[attr-defined]
        stream = cast(Stream, source)
        lost = _caught_up(stream, ask, seed_all)
        if lost is not None and (not isinstance(lost.error, Exception) or stream.behind(ask.pass_number, ask.index)):
            return lost, perf_counter() - began, began
    outcome = _made(source, ask, seed_all)
    if lost is not None and type(outcome) is Ended:  # a generator whose error nobody would hear of
        outcome = lost
    return outcome, perf_counter() - began, began


def _caught_up(source: Stream, ask: Ask, seed_all: Callable[[Ask], None] | None) -> Failure | None:
    """Pull what comes before; the last error in that, if there was any. It ends where nothing more can be pulled."""
    lost: Failure | None = None
    for before in source.behind(ask.pass_number, ask.index):
        outcome = _made(source, ask._replace(index=before), seed_all)
        if type(outcome) is Ended:
            break
        if type(outcome) is Failure:
            lost = outcome
            left = source.behind(ask.pass_number, ask.index)
            if not isinstance(lost.error, Exception) or (left and left[0] == before):  # Ctrl-C, or the pass cannot be begun
                break
    return lost


def _made(source: Source, ask: Ask, seed_all: Callable[[Ask], None] | None) -> Outcome:
    """What the source gives for an ask, with the item's randomness."""
    if seed_all is not None:
        seed_all(ask)
    _, _, pass_number, index, seed, item = ask
    outside = ITEM.set([seed, pass_number, index, None])
    outcome: Outcome
    try:
        made = source.get(pass_number, index, item)
        outcome = made if type(made) is Ended else Value(made)
    except BaseException as error:
        outcome = failure(error)
    ITEM.reset(outside)  # the caller may itself be making an item
    return outcome
