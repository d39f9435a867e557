"""What a worker does with one ask, whatever lane it works in.

Rules: never raises; the item's randomness is set before the source is called and taken away after.
"""

from __future__ import annotations

from time import perf_counter

from stoker.feed.messages import Ask
from stoker.outcome import Ended, Outcome, Value, failure
from stoker.rng import ITEM
from stoker.source.protocol import Source

WORKER = "STOKER_WORKER"
"""Environment variable by which a process knows that it is a worker process; its value is the worker's number."""


def make(source: Source, ask: Ask) -> tuple[Outcome, float, float]:
    """Make the batch that is asked for.

    Returns:
        What came of it, the wall time that it took, and when it began, in seconds.
    """
    began = perf_counter()
    _, _, pass_number, index, seed, item = ask
    ITEM.set([seed, pass_number, index, None])
    outcome: Outcome
    try:
        made = source.get(pass_number, index, item)
        outcome = made if type(made) is Ended else Value(made)
    except BaseException as error:
        outcome = failure(error)
    ITEM.set(None)
    return outcome, perf_counter() - began, began
